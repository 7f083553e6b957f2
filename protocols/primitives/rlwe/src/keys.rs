//! The client's keys.

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::params::Params;
use crate::poly::{Coeff, Poly, Secret, Values};
use crate::prg::{Prg, Seed};
use crate::wire::{self, Header};
use crate::{Error, Result};

/// The client's secret: uniform ternary, held at the roots and erased when dropped.
///
/// Use one key for a session and make a new one for the next: messages carry the key's public identity.
#[derive(Clone)]
pub struct SecretKey {
    params: Params,
    s: Secret<Values>,
    id: u64,
}

/// What the server needs to re-randomise answers: an encryption of zero (p_0, p_1) = (-(p_1 s + e), p_1), p_1 from a seed.
#[derive(Clone)]
pub struct PublicKey {
    params: Params,
    seed: Seed,
    id: u64,
    p0: Poly<Values>,
    p1: Poly<Values>,
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretKey({:016x})", self.id)
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({:016x})", self.id)
    }
}

/// A fresh key pair. The public half goes to the server once, [`PublicKey::encode`].
///
/// `rng` must be cryptographically secure; everything secret comes from 32 bytes of it at a time.
pub fn generate_keys(params: &Params, rng: &mut impl CryptoRng) -> (SecretKey, PublicKey) {
    let (secret, mut prg, seed) = generate_secret(params, rng);
    let p1 = expand(params, &seed);
    let mut small = Zeroizing::new(vec![0; params.n()]);
    prg.errors(params.kernel(), &mut small);
    let mut e = Poly::<Coeff>::zero(params);
    e.set_small(params, &small);
    let mut sum = Secret(e.into_values(params));
    sum.0.mul_accumulate(params, &p1, secret.s());
    let p0 = sum.0.negated(params);
    let public = PublicKey { params: params.clone(), id: secret.id, seed, p0, p1 };
    (secret, public)
}

/// The secret half of what [`generate_keys`] makes of the same randomness; the generator of the public half's errors and its seed.
pub(crate) fn generate_secret(params: &Params, rng: &mut impl CryptoRng) -> (SecretKey, Prg, Seed) {
    let mut prg = Prg::from_rng(rng);
    let mut small = Zeroizing::new(vec![0; params.n()]);
    prg.ternary(&mut small);
    let mut s = Poly::<Coeff>::zero(params);
    s.set_small(params, &small);
    let s = Secret(s.into_values(params));
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    (SecretKey { params: params.clone(), s, id: key_id(&seed) }, prg, seed)
}

fn expand(params: &Params, seed: &Seed) -> Poly<Values> {
    Poly::uniform(params, &mut Prg::new(seed, 0))
}

/// The public identity of a key: part of its public, random seed.
fn key_id(seed: &Seed) -> u64 {
    let mut id = [0; 8];
    id.copy_from_slice(&seed[..8]);
    u64::from_le_bytes(id)
}

impl SecretKey {
    /// Its parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    pub(crate) fn s(&self) -> &Poly<Values> {
        &self.s.0
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl PublicKey {
    const WHAT: &str = "public key";

    /// Its parameters.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Bytes of an encoded key: 8 for the parameters, a seed of 32, one polynomial.
    #[must_use]
    pub fn encoded_bytes(params: &Params) -> usize {
        8 + 32 + params.poly_bytes()
    }

    /// The key as bytes, [`Self::encoded_bytes`] of them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Self::encoded_bytes(&self.params));
        out.extend_from_slice(&self.params.tag().to_le_bytes());
        out.extend_from_slice(&self.seed);
        wire::put_poly(&self.params, &self.p0, &mut out);
        out
    }

    /// The inverse of [`Self::encode`].
    ///
    /// # Errors
    /// If the length is wrong, the parameters differ, or a residue is out of range.
    pub fn decode(params: &Params, bytes: &[u8]) -> Result<Self> {
        wire::check_len(Self::WHAT, bytes.len(), Self::encoded_bytes(params))?;
        let (tag, rest) = bytes.split_at(8);
        if tag != params.tag().to_le_bytes() {
            return Err(Error::malformed(Self::WHAT, "it was made for other parameters"));
        }
        let (head, rest) = rest.split_at(32);
        let mut seed = [0; 32];
        seed.copy_from_slice(head);
        let p0 = wire::take_values(params, Self::WHAT, rest)?;
        Ok(Self { params: params.clone(), id: key_id(&seed), p0, p1: expand(params, &seed), seed })
    }

    pub(crate) fn header(&self, plan: u64) -> Header {
        Header { plan, key: self.id }
    }

    pub(crate) fn p0(&self) -> &Poly<Values> {
        &self.p0
    }

    pub(crate) fn p1(&self) -> &Poly<Values> {
        &self.p1
    }
}
