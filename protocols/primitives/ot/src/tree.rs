//! Correlated GGM trees: Guo, Yang, Wang, Zhang, Xie, Zhou, "Half-Tree" (EUROCRYPT 2023), figure 3.
//!
//! A node x has the children H(x) and x ^ H(x), so the nodes of every level add up to the same Δ, and a tree of N
//! leaves takes N hashes. The children of node j of a level of w nodes are j (left) and j + w (right): the position of
//! a node is its path, first step lowest, and a level is expanded in place by straight passes.

use crate::block::{Block, CLEAR_LSB, mask};
use crate::cipher::{Breaker, Hash};
use crate::gf128::equal;

/// A change that the parents of a level are owed: `value` is to be XORed in at `position`, which is secret.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fix {
    pub(crate) position: usize,
    pub(crate) value: Block,
}

/// The hash of the trees, MMO, under a public key.
pub(crate) struct TreeHash {
    hash: Hash,
    /// H(0): the left child, and the right one, of a zero that stands for a node that is not known.
    of_zero: Block,
}

impl TreeHash {
    pub(crate) fn new(key: Block) -> Self {
        let hash = Hash::new(key, Breaker::Mmo);
        let mut of_zero = [0];
        hash.hash(0, 1, &mut of_zero);
        Self { hash, of_zero: of_zero[0] }
    }

    /// Applies the fixes to the parents, replaces them by their left children and writes the right ones; returns the
    /// sums of both.
    fn level(&self, fixes: Option<&[Fix; 2]>, left: &mut [Block], right: &mut [Block]) -> (Block, Block) {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernels) = self.hash.kernels() {
            return kernels.level(fixes, left, right);
        }
        if let Some(fixes) = fixes {
            apply(fixes, left);
        }
        right.copy_from_slice(left);
        self.hash.hash(0, 1, left);
        let mut sums = (0, 0);
        for (l, r) in left.iter().zip(right) {
            *r ^= l;
            sums.0 ^= l;
            sums.1 ^= *r;
        }
        sums
    }
}

/// Fills `leaves` (a power of two, at least 2) from a root pair that adds up to `delta`, and `left_sums` with the sum
/// of the left nodes of each level.
pub(crate) fn expand(hash: &TreeHash, root: Block, delta: Block, leaves: &mut [Block], left_sums: &mut [Block]) {
    debug_assert_eq!(leaves.len(), 1 << left_sums.len());
    leaves[0] = root;
    leaves[1] = root ^ delta;
    left_sums[0] = root;
    for (level, sum) in left_sums.iter_mut().enumerate().skip(1) {
        let (left, right) = leaves[..2 << level].split_at_mut(1 << level);
        *sum = hash.level(None, left, right).0;
    }
}

/// The same tree without the leaf at `position`: `known[i]` is the sum of the nodes of level i on the side that the path
/// to `position` does not take. Neither branches nor addresses depend on `position`. Two leaves are still owed a fix.
pub(crate) fn expand_punctured(hash: &TreeHash, position: usize, known: &[Block], leaves: &mut [Block]) -> Owed {
    debug_assert_eq!(leaves.len(), 1 << known.len());
    let takes_right = |level: usize| mask((position >> level) as Block);
    leaves[0] = known[0] & takes_right(0);
    leaves[1] = known[0] & !takes_right(0);
    let junk = hash.of_zero;
    let (mut fixes, mut sum) = ([Fix::default(); 2], known[0]);
    for (level, known) in known.iter().enumerate().skip(1) {
        let width = 1 << level;
        let (left, right) = leaves[..2 * width].split_at_mut(width);
        let (left_sum, right_sum) = hash.level(Some(&fixes), left, right);
        let right_path = takes_right(level);
        let sibling = known ^ (left_sum & right_path) ^ (right_sum & !right_path) ^ junk;
        let left_position = position & (width - 1);
        fixes = [
            Fix { position: left_position, value: junk ^ (sibling & right_path) },
            Fix { position: left_position + width, value: junk ^ (sibling & !right_path) },
        ];
        sum = left_sum ^ right_sum ^ fixes[0].value ^ fixes[1].value;
    }
    Owed { position, fixes, sum }
}

/// What the leaves of a punctured tree are owed.
pub(crate) struct Owed {
    position: usize,
    fixes: [Fix; 2],
    /// The sum of the leaves once that is done.
    sum: Block,
}

impl Owed {
    /// Makes the leaf at the missing position zero and all others right.
    pub(crate) fn pay(&self, leaves: &mut [Block]) {
        apply(&self.fixes, leaves);
    }

    /// Makes correlated OTs of the leaves: the lowest bits are cleared, and the missing leaf becomes the sender's plus
    /// Δ, which is the sum of all others, with the lowest bit set.
    pub(crate) fn finish(&self, hash: &TreeHash, leaves: &mut [Block]) {
        let missing = Fix { position: self.position, value: (self.sum & CLEAR_LSB) | 1 };
        #[cfg(target_arch = "x86_64")]
        if let Some(kernels) = hash.hash.kernels() {
            return kernels.finish(&self.fixes, missing, leaves);
        }
        self.pay(leaves);
        finish(leaves);
        for (j, l) in leaves.iter_mut().enumerate() {
            *l ^= missing.value & equal(j, missing.position);
        }
    }
}

fn apply(fixes: &[Fix; 2], leaves: &mut [Block]) {
    for (j, l) in leaves.iter_mut().enumerate() {
        *l ^= fixes.iter().fold(0, |x, f| x ^ (f.value & equal(j, f.position)));
    }
}

/// Makes correlated OTs of the sender's leaves: the lowest bits are cleared.
pub(crate) fn finish(leaves: &mut [Block]) {
    leaves.iter_mut().for_each(|l| *l &= CLEAR_LSB);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

    const DELTA: Block = 0x1234_5678_9ABC_DEF0_0F1E_2D3C_4B5A_6979;

    fn full(hash: &TreeHash, depth: usize) -> (Vec<Block>, Vec<Block>) {
        let (mut leaves, mut sums) = (vec![0; 1 << depth], vec![0; depth]);
        expand(hash, 42, DELTA, &mut leaves, &mut sums);
        (leaves, sums)
    }

    #[test]
    fn a_punctured_tree_misses_one_leaf_and_gains_delta() {
        for level in Level::all() {
            let hash = level.force(|| TreeHash::new(77));
            for depth in [1, 2, 3, 7, 10] {
                let (leaves, sums) = full(&hash, depth);
                assert_eq!(leaves.iter().fold(0, |a, b| a ^ b), DELTA);
                for position in [0, 1, leaves.len() / 3, leaves.len() - 1] {
                    let side = |(i, s): (usize, &Block)| if position >> i & 1 == 1 { *s } else { s ^ DELTA };
                    let known: Vec<Block> = sums.iter().enumerate().map(side).collect();
                    let mut punctured = vec![0; 1 << depth];
                    let owed = expand_punctured(&hash, position, &known, &mut punctured);
                    let mut finished = punctured.clone();
                    owed.pay(&mut punctured);
                    for (j, (p, l)) in punctured.iter().zip(&leaves).enumerate() {
                        assert_eq!(
                            *p,
                            if j == position { 0 } else { *l },
                            "depth {depth} position {position} leaf {j}"
                        );
                    }
                    owed.finish(&hash, &mut finished);
                    let mut full = leaves.clone();
                    finish(&mut full);
                    for (j, (p, l)) in finished.iter().zip(&full).enumerate() {
                        assert_eq!(p ^ l, if j == position { DELTA } else { 0 });
                    }
                }
            }
        }
    }

    #[test]
    fn every_level_grows_the_same_tree() {
        let expect = full(&Level::Scalar.force(|| TreeHash::new(5)), 9);
        for level in Level::all() {
            assert_eq!(full(&level.force(|| TreeHash::new(5)), 9), expect, "{level:?}");
        }
    }
}
