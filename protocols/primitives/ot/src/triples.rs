//! Boolean multiplication triples from random OTs in both directions.

use si_ring::Bits;
use si_wire::Channel;

use crate::{Error, OtReceiver, OtSender, Result};

/// A party's part of n random triples: XOR shares of a, b and c = a AND b.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Triples {
    /// Share of a.
    pub a: Bits,
    /// Share of b.
    pub b: Bits,
    /// Share of a AND b.
    pub c: Bits,
}

/// A party's part of n random bits a, each multiplied with W others: XOR shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedTriples<const W: usize> {
    /// Share of a.
    pub a: Bits,
    /// Shares of b_i and of a AND b_i.
    pub products: [(Bits, Bits); W],
}

/// `n` triples from `n` random OTs in each direction; no traffic.
///
/// # Errors
/// As [`shared_triples`].
pub fn triples(ch: &mut Channel, sender: &mut OtSender, receiver: &mut OtReceiver, n: usize) -> Result<Triples> {
    let SharedTriples { a, products: [(b, c)] } = shared_triples(ch, sender, receiver, n)?;
    Ok(Triples { a, b, c })
}

/// `n` times W triples with the same a in each W, from `n` random OTs in each direction, however large W (at most 128)
/// is; no traffic. Security is that of the endpoints.
///
/// A random OT with choice s and messages of W bits (m0, m1) gives shares of s (m0 + m1): one cross term of
/// (a + a')(b_i + b_i'), if a is the choice with which we receive and b_i bit i of the difference of what we send.
///
/// # Errors
/// If fewer than `n` OTs are in stock at one of the endpoints: call `reserve` for both first, in the same order of
/// directions at both parties.
pub fn shared_triples<const W: usize>(
    ch: &mut Channel,
    sender: &mut OtSender,
    receiver: &mut OtReceiver,
    n: usize,
) -> Result<SharedTriples<W>> {
    let stock = sender.available().min(receiver.available());
    if n > stock {
        return Err(Error::Limit { what: "triples (OTs in stock)", requested: n, limit: stock });
    }
    let (m0, m1) = sender.random_strings::<W>(ch, n)?;
    let (a, received) = receiver.random_strings::<W>(ch, n)?;
    let products = std::array::from_fn(|i| {
        let b = m0[i].xor(&m1[i]);
        let c = a.and(&b).xor(&m0[i]).xor(&received[i]);
        (b, c)
    });
    Ok(SharedTriples { a, products })
}
