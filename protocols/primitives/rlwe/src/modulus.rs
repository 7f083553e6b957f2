//! Arithmetic modulo one word-sized prime: Barrett for reductions, Shoup for products by a constant. No function
//! branches on its arguments.

/// A prime below 2^62 with its Barrett constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modulus {
    p: u64,
    /// floor(2^64 / p).
    barrett: u64,
    /// 2^64 mod p, for the upper halves of double words.
    two64: Constant,
}

/// A factor w known in advance, with floor(w * 2^64 / p): one product costs two multiplications and no division.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Constant {
    value: u64,
    quotient: u64,
}

impl Constant {
    fn new(value: u64, p: u64) -> Self {
        Self { value, quotient: ((u128::from(value) << 64) / u128::from(p)) as u64 }
    }

    pub(crate) const fn value(self) -> u64 {
        self.value
    }

    /// floor(w * 2^64 / p).
    pub(crate) const fn quotient(self) -> u64 {
        self.quotient
    }
}

impl Modulus {
    pub(crate) fn new(p: u64) -> Self {
        let two64 = Constant::new(((1u128 << 64) % u128::from(p)) as u64, p);
        Self { p, barrett: ((1u128 << 64) / u128::from(p)) as u64, two64 }
    }

    pub(crate) const fn value(self) -> u64 {
        self.p
    }

    /// Bits of p.
    pub(crate) const fn bits(self) -> u32 {
        64 - self.p.leading_zeros()
    }

    /// `value` (reduced first) as a factor for [`Self::mul_const`].
    pub(crate) fn constant(self, value: u64) -> Constant {
        Constant::new(value % self.p, self.p)
    }

    /// x - p if that is not negative, for x < 2p.
    #[inline(always)]
    pub(crate) const fn correct(self, x: u64) -> u64 {
        let y = x.wrapping_sub(self.p);
        // The sign of the difference as a mask: all ones when x < p.
        y.wrapping_add(self.p & ((y as i64) >> 63) as u64)
    }

    #[inline(always)]
    pub(crate) const fn add(self, a: u64, b: u64) -> u64 {
        self.correct(a + b)
    }

    #[inline(always)]
    pub(crate) const fn sub(self, a: u64, b: u64) -> u64 {
        self.correct(a + self.p - b)
    }

    /// x mod p for any word.
    #[inline(always)]
    pub(crate) const fn reduce(self, x: u64) -> u64 {
        let q = ((x as u128 * self.barrett as u128) >> 64) as u64;
        self.correct(x.wrapping_sub(q.wrapping_mul(self.p)))
    }

    /// x mod p for any double word.
    #[inline(always)]
    pub(crate) const fn reduce_wide(self, x: u128) -> u64 {
        self.add(self.reduce(x as u64), self.mul_const((x >> 64) as u64, self.two64))
    }

    /// A signed word modulo p, for |x| < p.
    #[inline(always)]
    pub(crate) const fn small_signed(self, x: i64) -> u64 {
        (x as u64).wrapping_add(self.p & (x >> 63) as u64)
    }

    /// A signed word modulo p, any size.
    #[inline(always)]
    pub(crate) const fn signed(self, x: i64) -> u64 {
        let magnitude = self.reduce(x.unsigned_abs());
        let negative = (x >> 63) as u64;
        self.correct((magnitude & !negative) + ((self.p - magnitude) & negative))
    }

    /// x * w mod p for any word x.
    #[inline(always)]
    pub(crate) const fn mul_const(self, x: u64, w: Constant) -> u64 {
        let q = ((x as u128 * w.quotient as u128) >> 64) as u64;
        self.correct(x.wrapping_mul(w.value).wrapping_sub(q.wrapping_mul(self.p)))
    }

    /// a * b mod p. Slow (a division): for set-up only.
    pub(crate) fn mul(self, a: u64, b: u64) -> u64 {
        (u128::from(a) * u128::from(b) % u128::from(self.p)) as u64
    }

    pub(crate) fn pow(self, base: u64, mut exponent: u64) -> u64 {
        let (mut result, mut square) = (1, base % self.p);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.mul(result, square);
            }
            square = self.mul(square, square);
            exponent >>= 1;
        }
        result
    }

    /// The inverse by Fermat; p is prime and does not divide `x`.
    pub(crate) fn inverse(self, x: u64) -> u64 {
        self.pow(x, self.p - 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_division(a in any::<u64>(), b in any::<u64>(), x in any::<u128>(), which in 0usize..3) {
            let p = [0x3_f000_0000_0001, 0xf_fffc_4001, 0x3_9a00_0000_0001][which];
            let m = Modulus::new(p);
            let wide = |x: u128| (x % u128::from(p)) as u64;
            prop_assert_eq!(m.reduce(a), a % p);
            prop_assert_eq!(m.reduce_wide(x), wide(x));
            prop_assert_eq!(m.mul_const(a, m.constant(b)), wide(u128::from(a) * u128::from(b % p)));
            prop_assert_eq!(m.add(a % p, b % p), wide(u128::from(a % p) + u128::from(b % p)));
            prop_assert_eq!(m.sub(a % p, b % p), wide(u128::from(a % p) + u128::from(p - b % p)));
            prop_assert_eq!(i128::from(m.signed(a as i64)), i128::from(a as i64).rem_euclid(i128::from(p)));
            let small = (a as i64) >> 30;
            prop_assert_eq!(i128::from(m.small_signed(small)), i128::from(small).rem_euclid(i128::from(p)));
        }
    }

    #[test]
    fn inverses_multiply_to_one() {
        let m = Modulus::new(0xf_fffc_4001);
        for x in [1, 2, 12345, m.value() - 1] {
            assert_eq!(m.mul(x, m.inverse(x)), 1);
        }
    }
}
