//! Rotations of ciphertexts at the roots: decomposition, product with the key, division by the special prime.
//!
//! For (a, b) under s: the digits d_i = a mod p_i, centred, lifted to all primes of q P; (a', b') = round(sum d_i k_i / P), which
//! decrypts to a s under g^-1(s); then g applied to (a', b + b'). The digits serve every rotation of the ciphertext (*hoisting*,
//! Halevi and Shoup, CRYPTO 2018).
//!
//! Cost for three primes: 12 transforms for the digits, 8 for each rotation.

use rand::CryptoRng;

use crate::Result;
use crate::keys::generate_keys;
use crate::mac::{self, Sum, Weights};
use crate::poly::{Poly, Values};
use crate::prg::Prg;
use crate::slots::galois::Rotation;
use crate::slots::keys::{RotationKeys, SwitchKey, encode_rotation_key};
use crate::slots::params::{PRIMES, SlotParams};
use crate::vector;

/// The digits of several ciphertexts at the roots modulo all primes of q P.
pub(crate) fn decompose<'a>(params: &SlotParams, ciphertexts: impl ExactSizeIterator<Item = &'a Sum>) -> Weights {
    let (scheme, switching, kernel) = (params.scheme(), params.switching(), params.scheme().kernel());
    let mut digits = Weights::new(switching, 1, ciphertexts.len(), PRIMES);
    let mut small = vec![0; scheme.n()];
    let mut polys: Vec<Poly<Values>> = (0..PRIMES).map(|_| Poly::zero(switching)).collect();
    for (index, ciphertext) in ciphertexts.enumerate() {
        for (i, poly) in polys.iter_mut().enumerate() {
            let own = ciphertext.a.row(scheme, i);
            // The row of P serves as working space before it is written.
            let row = poly.row_mut(switching, PRIMES);
            row.copy_from_slice(own);
            scheme.limbs()[i].ntt.inverse(row);
            vector::centre(kernel, scheme.limbs()[i].modulus, row, &mut small);
            for (j, (limb, row)) in switching.limbs().iter().zip(poly.rows_mut(switching)).enumerate() {
                if i == j {
                    row.copy_from_slice(own);
                } else {
                    vector::set_small(kernel, limb.modulus, row, &small);
                    limb.ntt.forward(row);
                }
            }
        }
        digits.set(switching, index, 0, &polys.iter().map(Poly::words).collect::<Vec<_>>());
    }
    digits
}

/// Memory that rotations use again and again.
pub(crate) struct Scratch {
    used: Vec<Sum>,
    small: Vec<i64>,
    lifted: Vec<u64>,
}

impl Scratch {
    pub(crate) fn new(params: &SlotParams) -> Self {
        let n = params.scheme().n();
        Self { used: Vec::new(), small: vec![0; n], lifted: vec![0; n] }
    }
}

/// The rotations by each of `keys` of the ciphertexts of which `digits` are the digits: `put(key, ciphertext, rotated)` is called
/// for each, with `rotated` to be used at once.
pub(crate) fn rotate(
    params: &SlotParams,
    keys: &[&SwitchKey],
    digits: &Weights,
    ciphertexts: &[&Sum],
    scratch: &mut Scratch,
    mut put: impl FnMut(usize, usize, &Sum),
) {
    let (scheme, switching) = (params.scheme(), params.switching());
    let mut rotated = Sum { a: Poly::zero(scheme), b: Poly::zero(scheme) };
    for (first, keys) in (0..).step_by(KEYS).zip(keys.chunks(KEYS)) {
        let mut products: Vec<_> =
            keys.iter().map(|key| (&key.parts, digits.sums(switching, &mut scratch.used))).collect();
        mac::multiply(switching, digits, &mut products, false);
        let products: Vec<Vec<Sum>> = products.into_iter().map(|(_, sums)| sums).collect();
        for ((k, key), sums) in (first..).zip(keys).zip(products) {
            for (c, (mut sum, ciphertext)) in sums.into_iter().zip(ciphertexts).enumerate() {
                finish(params, key, &mut sum.a, None, &mut rotated.a, scratch);
                finish(params, key, &mut sum.b, Some(&ciphertext.b), &mut rotated.b, scratch);
                put(k, c, &rotated);
                scratch.used.push(sum);
            }
        }
    }
}

/// Keys multiplied in one pass over the digits. *Local*: their products wait, 1 MiB each and ciphertext.
const KEYS: usize = 4;

/// g(round(x / P) + add).
fn finish(
    params: &SlotParams,
    key: &SwitchKey,
    x: &mut Poly<Values>,
    add: Option<&Poly<Values>>,
    out: &mut Poly<Values>,
    scratch: &mut Scratch,
) {
    let (scheme, switching, kernel) = (params.scheme(), params.switching(), params.scheme().kernel());
    let special = &switching.limbs()[PRIMES];
    let row = x.row_mut(switching, PRIMES);
    special.ntt.inverse(row);
    vector::centre(kernel, special.modulus, row, &mut scratch.small);
    for (i, limb) in scheme.limbs().iter().enumerate() {
        let (m, lifted) = (limb.modulus, &mut scratch.lifted);
        vector::set_small(kernel, m, lifted, &scratch.small);
        limb.ntt.forward(lifted);
        let row = x.row_mut(switching, i);
        vector::sub(kernel, m, row, lifted);
        vector::mul_const(kernel, m, row, params.special_inverse(i), lifted);
        if let Some(add) = add {
            vector::add(kernel, m, lifted, add.row(scheme, i));
        }
        key.permutation.row(lifted, out.row_mut(scheme, i));
    }
}

/// Rotations alone, for the benchmarks.
#[doc(hidden)]
pub struct RotationBench {
    params: SlotParams,
    keys: RotationKeys,
    rotations: Vec<Rotation>,
    ciphertexts: Vec<Sum>,
    scratch: Scratch,
}

impl RotationBench {
    /// Four arbitrary ciphertexts and as many keys.
    ///
    /// # Errors
    /// If there are no such rotations.
    pub fn new(params: &SlotParams, keys: u32, rng: &mut impl CryptoRng) -> Result<Self> {
        let (secret, public) = generate_keys(params.scheme(), rng);
        let mut all = RotationKeys::new(params, &public)?;
        let rotations: Vec<_> = (1..=keys).map(Rotation::Rows).collect();
        for &rotation in &rotations {
            all.insert(rotation, &encode_rotation_key(params, &secret, rotation, rng)?)?;
        }
        let mut prg = Prg::from_rng(rng);
        let mut poly = || Poly::uniform(params.scheme(), &mut prg);
        let ciphertexts = (0..4).map(|_| Sum { a: poly(), b: poly() }).collect();
        Ok(Self { params: params.clone(), keys: all, rotations, ciphertexts, scratch: Scratch::new(params) })
    }

    /// Rotates each ciphertext by each key.
    pub fn run(&mut self) {
        let keys: Vec<_> = self.rotations.iter().filter_map(|&r| self.keys.get(r).ok()).collect();
        let digits = decompose(&self.params, self.ciphertexts.iter());
        let all: Vec<&Sum> = self.ciphertexts.iter().collect();
        rotate(&self.params, &keys, &digits, &all, &mut self.scratch, |_, _, sum| {
            std::hint::black_box(sum);
        });
    }
}
