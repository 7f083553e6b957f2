//! OT extension from small-field VOLE: Roy, "SoftSpokenOT" (CRYPTO 2022), with fields of 2^k elements; k = 1 is IKNP
//! (Ishai, Kilian, Nissim, Petrank, CRYPTO 2003), and with its check what KOS (Keller, Orsini, Scholl, CRYPTO 2015) aims at.
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
    /// 2^k generators for each block.
    leaves: Vec<Prg>,
    position: u64,
}

impl Streams {
    fn new(field_bits: usize, seeds: &[Block]) -> Self {
        Self { field_bits, leaves: seeds.iter().map(|s| Prg::new(*s)).collect(), position: 0 }
    }

    /// Number of blocks of Δ.
    fn blocks(&self) -> usize {
        base::COUNT / self.field_bits
    }

    /// Expands the leaves of block `b`: leaves behind u in `scratch.leaves[..tile]`, and fills the columns of the block
    /// with the sums of the leaves whose index has bit i set. The leaf with index 0 enters only u.
    fn expand(&self, b: usize, tile: usize, scratch: &mut Scratch) {
        let k = self.field_bits;
        let leaves = &mut scratch.leaves[..tile << k];
        for (prg, out) in self.leaves[b << k..(b + 1) << k].iter().zip(leaves.chunks_exact_mut(tile)) {
            prg.fill(self.position, out);
        }
        // From the highest bit down: the upper half is the part with the bit set, then it is folded onto the lower.
        for i in (0..k).rev() {
            let (low, high) = leaves[..(2 * tile) << i].split_at_mut(tile << i);
            let column = &mut scratch.columns[(b * k + i) * tile..][..tile];
            column.copy_from_slice(&high[..tile]);
            for part in high.chunks_exact(tile).skip(1) {
                xor_into(column, part);
            }
            xor_into(low, high);
        }
    }
}

/// Working space for one tile.
struct Scratch {
    leaves: Zeroizing<Vec<Block>>,
    /// 128 columns of `tile` blocks.
    columns: Zeroizing<Vec<Block>>,
}

impl Scratch {
    fn new(field_bits: usize) -> Self {
        Self {
            leaves: Zeroizing::new(vec![0; TILE << field_bits]),
            columns: Zeroizing::new(vec![0; base::COUNT * TILE]),
        }
    }
}

fn xor_into(a: &mut [Block], b: &[Block]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
}
