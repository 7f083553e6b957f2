//! The consistency check of the malicious setting: that every tree is the same for every path.
//!
//! The batched check of Ferret (appendix C, after Wolverine, S&P 2021): both sides add up their leaves with random coefficients
//! χ from GF(2^128). The receiver's sum V' and the sender's V differ by Δ times the sum of the χ at the missing leaves.
//! The receiver sends that sum, masked by the choices of 128 correlated OTs; the sender then knows what its V should be
//! at the receiver and sends a hash of it, which the receiver compares. A false sender passes with probability 2^-127, or
//! by guessing bits of the paths, which it then knows: the leakage on the noise that the paper's functionality allows.
//!
//! The χ of a few trees come from the transcript up to their corrections (Fiat, Shamir), so the last false ones meet
//! coefficients that could not be known when they were made, and trees need not be kept until all are there. Within them
//! χ is a product of a coefficient of the piece of 1024 leaves and one of the leaf in its piece: an error survives both
//! factors but with probability 2 * 2^-128, and few coefficients have to be drawn.

use zeroize::Zeroizing;

use super::LEAVES_TOGETHER;
use crate::block::{Block, mask};
use crate::ferret::params::CHECK_OTS;
use crate::gf128::{Challenge, Sum, combine, select, times};

/// The name of the check in errors.
pub(super) const NAME: &str = "Ferret: the trees are the same for every path";

pub(super) const HASH_BYTES: usize = 32;

/// Leaves of a piece (agreement); no tree has fewer.
const PIECE: usize = 1 << 10;

/// Pieces that share a challenge.
const PIECES: usize = LEAVES_TOGETHER / PIECE;

/// The sums over the trees since the last check.
pub(super) struct TreeCheck {
    transcript: blake3::Hasher,
    sum: Block,
    /// At the receiver: the sum of the coefficients of the missing leaves.
    missing: Block,
    coefficients: Vec<Block>,
}

impl TreeCheck {
    pub(super) fn new(transcript: blake3::Hasher) -> Self {
        Self { transcript, sum: 0, missing: 0, coefficients: vec![0; PIECE + PIECES] }
    }

    /// Adds at most [`LEAVES_TOGETHER`] leaves of whole trees of `run`; the receiver names the missing one of each.
    pub(super) fn trees(&mut self, corrections: &[u8], leaves: &[Block], run: usize, missing: Option<&[usize]>) {
        self.transcript.update(corrections);
        Challenge::new(&self.transcript).fill(&mut self.coefficients);
        let (of_leaf, of_piece) = self.coefficients.split_at(PIECE);
        for (piece, coefficient) in leaves.chunks_exact(PIECE).zip(of_piece) {
            let mut sum = Sum::default();
            sum.add_products(of_leaf, piece);
            self.sum ^= times(*coefficient, sum.reduce());
        }
        for (tree, missing) in missing.unwrap_or_default().iter().enumerate() {
            let position = tree * run + missing;
            self.missing ^= times(select(position / PIECE, of_piece), select(position % PIECE, of_leaf));
        }
    }

    /// The receiver's message, and the hash that it must be answered with. `masks` are correlated OTs.
    pub(super) fn ask(&mut self, masks: &[Block]) -> (Block, [u8; HASH_BYTES]) {
        let choices = masks[..CHECK_OTS].iter().rev().fold(0, |c, v| c << 1 | (v & 1));
        let question = std::mem::take(&mut self.missing) ^ choices;
        (question, self.digest(question, combine(masks)))
    }

    /// The sender's answer. `masks` are correlated OTs.
    pub(super) fn answer(&mut self, question: Block, masks: &[Block], delta: Block) -> [u8; HASH_BYTES] {
        let mut at_receiver = Zeroizing::new([0; CHECK_OTS]);
        for (i, (v, q)) in at_receiver.iter_mut().zip(masks).enumerate() {
            *v = q ^ (delta & mask(question >> i));
        }
        self.digest(question, combine(&*at_receiver))
    }

    fn digest(&mut self, question: Block, mask: Block) -> [u8; HASH_BYTES] {
        self.transcript.update(&question.to_le_bytes());
        let value = std::mem::take(&mut self.sum) ^ mask;
        *self.transcript.clone().update(&value.to_le_bytes()).finalize().as_bytes()
    }
}
