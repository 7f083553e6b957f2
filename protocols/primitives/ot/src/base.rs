//! Base OT: 128 random OTs on the ristretto255 group, secure against malicious parties.
//!
//! Canetti, Sarkar, Wang, "Blazing Fast OT for Three-Round UC OT Extension" (PKC 2020), protocol for OT with selective
//! failure (F_SFROT), which is what OT extension needs: UC under CDH in the observable random-oracle model. A sender
//! that guesses choice bits is caught unless every guess is right; in an extension those are bits of Δ, and c of them
//! are guessed with probability 2^-c. Their argument needs more than 2σ instances (σ the statistical parameter); ours are 128.
//!
//! Messages: receiver -> sender: seed, 128 points (4128 B); sender -> receiver: point, 128 challenges, proof (2112 B);
//! receiver -> sender: answer (32 B). Deviations: encodings are of doubled points, which are inverted in one batch; the
//! random oracles are BLAKE3 with a context each, over the whole transcript so far instead of a session name.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use rand::CryptoRng;
use si_wire::Channel;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use zeroize::Zeroizing;

use crate::block::{self, Block, mask};
use crate::{Error, Result};

/// Number of base OTs (security): the computational parameter κ.
pub(crate) const COUNT: usize = 128;

const POINT_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
const RECEIVER_BYTES: usize = HASH_BYTES + COUNT * POINT_BYTES;
const SENDER_BYTES: usize = POINT_BYTES + COUNT * block::BLOCK_BYTES + HASH_BYTES;

/// The sender's side of 128 random OTs.
pub(crate) struct BaseSender {
    /// Both keys of each instance.
    pub(crate) keys: Zeroizing<Vec<[Block; 2]>>,
    /// A digest of the transcript, the same at both parties.
    pub(crate) session: [u8; HASH_BYTES],
}

/// The receiver's side of 128 random OTs.
pub(crate) struct BaseReceiver {
    /// The chosen key of each instance.
    pub(crate) keys: Zeroizing<Vec<Block>>,
    /// A digest of the transcript, the same at both parties.
    pub(crate) session: [u8; HASH_BYTES],
}

/// 128 random OTs as the sender; the receiver speaks first.
///
/// # Errors
/// If the connection fails, a group element is not a canonical encoding, or the receiver's answer is wrong.
pub(crate) fn send(ch: &mut Channel, rng: &mut impl CryptoRng) -> Result<BaseSender> {
    let first = ch.recv_exact("base OT points", RECEIVER_BYTES)?;
    let (seed, points) = first.split_at(HASH_BYTES);
    let points = points.chunks_exact(POINT_BYTES).map(|p| point(ch, p)).collect::<Result<Vec<RistrettoPoint>>>()?;

    let r = Zeroizing::new(Scalar::random(rng));
    let z = RistrettoPoint::mul_base(&r).compress();
    let session = session(&first, z.as_bytes());
    let t_r = trapdoor(seed) * *r;
    let rho: Vec<RistrettoPoint> = points.iter().map(|b| b * *r).flat_map(|p| [p, p - t_r]).collect();
    let rho = Zeroizing::new(RistrettoPoint::double_and_compress_batch(&rho));
    let keys: Zeroizing<Vec<[Block; 2]>> = Zeroizing::new(
        rho.chunks_exact(2).enumerate().map(|(i, p)| [key(&session, i, &p[0]), key(&session, i, &p[1])]).collect(),
    );

    let tags: Zeroizing<Vec<[Block; 2]>> = Zeroizing::new(
        keys.iter().enumerate().map(|(i, k)| [tag(&session, i, k[0]), tag(&session, i, k[1])]).collect(),
    );
    let answer = aggregate(&session, tags.iter().map(|t| t[0]));
    let mut message = Vec::with_capacity(SENDER_BYTES);
    message.extend_from_slice(z.as_bytes());
    for t in tags.iter() {
        message.extend_from_slice(&(t[0] ^ t[1]).to_le_bytes());
    }
    message.extend_from_slice(&proof(&answer));
    ch.send(&message)?;

    let theirs = ch.recv_exact("base OT answer", HASH_BYTES)?;
    if !bool::from(theirs.ct_eq(&answer)) {
        return Err(Error::Check {
            check: "base OT: the receiver knows a key of every instance",
            peer: ch.peer().to_owned(),
        });
    }
    Ok(BaseSender { keys, session })
}

/// 128 random OTs as the receiver with choice bits 0..128 of `choices`.
///
/// # Errors
/// If the connection fails, a group element is not a canonical encoding, or the sender's proof is wrong.
pub(crate) fn receive(ch: &mut Channel, rng: &mut impl CryptoRng, choices: Block) -> Result<BaseReceiver> {
    let mut seed = [0; HASH_BYTES];
    rng.fill_bytes(&mut seed);
    let t = trapdoor(&seed);
    // The encodings are of doubled points, so T enters with half its value.
    let half_t = t * Scalar::from(2u64).invert();
    let scalars: Zeroizing<Vec<Scalar>> = Zeroizing::new((0..COUNT).map(|_| Scalar::random(rng)).collect());
    let points: Vec<RistrettoPoint> = scalars
        .iter()
        .enumerate()
        .map(|(i, a)| {
            let bare = RistrettoPoint::mul_base(a);
            RistrettoPoint::conditional_select(&bare, &(bare + half_t), choice(choices, i))
        })
        .collect();
    let mut first = seed.to_vec();
    for p in RistrettoPoint::double_and_compress_batch(&points) {
        first.extend_from_slice(p.as_bytes());
    }
    ch.send(&first)?;

    let second = ch.recv_exact("base OT challenges", SENDER_BYTES)?;
    let (z, rest) = second.split_at(POINT_BYTES);
    let (challenges, proof_bytes) = rest.split_at(COUNT * block::BLOCK_BYTES);
    let session = session(&first, z);
    // Multiplying one point by 128 scalars pays for a table.
    let z = RistrettoBasepointTable::create(&point(ch, z)?);
    let rho: Vec<RistrettoPoint> = scalars.iter().map(|a| &(a + a) * &z).collect();
    let rho = Zeroizing::new(RistrettoPoint::double_and_compress_batch(&rho));
    let keys: Zeroizing<Vec<Block>> =
        Zeroizing::new(rho.iter().enumerate().map(|(i, p)| key(&session, i, p)).collect());

    let responses = keys
        .iter()
        .zip(block::decode(challenges))
        .enumerate()
        .map(|(i, (k, c))| tag(&session, i, *k) ^ (c & mask(choices >> i)));
    let answer = aggregate(&session, responses);
    if !bool::from(proof(&answer).ct_eq(proof_bytes)) {
        return Err(Error::Check {
            check: "base OT: the sender's challenges are those of its keys",
            peer: ch.peer().to_owned(),
        });
    }
    ch.send(&answer)?;
    ch.flush()?;
    Ok(BaseReceiver { keys, session })
}

fn choice(choices: Block, i: usize) -> Choice {
    Choice::from((choices >> i) as u8 & 1)
}

/// Decodes a point: canonical encodings of elements other than zero only.
fn point(ch: &Channel, bytes: &[u8]) -> Result<RistrettoPoint> {
    let decoded = CompressedRistretto::from_slice(bytes).ok().and_then(|c| c.decompress());
    match decoded {
        Some(p) if !p.is_identity() => Ok(p),
        _ => Err(ch.malformed("base OT group element", "not a canonical encoding of a non-zero element").into()),
    }
}

/// The point T of unknown discrete logarithm.
fn trapdoor(seed: &[u8]) -> RistrettoPoint {
    let mut wide = [0; 64];
    blake3::Hasher::new_derive_key("si-ot base OT: point of unknown logarithm")
        .update(seed)
        .finalize_xof()
        .fill(&mut wide);
    RistrettoPoint::from_uniform_bytes(&wide)
}

fn session(first: &[u8], z: &[u8]) -> [u8; HASH_BYTES] {
    *blake3::Hasher::new_derive_key("si-ot base OT: transcript").update(first).update(z).finalize().as_bytes()
}

fn key(session: &[u8; HASH_BYTES], i: usize, rho: &CompressedRistretto) -> Block {
    short(blake3::Hasher::new_keyed(session).update(b"key").update(&(i as u64).to_le_bytes()).update(rho.as_bytes()))
}

fn tag(session: &[u8; HASH_BYTES], i: usize, key: Block) -> Block {
    short(
        blake3::Hasher::new_keyed(session).update(b"tag").update(&(i as u64).to_le_bytes()).update(&key.to_le_bytes()),
    )
}

fn short(hasher: &blake3::Hasher) -> Block {
    let mut bytes = [0; block::BLOCK_BYTES];
    hasher.finalize_xof().fill(&mut bytes);
    Block::from_le_bytes(bytes)
}

fn aggregate(session: &[u8; HASH_BYTES], tags: impl Iterator<Item = Block>) -> [u8; HASH_BYTES] {
    let mut hasher = blake3::Hasher::new_keyed(session);
    hasher.update(b"all");
    tags.for_each(|t| {
        hasher.update(&t.to_le_bytes());
    });
    *hasher.finalize().as_bytes()
}

fn proof(answer: &[u8; HASH_BYTES]) -> [u8; HASH_BYTES] {
    *blake3::Hasher::new_derive_key("si-ot base OT: proof").update(answer).finalize().as_bytes()
}
