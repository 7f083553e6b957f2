//! AES-128 as a stream (PRG) and, with a public key, as a permutation for correlation-robust hashing.

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};

use crate::block::Block;
use crate::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::simd::aes_x86::X86Aes;

/// Blocks encrypted together by the portable code (local).
const BATCH: usize = 64;

/// The linear orthomorphism σ(L || R) = (L ^ R) || L, L the high half: both σ and x -> σ(x) ^ x are bijections.
#[inline(always)]
pub(crate) const fn sigma(x: Block) -> Block {
    let (high, low) = ((x >> 64) as u64, x as u64);
    ((high ^ low) as Block) << 64 | high as Block
}

/// AES-128 under one key, with the kernels that this processor has.
enum Aes {
    Portable(Box<Aes128Enc>),
    #[cfg(target_arch = "x86_64")]
    X86(X86Aes),
}

impl Aes {
    fn new(key: Block) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(aes) = X86Aes::new(key, Level::detect()) {
            return Self::X86(aes);
        }
        Self::Portable(Box::new(Aes128Enc::new(&key.to_le_bytes().into())))
    }
}

/// AES-128 in counter mode under a secret key: a pseudorandom generator that can be entered at any block.
pub(crate) struct Prg(Aes);

impl Prg {
    pub(crate) fn new(seed: Block) -> Self {
        Self(Aes::new(seed))
    }

    /// Blocks `first..first + out.len()` of the stream.
    pub(crate) fn fill(&self, first: u64, out: &mut [Block]) {
        match &self.0 {
            #[cfg(target_arch = "x86_64")]
            Aes::X86(aes) => aes.ctr(first, out),
            Aes::Portable(aes) => {
                for (i, o) in out.iter_mut().enumerate() {
                    *o = Block::from(first + i as u64);
                }
                encrypt(aes, out);
            }
        }
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
    aes: Aes,
    kind: Breaker,
}

impl Hash {
    pub(crate) fn new(key: Block, kind: Breaker) -> Self {
        Self { aes: Aes::new(key), kind }
    }

    /// Replaces each block by its hash; block i has the tweak `first_tweak + i / per_tweak`.
    pub(crate) fn hash(&self, first_tweak: u64, per_tweak: usize, blocks: &mut [Block]) {
        match (&self.aes, self.kind) {
            #[cfg(target_arch = "x86_64")]
            (Aes::X86(aes), Breaker::Mmo) => aes.mmo(blocks),
            #[cfg(target_arch = "x86_64")]
            (Aes::X86(aes), Breaker::Tmmo) => aes.tmmo(first_tweak, per_tweak, blocks),
            (Aes::Portable(aes), Breaker::Mmo) => mmo(aes, blocks),
            (Aes::Portable(aes), Breaker::Tmmo) => tmmo(aes, first_tweak, per_tweak, blocks),
        }
    }

    /// The kernels that expand trees, if the processor has any.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn kernels(&self) -> Option<&X86Aes> {
        match &self.aes {
            Aes::X86(aes) => Some(aes),
            Aes::Portable(_) => None,
        }
    }
}

fn mmo(aes: &Aes128Enc, blocks: &mut [Block]) {
    let mut keep = [0; BATCH];
    for batch in blocks.chunks_mut(BATCH) {
        for (k, b) in keep.iter_mut().zip(batch.iter_mut()) {
            *b = sigma(*b);
            *k = *b;
        }
        encrypt(aes, batch);
        for (k, b) in keep.iter().zip(batch) {
            *b ^= k;
        }
    }
}

fn tmmo(aes: &Aes128Enc, first_tweak: u64, per_tweak: usize, blocks: &mut [Block]) {
    let mut keep = [0; BATCH];
    for (n, batch) in blocks.chunks_mut(BATCH).enumerate() {
        encrypt(aes, batch);
        for (i, (k, b)) in keep.iter_mut().zip(batch.iter_mut()).enumerate() {
            *k = *b;
            *b ^= Block::from(first_tweak + ((n * BATCH + i) / per_tweak) as u64);
        }
        encrypt(aes, batch);
        for (k, b) in keep.iter().zip(batch) {
            *b ^= k;
        }
    }
}

fn encrypt(aes: &Aes128Enc, blocks: &mut [Block]) {
    // The bytes of a block are its little-endian ones; the crate does not build where memory has another order.
    let (arrays, _) = bytemuck::cast_slice_mut::<Block, u8>(blocks).as_chunks_mut::<16>();
    aes.encrypt_blocks(aes::cipher::array::Array::cast_slice_from_core_mut(arrays));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Independent of the kernels: one block at a time through the `aes` crate.
    fn aes(key: Block, x: Block) -> Block {
        let mut block = x.to_le_bytes().into();
        Aes128Enc::new(&key.to_le_bytes().into()).encrypt_block(&mut block);
        Block::from_le_bytes(block.into())
    }

    fn blocks(n: usize) -> Vec<Block> {
        (0..n as Block).map(|i| (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)).collect()
    }

    const KEY: Block = 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100;
    const SIZES: [usize; 12] = [0, 1, 2, 3, 4, 5, 31, 32, 33, 63, 130, 257];

    #[test]
    fn sigma_is_an_orthomorphism_with_a_known_value() {
        assert_eq!(sigma(1 << 64), 1 << 64 | 1);
        assert_eq!(sigma(1), 1 << 64);
    }

    #[test]
    fn every_level_streams_what_the_aes_crate_does() {
        for level in Level::all() {
            for n in SIZES {
                let mut out = vec![7; n];
                let first = u64::from(u32::MAX) - 3;
                level.force(|| Prg::new(KEY)).fill(first, &mut out);
                let expect: Vec<Block> = (0..n).map(|i| aes(KEY, Block::from(first) + i as Block)).collect();
                assert_eq!(out, expect, "{level:?} n {n}");
            }
        }
    }

    #[test]
    fn every_level_hashes_as_defined() {
        for level in Level::all() {
            for n in SIZES {
                let mut out = blocks(n);
                level.force(|| Hash::new(KEY, Breaker::Mmo)).hash(9, 1, &mut out);
                let expect: Vec<Block> = blocks(n).into_iter().map(|x| aes(KEY, sigma(x)) ^ sigma(x)).collect();
                assert_eq!(out, expect, "{level:?} n {n}");
                for per in [1, 3, 16] {
                    let mut out = blocks(n);
                    level.force(|| Hash::new(KEY, Breaker::Tmmo)).hash(9, per, &mut out);
                    let one = |(i, x)| aes(KEY, aes(KEY, x) ^ (9 + i as Block / per as Block)) ^ aes(KEY, x);
                    let expect: Vec<Block> = blocks(n).into_iter().enumerate().map(one).collect();
                    assert_eq!(out, expect, "{level:?} n {n} per {per}");
                }
            }
        }
    }
}
