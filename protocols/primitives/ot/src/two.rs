//! OT of two messages: random bits, correlated over Z_2^l, chosen.

use si_ring::{Bits, Ring, pack, packed_len, unpack};
use si_wire::Channel;

use crate::block::{Block, mask};
use crate::{OtReceiver, OtSender, Result};

/// A receiver's part of a batch of OTs whose answer is still to come.
#[must_use = "the peer's answer must be received with the matching finish"]
pub struct Pending {
    pads: Vec<u64>,
    choices: Bits,
}

impl OtSender {
    /// `n` random OTs of single bits: both messages of each. No traffic.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for `n`.
    pub fn random_bits(&mut self, ch: &mut Channel, n: usize) -> Result<(Bits, Bits)> {
        let zero = self.take(ch, n)?;
        let (first, second) = self.pads(zero);
        let bits = |blocks: Vec<Block>| Bits::from_lsb(blocks.into_iter().map(|b| b as u64));
        Ok((bits(first), bits(second)))
    }

    /// Correlated OT over Z_2^l: for each x_i a uniform r_i is returned, and the receiver with choice b_i gets
    /// r_i + b_i x_i. (Shares of b_i x_i are therefore -r_i here and the received value there.)
    ///
    /// Traffic for n: n bits up (read here), n * l bits down, one message each; the answer is not flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`], and if the receiver's message does not decode.
    pub fn correlated(&mut self, ch: &mut Channel, ring: Ring, x: &[u64]) -> Result<Vec<u64>> {
        let (zero, one) = self.chosen_pads(ch, x.len())?;
        let corrections: Vec<u64> = zero
            .iter()
            .zip(&one)
            .zip(x)
            .map(|((zero, one), x)| (*zero as u64).wrapping_add(*x).wrapping_sub(*one as u64))
            .collect();
        send_packed(ch, &corrections, ring.bits())?;
        Ok(zero.iter().map(|z| ring.reduce(*z as u64)).collect())
    }

    /// Chosen OT of messages of `bits` bits (1 to 64): the receiver gets m0_i or m1_i.
    ///
    /// Traffic for n: n bits up (read here), 2 n * bits bits down, one message each; the answer is not flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`], and if the receiver's message does not decode.
    ///
    /// # Panics
    /// If the lengths differ or `bits` is out of range.
    pub fn chosen(&mut self, ch: &mut Channel, bits: u32, m0: &[u64], m1: &[u64]) -> Result<()> {
        assert!(m0.len() == m1.len() && (1..=64).contains(&bits), "chosen OT: lengths and width are the caller's");
        let (zero, one) = self.chosen_pads(ch, m0.len())?;
        let pairs = m0.iter().zip(zero).zip(m1.iter().zip(one));
        let masked: Vec<u64> = pairs.flat_map(|((m0, p0), (m1, p1))| [m0 ^ p0 as u64, m1 ^ p1 as u64]).collect();
        send_packed(ch, &masked, bits)
    }

    /// Reads the choices and returns the pads of message 0 and of message 1.
    fn chosen_pads(&mut self, ch: &mut Channel, n: usize) -> Result<(Vec<Block>, Vec<Block>)> {
        let mut zero = self.take(ch, n)?;
        let corrections = Self::recv_bits(ch, "OT choices", n)?;
        for (z, c) in zero.iter_mut().zip(corrections.iter()) {
            *z ^= self.delta & mask(Block::from(c));
        }
        Ok(self.pads(zero))
    }

    fn pads(&mut self, mut zero: Vec<Block>) -> (Vec<Block>, Vec<Block>) {
        let first = self.count(zero.len());
        let mut one: Vec<Block> = zero.iter().map(|z| z ^ self.delta).collect();
        self.hash.hash(first, 1, &mut zero);
        self.hash.hash(first, 1, &mut one);
        (zero, one)
    }
}

impl OtReceiver {
    /// `n` random OTs of single bits: the random choices and the chosen messages. No traffic.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for `n`.
    pub fn random_bits(&mut self, ch: &mut Channel, n: usize) -> Result<(Bits, Bits)> {
        let mut blocks = self.take(ch, n)?;
        let choices = Bits::from_lsb(blocks.iter().map(|b| *b as u64));
        let first = self.count(n);
        self.hash.hash(first, 1, &mut blocks);
        Ok((choices, Bits::from_lsb(blocks.into_iter().map(|b| b as u64))))
    }

    /// Sends the choices of a correlated OT; nothing is flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn correlated_begin(&mut self, ch: &mut Channel, choices: &Bits) -> Result<Pending> {
        self.choose(ch, choices)
    }

    /// Receives r_i + b_i x_i: see [`OtSender::correlated`].
    ///
    /// # Errors
    /// If the connection fails or the answer does not decode.
    pub fn correlated_finish(&mut self, ch: &mut Channel, ring: Ring, pending: Pending) -> Result<Vec<u64>> {
        let corrections = recv_packed(ch, "correlated OT", pending.pads.len(), ring.bits())?;
        let all = pending.pads.iter().zip(corrections).zip(pending.choices.iter());
        Ok(all.map(|((pad, c), b)| ring.reduce(pad.wrapping_add(c & b.wrapping_neg()))).collect())
    }

    /// Sends the choices of a chosen OT; nothing is flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn chosen_begin(&mut self, ch: &mut Channel, choices: &Bits) -> Result<Pending> {
        self.choose(ch, choices)
    }

    /// Receives the chosen messages of `bits` bits: see [`OtSender::chosen`].
    ///
    /// # Errors
    /// If the connection fails or the answer does not decode.
    pub fn chosen_finish(&mut self, ch: &mut Channel, bits: u32, pending: Pending) -> Result<Vec<u64>> {
        let masked = recv_packed(ch, "chosen OT", 2 * pending.pads.len(), bits)?;
        let low = u64::MAX >> (64 - bits);
        let all = masked.chunks_exact(2).zip(&pending.pads).zip(pending.choices.iter());
        Ok(all.map(|((m, pad), b)| (m[0] ^ ((m[0] ^ m[1]) & b.wrapping_neg()) ^ pad) & low).collect())
    }

    fn choose(&mut self, ch: &mut Channel, choices: &Bits) -> Result<Pending> {
        let mut blocks = self.take(ch, choices.len())?;
        Self::send_choices(ch, choices, &blocks)?;
        let first = self.count(blocks.len());
        self.hash.hash(first, 1, &mut blocks);
        Ok(Pending { pads: blocks.into_iter().map(|b| b as u64).collect(), choices: choices.clone() })
    }
}

pub(crate) fn send_packed(ch: &mut Channel, values: &[u64], bits: u32) -> Result<()> {
    let mut message = Vec::with_capacity(packed_len(values.len(), bits));
    pack(values, bits, &mut message);
    ch.send(&message)?;
    Ok(())
}

fn recv_packed(ch: &mut Channel, what: &'static str, count: usize, bits: u32) -> Result<Vec<u64>> {
    let bytes = ch.recv_exact(what, packed_len(count, bits))?;
    unpack(&bytes, count, bits).map_err(|e| ch.malformed(what, e.to_string()).into())
}
