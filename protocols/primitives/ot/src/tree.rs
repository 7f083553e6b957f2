//! Correlated GGM trees: Guo, Yang, Wang, Zhang, Xie, Zhou, "Half-Tree" (EUROCRYPT 2023), figure 3.
//!
//! A node x has the children H(x) and x ^ H(x), so the nodes of every level add up to the same Δ, and a tree of N
//! leaves takes N hashes. The children of node j of a level of w nodes are j (left) and j + w (right): the position of
//! a node is its path, first step lowest, and a level is expanded in place by straight passes.

use crate::block::{Block, CLEAR_LSB, mask};
use crate::cipher::Hash;

/// Fills `leaves` (a power of two, at least 2) from a root pair that adds up to `delta`, and `left_sums` with the sum
/// of the left nodes of each level.
pub(crate) fn expand(hash: &Hash, root: Block, delta: Block, leaves: &mut [Block], left_sums: &mut [Block]) {
    debug_assert_eq!(leaves.len(), 1 << left_sums.len());
    leaves[0] = root;
    leaves[1] = root ^ delta;
    left_sums[0] = root;
    for (level, sum) in left_sums.iter_mut().enumerate().skip(1) {
        let (left, right) = leaves[..2 << level].split_at_mut(1 << level);
        *sum = children(hash, left, right).0;
    }
}

/// The same tree without the leaf at `position`, which comes out as zero: `known[i]` is the sum of the nodes of level i
/// on the side that the path to `position` does not take. Neither branches nor addresses depend on `position`.
pub(crate) fn expand_punctured(hash: &Hash, position: usize, known: &[Block], leaves: &mut [Block]) {
    debug_assert_eq!(leaves.len(), 1 << known.len());
    let takes_right = |level: usize| mask((position >> level) as Block);
    leaves[0] = known[0] & takes_right(0);
    leaves[1] = known[0] & !takes_right(0);
    let mut junk = [0];
    hash.hash(0, 1, &mut junk);
    let junk = junk[0]; // both children of the zero that stands for the node on the path
    for (level, known) in known.iter().enumerate().skip(1) {
        let width = 1 << level;
        let (left, right) = leaves[..2 * width].split_at_mut(width);
        let (left_sum, right_sum) = children(hash, left, right);
        let path = takes_right(level);
        let sibling = known ^ (left_sum & path) ^ (right_sum & !path) ^ junk;
        let on_path = position & (width - 1);
        for (j, (l, r)) in left.iter_mut().zip(right).enumerate() {
            let here = equal(j, on_path);
            *l ^= here & (junk ^ (sibling & path));
            *r ^= here & (junk ^ (sibling & !path));
        }
    }
}

/// Makes correlated OTs of the sender's leaves: the lowest bits are cleared.
pub(crate) fn finish(leaves: &mut [Block]) {
    leaves.iter_mut().for_each(|l| *l &= CLEAR_LSB);
}

/// Makes correlated OTs of the receiver's leaves: the lowest bits are cleared, and the missing leaf becomes the sender's
/// plus Δ, which is the sum of all others, with the lowest bit set.
pub(crate) fn finish_punctured(position: usize, leaves: &mut [Block]) {
    let mut sum = 0;
    for l in leaves.iter_mut() {
        *l &= CLEAR_LSB;
        sum ^= *l;
    }
    let missing = sum | 1;
    for (j, l) in leaves.iter_mut().enumerate() {
        *l |= equal(j, position) & missing;
    }
}

/// Expands one level; returns the sums of the left and of the right children.
fn children(hash: &Hash, left: &mut [Block], right: &mut [Block]) -> (Block, Block) {
    right.copy_from_slice(left);
    hash.hash(0, 1, left);
    let mut sums = (0, 0);
    for (l, r) in left.iter().zip(right) {
        *r ^= l;
        sums.0 ^= l;
        sums.1 ^= *r;
    }
    sums
}

/// All ones if a = b, else zero.
fn equal(a: usize, b: usize) -> Block {
    let difference = (a ^ b) as u64;
    // The top bit of d | -d is set iff d is not zero.
    let unequal = (difference | difference.wrapping_neg()) >> 63;
    Block::from(unequal).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::Breaker;

    #[test]
    fn a_punctured_tree_misses_one_leaf_and_gains_delta() {
        let hash = Hash::new(77, Breaker::Mmo);
        let delta = 0x1234_5678_9ABC_DEF0_0F1E_2D3C_4B5A_6979;
        for depth in [1, 2, 3, 7, 10] {
            let (mut leaves, mut sums) = (vec![0; 1 << depth], vec![0; depth]);
            expand(&hash, 42, delta, &mut leaves, &mut sums);
            assert_eq!(leaves.iter().fold(0, |a, b| a ^ b), delta);
            for position in [0, 1, leaves.len() / 3, leaves.len() - 1] {
                let known: Vec<Block> =
                    sums.iter().enumerate().map(|(i, s)| if position >> i & 1 == 1 { *s } else { s ^ delta }).collect();
                let mut punctured = vec![0; 1 << depth];
                expand_punctured(&hash, position, &known, &mut punctured);
                for (j, (p, l)) in punctured.iter().zip(&leaves).enumerate() {
                    assert_eq!(*p, if j == position { 0 } else { *l }, "depth {depth} position {position} leaf {j}");
                }
                finish_punctured(position, &mut punctured);
                let mut full = leaves.clone();
                finish(&mut full);
                for (j, (p, l)) in punctured.iter().zip(&full).enumerate() {
                    assert_eq!(p ^ l, if j == position { delta } else { 0 });
                }
            }
        }
    }
}
