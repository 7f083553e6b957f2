//! Truncation to a smaller ring, and extension to a larger one.
//!
//! Dropping the f low bits of both shares over Z_2^l leaves shares over Z_2^(l-f) of the truncated value, short of the
//! carry between the low parts; the wrap of the sum modulo 2^l falls away with the ring. So truncation with a one-bit
//! error is *local*. Later operators then work over l - f bits, and [`Engine::extend`] returns to l bits where a linear
//! layer needs them. (Cheetah truncates within Z_2^l at the price of one OT; truncate-and-reduce and extension are as
//! in SIRNN, IEEE S&P 2021.)

use si_ring::Ring;

use crate::{Engine, Error, Result};

impl Engine {
    /// Shares over Z_2^(l-f) of floor(x / 2^f), or one less with probability about the fraction dropped: no traffic.
    ///
    /// # Errors
    /// If `drop` is not in 1..l.
    pub fn truncate_reduce_local(x: &[u64], from: Ring, drop: u32) -> Result<(Vec<u64>, Ring)> {
        let to = narrower(from, drop)?;
        Ok((x.iter().map(|v| from.reduce(*v) >> drop).collect(), to))
    }

    /// Shares over Z_2^(l-f) of floor(x / 2^f), bit for bit: the carry of the low parts is computed and added.
    ///
    /// Cost for n elements: [`Engine::carry`] on f bits, then [`Engine::to_arithmetic`] over l - f bits.
    ///
    /// # Errors
    /// If `drop` is not in 1..l, or the peer fails.
    pub fn truncate_reduce(&mut self, x: &[u64], from: Ring, drop: u32) -> Result<(Vec<u64>, Ring)> {
        let (high, to) = Self::truncate_reduce_local(x, from, drop)?;
        let carry = self.carry(x, drop)?;
        let carry = self.to_arithmetic(&carry, to)?;
        Ok((high.iter().zip(carry).map(|(h, c)| to.add(*h, c)).collect(), to))
    }

    /// Shares over the larger ring `to` of the same signed value.
    ///
    /// `signed_bits` promises the value to be in [-2^(b-1), 2^(b-1)). If it is less than the width a of `from`, an
    /// offset makes the value's top bit zero, and then the shares wrap exactly if one of their top bits is set: one OT
    /// of to - a bits. Otherwise the wrap is found by a comparison.
    ///
    /// # Errors
    /// If `to` is not larger, the promise does not fit `from`, or the peer fails.
    pub fn extend(&mut self, x: &[u64], from: Ring, to: Ring, signed_bits: u32) -> Result<Vec<u64>> {
        let (a, l) = (from.bits(), to.bits());
        if a >= l || signed_bits > a {
            let why = format!("{signed_bits} signed bits in {a} bits to {l} bits");
            return Err(Error::Width { operator: "extend", why });
        }
        // Shifted into the non-negative half (or, without a guard bit, into the whole range).
        let offset = 1u64 << (signed_bits - 1);
        let shifted: Vec<u64> = x.iter().map(|v| from.add(*v, offset * self.side().is_client())).collect();
        let wrap_ring = Ring::new(l - a).map_err(|e| Error::Width { operator: "extend", why: e.to_string() })?;
        let wrap: Vec<u64> = if signed_bits < a {
            let top = si_ring::Bits::from_lsb(shifted.iter().map(|v| v >> (a - 1)));
            let both = self.bit_product(&top, wrap_ring)?;
            // m0 or m1 = m0 + m1 - m0 m1
            top.iter().zip(both).map(|(m, p)| wrap_ring.sub(m, p)).collect()
        } else {
            let carry = self.carry(&shifted, a)?;
            self.to_arithmetic(&carry, wrap_ring)?
        };
        let offset = offset * self.side().is_client();
        Ok(shifted.iter().zip(wrap).map(|(s, w)| to.reduce(s.wrapping_sub(w << a).wrapping_sub(offset))).collect())
    }
}

fn narrower(from: Ring, drop: u32) -> Result<Ring> {
    let why = || Error::Width { operator: "truncate", why: format!("{drop} of {} bits", from.bits()) };
    if drop == 0 {
        return Err(why());
    }
    from.bits().checked_sub(drop).and_then(|l| Ring::new(l).ok()).ok_or_else(why)
}
