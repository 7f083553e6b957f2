//! OT extension from small-field VOLE: Roy, "SoftSpokenOT" (CRYPTO 2022), with fields of 2^k elements; k = 1 is IKNP
//! (Ishai, Kilian, Nissim, Petrank, CRYPTO 2003), and with the check KOS (Keller, Orsini, Scholl, CRYPTO 2015, as revised).
//!
//! For each of the 128 / k blocks of Δ the receiver holds 2^k seeds and the sender all but the one that its k bits of Δ
//! name. Expanded, they give u_b and V_b at the receiver and V_b + δ_b u_b at the sender. The receiver's u_0 are its
//! choices; it sends u_b + u_0 for the other blocks, 128 / k - 1 bits an OT, by which the sender turns u_b into u_0.
//!
//! The lowest bit of Δ is 1, and column 0 is set to the choices at the receiver and to zero at the sender: the choice
//! of each correlated OT travels as the lowest bit of the receiver's block.

mod check;
mod receiver;
mod seeds;
mod sender;

pub(crate) use receiver::SoftSpokenReceiver;
pub(crate) use sender::SoftSpokenSender;

use zeroize::Zeroizing;

use crate::base;
use crate::block::Block;
use crate::cipher::Prg;

/// OTs of one block of a column.
const ROW: usize = 128;

/// OTs are made in tiles of this many times 128 (agreement: it fixes the lengths of the messages).
const TILE: usize = 64;

/// Leaves that are expanded together are 2 to this power (local: 16 KiB a tile).
const GROUP_BITS: usize = 4;

/// Which variant runs, the same at both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// k: 1 or a power of two up to 8.
    pub(crate) field_bits: usize,
    /// Whether the receiver has to prove that it sent the same choices for all blocks of Δ, and the same trees to all.
    pub(crate) malicious: bool,
}

/// The streams of the leaves, and where they stand.
struct Streams {
    field_bits: usize,
    /// 2^k generators for each block; at the sender the first one of each is missing.
    leaves: Vec<Option<Prg>>,
    position: u64,
}

impl Streams {
    /// Without the generator at 0 of each block, if `punctured`.
    fn new(field_bits: usize, seeds: &[Block], punctured: bool) -> Self {
        let first = |i: usize| i.is_multiple_of(1 << field_bits);
        let leaf = |(i, seed): (usize, &Block)| (!punctured || !first(i)).then(|| Prg::new(*seed));
        Self { field_bits, leaves: seeds.iter().enumerate().map(leaf).collect(), position: 0 }
    }

    /// Number of blocks of Δ.
    fn blocks(&self) -> usize {
        base::COUNT / self.field_bits
    }

    /// Expands the leaves of block `b`: leaves behind u in `scratch.sums[..tile]`, and fills the columns of the block
    /// with the sums of the leaves whose index has bit i set. The leaf with index 0 enters only u.
    fn expand(&self, b: usize, tile: usize, scratch: &mut Scratch) {
        let k = self.field_bits;
        let Scratch { leaves, sums, columns } = scratch;
        let columns = &mut columns[b * k * tile..(b + 1) * k * tile];
        let generators = &self.leaves[b << k..(b + 1) << k];
        if k <= GROUP_BITS {
            let sums = &mut sums[..tile << k];
            self.fill(generators, tile, sums);
            return fold(sums, columns, tile, true);
        }
        // Groups of leaves that fit the cache, then their sums.
        let (low, high) = columns.split_at_mut(GROUP_BITS * tile);
        let leaves = &mut leaves[..tile << GROUP_BITS];
        let sums = &mut sums[..tile << (k - GROUP_BITS)];
        let groups = generators.chunks_exact(1 << GROUP_BITS).zip(sums.chunks_exact_mut(tile));
        for (g, (group, sum)) in groups.enumerate() {
            self.fill(group, tile, leaves);
            fold(leaves, low, tile, g == 0);
            sum.copy_from_slice(&leaves[..tile]);
        }
        fold(sums, high, tile, true);
    }

    fn fill(&self, generators: &[Option<Prg>], tile: usize, out: &mut [Block]) {
        for (generator, out) in generators.iter().zip(out.chunks_exact_mut(tile)) {
            match generator {
                Some(prg) => prg.fill(self.position, out),
                None => out.fill(0),
            }
        }
    }
}

/// Adds to column i the vectors whose index has bit i set, and leaves behind the sum of all in the first. Columns that
/// are `fresh` have no content yet.
fn fold(vectors: &mut [Block], columns: &mut [Block], tile: usize, fresh: bool) {
    // From the highest bit down: the upper half is the part with the bit set, then it is folded onto the lower.
    for (i, column) in columns.chunks_exact_mut(tile).enumerate().rev() {
        let (low, high) = vectors[..(2 * tile) << i].split_at_mut(tile << i);
        for (n, (low, high)) in low.chunks_exact_mut(tile).zip(high.chunks_exact(tile)).enumerate() {
            if fresh && n == 0 {
                column.copy_from_slice(high);
                low.iter_mut().zip(high).for_each(|(low, high)| *low ^= high);
            } else {
                for ((column, low), high) in column.iter_mut().zip(low).zip(high) {
                    *column ^= high;
                    *low ^= high;
                }
            }
        }
    }
}

/// Working space for one tile.
struct Scratch {
    leaves: Zeroizing<Vec<Block>>,
    /// u, and sums over groups of leaves.
    sums: Zeroizing<Vec<Block>>,
    /// 128 columns of `tile` blocks.
    columns: Zeroizing<Vec<Block>>,
}

impl Scratch {
    fn new(field_bits: usize) -> Self {
        Self {
            leaves: Zeroizing::new(vec![0; TILE << GROUP_BITS]),
            sums: Zeroizing::new(vec![0; TILE << GROUP_BITS.max(field_bits.saturating_sub(GROUP_BITS))]),
            columns: Zeroizing::new(vec![0; base::COUNT * TILE]),
        }
    }
}
