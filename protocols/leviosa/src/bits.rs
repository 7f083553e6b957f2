//! Truncation of shares by their bits, without a message but the bits' shares.
//!
//! y = a + b modulo p, a at the client, b at the server, |y| far below p, a uniform. The client takes A = floor(a / 2^f), the server
//! -H with H = ceil((p - b) / 2^f), both as integers. Then A - H is floor(y / 2^f) or one less, unless a - y leaves [0, p), which has
//! probability |y| / p (Mohassel and Zhang, SecureML, S&P 2017, theorem 1, over a field and with the error on one side).
//!
//! Each party proves its part by committing to the bits of a, or of 2^f - 1 - b = p - b + 2^f - 1, whose floor is H. Weights are
//! 2^0, ..., 2^47 and w = p - 1 - 2^48: sums are the integers 0 to p - 2, so none wraps, and the integer is unique though its bits
//! are not; and 2^f divides w, for 2^14 divides p - 1, so the upper bits are the shifted integer. p - 1 has no bits: an honest party
//! fails with probability 1 / p.

use si_rlwe::field::Field;

/// Bits of an element. *Agreement*: p has as many.
pub(crate) const BITS: usize = 49;

/// The weight of each bit.
pub(crate) fn weights(field: Field) -> [u64; BITS] {
    std::array::from_fn(|i| if i + 1 < BITS { 1 << i } else { field.prime() - 1 - (1 << (BITS - 1)) })
}

/// The weight of each bit of a number in two's complement.
pub(crate) fn signed_weights(field: Field, bits: usize) -> Vec<u64> {
    (0..bits).map(|i| if i + 1 < bits { 1 << i } else { field.neg(1 << i) }).collect()
}

/// The bits of an element, each 0 or 1. Constant time.
pub(crate) fn split(field: Field, x: u64) -> [u64; BITS] {
    let top = x >> (BITS - 1);
    let rest = x - weights(field)[BITS - 1] * top;
    std::array::from_fn(|i| if i + 1 < BITS { rest >> i & 1 } else { top })
}

/// What each bit counts in floor(x / 2^f): nothing for the first f.
pub(crate) fn high_weights(field: Field, f: u32) -> [u64; BITS] {
    let weights = weights(field);
    std::array::from_fn(|i| if i < f as usize { 0 } else { weights[i] >> f })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;
    use si_rlwe::ole::PRIME;

    fn join(weights: &[u64; BITS], bits: &[u64; BITS]) -> u64 {
        weights.iter().zip(bits).map(|(w, b)| w * b).sum()
    }

    #[test]
    fn bits_are_those_of_the_integer_and_none_wraps() {
        let field = Field::new(PRIME).unwrap();
        assert!(PRIME >> (BITS - 1) == 1 && (PRIME - 1).is_multiple_of(1 << 14));
        let all: u64 = weights(field).iter().sum();
        assert_eq!(all, PRIME - 2);
        let w = weights(field)[BITS - 1];
        for x in [0, 1, 12_345, w - 1, w, w + 1, (1 << 48) - 1, 1 << 48, PRIME - 3, PRIME - 2] {
            let bits = split(field, x);
            assert!(bits.iter().all(|b| *b <= 1), "{x}");
            assert_eq!(join(&weights(field), &bits), x);
            for f in [1, 6, 14] {
                assert_eq!(join(&high_weights(field, f), &bits), x >> f, "{x} / 2^{f}");
            }
        }
    }

    #[test]
    fn truncated_shares_add_up_to_the_floor_or_one_less() {
        let field = Field::new(PRIME).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut less = 0;
        for i in 0..4000i64 {
            let (y, f) = ((i - 2000) * 37, 6);
            let a = field.random(&mut rng);
            let b = field.sub(field.signed(y), a);
            let high = |x| join(&high_weights(field, f), &split(field, x));
            let share = field.sub((1 << f) - 1, b);
            let got = field.centred(field.sub(high(a), high(share)));
            assert!(got == y >> f || got == (y >> f) - 1, "{y}: {got}");
            less += u32::from(got != y >> f);
        }
        assert!((1000..3000).contains(&less), "{less}");
    }
}
