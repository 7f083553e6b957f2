//! AES-128 as a stream (PRG) and, with a public key, as a permutation for correlation-robust hashing.

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

use crate::block::Block;

/// Blocks encrypted together (local).
const BATCH: usize = 64;

/// The linear orthomorphism σ(L || R) = (L ^ R) || L, L the high half: both σ and x -> σ(x) ^ x are bijections.
#[inline(always)]
pub(crate) const fn sigma(x: Block) -> Block {
    let (high, low) = ((x >> 64) as u64, x as u64);
    ((high ^ low) as Block) << 64 | high as Block
}

/// AES-128 in counter mode under a secret key: a pseudorandom generator that can be entered at any block.
pub(crate) struct Prg {
    aes: Aes128Enc,
}

impl Prg {
    pub(crate) fn new(seed: Block) -> Self {
        Self { aes: Aes128Enc::new(&seed.to_le_bytes().into()) }
    }

    /// Blocks `first..first + out.len()` of the stream.
    pub(crate) fn fill(&self, first: u64, out: &mut [Block]) {
        for (i, o) in out.iter_mut().enumerate() {
            *o = Block::from(first + i as u64);
        }
        encrypt(&self.aes, out);
    }
}

/// Which hash breaks the correlation of the OTs' keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaker {
    /// MMO: H(x) = π(σ(x)) ^ σ(x), correlation robust (Guo, Katz, Wang, Yu, S&P 2020, section 7.3): semi-honest parties.
    Mmo,
    /// TMMO: H(i, x) = π(π(x) ^ i) ^ π(x), tweakable correlation robust (the same paper, section 7.4): malicious parties.
    Tmmo,
}

/// A hash from a permutation π = AES under a public key.
pub(crate) struct Hash {
    aes: Aes128Enc,
    kind: Breaker,
}

impl Hash {
    pub(crate) fn new(key: Block, kind: Breaker) -> Self {
        Self { aes: Aes128Enc::new(&key.to_le_bytes().into()), kind }
    }

    /// Replaces each block by its hash; block i has the tweak `first_tweak + i / per_tweak`.
    pub(crate) fn hash(&self, first_tweak: u64, per_tweak: usize, blocks: &mut [Block]) {
        match self.kind {
            Breaker::Mmo => self.mmo(blocks),
            Breaker::Tmmo => self.tmmo(first_tweak, per_tweak, blocks),
        }
    }

    fn mmo(&self, blocks: &mut [Block]) {
        let mut keep = [0; BATCH];
        for batch in blocks.chunks_mut(BATCH) {
            for (k, b) in keep.iter_mut().zip(batch.iter_mut()) {
                *b = sigma(*b);
                *k = *b;
            }
            encrypt(&self.aes, batch);
            for (k, b) in keep.iter().zip(batch) {
                *b ^= k;
            }
        }
    }

    fn tmmo(&self, first_tweak: u64, per_tweak: usize, blocks: &mut [Block]) {
        let mut keep = [0; BATCH];
        for (n, batch) in blocks.chunks_mut(BATCH).enumerate() {
            encrypt(&self.aes, batch);
            for (i, (k, b)) in keep.iter_mut().zip(batch.iter_mut()).enumerate() {
                *k = *b;
                *b ^= Block::from(first_tweak + ((n * BATCH + i) / per_tweak) as u64);
            }
            encrypt(&self.aes, batch);
            for (k, b) in keep.iter().zip(batch) {
                *b ^= k;
            }
        }
    }
}

fn encrypt(aes: &Aes128Enc, blocks: &mut [Block]) {
    // The bytes of a block are its little-endian ones; on this side of the cast they are only ever moved as bytes.
    let bytes: &mut [aes::Block] = cast(blocks);
    aes.encrypt_blocks(bytes);
}

#[cfg(target_endian = "little")]
fn cast(blocks: &mut [Block]) -> &mut [aes::Block] {
    let (arrays, rest) = bytemuck::cast_slice_mut::<Block, u8>(blocks).as_chunks_mut::<16>();
    debug_assert!(rest.is_empty());
    aes::cipher::array::Array::cast_slice_from_core_mut(arrays)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigma_is_an_orthomorphism_with_a_known_value() {
        assert_eq!(sigma(1 << 64), 1 << 64 | 1);
        assert_eq!(sigma(1), 1 << 64);
    }
}
