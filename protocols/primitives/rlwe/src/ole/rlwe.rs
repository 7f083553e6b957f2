//! Oblivious linear evaluation by ring-LWE: the receiver sends encryptions of its vectors, the sender answers with their products by
//! plaintexts, masked, re-randomised and flooded.
//!
//! N = 8192 slots, q = 3 x 50 bits. Noise and hiding are those of [`crate::noise`] with dense plaintexts: the factors of one
//! answer polynomial have Euclidean norm at most sqrt(C N) p / 2 for C vectors, whatever they are, so the noise is hidden by
//! [`Ole::statistical_bits`] for any factors.
//!
//! Cost in bytes for C vectors: query 40 + 32 + 16 + (1 + C) 153,600, answer 16 + N (a_bits + b_bits) / 8. In transforms of N modulo a
//! prime: query 3 (2 C + 3), answer 3 (2 C + 3), finish 9; and C, C + 1 and 1 modulo p.

use std::sync::Arc;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use zeroize::Zeroizing;

use crate::client::check_len;
use crate::encrypt::{self, Phase};
use crate::field::Field;
use crate::keys::{PublicKey, SecretKey, generate_keys, generate_secret};
use crate::mac::Sum;
use crate::modulus::Modulus;
use crate::ntt;
use crate::packing::Run;
use crate::params::{Params, PrimeChain, STATISTICAL_BITS, tag};
use crate::plain::PlainModulus;
use crate::poly::{self, Poly};
use crate::prg::Prg;
use crate::seal::{add_wide_flooding, rerandomise};
use crate::slots::encode::Encoder;
use crate::vector;
use crate::wire::{self, Header, Wide};
use crate::{Error, Result, noise};

use super::{Ole, OleSeed};

const QUERY: &str = "query of an oblivious linear evaluation";
const ANSWER: &str = "answer of an oblivious linear evaluation";

/// Ring dimension. *Agreement.*
const N: usize = 8192;

/// *Agreement.*
const CHAIN: PrimeChain = PrimeChain::Bits50(3);

/// The implementation by ring-LWE; cheap to clone.
#[derive(Clone)]
pub struct RlweOle(Arc<Inner>);

struct Inner {
    field: Field,
    modulus: Modulus,
    scheme: Params,
    encoder: Encoder,
    flood_bits: u32,
    limit: u32,
    tag: u64,
}

impl RlweOle {
    /// Over the field of p = 1 mod 2 N, of 20 to 49 bits.
    ///
    /// # Errors
    /// If p is no such prime, or leaves no room to hide the noise of one vector.
    pub fn new(p: u64) -> Result<Self> {
        Self::with_kernels(p, ntt::simd_is_off())
    }

    fn with_kernels(p: u64, scalar: bool) -> Result<Self> {
        let field = Field::new(p)?;
        if p % (2 * N as u64) != 1 || !(20..=49).contains(&(64 - p.leading_zeros())) {
            return Err(Error::PlainModulus {
                why: format!("{p} is no prime of 20 to 49 bits that is 1 modulo {}", 2 * N),
            });
        }
        let scheme = Params::with_kernels(N, CHAIN, PlainModulus::Prime(p), scalar)?;
        // The widest flooding that leaves an answer decodable, in place of the one that `Params` counted in.
        let log2_delta = scheme.log2_q() - (p as f64).log2();
        let own = (f64::from(scheme.answer().flood_bits) - log2_delta).exp2();
        let others = f64::from(scheme.answer().limit) / 65536.0 - own;
        let flood_bits = (log2_delta + (0.5 - others).log2()).floor();
        let limit = ((others + (flood_bits - log2_delta).exp2()) * 65536.0).ceil() as u32;
        let modulus = Modulus::new(p);
        let inner = Inner {
            field,
            modulus,
            encoder: Encoder::new(N, modulus, scalar),
            flood_bits: flood_bits as u32,
            limit,
            tag: tag(&[scheme.tag(), 2]),
            scheme,
        };
        let ole = Self(Arc::new(inner));
        let bits = ole.statistical_bits(1);
        if bits < f64::from(STATISTICAL_BITS) {
            return Err(Error::PlainModulus { why: format!("{p}: noise would be hidden with {bits:.1} bits only") });
        }
        Ok(ole)
    }

    /// The field.
    #[must_use]
    pub fn field(&self) -> Field {
        self.0.field
    }

    fn check_vector(what: &'static str, vector: &[u64]) -> Result<()> {
        check_len(what, vector.len(), N)
    }

    fn coefficients(&self, slots: &[u64], out: &mut [u64]) {
        self.0.encoder.coefficients(slots, out);
    }

    /// Slots of what (a, b) decrypts to, and the noise.
    fn decrypt(&self, key: &SecretKey, a: &Wide, b: &Wide) -> (Vec<u64>, u32) {
        let mut coefficients = Zeroizing::new(vec![0; N]);
        let noise = Phase::new(key, a).decode(b, &[Run { at: 0, index: 0, len: N }], &mut coefficients);
        let mut slots = vec![0; N];
        self.0.encoder.slots(&mut coefficients, &mut slots);
        (slots, noise)
    }
}

/// The uniform seed and the bodies of the ciphertexts of a query, after its public key.
fn split(query: &[u8], key_bytes: usize) -> (&[u8], OleSeed, &[u8]) {
    let (key, rest) = query.split_at(key_bytes);
    let (head, bodies) = rest.split_at(32);
    let mut seed = [0; 32];
    seed.copy_from_slice(head);
    (key, seed, bodies)
}

impl Ole for RlweOle {
    fn slots(&self) -> usize {
        N
    }

    fn query_bytes(&self, inputs: usize) -> usize {
        PublicKey::encoded_bytes(&self.0.scheme) + 32 + inputs * self.0.scheme.poly_bytes()
    }

    fn answer_bytes(&self) -> usize {
        let format = self.0.scheme.answer();
        Header::BYTES + Wide::bytes(N, format.a_bits) + Wide::bytes(N, format.b_bits)
    }

    fn statistical_bits(&self, inputs: usize) -> f64 {
        let norm = ((inputs * N) as f64).sqrt() * self.0.field.prime() as f64 / 2.0;
        f64::from(self.0.flood_bits) + 1.0 - noise::deviation(&self.0.scheme, norm).log2()
    }

    fn query(&self, seed: &OleSeed, inputs: &[Vec<u64>]) -> Result<Vec<u8>> {
        inputs.iter().try_for_each(|x| Self::check_vector("receiver's vector", x))?;
        let scheme = &self.0.scheme;
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let (secret, public) = generate_keys(scheme, &mut rng);
        let mut out = Vec::with_capacity(self.query_bytes(inputs.len()));
        out.extend_from_slice(&public.encode());
        let mut uniform = [0; 32];
        rng.fill_bytes(&mut uniform);
        out.extend_from_slice(&uniform);
        let mut errors = Prg::from_rng(&mut rng);
        let mut coefficients = Zeroizing::new(vec![0; N]);
        for (index, x) in (0..).zip(inputs) {
            self.coefficients(x, &mut coefficients);
            let a = encrypt::uniform_half(scheme, &uniform, index);
            wire::put_poly(scheme, &encrypt::encrypt_half(&secret, &a, &coefficients, &mut errors), &mut out);
        }
        Ok(out)
    }

    fn open_query(&self, seed: &OleSeed, query: &[u8], inputs: usize) -> Result<Vec<Vec<u64>>> {
        let scheme = &self.0.scheme;
        wire::check_len(QUERY, query.len(), self.query_bytes(inputs))?;
        let (secret, ..) = generate_secret(scheme, &mut ChaCha20Rng::from_seed(*seed));
        let (_, uniform, bodies) = split(query, PublicKey::encoded_bytes(scheme));
        let format = scheme.answer();
        let mut opened = Vec::with_capacity(inputs);
        for (index, body) in (0..).zip(bodies.chunks_exact(scheme.poly_bytes())) {
            let a = encrypt::uniform_half(scheme, &uniform, index).into_coeff(scheme);
            let b = wire::take_coeff(scheme, QUERY, body)?;
            let a = encrypt::switch(scheme, a.rows(scheme), format.a_bits);
            let b = encrypt::switch(scheme, b.rows(scheme), format.b_bits);
            // Noise beyond the limit is no honest query's, nor are its slots: the comparison finds out, and always takes place.
            opened.push(self.decrypt(&secret, &a, &b).0);
        }
        if self.query(seed, &opened)? == query {
            Ok(opened)
        } else {
            Err(Error::malformed(QUERY, "it is not what its seed gives"))
        }
    }

    fn answer(&self, seed: &OleSeed, query: &[u8], factors: &[Vec<u64>], masks: &[u64]) -> Result<Vec<u8>> {
        factors.iter().try_for_each(|a| Self::check_vector("sender's factors", a))?;
        Self::check_vector("sender's masks", masks)?;
        let scheme = &self.0.scheme;
        wire::check_len(QUERY, query.len(), self.query_bytes(factors.len()))?;
        let (key, uniform, bodies) = split(query, PublicKey::encoded_bytes(scheme));
        let key = PublicKey::decode(scheme, key)?;
        let mut coefficients = Zeroizing::new(vec![0; N]);
        let mut small = Zeroizing::new(vec![0; N]);
        let mut sum = Sum { a: Poly::zero(scheme), b: Poly::zero(scheme) };
        for ((index, body), factor) in (0..).zip(bodies.chunks_exact(scheme.poly_bytes())).zip(factors) {
            self.coefficients(factor, &mut coefficients);
            vector::centre(scheme.kernel(), self.0.modulus, &coefficients, &mut small);
            let mut plaintext = Poly::zero(scheme);
            plaintext.set_small(scheme, &small);
            let plaintext = poly::Secret(plaintext.into_values(scheme));
            let b = wire::take_coeff(scheme, QUERY, body)?.into_values(scheme);
            sum.a.mul_accumulate(scheme, &encrypt::uniform_half(scheme, &uniform, index), &plaintext.0);
            sum.b.mul_accumulate(scheme, &b, &plaintext.0);
        }
        let mut secrets = Prg::from_rng(&mut ChaCha20Rng::from_seed(*seed));
        let format = scheme.answer();
        let mut out = Vec::with_capacity(self.answer_bytes());
        key.header(self.0.tag).put(&mut out);
        let (_, mut b) = rerandomise(&key, sum, &mut small, &mut secrets, &mut out);
        self.coefficients(masks, &mut coefficients);
        poly::add_encoded(scheme, &coefficients, b.rows_mut(scheme));
        add_wide_flooding(scheme, self.0.flood_bits, &mut secrets, b.rows_mut(scheme));
        encrypt::switch(scheme, b.rows(scheme), format.b_bits).put(scheme.kernel(), format.b_bits, &mut out);
        Ok(out)
    }

    fn finish(&self, seed: &OleSeed, answer: &[u8]) -> Result<Vec<u64>> {
        let scheme = &self.0.scheme;
        wire::check_len(ANSWER, answer.len(), self.answer_bytes())?;
        let (secret, ..) = generate_secret(scheme, &mut ChaCha20Rng::from_seed(*seed));
        let rest = Header { plan: self.0.tag, key: secret.id() }.check(ANSWER, answer)?;
        let (kernel, format) = (scheme.kernel(), scheme.answer());
        let (a, b) = rest.split_at(Wide::bytes(N, format.a_bits));
        let a = Wide::take(kernel, ANSWER, a, N, format.a_bits)?;
        let b = Wide::take(kernel, ANSWER, b, N, format.b_bits)?;
        let (slots, noise) = self.decrypt(&secret, &a, &b);
        if noise > self.0.limit {
            let why = format!("noise of {noise} units where an honest one has at most {}", self.0.limit);
            return Err(Error::malformed(ANSWER, why));
        }
        Ok(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ole::PRIME;

    fn vectors(field: Field, seed: u64, count: usize) -> Vec<Vec<u64>> {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        (0..count).map(|_| (0..N).map(|_| field.random(&mut rng)).collect()).collect()
    }

    #[test]
    fn the_prime_is_the_largest_of_its_kind() {
        let step = 2 * N as u64;
        let largest = (1..(1u64 << 49) / step).rev().map(|k| k * step + 1).find(|&p| Field::new(p).is_ok());
        assert_eq!(largest, Some(PRIME));
    }

    #[test]
    fn receivers_learn_the_sum_of_products_and_messages_repeat() {
        let both = [false, true].map(|scalar| {
            let ole = RlweOle::with_kernels(PRIME, scalar).unwrap();
            let field = ole.field();
            let mut sent = Vec::new();
            for count in [1, 3] {
                let (x, a, b) =
                    (vectors(field, 1, count), vectors(field, 2, count), vectors(field, 3, 1).swap_remove(0));
                let query = ole.query(&[7; 32], &x).unwrap();
                assert_eq!(query.len(), ole.query_bytes(count));
                let answer = ole.answer(&[8; 32], &query, &a, &b).unwrap();
                assert_eq!(answer.len(), ole.answer_bytes());
                let got = ole.finish(&[7; 32], &answer).unwrap();
                for i in 0..N {
                    let sum = (0..count).fold(b[i], |sum, c| field.mul_add(sum, a[c][i], x[c][i]));
                    assert_eq!(got[i], sum, "slot {i} of {count} vectors");
                }
                assert_eq!(ole.open_query(&[7; 32], &query, count).unwrap(), x);
                assert!(ole.answer(&[8; 32], &query, &a, &b).unwrap() == answer, "answers repeat");
                sent.extend([query, answer]);
            }
            sent
        });
        assert!(both[0] == both[1], "scalar and vector kernels send the same bytes");
    }

    #[test]
    fn queries_that_their_seed_does_not_give_are_found_out() {
        let ole = RlweOle::new(PRIME).unwrap();
        let x = vectors(ole.field(), 1, 1);
        let query = ole.query(&[7; 32], &x).unwrap();
        let key = PublicKey::encoded_bytes(&ole.0.scheme);
        // Parameters, uniform halves, key, errors: one bit anywhere.
        for at in [0, 8, 50, key, key + 40, query.len() - 1] {
            let mut wrong = query.clone();
            wrong[at] ^= 1;
            assert!(ole.open_query(&[7; 32], &wrong, 1).is_err(), "byte {at}");
        }
        assert!(ole.open_query(&[6; 32], &query, 1).is_err());
        assert!(ole.open_query(&[7; 32], &query, 2).is_err());
        let answer = ole.answer(&[8; 32], &query, &x, &x[0]).unwrap();
        assert!(ole.finish(&[6; 32], &answer).is_err(), "another key");
        assert!(ole.finish(&[7; 32], &answer[1..]).is_err());
        assert!(ole.answer(&[8; 32], &query[1..], &x, &x[0]).is_err());
        assert!(ole.answer(&[8; 32], &query, &x, &x[0][1..]).is_err());
        assert!(ole.query(&[7; 32], &[vec![0; 3]]).is_err());
    }

    #[test]
    fn noise_is_hidden_with_forty_bits() {
        let ole = RlweOle::new(PRIME).unwrap();
        assert!(ole.statistical_bits(1) >= 43.0 && ole.statistical_bits(64) >= 40.0, "{}", ole.statistical_bits(64));
        assert!(RlweOle::new(97).is_err() && RlweOle::new((1 << 49) - 1).is_err());
        assert!(ole.0.limit < 1 << 15, "the budget exceeds half a step");
    }
}
