//! Encryption with the secret key, and decryption of answers.

use zeroize::Zeroizing;

use crate::keys::SecretKey;
use crate::modulus::Modulus;
use crate::packing::Run;
use crate::params::Params;
use crate::plain::PlainModulus;
use crate::poly::{Coeff, Poly, Secret, Values};
use crate::prg::{Prg, Seed};
use crate::vector::{self, Kernel};
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
    secrets.errors(params.kernel(), &mut errors);
    let mut b = Poly::<Coeff>::zero(params);
    b.set_small(params, &errors);
    b.add_encoded(params, m);
    b.sub_assign(params, &mask.0);
    b
}

/// round(2^bits x / q) modulo 2^bits of numbers given by their residues, one row for each prime.
///
/// x / q is the sum of y_i / p_i modulo 1, y_i = x (q/p_i)^-1 mod p_i. Up to 52 bits it is summed in units of 2^-64, beyond in
/// units of 2^-128, each term short by less than two units: at most 2^-9 of a step of the result.
pub(crate) fn switch<'a>(params: &Params, rows: impl Iterator<Item = &'a [u64]> + Clone, bits: u32) -> Wide {
    let len = rows.clone().next().map_or(0, <[u64]>::len);
    if bits <= 52 {
        let mut low = vec![1 << (63 - bits); len];
        for (limb, row) in params.limbs().iter().zip(rows) {
            vector::add_fractions(params.kernel(), limb.modulus, row, limb.crt, limb.fraction64, &mut low);
        }
        low.iter_mut().for_each(|x| *x >>= 64 - bits);
        return Wide { low, high: Vec::new() };
    }
    let mut out = Wide::default();
    for i in 0..len {
        let sum = params.limbs().iter().zip(rows.clone()).fold(0u128, |sum, (limb, row)| {
            let y = limb.modulus.mul_const(row[i], limb.crt);
            let rest = (u128::from(y) * u128::from(limb.fraction_rest)) >> 64;
            sum.wrapping_add(limb.fraction.wrapping_mul(y.into())).wrapping_add(rest)
        });
        out.push((sum >> (127 - bits)).wrapping_add(1) >> 1 & ((1 << bits) - 1), bits);
    }
    out
}

/// The coefficients of a s modulo 2^a_bits, for a's coefficients given modulo 2^a_bits.
///
/// Exact over the integers: |a s| <= N 2^(a_bits - 1) is far below q / 2 for all parameters.
pub(crate) struct Phase {
    product: Secret<Coeff>,
    /// All coefficients, if they are wanted modulo 2^64 or less.
    low: Option<Zeroizing<Vec<u64>>>,
    params: Params,
}

impl Phase {
    pub(crate) fn new(key: &SecretKey, a: &Wide) -> Self {
        let params = key.params();
        let bits = params.answer().a_bits;
        let mut lifted = Poly::<Coeff>::zero(params);
        for (limb, row) in params.limbs().iter().zip(lifted.rows_mut(params)) {
            lift(params.kernel(), limb.modulus, a, bits, row);
        }
        let mut product = Poly::<Values>::zero(params);
        product.mul_accumulate(params, &lifted.into_values(params), key.s());
        let product = Secret(product.into_coeff(params));
        let low = (bits <= 64).then(|| {
            let mut sum = Zeroizing::new(vec![0; params.n()]);
            let mut wraps = vec![1 << 60; params.n()];
            for (limb, row) in params.limbs().iter().zip(product.0.rows(params)) {
                let (kernel, f, cofactor) = (params.kernel(), limb.fraction64, limb.cofactor as u64);
                vector::add_crt(kernel, limb.modulus, row, limb.crt, f, cofactor, &mut sum, &mut wraps);
            }
            let q = params.q_wide() as u64;
            vector::take_wraps(params.kernel(), &mut sum, &wraps, q);
            sum
        });
        Self { product, low, params: params.clone() }
    }

    /// Decodes the coefficients of `runs`, whose b-parts come in the same order, into elements of `output`. Returns the
    /// greatest distance from a codeword, see [`crate::plain::Plain::decode`].
    pub(crate) fn decode(&self, b: &Wide, runs: &[Run], output: &mut [u64]) -> u32 {
        let (plain, format) = (self.params.plain(), self.params.answer());
        let (bits, shift) = (format.a_bits, format.a_bits - format.b_bits);
        let (mut worst, mut next) = (0, 0);
        for run in runs {
            let out = &mut output[run.elements()];
            match (&self.low, plain.modulus()) {
                (Some(low), PlainModulus::PowerOfTwo { .. }) => {
                    let a = &low[run.coefficients()];
                    vector::decode(self.params.kernel(), plain, [bits, shift], a, &b.low[next..], out, &mut worst);
                }
                _ => {
                    for (i, (o, at)) in out.iter_mut().zip(run.coefficients()).enumerate() {
                        let x = self.coefficient(at).wrapping_add(b.get(next + i) << shift) & ((1 << bits) - 1);
                        let (m, distance) = plain.decode(x, bits);
                        *o = m;
                        worst = worst.max(distance);
                    }
                }
            }
            next += run.len;
        }
        worst
    }

    /// Coefficient i; the bits above a_bits are arbitrary.
    fn coefficient(&self, i: usize) -> u128 {
        if let Some(low) = &self.low {
            return low[i].into();
        }
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

/// The centred numbers `a` modulo 2^bits as residues modulo p.
fn lift(kernel: Kernel, m: Modulus, a: &Wide, bits: u32, row: &mut [u64]) {
    if bits < m.bits() {
        return vector::set_signed(kernel, m, row, &a.low, bits);
    }
    // Shift by half the modulus, reduce, shift back.
    let half = 1u128 << (bits - 1);
    let offset = m.reduce_wide(half);
    if bits <= 52 {
        let shifted: Vec<u64> = a.low.iter().map(|&a| a ^ half as u64).collect();
        vector::mul_const(kernel, m, &shifted, m.constant(1), row);
        row.iter_mut().for_each(|x| *x = m.sub(*x, offset));
    } else {
        for (i, x) in row.iter_mut().enumerate() {
            *x = m.sub(m.reduce_wide(a.get(i) ^ half), offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::generate_keys;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    fn decrypt(key: &SecretKey, a: Poly<Values>, b: &Poly<Coeff>) -> (Vec<u64>, u32) {
        let params = key.params();
        let (a_bits, b_bits) = (params.answer().a_bits, params.answer().b_bits);
        let a = a.into_coeff(params);
        let a = switch(params, a.rows(params), a_bits);
        let b = switch(params, b.rows(params), b_bits);
        let mut m = vec![0; params.n()];
        let worst = Phase::new(key, &a).decode(&b, &[Run { at: 0, index: 0, len: params.n() }], &mut m);
        (m, worst)
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
            let (got, worst) = decrypt(&key, a.clone(), &b);
            assert!(got == m, "{bits} bits");
            assert!(worst <= 15000, "noise of a fresh encryption at {bits} bits");
            let (_, worst) = decrypt(&other, a, &b);
            assert!(worst > params.answer().limit);
        }
    }
}
