//! Key-switching keys of the client's rotations, and the server's collection of them.

use std::collections::BTreeMap;

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::keys::{PublicKey, SecretKey};
use crate::mac::Ciphertexts;
use crate::poly::{Coeff, Poly, Secret, Values};
use crate::prg::{Prg, Seed};
use crate::slots::galois::{Permutation, Rotation};
use crate::slots::params::{PRIMES, SlotParams};
use crate::vector;
use crate::wire;
use crate::{Error, Result};

const WHAT: &str = "rotation key";

/// Parameters, key, element, seed.
const HEAD: usize = 8 + 8 + 4 + 32;

/// Bytes of an encoded rotation key: 52 and one polynomial modulo q P for each of the three primes of q, 614,452.
#[must_use]
pub fn rotation_key_bytes(params: &SlotParams) -> usize {
    HEAD + PRIMES * params.switching().poly_bytes()
}

/// The message that lets the server rotate the client's ciphertexts, [`rotation_key_bytes`] long, once a session and rotation.
///
/// For each prime p_i of q an encryption of P T_i s under g^-1(s), modulo q P, where T_i is 1 modulo p_i and 0 modulo the
/// others: the *hybrid* key switching of Gentry, Halevi and Smart (CRYPTO 2012) with one digit a prime. Keys are made for the inverse
/// automorphism, so that the server multiplies first and permutes the result once.
///
/// # Errors
/// If the key has other parameters or there is no such rotation.
pub fn encode_rotation_key(
    params: &SlotParams,
    key: &SecretKey,
    rotation: Rotation,
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>> {
    check_rotation(rotation)?;
    if key.params() != params.scheme() {
        return Err(Error::Mismatch { what: "keys", of: "parameters" });
    }
    let switching = params.switching();
    let s = extended(params, key);
    let g = rotation.element();
    let mut source = Secret(Poly::zero(switching));
    Permutation::new(Permutation::inverse(g)).apply(switching, &s.0, &mut source.0);

    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let mut out = Vec::with_capacity(rotation_key_bytes(params));
    out.extend_from_slice(&params.tag().to_le_bytes());
    out.extend_from_slice(&key.id().to_le_bytes());
    out.extend_from_slice(&g.to_le_bytes());
    out.extend_from_slice(&seed);
    let mut secrets = Prg::from_rng(rng);
    let mut errors = Zeroizing::new(vec![0; switching.n()]);
    let special = switching.limbs()[PRIMES].modulus.value();
    for i in 0..PRIMES {
        secrets.errors(switching.kernel(), &mut errors);
        let mut sum = Poly::<Coeff>::zero(switching);
        sum.set_small(switching, &errors);
        let mut sum = Secret(sum.into_values(switching));
        sum.0.mul_accumulate(switching, &uniform(params, &seed, i), &source.0);
        let mut b = Secret(sum.0.negated(switching));
        let m = switching.limbs()[i].modulus;
        let mut scaled = Zeroizing::new(vec![0; switching.n()]);
        vector::mul_const(switching.kernel(), m, s.0.row(switching, i), m.constant(special), &mut scaled);
        vector::add(switching.kernel(), m, b.0.row_mut(switching, i), &scaled);
        wire::put_poly(switching, &b.0, &mut out);
    }
    Ok(out)
}

fn check_rotation(rotation: Rotation) -> Result<()> {
    if rotation.is_valid() {
        return Ok(());
    }
    Err(Error::Layer { why: format!("{rotation:?} is no rotation of {} slots a row", crate::slots::params::N / 2) })
}

/// The uniform half of part `i` of a key.
fn uniform(params: &SlotParams, seed: &Seed, i: usize) -> Poly<Values> {
    Poly::uniform(params.switching(), &mut Prg::new(seed, i as u64))
}

/// The secret modulo all primes of q P: its coefficients are small, so one prime of q has them all.
fn extended(params: &SlotParams, key: &SecretKey) -> Secret<Values> {
    let (scheme, switching) = (params.scheme(), params.switching());
    let limb = &scheme.limbs()[0];
    let mut row = Zeroizing::new(key.s().row(scheme, 0).to_vec());
    limb.ntt.inverse(&mut row);
    let mut small = Zeroizing::new(vec![0; row.len()]);
    vector::centre(scheme.kernel(), limb.modulus, &row, &mut small);
    let mut s = Poly::<Coeff>::zero(switching);
    s.set_small(switching, &small);
    Secret(s.into_values(switching))
}

/// One key at the server, blocked as the multiply-accumulate reads it.
pub(crate) struct SwitchKey {
    pub(crate) parts: Ciphertexts,
    pub(crate) permutation: Permutation,
}

/// The server's keys for the rotations of one client. Memory: 1.5 MiB each.
pub struct RotationKeys {
    params: SlotParams,
    public: PublicKey,
    keys: BTreeMap<Rotation, SwitchKey>,
}

impl std::fmt::Debug for RotationKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RotationKeys({:?}, {} rotations)", self.public, self.keys.len())
    }
}

impl RotationKeys {
    /// None yet, for the client of this public key.
    ///
    /// # Errors
    /// If the key has other parameters.
    pub fn new(params: &SlotParams, public: &PublicKey) -> Result<Self> {
        if public.params() != params.scheme() {
            return Err(Error::Mismatch { what: "keys", of: "parameters" });
        }
        Ok(Self { params: params.clone(), public: public.clone(), keys: BTreeMap::new() })
    }

    /// Takes the client's message for this rotation.
    ///
    /// # Errors
    /// If the message is not one of [`encode_rotation_key`] for these parameters, this client and this rotation.
    pub fn insert(&mut self, rotation: Rotation, message: &[u8]) -> Result<()> {
        check_rotation(rotation)?;
        let (params, switching) = (&self.params, self.params.switching());
        wire::check_len(WHAT, message.len(), rotation_key_bytes(params))?;
        let (head, bodies) = message.split_at(HEAD);
        let (tag, rest) = head.split_at(8);
        let (id, rest) = rest.split_at(8);
        let (element, rest) = rest.split_at(4);
        if tag != params.tag().to_le_bytes() {
            return Err(Error::malformed(WHAT, "it was made for other parameters"));
        }
        if id != self.public.header(0).key.to_le_bytes() {
            return Err(Error::malformed(WHAT, "it was made with another key"));
        }
        if element != rotation.element().to_le_bytes() {
            return Err(Error::malformed(WHAT, format!("it is not for {rotation:?}")));
        }
        let mut seed = [0; 32];
        seed.copy_from_slice(rest);
        let mut parts = Ciphertexts::new(switching, PRIMES);
        for (i, body) in bodies.chunks_exact(switching.poly_bytes()).enumerate() {
            let b = wire::take_values(switching, WHAT, body)?;
            parts.set(switching, i, &uniform(params, &seed, i), &b);
        }
        let permutation = Permutation::new(rotation.element());
        self.keys.insert(rotation, SwitchKey { parts, permutation });
        Ok(())
    }

    /// Whether the key of this rotation is there.
    #[must_use]
    pub fn contains(&self, rotation: Rotation) -> bool {
        self.keys.contains_key(&rotation)
    }

    /// The client's public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn params(&self) -> &SlotParams {
        &self.params
    }

    pub(crate) fn get(&self, rotation: Rotation) -> Result<&SwitchKey> {
        self.keys.get(&rotation).ok_or(Error::Mismatch { what: "rotation keys", of: "layer" })
    }
}
