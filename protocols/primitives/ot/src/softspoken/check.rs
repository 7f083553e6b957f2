//! The consistency check of the malicious setting: that the receiver used one vector of choices for all columns.
//!
//! The subspace-VOLE check of SoftSpokenOT, which the revised version of KOS (eprint 2015/546, section 4) took over for
//! k = 1: both sides hash every column with a linear universal hash, the receiver opens its hashes and that of the
//! choices, and the sender compares q_c = v_c + δ_c u for each of the 128 columns. The hash of a column is its inner
//! product with random coefficients, over GF(2^128), so a false receiver passes with probability 2^-128, or by guessing
//! the bits of Δ that its deviations depend on. (The first version of KOS mixed the columns in one field element; the
//! lemma behind that is false, as SoftSpokenOT shows.)
//!
//! Coefficients come from the transcript (Fiat, Shamir): those of a tile from all messages up to it, the tile's
//! included, so the last tile that deviates is hashed with coefficients that it could not know. One more tile of 128 OTs
//! that nobody uses masks what is opened.

use crate::base;
use crate::block::{BLOCK_BYTES, Block, mask};
use crate::gf128::{Challenge, Sum};
use crate::session::Session;
use crate::softspoken::TILE;

/// The name of the check in errors.
pub(super) const NAME: &str = "OT extension: the receiver's choices are the same in every column";

/// Bytes that the receiver opens: the hash of each column; that of column 0, which holds the choices, is theirs.
pub(super) const OPENED_BYTES: usize = base::COUNT * BLOCK_BYTES;

/// The hashes of all columns so far.
pub(super) struct ColumnCheck {
    transcript: blake3::Hasher,
    sums: [Sum; base::COUNT],
}

impl ColumnCheck {
    pub(super) fn new(session: &Session) -> Self {
        Self { transcript: session.transcript("OT extension check"), sums: [Sum::default(); base::COUNT] }
    }

    /// Hashes one tile of columns, after the message that goes with it.
    pub(super) fn tile(&mut self, message: &[u8], columns: &[Block]) {
        self.transcript.update(message);
        let tile = columns.len() / base::COUNT;
        let mut chis = [0; TILE];
        let chis = &mut chis[..tile];
        Challenge::new(&self.transcript).fill(chis);
        for (sum, column) in self.sums.iter_mut().zip(columns.chunks_exact(tile)) {
            sum.add_products(chis, column);
        }
    }

    /// The receiver's hashes; the next check begins anew.
    pub(super) fn open(&mut self) -> Vec<u8> {
        let bytes: Vec<u8> = self.take().iter().flat_map(|h| h.to_le_bytes()).collect();
        self.transcript.update(&bytes);
        bytes
    }

    /// Whether the receiver's hashes fit the sender's; the next check begins anew. Takes the same time either way.
    pub(super) fn passes(&mut self, opened: &[u8], delta: Block) -> bool {
        self.transcript.update(opened);
        let own = self.take();
        let theirs: Vec<Block> = crate::block::decode(opened).collect();
        // Column 0 is u at the receiver and zero at the sender, and bit 0 of Δ is 1.
        let choices = theirs[0];
        let mut differences = 0;
        for (c, (own, theirs)) in own.iter().zip(&theirs).enumerate() {
            differences |= own ^ theirs ^ (choices & mask(delta >> c));
        }
        differences == 0
    }

    fn take(&mut self) -> [Block; base::COUNT] {
        std::mem::replace(&mut self.sums, [Sum::default(); base::COUNT]).map(Sum::reduce)
    }
}
