//! From base OTs to all-but-one of the 2^k seeds of each block of Δ.
//!
//! For k = 1 the base OTs' keys are the seeds. For k > 1 they open a correlated GGM tree for each block
//! ([`crate::tree`]); in the malicious setting the trees are checked as in SoftSpokenOT: every leaf is
//! stretched to a seed and 32 bytes, the tree's maker sends the sum of these over each tree and a hash over all of them,
//! and the other side, which can compute the missing one from the sum, compares the hash.

use rand::CryptoRng;
use si_wire::Channel;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Variant;
use crate::base;
use crate::block::{self, BLOCK_BYTES, Block, mask};
use crate::gf128::equal;
use crate::session::Session;
use crate::tree::{self, TreeHash};
use crate::{Error, Result};

/// The name of the check in errors.
const NAME: &str = "OT extension: the trees of seeds are the same for every path";

const HASH_BYTES: usize = 32;

/// What a leaf is stretched to beside its seed.
type Tag = [Block; 2];

/// The maker's side (the receiver of the extension): all seeds, block by block.
pub(super) fn send(
    ch: &mut Channel,
    rng: &mut impl CryptoRng,
    session: &Session,
    variant: Variant,
    keys: &[[Block; 2]],
) -> Result<Zeroizing<Vec<Block>>> {
    let k = variant.field_bits;
    let mut seeds = Zeroizing::new(vec![0; (base::COUNT / k) << k]);
    let blocks = seeds.chunks_exact_mut(1 << k).zip(keys.chunks_exact(k));
    if k == 1 {
        // Whoever chose δ knows the seed of the other field element.
        blocks.for_each(|(seeds, keys)| seeds.copy_from_slice(&[keys[0][1], keys[0][0]]));
        return Ok(seeds);
    }
    let hash = TreeHash::new(session.key("tree"));
    let mut message = Vec::new();
    for (seeds, keys) in blocks {
        let (root, delta) = (block::random(rng), block::random(rng));
        let mut left_sums = Zeroizing::new(vec![0; k]);
        tree::expand(&hash, root, delta, seeds, &mut left_sums);
        for (key, left) in keys.iter().zip(left_sums.iter()) {
            // A chosen 0 means that the path goes left: its holder may know the right side.
            block::encode(&[key[0] ^ left ^ delta, key[1] ^ left], &mut message);
        }
    }
    ch.send(&message)?;
    if variant.malicious {
        let tags = stretch(session, &mut seeds);
        let mut proof = Vec::new();
        for tags in tags.chunks_exact(1 << k) {
            block::encode(&sum(tags), &mut proof);
        }
        proof.extend_from_slice(&digest(session, &tags));
        ch.send(&proof)?;
    }
    ch.flush()?;
    Ok(seeds)
}

/// The other side (the sender of the extension): the seed at y of each block is that of field element y + δ; the one at
/// y = 0 is not known.
pub(super) fn receive(
    ch: &mut Channel,
    session: &Session,
    variant: Variant,
    delta: Block,
    keys: &[Block],
) -> Result<Zeroizing<Vec<Block>>> {
    let k = variant.field_bits;
    let mut seeds = Zeroizing::new(vec![0; (base::COUNT / k) << k]);
    if k == 1 {
        seeds.chunks_exact_mut(2).zip(keys).for_each(|(seeds, key)| seeds[1] = *key);
        return Ok(seeds);
    }
    let missing = |b: usize| (delta >> (b * k)) as usize & ((1 << k) - 1);
    let hash = TreeHash::new(session.key("tree"));
    let bytes = ch.recv_exact("tree corrections", 2 * base::COUNT * BLOCK_BYTES)?;
    let corrections: Vec<Block> = block::decode(&bytes).collect();
    for (b, (seeds, keys)) in seeds.chunks_exact_mut(1 << k).zip(keys.chunks_exact(k)).enumerate() {
        let sides = corrections[2 * b * k..].chunks_exact(2);
        let known = keys.iter().zip(sides).enumerate().map(|(i, (key, sides))| {
            let chosen = mask(delta >> (b * k + i));
            key ^ (sides[0] & !chosen) ^ (sides[1] & chosen)
        });
        let known: Zeroizing<Vec<Block>> = Zeroizing::new(known.collect());
        tree::expand_punctured(&hash, missing(b), &known, seeds).pay(seeds);
    }
    if variant.malicious {
        let proof = ch.recv_exact("tree check", base::COUNT / k * 2 * BLOCK_BYTES + HASH_BYTES)?;
        let (sums, expected) = proof.split_at(proof.len() - HASH_BYTES);
        let sums: Vec<Block> = block::decode(sums).collect();
        let mut tags = stretch(session, &mut seeds);
        for (b, (tags, theirs)) in tags.chunks_exact_mut(1 << k).zip(sums.chunks_exact(2)).enumerate() {
            let ours = sum(tags);
            for (j, tag) in tags.iter_mut().enumerate() {
                let here = equal(j, missing(b));
                tag[0] ^= (ours[0] ^ theirs[0]) & here;
                tag[1] ^= (ours[1] ^ theirs[1]) & here;
            }
        }
        if !bool::from(digest(session, &tags).ct_eq(expected)) {
            return Err(Error::Check { check: NAME, peer: ch.peer().to_owned() });
        }
    }
    seeds.chunks_exact_mut(1 << k).enumerate().for_each(|(b, seeds)| relabel(missing(b), seeds));
    Ok(seeds)
}

/// Replaces every leaf by its seed; returns the tags.
fn stretch(session: &Session, leaves: &mut [Block]) -> Zeroizing<Vec<Tag>> {
    let hasher = session.transcript("leaf of a tree of seeds");
    let tag = |leaf: &mut Block| {
        let mut out = Zeroizing::new([0; 3 * BLOCK_BYTES]);
        hasher.clone().update(&leaf.to_le_bytes()).finalize_xof().fill(&mut *out);
        let mut parts = block::decode(&*out);
        let mut next = || parts.next().unwrap_or_default();
        *leaf = next();
        [next(), next()]
    };
    Zeroizing::new(leaves.iter_mut().map(tag).collect())
}

fn sum(tags: &[Tag]) -> Tag {
    tags.iter().fold([0; 2], |s, t| [s[0] ^ t[0], s[1] ^ t[1]])
}

fn digest(session: &Session, tags: &[Tag]) -> [u8; HASH_BYTES] {
    let mut hasher = session.transcript("tags of the trees of seeds");
    for tag in tags {
        hasher.update(&tag[0].to_le_bytes()).update(&tag[1].to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Moves the entry at x to x ^ position, without an address that depends on `position`.
fn relabel(position: usize, entries: &mut [Block]) {
    for level in 0..entries.len().trailing_zeros() {
        let (half, swap) = (1 << level, mask((position >> level) as Block));
        for pair in entries.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (l, h) in low.iter_mut().zip(high) {
                let difference = (*l ^ *h) & swap;
                *l ^= difference;
                *h ^= difference;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relabelling_moves_every_entry() {
        for position in 0..16usize {
            let mut entries: Vec<Block> = (0..16).collect();
            relabel(position, &mut entries);
            assert!(entries.iter().enumerate().all(|(i, e)| *e == (i ^ position) as Block));
        }
    }
}
