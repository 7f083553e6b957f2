//! Arithmetic in GF(2^128) for the consistency checks: inner products, reduced once at the end.

use crate::block::{Block, mask, times_x};
use crate::cipher::Prg;
use crate::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::simd::{clmul_x86, tree_x86};

/// A sum of products, as a polynomial of degree below 255.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum {
    low: Block,
    high: Block,
}

impl Sum {
    /// Adds the products of `a` and `b`, entry by entry.
    pub(crate) fn add_products(&mut self, a: &[Block], b: &[Block]) {
        assert_eq!(a.len(), b.len(), "an inner product is of vectors of one length");
        let (low, high) = products(Level::detect(), a, b);
        self.low ^= low;
        self.high ^= high;
    }

    /// The sum modulo x^128 + x^7 + x^2 + x + 1.
    pub(crate) fn reduce(self) -> Block {
        let h = self.high;
        let spill = h >> 127 ^ h >> 126 ^ h >> 121;
        let fold = |x: Block| x ^ x << 1 ^ x << 2 ^ x << 7;
        self.low ^ fold(h) ^ fold(spill)
    }
}

/// The coefficients that a challenge seed names, used in order.
pub(crate) struct Challenge(Prg);

impl Challenge {
    /// From the digest of a transcript.
    pub(crate) fn new(transcript: &blake3::Hasher) -> Self {
        let mut seed = [0; 16];
        transcript.finalize_xof().fill(&mut seed);
        Self(Prg::new(Block::from_le_bytes(seed)))
    }

    /// The first coefficients.
    pub(crate) fn fill(&self, out: &mut [Block]) {
        self.0.fill(0, out);
    }
}

/// All ones if a = b, else zero, without a branch.
pub(crate) fn equal(a: usize, b: usize) -> Block {
    let difference = (a ^ b) as u64;
    // The top bit of d | -d is set iff d is not zero.
    let unequal = (difference | difference.wrapping_neg()) >> 63;
    Block::from(unequal).wrapping_sub(1)
}

/// The sum of the blocks weighted with 1, x, x^2, ...
pub(crate) fn combine(blocks: &[Block]) -> Block {
    blocks.iter().rev().fold(0, |sum, b| times_x(sum) ^ b)
}

/// The product of two elements.
pub(crate) fn times(a: Block, b: Block) -> Block {
    let mut sum = Sum::default();
    sum.add_products(&[a], &[b]);
    sum.reduce()
}

/// The block at a secret position, or zero beyond the end: all are read.
pub(crate) fn select(position: usize, blocks: &[Block]) -> Block {
    match Level::detect() {
        #[cfg(target_arch = "x86_64")]
        level @ (Level::Avx2 | Level::Avx512) => tree_x86::select(level, position, blocks),
        _ => blocks.iter().enumerate().fold(0, |s, (j, b)| s ^ (b & equal(j, position))),
    }
}

fn products(level: Level, a: &[Block], b: &[Block]) -> (Block, Block) {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => clmul_x86::products(level, a, b),
        _ => a.iter().zip(b).fold((0, 0), |(low, high), (a, b)| {
            let (l, h) = product(*a, *b);
            (low ^ l, high ^ h)
        }),
    }
}

fn product(a: Block, b: Block) -> (Block, Block) {
    let (mut low, mut high) = (0, 0);
    for i in 0..128 {
        let on = mask(b >> i);
        low ^= (a << i) & on;
        // a >> 128 for i = 0 would be no shift of 128 bits: two steps.
        high ^= (a >> 1 >> (127 - i)) & on;
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(n: usize, seed: Block) -> Vec<Block> {
        let mut out = vec![0; n];
        Prg::new(seed).fill(0, &mut out);
        out
    }

    #[test]
    fn every_level_computes_the_same_inner_products() {
        for n in [0, 1, 3, 4, 5, 16, 17, 100, 259] {
            let (a, b) = (blocks(n, 1), blocks(n, 2));
            let expect = products(Level::Scalar, &a, &b);
            for level in Level::all() {
                assert_eq!(products(level, &a, &b), expect, "{level:?} n {n}");
            }
        }
    }

    #[test]
    fn every_level_selects_the_same_block() {
        let xs = blocks(77, 3);
        for level in Level::all() {
            for position in [0, 9, 10, 50, 76, 77, 1000] {
                let expect = xs.get(position).copied().unwrap_or(0);
                assert_eq!(level.force(|| select(position, &xs)), expect, "{level:?} {position}");
            }
        }
    }

    #[test]
    fn a_field_with_the_right_polynomial() {
        assert_eq!(times(1 << 127, 2), 0x87);
        assert_eq!(times(1 << 127, 1 << 127), times(times(1 << 64, 1 << 64), times(1 << 63, 1 << 63)));
        let [a, b, c] = [5, 6, 7].map(|s| blocks(1, s)[0]);
        assert_eq!(times(a, b ^ c), times(a, b) ^ times(a, c));
        assert_eq!(times(times(a, b), c), times(a, times(b, c)));
        assert_eq!(times(a, 2), times_x(a));
        assert_eq!(combine(&[a, b, c]), a ^ times(b, 2) ^ times(c, 4));
    }
}
