//! Parameters of batched ciphertexts: the field, the ciphertext modulus, and the modulus of key switching.

use std::sync::Arc;

use crate::modulus::{Constant, Modulus};
use crate::ntt::{self, Ntt};
use crate::params::{PRIMES_50, Params, PrimeChain, tag};
use crate::plain::PlainModulus;
use crate::slots::encode::Encoder;
use crate::{Error, Result};

/// Ring dimension. *Agreement.*
pub(crate) const N: usize = 8192;

/// Primes of the ciphertext modulus q, 50 bits each. *Agreement.*
pub(crate) const PRIMES: usize = 3;

/// Fields of these bits are supported: p = 1 mod 2N needs 15, and above the noise of three primes cannot be hidden.
const FIELD_BITS: std::ops::RangeInclusive<u32> = 15..=44;

/// Parameters of the scheme for a prime field; cheap to clone. Both parties must construct the same.
///
/// N = 8192, q of three primes of 50 bits, one more prime P for key switching. *Security*: keys are modulo q P of 200 bits, where
/// the Homomorphic Encryption Standard (2018, table 1, ternary secrets) allows 218 for 128 bits; [`Params::new`] checks it.
#[derive(Clone)]
pub struct SlotParams(Arc<Inner>);

struct Inner {
    scheme: Params,
    switching: Params,
    field: Modulus,
    encoder: Encoder,
    /// For each prime of q, the transforms for lengths 2, 4, ..., N / 2.
    short: Vec<Vec<Box<dyn Ntt>>>,
    /// 1 / P modulo each prime of q.
    special_inverse: Vec<Constant>,
    flood_bits: u32,
    limit: u32,
    tag: u64,
}

impl std::fmt::Debug for SlotParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let i = &self.0;
        write!(f, "Slots(N = {N}, p = {}, log2 q = {:.2}, flood {})", self.field(), i.scheme.log2_q(), i.flood_bits)
    }
}

impl PartialEq for SlotParams {
    fn eq(&self, other: &Self) -> bool {
        self.0.tag == other.0.tag
    }
}

impl SlotParams {
    /// The field of the largest prime p below 2^bits with p = 1 mod 2N.
    ///
    /// # Errors
    /// If `bits` is not in 15..=44, or is 15 or 16 where there is none.
    pub fn for_bits(bits: u32) -> Result<Self> {
        if !FIELD_BITS.contains(&bits) {
            return Err(Error::PlainModulus { why: format!("a field of {bits} bits: choose 15 to 44") });
        }
        let step = 2 * N as u64;
        let prime = (1..(1u64 << bits) / step).rev().map(|k| k * step + 1).find(|&p| is_prime(p));
        match prime.filter(|p| p >> (bits - 1) == 1) {
            Some(p) => Self::new(p),
            None => Err(Error::PlainModulus { why: format!("no prime of {bits} bits is 1 modulo {step}") }),
        }
    }

    /// The field of a given prime p = 1 mod 2N.
    ///
    /// # Errors
    /// If p is no such prime of 15 to 44 bits.
    pub fn new(p: u64) -> Result<Self> {
        Self::with_kernels(p, ntt::simd_is_off())
    }

    pub(crate) fn with_kernels(p: u64, scalar: bool) -> Result<Self> {
        if !FIELD_BITS.contains(&(64 - p.leading_zeros())) || p % (2 * N as u64) != 1 || !is_prime(p) {
            return Err(Error::PlainModulus {
                why: format!("{p} is no prime of 15 to 44 bits that is 1 modulo {}", 2 * N),
            });
        }
        let plain = PlainModulus::Prime(p);
        let scheme = Params::with_kernels(N, PrimeChain::Bits50(PRIMES), plain, scalar)?;
        let switching = Params::with_kernels(N, PrimeChain::Bits50(PRIMES + 1), plain, scalar)?;
        let special = switching.limbs()[PRIMES].modulus.value();
        let log2_delta = scheme.log2_q() - (p as f64).log2();
        // The widest flooding that leaves an answer decodable: `Params` has accounted for everything else.
        let others = f64::from(scheme.answer().limit) / 65536.0;
        let flood_bits = (log2_delta + (0.5 - others).log2()).floor();
        let limit = ((others + (flood_bits - log2_delta).exp2()) * 65536.0).ceil() as u32;
        let inner = Inner {
            field: Modulus::new(p),
            encoder: Encoder::new(N, Modulus::new(p), scalar),
            short: scheme
                .limbs()
                .iter()
                .zip(PRIMES_50)
                .map(|(limb, (_, root))| {
                    (1..N.trailing_zeros())
                        .map(|log| {
                            let len = 1usize << log;
                            ntt::plan(len, limb.modulus.value(), limb.modulus.pow(root, (N / len) as u64), scalar)
                        })
                        .collect()
                })
                .collect(),
            special_inverse: scheme
                .limbs()
                .iter()
                .map(|limb| limb.modulus.constant(limb.modulus.inverse(special % limb.modulus.value())))
                .collect(),
            flood_bits: flood_bits as u32,
            limit,
            tag: tag(&[scheme.tag(), switching.tag(), 1]),
            scheme,
            switching,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// The prime p.
    #[must_use]
    pub fn field(&self) -> u64 {
        self.0.field.value()
    }

    /// The encryption scheme modulo q: keys are made for it, [`crate::generate_keys`].
    #[must_use]
    pub fn scheme(&self) -> &Params {
        &self.0.scheme
    }

    /// Slots of a ciphertext.
    #[must_use]
    pub fn slots(&self) -> usize {
        N
    }

    /// Flooding is uniform in [-2^flood_bits, 2^flood_bits).
    #[must_use]
    pub fn flood_bits(&self) -> u32 {
        self.0.flood_bits
    }

    /// The scheme modulo q P, in which key-switching keys live.
    pub(crate) fn switching(&self) -> &Params {
        &self.0.switching
    }

    pub(crate) fn modulus(&self) -> Modulus {
        self.0.field
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        &self.0.encoder
    }

    /// The transform of length `len` < N modulo prime `i` of q.
    pub(crate) fn short(&self, i: usize, len: usize) -> &dyn Ntt {
        &*self.0.short[i][len.trailing_zeros() as usize - 1]
    }

    pub(crate) fn special_inverse(&self, i: usize) -> Constant {
        self.0.special_inverse[i]
    }

    /// Greatest distance from a codeword, in units of 2^-16 q/p, that an honest answer reaches.
    pub(crate) fn limit(&self) -> u32 {
        self.0.limit
    }

    pub(crate) fn tag(&self) -> u64 {
        self.0.tag
    }
}

/// Whether x is a prime (public numbers).
fn is_prime(x: u64) -> bool {
    tfhe_ntt::prime::is_prime64(x)
}
