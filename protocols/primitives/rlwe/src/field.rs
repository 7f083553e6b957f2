//! Arithmetic modulo an NTT-friendly prime, and transforms over it, for protocols that compute over the field of the slots.
//! Nothing branches on elements except where it says so.

use rand::CryptoRng;

use crate::modulus::Modulus;
use crate::ntt::{self, Ntt, SHORTEST};
use crate::{Error, Result};

/// The field of a prime below 2^58. Elements are words below the prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field(Modulus);

impl Field {
    /// # Errors
    /// If p is no odd prime below 2^58.
    pub fn new(p: u64) -> Result<Self> {
        if p < 3 || p >> 58 != 0 || !tfhe_ntt::prime::is_prime64(p) {
            return Err(Error::PlainModulus { why: format!("{p} is no odd prime below 2^58") });
        }
        Ok(Self(Modulus::new(p)))
    }

    /// p.
    #[must_use]
    pub const fn prime(self) -> u64 {
        self.0.value()
    }

    /// x mod p for any double word.
    #[inline(always)]
    #[must_use]
    pub const fn reduce(self, x: u128) -> u64 {
        self.0.reduce_wide(x)
    }

    /// a + b.
    #[inline(always)]
    #[must_use]
    pub const fn add(self, a: u64, b: u64) -> u64 {
        self.0.add(a, b)
    }

    /// a - b.
    #[inline(always)]
    #[must_use]
    pub const fn sub(self, a: u64, b: u64) -> u64 {
        self.0.sub(a, b)
    }

    /// -a.
    #[inline(always)]
    #[must_use]
    pub const fn neg(self, a: u64) -> u64 {
        self.0.sub(0, a)
    }

    /// a * b.
    #[inline(always)]
    #[must_use]
    pub const fn mul(self, a: u64, b: u64) -> u64 {
        self.0.reduce_wide(a as u128 * b as u128)
    }

    /// a + b * c.
    #[inline(always)]
    #[must_use]
    pub const fn mul_add(self, a: u64, b: u64, c: u64) -> u64 {
        self.0.reduce_wide(a as u128 + b as u128 * c as u128)
    }

    /// The element of a signed number of any size.
    #[must_use]
    pub const fn signed(self, x: i64) -> u64 {
        self.0.signed(x)
    }

    /// The representative in [-p/2, p/2].
    #[must_use]
    pub const fn centred(self, x: u64) -> i64 {
        // All ones where x is beyond the middle.
        let beyond = ((self.prime() / 2) as i64 - x as i64) >> 63;
        x as i64 - (self.prime() as i64 & beyond)
    }

    /// `base`^`exponent`; takes a time that depends on both, which must be public.
    #[must_use]
    pub fn pow(self, base: u64, exponent: u64) -> u64 {
        self.0.pow(base, exponent)
    }

    /// 1 / x for a public x that is not zero.
    #[must_use]
    pub fn inverse(self, x: u64) -> u64 {
        self.0.inverse(x)
    }

    /// A uniform element, up to a statistical distance of 2^-64.
    pub fn random(self, rng: &mut impl CryptoRng) -> u64 {
        self.reduce(u128::from(rng.next_u64()) | u128::from(rng.next_u64()) << 64)
    }

    /// The least power residue of order 2^log (public; p = 1 mod 2^log).
    fn root_of_unity(self, log: u32) -> Option<u64> {
        let p = self.prime();
        let exponent = (p - 1) >> log;
        if exponent << log != p - 1 {
            return None;
        }
        (2..p).map(|x| self.pow(x, exponent)).find(|&r| self.pow(r, 1 << (log - 1)) == p - 1)
    }
}

/// Values of polynomials of degree below `len` at the `len` roots of X^len = -1, and back.
pub struct Transform {
    ntt: Box<dyn Ntt>,
    points: Vec<u64>,
}

impl Transform {
    /// For a power of two from 16 to 8192; p = 1 mod 16384, so that all lengths are there.
    ///
    /// # Errors
    /// If there is no such transform.
    pub fn new(field: Field, len: usize) -> Result<Self> {
        const LONGEST: usize = 8192;
        let root = field.root_of_unity((2 * LONGEST).trailing_zeros());
        let (Some(root), true) = (root, len.is_power_of_two() && (SHORTEST..=LONGEST).contains(&len)) else {
            return Err(Error::PlainModulus {
                why: format!("no transform of length {len} modulo {}: take p = 1 mod 16384, 16 to 8192", field.prime()),
            });
        };
        let ntt = ntt::plan(len, field.prime(), field.pow(root, (LONGEST / len) as u64), ntt::simd_is_off());
        // The values of X are the points themselves.
        let mut points = vec![0; len];
        points[1] = 1;
        ntt.forward(&mut points);
        Ok(Self { ntt, points })
    }

    /// Where polynomials are evaluated, in the order of [`Self::forward`].
    #[must_use]
    pub fn points(&self) -> &[u64] {
        &self.points
    }

    /// Coefficients to values, in place.
    pub fn forward(&self, poly: &mut [u64]) {
        self.ntt.forward(poly);
    }

    /// Values to coefficients, in place.
    pub fn inverse(&self, poly: &mut [u64]) {
        self.ntt.inverse(poly);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    #[test]
    fn transforms_evaluate_at_their_points() {
        let field = Field::new(crate::ole::PRIME).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        for len in [16, 256, 1024] {
            let transform = Transform::new(field, len).unwrap();
            let poly: Vec<u64> = (0..len).map(|_| field.random(&mut rng)).collect();
            let mut values = poly.clone();
            transform.forward(&mut values);
            for (&x, &value) in transform.points().iter().zip(&values) {
                assert_eq!(field.pow(x, len as u64), field.prime() - 1);
                assert_eq!(poly.iter().rev().fold(0, |v, &c| field.mul_add(c, v, x)), value);
            }
            transform.inverse(&mut values);
            assert_eq!(values, poly);
        }
        assert!(Transform::new(field, 8).is_err() && Transform::new(field, 48).is_err());
        assert!(Transform::new(Field::new(65_537).unwrap(), 16).is_ok());
        assert!(Transform::new(Field::new(31).unwrap(), 16).is_err());
    }

    #[test]
    fn elements_and_signed_numbers() {
        let field = Field::new(crate::ole::PRIME).unwrap();
        for x in [0, 1, -1, 12_345_678, -(1 << 47), (field.prime() / 2) as i64] {
            assert_eq!(field.centred(field.signed(x)), x);
        }
        assert!(Field::new(1 << 40).is_err() && Field::new((1 << 58) + 27).is_err());
    }
}
