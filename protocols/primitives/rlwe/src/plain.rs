//! The plaintext ring Z_t: a power of two for ring-based protocols, an odd prime for field-based ones.

use si_ring::Ring;

use zeroize::Zeroizing;

use crate::modulus::Modulus;
use crate::prg::Prg;
use crate::{Error, Result};

/// The plaintext modulus t. *Agreement.*
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlainModulus {
    /// t = 2^bits, bits in 1..=64.
    PowerOfTwo {
        /// l = log2 t.
        bits: u32,
    },
    /// An odd prime below 2^58 (the caller vouches for primality; nothing here relies on it).
    Prime(u64),
}

/// [`PlainModulus`] after its checks, with its operations. None branches on the elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    modulus: PlainModulus,
    bits: u32,
    /// t - 1.
    last: u64,
    /// Reduction modulo a prime t (unused for powers of two): divisions take a time that depends on the numbers.
    prime: Modulus,
}

impl Plain {
    pub(crate) fn new(modulus: PlainModulus) -> Result<Self> {
        let wrong = |why: String| Err(Error::PlainModulus { why });
        match modulus {
            PlainModulus::PowerOfTwo { bits } => match Ring::new(bits) {
                Ok(ring) => Ok(Self { modulus, bits, last: ring.mask(), prime: Modulus::new(3) }),
                Err(e) => wrong(e.to_string()),
            },
            PlainModulus::Prime(t) if t < 3 || t % 2 == 0 || t >= 1 << 58 => {
                wrong(format!("{t} is no odd prime below 2^58"))
            }
            PlainModulus::Prime(t) => {
                Ok(Self { modulus, bits: 64 - t.leading_zeros(), last: t - 1, prime: Modulus::new(t) })
            }
        }
    }

    pub(crate) fn modulus(self) -> PlainModulus {
        self.modulus
    }

    /// Bits of the largest element.
    pub(crate) fn bits(self) -> u32 {
        self.bits
    }

    pub(crate) fn log2(self) -> f64 {
        match self.modulus {
            PlainModulus::PowerOfTwo { bits } => f64::from(bits),
            PlainModulus::Prime(t) => (t as f64).log2(),
        }
    }

    /// t mod p.
    pub(crate) fn modulo(self, p: u64) -> u64 {
        ((u128::from(self.last) + 1) % u128::from(p)) as u64
    }

    /// Whether t divides p - 1.
    pub(crate) fn modulo_is_one(self, p: u64) -> bool {
        u128::from(p) % (u128::from(self.last) + 1) == 1
    }

    /// x mod t.
    pub(crate) fn reduce(self, x: u64) -> u64 {
        match self.modulus {
            PlainModulus::PowerOfTwo { .. } => x & self.last,
            PlainModulus::Prime(_) => self.prime.reduce(x),
        }
    }

    /// The bits of an element if t is a power of two: then elements are reduced by it.
    pub(crate) fn mask(self) -> Option<u64> {
        match self.modulus {
            PlainModulus::PowerOfTwo { .. } => Some(self.last),
            PlainModulus::Prime(_) => None,
        }
    }

    /// a * b for elements.
    #[inline(always)]
    pub(crate) fn mul(self, a: u64, b: u64) -> u64 {
        match self.modulus {
            PlainModulus::PowerOfTwo { .. } => a.wrapping_mul(b) & self.last,
            PlainModulus::Prime(_) => self.prime.reduce_wide(u128::from(a) * u128::from(b)),
        }
    }

    /// -a for an element.
    #[inline(always)]
    pub(crate) fn neg(self, a: u64) -> u64 {
        match self.modulus {
            PlainModulus::PowerOfTwo { .. } => a.wrapping_neg() & self.last,
            // All ones unless a is zero.
            PlainModulus::Prime(t) => (t - a) & ((a | a.wrapping_neg()) as i64 >> 63) as u64,
        }
    }

    /// The greatest element whose centred representative is not negative.
    pub(crate) fn half(self) -> u64 {
        self.last / 2
    }

    /// Uniform elements, up to a statistical distance of 2^-64 an element.
    pub(crate) fn uniform(self, prg: &mut Prg, out: &mut [u64]) {
        match self.modulus {
            PlainModulus::PowerOfTwo { .. } => {
                prg.fill(out);
                out.iter_mut().for_each(|x| *x &= self.last);
            }
            PlainModulus::Prime(_) => {
                let mut words = Zeroizing::new(vec![0; 2 * out.len()]);
                prg.fill(&mut words);
                for (x, w) in out.iter_mut().zip(words.chunks_exact(2)) {
                    *x = self.prime.reduce_wide(u128::from(w[0]) | u128::from(w[1]) << 64);
                }
            }
        }
    }

    /// The element m for which x / 2^k is closest to m / t, and the distance |x / 2^k - m / t| in units of
    /// 2^-16 / t; x modulo 2^k, with k at least bits + 3 and at most bits + 16.
    #[inline(always)]
    pub(crate) fn decode(self, x: u128, k: u32) -> (u64, u32) {
        match self.modulus {
            PlainModulus::PowerOfTwo { .. } if k <= 64 => self.decode_word(x as u64, k),
            PlainModulus::PowerOfTwo { bits } => {
                let step = k - bits;
                let rounded = x.wrapping_add(1 << (step - 1));
                let rest = (rounded & ((1 << step) - 1)) as i64 - (1 << (step - 1));
                ((rounded >> step) as u64 & self.last, ((rest.unsigned_abs() << 16) >> step) as u32)
            }
            PlainModulus::Prime(t) => {
                let scaled = x * u128::from(t) + (1 << (k - 1));
                let rest = (scaled & ((1 << k) - 1)) as i128 - (1 << (k - 1));
                (self.prime.correct((scaled >> k) as u64), ((rest.unsigned_abs() << 16) >> k) as u32)
            }
        }
    }

    /// As [`Self::decode`] for t = 2^bits and k up to 64; the bits of x above k are ignored.
    #[inline(always)]
    pub(crate) fn decode_word(self, x: u64, k: u32) -> (u64, u32) {
        let step = k - self.bits;
        let half = 1 << (step - 1);
        let rounded = x.wrapping_add(half);
        let rest = (rounded & ((1 << step) - 1)) as i64 - half as i64;
        ((rounded >> step) & self.last, ((rest.unsigned_abs() << 16) >> step) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_moduli_are_refused() {
        for bad in [
            PlainModulus::PowerOfTwo { bits: 0 },
            PlainModulus::PowerOfTwo { bits: 65 },
            PlainModulus::Prime(2),
            PlainModulus::Prime(1 << 40),
            PlainModulus::Prime((1 << 58) + 27),
        ] {
            assert!(matches!(Plain::new(bad), Err(Error::PlainModulus { .. })), "{bad:?}");
        }
    }

    #[test]
    fn decoding_finds_the_nearest_element() {
        for modulus in [
            PlainModulus::PowerOfTwo { bits: 37 },
            PlainModulus::PowerOfTwo { bits: 64 },
            PlainModulus::Prime(17_592_060_215_297),
        ] {
            let plain = Plain::new(modulus).unwrap();
            let k = plain.bits() + 10;
            let t = u128::from(plain.last) + 1;
            for m in [0, 1, 2, plain.last / 2, plain.last] {
                // floor(m * 2^k / t), by halves to stay within 128 bits.
                let exact = (u128::from(m) << 32) / t;
                let rest = (u128::from(m) << 32) % t;
                let x = (exact << (k - 32)) + ((rest << (k - 32)) / t);
                for offset in [-400i128, -1, 0, 1, 400] {
                    let noisy = (x as i128 + offset) as u128 & ((1 << k) - 1);
                    let (got, distance) = plain.decode(noisy, k);
                    assert_eq!(got, m, "{modulus:?} {offset}");
                    assert!(distance < 1 << 15);
                }
            }
        }
    }

    #[test]
    fn negation_and_signs() {
        for modulus in [PlainModulus::PowerOfTwo { bits: 5 }, PlainModulus::Prime(31)] {
            let plain = Plain::new(modulus).unwrap();
            for a in 0..=plain.last {
                let t = plain.last + 1;
                assert_eq!((a + plain.neg(a)) % t, 0);
                assert_eq!(plain.reduce(plain.neg(a)), plain.neg(a));
                assert_eq!(a > plain.half(), 2 * a > plain.last);
            }
        }
    }
}
