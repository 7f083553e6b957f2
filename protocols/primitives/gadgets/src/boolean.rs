//! AND of Boolean shares, with triples made of random OTs.

use si_ring::Bits;

use crate::{Engine, Result, Side};

/// A party's part of n random triples: XOR shares of a, b and c = a AND b.
struct Triples {
    a: Bits,
    b: Bits,
    c: Bits,
}

impl Engine {
    /// Shares of x AND y, bit by bit (Beaver).
    ///
    /// Cost for n bits: 2 bits a party and AND, half a round trip, one OT in each direction.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn and(&mut self, x: &Bits, y: &Bits) -> Result<Bits> {
        let n = x.len();
        if n == 0 {
            return Ok(Bits::default());
        }
        let t = self.triples(n)?;
        let mut masked = x.xor(&t.a);
        masked.extend(&y.xor(&t.b));
        let opened = masked.xor(&self.exchange("masked AND inputs", &masked)?);
        let (d, e) = (opened.slice(0, n), opened.slice(n, n));
        // xy = (d + a)(e + b) = de + db + ea + c; the public de is added by one party.
        let z = d.and(&t.b).xor(&e.and(&t.a)).xor(&t.c);
        Ok(if self.side() == Side::Client { z.xor(&d.and(&e)) } else { z })
    }

    /// n triples from one random OT in each direction, without traffic: the OT with messages (m0, m1) and choice s
    /// gives shares of (m0 + m1) s, which is one cross term of (a0 + a1)(b0 + b1) if a is the difference of the
    /// messages we send and b the choice with which we receive.
    fn triples(&mut self, n: usize) -> Result<Triples> {
        self.reserve(n, n)?;
        let (m0, m1) = self.sender.random_bits(&mut self.channel, n)?;
        let (b, received) = self.receiver.random_bits(&mut self.channel, n)?;
        let a = m0.xor(&m1);
        let c = a.and(&b).xor(&m0).xor(&received);
        Ok(Triples { a, b, c })
    }
}
