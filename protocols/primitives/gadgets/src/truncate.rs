//! Faithful truncation within Z_2^l, as in CrypTFlow2 (CCS 2020, section 5): the result stays over the same ring.
//!
//! With x = x0 + x1 - w 2^l for a non-negative x, floor(x / 2^f) = (x0 >> f) + (x1 >> f) + c - w 2^(l-f), where w is the
//! wrap of the shares and c the carry of their low f bits. A signed value is shifted by 2^(l-1) first. The paper finds
//! w from the sign and a 1-of-4 OT; the shift makes one comparison of l bits do, at the same price. For values known to
//! be non-negative w is the OR of the shares' top bits, one OT, as in the paper.

use si_ring::{Bits, Ring};

use crate::{Engine, Error, Result};

/// What is known of a value before its truncation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing: any value of the ring or field, read as a signed number.
    Nothing,
    /// It is not negative.
    NonNegative,
}

impl Engine {
    /// Shares over the same ring of floor(x / 2^drop), bit for bit, of signed values x.
    ///
    /// Cost for n elements: [`Engine::carry`] on `drop` bits and, if nothing is known, on l bits; then
    /// [`Engine::to_arithmetic`] over l bits and over `drop` bits.
    ///
    /// # Errors
    /// If `drop` is not in 1..l, or the peer fails.
    pub fn truncate(&mut self, x: &[u64], ring: Ring, drop: u32, known: Known) -> Result<Vec<u64>> {
        let width = |why: String| Error::Width { operator: "truncate", why };
        if drop == 0 || drop >= ring.bits() {
            return Err(width(format!("{drop} of {} bits", ring.bits())));
        }
        let l = ring.bits();
        let wrap_ring = Ring::new(drop).map_err(|e| width(e.to_string()))?;
        let ours = self.side().is_client();
        let (shifted, wrap, offset) = match known {
            Known::Nothing => {
                let offset = 1u64 << (l - 1);
                let shifted: Vec<u64> = x.iter().map(|v| ring.add(*v, offset * ours)).collect();
                let wrap = self.carry(&shifted, l)?;
                (shifted, self.to_arithmetic(&wrap, wrap_ring)?, offset >> drop)
            }
            Known::NonNegative => {
                let top = Bits::from_lsb(x.iter().map(|v| ring.msb(*v)));
                let both = self.bit_product(&top, wrap_ring)?;
                // m0 or m1 = m0 + m1 - m0 m1
                let wrap = top.iter().zip(both).map(|(m, p)| wrap_ring.sub(m, p)).collect();
                (x.to_vec(), wrap, 0)
            }
        };
        let carry = self.carry(&shifted, drop)?;
        let carry = self.to_arithmetic(&carry, ring)?;
        let one = |((s, w), c): ((&u64, u64), u64)| {
            let high = (s >> drop).wrapping_add(c).wrapping_sub(w << (l - drop));
            ring.reduce(high.wrapping_sub(offset * ours))
        };
        Ok(shifted.iter().zip(wrap).zip(carry).map(one).collect())
    }
}
