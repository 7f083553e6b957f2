//! Products of a Boolean share and an additive one, and the change from one kind of share to the other.

use si_ring::{Bits, Ring};

use crate::compare::PIECE_WORDS;
use crate::{Engine, Result, Side};

impl Engine {
    /// Additive shares of b * x, for Boolean shares b and additive shares x over `ring`.
    ///
    /// (b0 + b1 mod 2) x0 = b0 x0 + b1 (1 - 2 b0) x0: one correlated OT in each direction, both in the same rounds.
    /// Cost for n elements over Z_2^l: 1 + l bits a party and element.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn select(&mut self, b: &Bits, x: &[u64], ring: Ring) -> Result<Vec<u64>> {
        let mut out = Vec::with_capacity(x.len());
        for (i, piece) in x.chunks(PIECE_WORDS).enumerate() {
            out.extend(self.select_piece(&b.slice(i * PIECE_WORDS, piece.len()), piece, ring)?);
        }
        Ok(out)
    }

    fn select_piece(&mut self, b: &Bits, x: &[u64], ring: Ring) -> Result<Vec<u64>> {
        self.reserve(x.len(), x.len())?;
        // The mask is all ones for a set bit: (1 - 2b) x is x or -x without a branch.
        let correlation: Vec<u64> =
            b.iter().zip(x).map(|(b, x)| ring.reduce((x ^ b.wrapping_neg()).wrapping_add(b))).collect();
        let pending = self.receiver.correlated_begin(&mut self.channel, b)?;
        let masks = self.sender.correlated(&mut self.channel, ring, &correlation)?;
        let received = self.receiver.correlated_finish(&mut self.channel, ring, pending)?;
        let own = b.iter().zip(x).map(|(b, x)| x & b.wrapping_neg());
        Ok(own.zip(masks).zip(received).map(|((own, m), r)| ring.reduce(own.wrapping_sub(m).wrapping_add(r))).collect())
    }

    /// Additive shares over `ring` of a Boolean shared bit: b0 + b1 - 2 b0 b1, one correlated OT.
    ///
    /// Cost for n bits over Z_2^l: n bits up, n * l bits down, one round trip.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn to_arithmetic(&mut self, b: &Bits, ring: Ring) -> Result<Vec<u64>> {
        let product = self.bit_product(b, ring)?;
        Ok(b.iter().zip(product).map(|(b, p)| ring.sub(b, p.wrapping_mul(2))).collect())
    }

    /// Additive shares over `ring` of c * s, where the client knows the bit c and the server the bit s.
    ///
    /// Cost for n bits over Z_2^l: n bits up, n * l bits down, one round trip, one OT sent by the server.
    ///
    /// # Errors
    /// If the peer fails.
    pub(crate) fn bit_product(&mut self, bits: &Bits, ring: Ring) -> Result<Vec<u64>> {
        if bits.is_empty() {
            return Ok(Vec::new());
        }
        self.reserve(0, bits.len())?;
        match self.side() {
            Side::Client => {
                let pending = self.receiver.correlated_begin(&mut self.channel, bits)?;
                Ok(self.receiver.correlated_finish(&mut self.channel, ring, pending)?)
            }
            Side::Server => {
                let correlation: Vec<u64> = bits.iter().collect();
                let masks = self.sender.correlated(&mut self.channel, ring, &correlation)?;
                Ok(masks.into_iter().map(|m| ring.neg(m)).collect())
            }
        }
    }
}
