//! AND of Boolean shares, with triples made of random OTs.

use si_ring::Bits;

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
    /// Cost for n bits of y and m <= n of z: 2 n + m bits a party, half a round trip, n OTs in each direction.
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
        let t = self.triples(n, m)?;
        let mut masked = x.xor(&t.a);
        masked.extend(&y.xor(&t.b));
        masked.extend(&z.xor(&t.b2));
        let opened = masked.xor(&self.exchange("masked AND inputs", &masked)?);
        let (d, e, e2) = (opened.slice(0, n), opened.slice(n, n), opened.slice(2 * n, m));
        let client = self.side() == Side::Client;
        // xy = (d + a)(e + b) = de + db + ea + c; the public de is added by one party.
        let product = |d: &Bits, e: &Bits, a: &Bits, b: &Bits, c: &Bits| {
            let share = d.and(b).xor(&e.and(a)).xor(c);
            if client { share.xor(&d.and(e)) } else { share }
        };
        let xz = product(&d.slice(0, m), &e2, &t.a.slice(0, m), &t.b2, &t.c2);
        Ok((product(&d, &e, &t.a, &t.b, &t.c), xz))
    }

    /// n random triples, m of which have a second one with the same a, without traffic.
    ///
    /// A random OT with messages (m0, m1) and choice s gives shares of s (m0 + m1), which is one cross term of
    /// (a0 + a1)(b0 + b1) if a is the choice with which we receive and b the difference of the messages we send. Messages
    /// of two bits give two products with the same choice.
    fn triples(&mut self, n: usize, m: usize) -> Result<Triples> {
        self.reserve(n, n)?;
        let ch = &mut self.channel;
        if m == 0 {
            let (m0, m1) = self.sender.random_bits(ch, n)?;
            let (a, received) = self.receiver.random_bits(ch, n)?;
            let (b, c) = product(&a, &m0, &m1, &received);
            return Ok(Triples { a, b, c, b2: Bits::default(), c2: Bits::default() });
        }
        let (m0, m1) = self.sender.random_bit_pairs(ch, n)?;
        let (a, received) = self.receiver.random_bit_pairs(ch, n)?;
        let (b, c) = product(&a, &m0[0], &m1[0], &received[0]);
        let (b2, c2) = product(&a, &m0[1], &m1[1], &received[1]);
        Ok(Triples { a, b, c, b2: b2.slice(0, m), c2: c2.slice(0, m) })
    }
}

/// A party's part of random triples: XOR shares of a, b and c = a AND b, and of b2 and c2 = a AND b2 for the first of them.
struct Triples {
    a: Bits,
    b: Bits,
    c: Bits,
    b2: Bits,
    c2: Bits,
}

/// Our shares of b and a b, from the messages we sent and the one we received.
fn product(a: &Bits, m0: &Bits, m1: &Bits, received: &Bits) -> (Bits, Bits) {
    let b = m0.xor(m1);
    let c = a.and(&b).xor(m0).xor(received);
    (b, c)
}
