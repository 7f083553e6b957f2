//! Faithful truncation modulo p.
//!
//! Let d = 2^f, p = q d + r, and s = a0 + a1 - e p the signed number that the shares stand for: e is their wrap, plus one
//! if s is negative. Then
//!
//! ```text
//! floor(s / d) = floor(a0 / d) + floor(a1 / d) - e q + floor(t / d),   t = (a0 mod d) + (a1 mod d) - e r
//! ```
//!
//! and t is in (-2 d, 2 d): its quotient is a count of thresholds among -d, 0, d that t reaches (paper: section 5 and
//! appendix on division). Shares of t are over a small ring, where the thresholds take comparisons of f + 2 bits that
//! share their OTs. For numbers known not to be negative e is the OR of the shares' halves, one OT, t is above -d, and
//! f + 1 bits and two thresholds are enough.

use si_ring::Bits;

use super::Field;
use crate::compare::{PIECE_WORDS, split_roles};
use crate::{Engine, Error, Known, Result};

/// Quotients that t may reach.
const ANY: [i64; 3] = [-1, 0, 1];
const NOT_NEGATIVE: [i64; 2] = [0, 1];

/// How t is compared: bits of the ring of its shares, and the thresholds.
pub(super) fn small_ring(drop: u32, known: Known) -> (u32, &'static [i64]) {
    match known {
        Known::Nothing => (drop + 3, &ANY),
        Known::NonNegative => (drop + 2, &NOT_NEGATIVE),
    }
}

impl Engine {
    /// Shares of floor(x / 2^drop), bit for bit, of signed numbers x.
    ///
    /// Cost: [`crate::Tally::field_truncate`].
    ///
    /// # Errors
    /// If `drop` is 0, or too close to the width of p or of a word; or the peer fails.
    pub fn field_truncate(&mut self, x: &[u64], field: Field, drop: u32, known: Known) -> Result<Vec<u64>> {
        let (small, thresholds) = small_ring(drop, known);
        if drop == 0 || drop + 1 >= field.bits() || field.bits() + small > 64 {
            let why = format!("{drop} of {} bits", field.bits());
            return Err(Error::Width { operator: "truncate modulo p", why });
        }
        let mut out = Vec::with_capacity(x.len());
        for piece in x.chunks(PIECE_WORDS) {
            out.extend(self.field_truncate_piece(piece, field, drop, known, small, thresholds)?);
        }
        Ok(out)
    }

    fn field_truncate_piece(
        &mut self,
        x: &[u64],
        field: Field,
        drop: u32,
        known: Known,
        small: u32,
        thresholds: &[i64],
    ) -> Result<Vec<u64>> {
        let n = x.len();
        let (excess, excess_small) = match known {
            Known::NonNegative => {
                let halves = Bits::from_lsb(x.iter().map(|a| field.is_negative(*a)));
                self.field_or(&halves, field, small)?
            }
            Known::Nothing => {
                let (wraps, signs) = self.field_signs(x, field)?;
                let mut both = wraps;
                both.extend(&signs);
                let (wide, narrow) = self.field_arithmetic(&both, field, small)?;
                let sum = |a: &[u64]| -> Vec<u64> { (0..n).map(|i| a[i] + a[n + i]).collect() };
                (sum(&wide).into_iter().map(|e| field.once(e)).collect(), sum(&narrow))
            }
        };
        let (quotient, remainder) = (field.p() >> drop, field.p() & ((1 << drop) - 1));
        let mask = (1u64 << small) - 1;
        let t: Vec<u64> = x
            .iter()
            .zip(&excess_small)
            .map(|(a, e)| (a & ((1 << drop) - 1)).wrapping_sub(e.wrapping_mul(remainder)) & mask)
            .collect();
        let reached = match known {
            Known::Nothing => self.reached::<3, 6>(&t, drop, small, ANY)?,
            Known::NonNegative => self.reached::<2, 4>(&t, drop, small, NOT_NEGATIVE)?,
        };
        let (counts, _) = self.field_arithmetic(&reached, field, 0)?;
        // Below the first threshold t / d is one less than it.
        let base = field.from_signed((thresholds[0] - 1) * self.side().is_client() as i64);
        let one = |i: usize| {
            let high = field.sub(x[i] >> drop, field.mul(excess[i], quotient));
            (0..thresholds.len()).fold(field.add(high, base), |y, k| field.add(y, counts[k * n + i]))
        };
        Ok((0..n).map(one).collect())
    }

    /// Boolean shares of 1{t >= c 2^drop} for each threshold c, one after the other: t is shared modulo 2^small, and its
    /// difference to a threshold fits there as a signed number. W is 2 K, as for [`Engine::exceeds`].
    fn reached<const K: usize, const W: usize>(
        &mut self,
        t: &[u64],
        drop: u32,
        small: u32,
        thresholds: [i64; K],
    ) -> Result<Bits> {
        let (compared, low) = (small - 1, (1u64 << (small - 1)) - 1);
        let less = |a: u64, c: i64| a.wrapping_sub((c << drop) as u64);
        let (as_receiver, as_sender) = split_roles(t, self.side());
        let words: Vec<u64> = as_receiver.iter().map(|a| a & low).collect();
        let lists = thresholds.map(|c| as_sender.iter().map(|a| !less(*a, c) & low).collect());
        let carries = self.exceeds::<K, W>(&words, &lists, compared)?;
        let (first, second) = t.split_at(t.len().div_ceil(2));
        let client = self.side() == crate::Side::Client;
        let mut all = Bits::default();
        for (c, carry) in thresholds.iter().zip(carries) {
            // The sender of an instance subtracts the threshold.
            let top = |sends: bool, a: u64| less(a, c * i64::from(sends)) >> compared;
            let tops = first.iter().map(|a| top(!client, *a)).chain(second.iter().map(|a| top(client, *a)));
            let negative = Bits::from_lsb(tops).xor(&carry);
            all.extend(&self.flip(&negative));
        }
        Ok(all)
    }
}
