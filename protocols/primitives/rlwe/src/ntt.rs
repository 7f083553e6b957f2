//! The negacyclic number-theoretic transform behind a small trait, so that the library under it can be replaced.
//!
//! *Agreement*: a transformed polynomial lists f(psi^(2 * bitrev(i) + 1)) for i = 0..N, psi the primitive 2N-th root of
//! unity of the prime's entry in `params`. The uniform half of a ciphertext is expanded from its seed in this order,
//! so both parties need the same one; tests compare it with the definition.

use crate::modulus::{Constant, Modulus};

/// Transforms modulo one prime p of polynomials of degree below N.
pub(crate) trait Ntt: Send + Sync {
    /// Coefficients to values, in place; fully reduced in and out.
    fn forward(&self, poly: &mut [u64]);
    /// Values to coefficients, in place, including the factor 1/N; fully reduced in and out.
    fn inverse(&self, poly: &mut [u64]);
    /// acc += x * y element by element; all reduced.
    fn mul_accumulate(&self, acc: &mut [u64], x: &[u64], y: &[u64]);
}

/// The shortest transform there is. *Local*: the library's vector registers must be full.
pub(crate) const SHORTEST: usize = 16;

/// Coefficients to values of g(X^s), s = N / `len` a power of two, given g in the first `len` places of `poly` and `ntt` for
/// that length and root psi^s.
///
/// After log2(`len`) of its steps the transform of length N has reduced the polynomial modulo X^s - r, for each value r of
/// the short transform in its order; g(X^s) is then the constant g(r), which the other steps leave alone.
pub(crate) fn forward_sparse(ntt: &dyn Ntt, poly: &mut [u64], len: usize) {
    ntt.forward(&mut poly[..len]);
    let step = poly.len() / len;
    for i in (0..len).rev() {
        let value = poly[i];
        poly[i * step..(i + 1) * step].fill(value);
    }
}

/// Whether `SI_NO_SIMD=1` asks for the scalar twins of all kernels of this crate.
pub(crate) fn simd_is_off() -> bool {
    std::env::var_os("SI_NO_SIMD").is_some_and(|v| v == "1")
}

/// The transform for (N, p, psi): vectorised, chosen at run time, or scalar if `scalar`.
pub(crate) fn plan(n: usize, p: u64, psi: u64, scalar: bool) -> Box<dyn Ntt> {
    let fast = if scalar { None } else { tfhe_ntt::prime64::Plan::try_new(n, p) };
    match fast {
        Some(plan) => Box::new(Fast(plan)),
        None => Box::new(Scalar::new(n, Modulus::new(p), psi)),
    }
}

struct Fast(tfhe_ntt::prime64::Plan);

impl Ntt for Fast {
    fn forward(&self, poly: &mut [u64]) {
        self.0.fwd(poly);
    }

    fn inverse(&self, poly: &mut [u64]) {
        self.0.inv(poly);
        self.0.normalize(poly);
    }

    fn mul_accumulate(&self, acc: &mut [u64], x: &[u64], y: &[u64]) {
        self.0.mul_accumulate(acc, x, y);
    }
}

/// The textbook radix-2 transform (Longa and Naehrig, CANS 2016, algorithms 1 and 2).
pub(crate) struct Scalar {
    modulus: Modulus,
    /// psi^bitrev(i).
    roots: Vec<Constant>,
    /// psi^-bitrev(i).
    inverse_roots: Vec<Constant>,
    n_inverse: Constant,
}

impl Scalar {
    pub(crate) fn new(n: usize, modulus: Modulus, psi: u64) -> Self {
        let shift = usize::BITS - n.trailing_zeros();
        let powers = |root: u64| {
            let mut table = vec![modulus.constant(1); n];
            let mut power = 1;
            for i in 0..n {
                table[i.reverse_bits() >> shift] = modulus.constant(power);
                power = modulus.mul(power, root);
            }
            table
        };
        Self {
            modulus,
            roots: powers(psi),
            inverse_roots: powers(modulus.inverse(psi)),
            n_inverse: modulus.constant(modulus.inverse(n as u64)),
        }
    }
}

impl Ntt for Scalar {
    fn forward(&self, poly: &mut [u64]) {
        let m = self.modulus;
        let (mut half, mut blocks) = (poly.len() / 2, 1);
        while half > 0 {
            for (block, &root) in poly.chunks_exact_mut(2 * half).zip(&self.roots[blocks..]) {
                let (low, high) = block.split_at_mut(half);
                for (x, y) in low.iter_mut().zip(high) {
                    let t = m.mul_const(*y, root);
                    (*x, *y) = (m.add(*x, t), m.sub(*x, t));
                }
            }
            half /= 2;
            blocks *= 2;
        }
    }

    fn inverse(&self, poly: &mut [u64]) {
        let m = self.modulus;
        let (mut half, mut blocks) = (1, poly.len() / 2);
        while blocks > 0 {
            for (block, &root) in poly.chunks_exact_mut(2 * half).zip(&self.inverse_roots[blocks..]) {
                let (low, high) = block.split_at_mut(half);
                for (x, y) in low.iter_mut().zip(high) {
                    (*x, *y) = (m.add(*x, *y), m.mul_const(m.sub(*x, *y), root));
                }
            }
            half *= 2;
            blocks /= 2;
        }
        for x in poly {
            *x = m.mul_const(*x, self.n_inverse);
        }
    }

    fn mul_accumulate(&self, acc: &mut [u64], x: &[u64], y: &[u64]) {
        for ((acc, &x), &y) in acc.iter_mut().zip(x).zip(y) {
            *acc = self.modulus.reduce_wide(u128::from(x) * u128::from(y) + u128::from(*acc));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{PRIMES_36, PRIMES_50};

    fn poly(n: usize, p: u64, seed: u64) -> Vec<u64> {
        (1..=n as u64).map(|i| (i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) % p).collect()
    }

    #[test]
    fn the_order_of_values_is_the_definition() {
        for &(p, root) in PRIMES_50.iter().chain(&PRIMES_36) {
            let m = Modulus::new(p);
            for n in [4096usize, 8192] {
                let psi = m.pow(root, 8192 / n as u64);
                assert_eq!(m.pow(psi, n as u64), p - 1, "psi is no primitive 2N-th root modulo {p}");
                let f = poly(n, p, 5);
                for scalar in [false, true] {
                    let mut values = f.clone();
                    plan(n, p, psi, scalar).forward(&mut values);
                    for i in [0, 1, 2, 3, n / 2 + 1, n - 1] {
                        let exponent = 2 * (i.reverse_bits() >> (usize::BITS - n.trailing_zeros())) + 1;
                        let x = m.pow(psi, exponent as u64);
                        let value = f.iter().rev().fold(0, |v, &c| m.add(m.mul(v, x), c));
                        assert_eq!(values[i], value, "n {n} p {p} i {i} scalar {scalar}");
                    }
                }
            }
        }
    }

    #[test]
    fn short_transforms_are_the_long_ones_of_sparse_polynomials() {
        for &(p, root) in PRIMES_50.iter().chain(&PRIMES_36) {
            let m = Modulus::new(p);
            for (n, len) in [(4096usize, 2048usize), (4096, 256), (8192, 1024), (8192, SHORTEST)] {
                let psi = m.pow(root, 8192 / n as u64);
                let g = poly(len, p, 9);
                for scalar in [false, true] {
                    let mut whole = vec![0; n];
                    whole.iter_mut().step_by(n / len).zip(&g).for_each(|(x, &g)| *x = g);
                    plan(n, p, psi, scalar).forward(&mut whole);
                    let mut sparse = vec![7; n];
                    sparse[..len].copy_from_slice(&g);
                    let short = plan(len, p, m.pow(psi, (n / len) as u64), scalar);
                    forward_sparse(&*short, &mut sparse, len);
                    assert!(whole == sparse, "n {n} len {len} p {p} scalar {scalar}");
                }
            }
        }
    }

    #[test]
    fn fast_and_scalar_agree_and_multiply_negacyclically() {
        let (p, root) = PRIMES_50[1];
        let (n, m) = (4096, Modulus::new(p));
        let psi = m.pow(root, 2);
        let (f, g) = (poly(n, p, 1), poly(n, p, 2));
        let mut results = Vec::new();
        for scalar in [false, true] {
            let ntt = plan(n, p, psi, scalar);
            let (mut x, mut y, mut z) = (f.clone(), g.clone(), vec![0; n]);
            ntt.forward(&mut x);
            ntt.forward(&mut y);
            ntt.mul_accumulate(&mut z, &x, &y);
            ntt.inverse(&mut z);
            results.push((x, z));
        }
        assert_eq!(results[0], results[1]);
        // A few coefficients by the definition: X^N = -1.
        for k in [0, 1, 1000, n - 1] {
            let mut sum = 0;
            for i in 0..n {
                let product = m.mul(f[i], g[(k + n - i) % n]);
                sum = if i <= k { m.add(sum, product) } else { m.sub(sum, product) };
            }
            assert_eq!(results[0].1[k], sum, "coefficient {k}");
        }
    }
}
