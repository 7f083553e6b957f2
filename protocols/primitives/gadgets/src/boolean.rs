//! AND of Boolean shares, with triples made of random OTs.

use si_ot::{SharedTriples, shared_triples, triples};
use si_ring::Bits;

use crate::engine::Leaves;
use crate::{Engine, Result, Side};

impl Engine {
    /// Shares of x AND y, bit by bit (Beaver).
    ///
    /// Cost for n bits: 2 n bits a party, half a round trip, n OTs in each direction.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn and(&mut self, x: &Bits, y: &Bits) -> Result<Bits> {
        Ok(self.and_shared(x, y, &Bits::default())?.0)
    }

    /// Shares of x AND y, and of x' AND z, where x' is as much of x as there is of z: two ANDs with an operand in common
    /// take one OT in each direction and three masked bits instead of two and four.
    ///
    /// Cost for n bits of y and m <= n of z: 2 n + m bits a party, half a round trip, n OTs in each direction; those of
    /// ANDs that stand alone, n - m, are the leaves' if these have endpoints of their own.
    ///
    /// # Errors
    /// If the peer fails.
    ///
    /// # Panics
    /// If x and y differ in length, or z is longer.
    pub fn and_shared(&mut self, x: &Bits, y: &Bits, z: &Bits) -> Result<(Bits, Bits)> {
        let (n, m) = (x.len(), z.len());
        if n == 0 {
            return Ok((Bits::default(), Bits::default()));
        }
        let alone = if self.leaves.is_some() { n - m } else { 0 };
        self.reserve(n - alone, n - alone)?;
        let SharedTriples { mut a, products: [(mut b, mut c), (b2, c2)] } =
            shared_triples(&mut self.channel, &mut self.sender, &mut self.receiver, n - alone)?;
        if alone > 0 {
            self.reserve_leaves(alone, alone)?;
            let (sender, receiver) = Leaves::or(&mut self.leaves, &mut self.sender, &mut self.receiver);
            let more = triples(&mut self.channel, sender, receiver, alone)?;
            a.extend(&more.a);
            b.extend(&more.b);
            c.extend(&more.c);
        }
        let mut masked = x.xor(&a);
        masked.extend(&y.xor(&b));
        masked.extend(&z.xor(&b2.slice(0, m)));
        let opened = masked.xor(&self.exchange("masked AND inputs", &masked)?);
        let (d, e, e2) = (opened.slice(0, n), opened.slice(n, n), opened.slice(2 * n, m));
        let client = self.side() == Side::Client;
        // xy = (d + a)(e + b) = de + db + ea + c; the public de is added by one party.
        let product = |d: &Bits, e: &Bits, a: &Bits, b: &Bits, c: &Bits| {
            let share = d.and(b).xor(&e.and(a)).xor(c);
            if client { share.xor(&d.and(e)) } else { share }
        };
        let xz = product(&d.slice(0, m), &e2, &a.slice(0, m), &b2.slice(0, m), &c2.slice(0, m));
        Ok((product(&d, &e, &a, &b, &c), xz))
    }
}
