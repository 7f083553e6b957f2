//! Automorphisms X -> X^g: rotations of the slots.

use crate::params::Params;
use crate::poly::{Poly, Values};
use crate::slots::params::N;

/// What an automorphism does to the slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rotation {
    /// Both rows are rotated to the left: slot i receives slot i + steps mod N/2. Steps in 1..N/2.
    Rows(u32),
    /// The two rows change places.
    Swap,
}

impl Rotation {
    /// The rotation to the left by any number of steps; `None` if nothing moves.
    pub(crate) fn rows(steps: i64) -> Option<Self> {
        let steps = steps.rem_euclid(N as i64 / 2) as u32;
        (steps > 0).then_some(Self::Rows(steps))
    }

    /// Whether it is one.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Rows(steps) => (1..N as u32 / 2).contains(&steps),
            Self::Swap => true,
        }
    }

    /// g: the exponent of X, odd and below 2N.
    pub(crate) fn element(self) -> u32 {
        match self {
            Self::Rows(steps) => (0..steps).fold(1, |g, _| g * 5 % (2 * N as u32)),
            Self::Swap => 2 * N as u32 - 1,
        }
    }
}

/// f(X) -> f(X^g) on values at the roots: a permutation.
pub(crate) struct Permutation(Vec<u16>);

impl Permutation {
    pub(crate) fn new(g: u32) -> Self {
        let bits = N.trailing_zeros();
        let reverse = |i: u32| i.reverse_bits() >> (32 - bits);
        // Place i holds the value at psi^(2 bitrev(i) + 1), see `crate::ntt`; it becomes the value at that point's g-th power.
        let source = |i| reverse(((2 * reverse(i) + 1) * g % (2 * N as u32)) / 2) as u16;
        Self((0..N as u32).map(source).collect())
    }

    /// The inverse of g modulo 2N.
    pub(crate) fn inverse(g: u32) -> u32 {
        // The group has exponent N / 2.
        (1..N / 2).fold(1, |inverse, _| inverse * g % (2 * N as u32))
    }

    pub(crate) fn row(&self, from: &[u64], to: &mut [u64]) {
        for (to, &at) in to.iter_mut().zip(&self.0) {
            *to = from[usize::from(at)];
        }
    }

    pub(crate) fn apply(&self, params: &Params, from: &Poly<Values>, to: &mut Poly<Values>) {
        for (from, to) in from.rows(params).zip(to.rows_mut(params)) {
            self.row(from, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::poly::Coeff;
    use crate::slots::SlotParams;

    #[test]
    fn permutations_are_the_automorphisms() {
        let params = SlotParams::for_bits(37).unwrap();
        let scheme = params.scheme();
        for rotation in [Rotation::Rows(1), Rotation::Rows(4095), Rotation::Rows(77), Rotation::Swap] {
            let g = rotation.element();
            assert_eq!(Permutation::inverse(g) * g % (2 * N as u32), 1);
            let small: Vec<i64> = (0..N as i64).map(|i| i * i % 1001 - 500).collect();
            let mut moved = vec![0; N];
            for (i, &c) in small.iter().enumerate() {
                let at = i * g as usize % (2 * N);
                moved[at % N] = if at < N { c } else { -c };
            }
            let values = |small: &[i64]| {
                let mut poly = Poly::<Coeff>::zero(scheme);
                poly.set_small(scheme, small);
                poly.into_values(scheme)
            };
            let mut permuted = Poly::zero(scheme);
            Permutation::new(g).apply(scheme, &values(&small), &mut permuted);
            assert!(permuted.rows(scheme).eq(values(&moved).rows(scheme)), "{rotation:?}");
            // And on the slots: rotation to the left, or a swap of rows.
            let slots: Vec<u64> = (0..N as u64).collect();
            let (mut c, mut image) = (vec![0; N], vec![0; N]);
            params.encoder().coefficients(&slots, &mut c);
            for (i, &c) in c.iter().enumerate() {
                let at = i * g as usize % (2 * N);
                image[at % N] = if at < N { c } else { (params.field() - c) % params.field() };
            }
            let mut seen = vec![0; N];
            params.encoder().slots(&mut image, &mut seen);
            for (i, &slot) in seen.iter().enumerate() {
                let (row, at) = (i / (N / 2), i % (N / 2));
                let expected = match rotation {
                    Rotation::Rows(steps) => row * (N / 2) + (at + steps as usize) % (N / 2),
                    Rotation::Swap => (1 - row) * (N / 2) + at,
                };
                assert_eq!(slot, expected as u64, "{rotation:?}");
            }
        }
        assert!(!Rotation::Rows(0).is_valid() && !Rotation::Rows(4096).is_valid() && Rotation::Rows(4095).is_valid());
        assert_eq!(Rotation::rows(-1), Some(Rotation::Rows(4095)));
        assert_eq!(Rotation::rows(4096), None);
    }
}
