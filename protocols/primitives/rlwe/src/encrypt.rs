//! Encryption with the secret key, and decryption of answers.

use zeroize::Zeroizing;

use crate::keys::SecretKey;
use crate::params::Params;
use crate::poly::{Coeff, Poly, Secret, Values};
use crate::prg::{Prg, Seed};
use crate::wire::Wide;

/// The uniform half of ciphertext number `index` of a message with this seed.
pub(crate) fn uniform_half(params: &Params, seed: &Seed, index: u64) -> Poly<Values> {
    Poly::uniform(params, &mut Prg::new(seed, index))
}

/// The other half of an encryption of the plaintext coefficients `m`: b = -a s + e + round(q m / t).
///
/// `secrets` draws the errors. Cost: 2 transforms a prime.
pub(crate) fn encrypt_half(key: &SecretKey, a: &Poly<Values>, m: &[u64], secrets: &mut Prg) -> Poly<Coeff> {
    let params = key.params();
    let mut mask = Poly::<Values>::zero(params);
    mask.mul_accumulate(params, a, key.s());
    let mask = Secret(mask.into_coeff(params));
    let mut errors = Zeroizing::new(vec![0; params.n()]);
    secrets.errors(&mut errors);
    let mut b = Poly::<Coeff>::zero(params);
    b.set_small(params, &errors);
    b.add_encoded(params, m);
    b.sub_assign(params, &mask.0);
    b
}

/// round(2^bits x / q) modulo 2^bits of coefficient i of a polynomial.
#[inline(always)]
pub(crate) fn switch(params: &Params, residues: impl Iterator<Item = u64>, bits: u32) -> u128 {
    // x / q = sum of ((x (q/p)^-1) mod p) / p modulo 1; each fraction in units of 2^-128, short by less than two of them.
    let sum = params.limbs().iter().zip(residues).fold(0u128, |sum, (limb, x)| {
        let y = limb.modulus.mul_const(x, limb.crt);
        let rest = (u128::from(y) * u128::from(limb.fraction_rest)) >> 64;
        sum.wrapping_add(limb.fraction.wrapping_mul(y.into())).wrapping_add(rest)
    });
    (sum >> (127 - bits)).wrapping_add(1) >> 1 & ((1 << bits) - 1)
}

/// The first `count` coefficients of a polynomial, switched to modulus 2^bits.
pub(crate) fn switch_all(params: &Params, poly: &Poly<Coeff>, bits: u32) -> Wide {
    let rows: Vec<&[u64]> = poly.rows(params).collect();
    let mut out = Wide::default();
    out.low.reserve(params.n());
    for i in 0..params.n() {
        out.push(switch(params, rows.iter().map(|r| r[i]), bits), bits);
    }
    out
}

/// The coefficients of a s modulo 2^a_bits, for a's coefficients given modulo 2^a_bits.
///
/// Exact over the integers: |a s| <= N 2^(a_bits - 1) is far below q / 2 for all parameters.
pub(crate) struct Phase {
    product: Secret<Coeff>,
    params: Params,
}

impl Phase {
    pub(crate) fn new(key: &SecretKey, a: &Wide) -> Self {
        let params = key.params();
        let bits = params.answer().a_bits;
        let mut lifted = Poly::<Coeff>::zero(params);
        for (limb, row) in params.limbs().iter().zip(lifted.rows_mut(params)) {
            let m = limb.modulus;
            let half = m.reduce_wide(1 << (bits - 1));
            for (i, x) in row.iter_mut().enumerate() {
                // Centred: shift by half the modulus, reduce, shift back.
                let shifted = a.get(i).wrapping_add(1 << (bits - 1)) & ((1 << bits) - 1);
                *x = m.sub(m.reduce_wide(shifted), half);
            }
        }
        let mut product = Poly::<Values>::zero(params);
        product.mul_accumulate(params, &lifted.into_values(params), key.s());
        Self { product: Secret(product.into_coeff(params)), params: params.clone() }
    }

    /// Coefficient i modulo 2^128.
    pub(crate) fn coefficient(&self, i: usize) -> u128 {
        let (mut sum, mut wraps) = (0u128, 1u128 << 63);
        for (limb, row) in self.params.limbs().iter().zip(self.product.0.rows(&self.params)) {
            let y = limb.modulus.mul_const(row[i], limb.crt);
            sum = sum.wrapping_add(limb.cofactor.wrapping_mul(y.into()));
            // y / p in units of 2^-64; the sum is within 2^-12 of an integer, the number of times q must be taken off.
            wraps = wraps.wrapping_add((limb.fraction >> 64).wrapping_mul(y.into()));
        }
        sum.wrapping_sub(self.params.q_wide().wrapping_mul(wraps >> 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generate_keys;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    fn decrypt(key: &SecretKey, a: Poly<Values>, b: &Poly<Coeff>) -> Vec<(u64, u32)> {
        let params = key.params();
        let (a_bits, b_bits) = (params.answer().a_bits, params.answer().b_bits);
        let a = switch_all(params, &a.into_coeff(params), a_bits);
        let b = switch_all(params, b, b_bits);
        let phase = Phase::new(key, &a);
        (0..params.n())
            .map(|i| {
                let x = phase.coefficient(i).wrapping_add(b.get(i) << (a_bits - b_bits)) & ((1 << a_bits) - 1);
                params.plain().decode(x, a_bits)
            })
            .collect()
    }

    #[test]
    fn encryptions_decrypt_exactly_and_only_under_their_key() {
        for bits in [1, 12, 32, 37, 41, 64] {
            let params = Params::for_ring(bits).unwrap();
            let mut rng = ChaCha20Rng::seed_from_u64(bits.into());
            let (key, _) = generate_keys(&params, &mut rng);
            let (other, _) = generate_keys(&params, &mut rng);
            let mut m = vec![0; params.n()];
            let mut prg = Prg::from_rng(&mut rng);
            params.plain().uniform(&mut prg, &mut m);
            let a = uniform_half(&params, &[9; 32], 3);
            let b = encrypt_half(&key, &a, &m, &mut prg);
            let got = decrypt(&key, a.clone(), &b);
            assert!(got.iter().map(|g| g.0).eq(m.iter().copied()), "{bits} bits");
            assert!(got.iter().all(|g| g.1 <= 15000), "noise of a fresh encryption at {bits} bits");
            let wrong = decrypt(&other, a, &b);
            assert!(wrong.iter().any(|g| g.1 > params.answer().limit));
        }
    }
}
