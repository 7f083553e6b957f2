//! The ring Z_2^l: values are `u64` words reduced modulo 2^l.

use std::fmt;

/// What can be wrong with a request for a ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The width is outside 1..=64.
    #[error("a ring of {bits} bits is not supported: choose 1 to 64")]
    Width {
        /// The width asked for.
        bits: u32,
    },
    /// A packed byte string has the wrong length for the values it should hold.
    #[error("packed values: {got} bytes where {count} values of {bits} bits take {want}")]
    PackedLength {
        /// Bytes given.
        got: usize,
        /// Bytes needed.
        want: usize,
        /// Number of values.
        count: usize,
        /// Bits per value.
        bits: u32,
    },
    /// The unused bits at the end of a packed byte string are not zero, so the encoding is not the canonical one.
    #[error("packed values: the padding after the last value is not zero")]
    Padding,
}

/// The ring of integers modulo 2^bits.
///
/// ```
/// let r = si_ring::Ring::new(37).unwrap();
/// assert_eq!(r.add(r.from_signed(-3), 5), 2);
/// assert_eq!(r.to_signed(r.neg(1)), -1);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ring {
    bits: u32,
}

impl Ring {
    /// The ring Z_2^bits.
    ///
    /// # Errors
    /// If `bits` is not in 1..=64.
    pub const fn new(bits: u32) -> Result<Self, Error> {
        if bits == 0 || bits > 64 {
            return Err(Error::Width { bits });
        }
        Ok(Self { bits })
    }

    /// Width l in bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.bits
    }

    /// 2^l - 1: the largest element, and the mask that reduces a word.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// `x` modulo 2^l.
    #[must_use]
    pub const fn reduce(self, x: u64) -> u64 {
        x & self.mask()
    }

    /// a + b.
    #[must_use]
    pub const fn add(self, a: u64, b: u64) -> u64 {
        self.reduce(a.wrapping_add(b))
    }

    /// a - b.
    #[must_use]
    pub const fn sub(self, a: u64, b: u64) -> u64 {
        self.reduce(a.wrapping_sub(b))
    }

    /// -a.
    #[must_use]
    pub const fn neg(self, a: u64) -> u64 {
        self.reduce(a.wrapping_neg())
    }

    /// a * b.
    #[must_use]
    pub const fn mul(self, a: u64, b: u64) -> u64 {
        self.reduce(a.wrapping_mul(b))
    }

    /// The most significant of the l bits: 1 for the negative half.
    #[must_use]
    pub const fn msb(self, a: u64) -> u64 {
        (a >> (self.bits - 1)) & 1
    }

    /// The element congruent to a signed integer.
    #[must_use]
    pub const fn from_signed(self, x: i64) -> u64 {
        self.reduce(x as u64)
    }

    /// The representative in [-2^(l-1), 2^(l-1)).
    #[must_use]
    pub const fn to_signed(self, a: u64) -> i64 {
        let shift = 64 - self.bits;
        ((a << shift) as i64) >> shift
    }

    /// Uniform elements from uniform words.
    pub fn reduce_all(self, xs: &mut [u64]) {
        let mask = self.mask();
        for x in xs {
            *x &= mask;
        }
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Z_2^{}", self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_outside_1_to_64_are_refused() {
        assert_eq!(Ring::new(0), Err(Error::Width { bits: 0 }));
        assert_eq!(Ring::new(65), Err(Error::Width { bits: 65 }));
        assert!(Ring::new(1).is_ok() && Ring::new(64).is_ok());
    }

    #[test]
    fn signed_values_survive_at_every_width() {
        for bits in 1..=64 {
            let r = Ring::new(bits).unwrap();
            let half = 1i128 << (bits - 1);
            for x in [-half, -1, 0, half - 1] {
                if x < -half || x >= half {
                    continue;
                }
                let x = x as i64;
                assert_eq!(r.to_signed(r.from_signed(x)), x, "{r:?}");
                assert_eq!(r.msb(r.from_signed(x)), u64::from(x < 0));
            }
            assert_eq!(r.add(r.mask(), 1), 0);
            assert_eq!(r.sub(0, 1), r.mask());
        }
    }
}
