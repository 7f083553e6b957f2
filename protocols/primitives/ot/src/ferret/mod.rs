//! Ferret: Yang, Weng, Lan, Zhang, Wang (CCS 2020), with regular noise: correlated OTs for a fraction of a bit each.
//!
//! An iteration starts from correlated OTs at both sides. For each of t trees (half-tree, [`crate::tree`]) the sender
//! expands 2^h leaves and sends one block a level, masked by a correlated OT; the receiver obtains all leaves but one,
//! and that one plus Δ: correlated OTs whose choices are zero but at one random position. Adding a 10-local code of
//! k more correlated OTs (LPN) makes the choices pseudorandom. Some of the trees make the OTs of the next iteration.
//!
//! Differences: the path of a tree *is* the random choice of its correlated OTs, so the receiver sends nothing (as in
//! emp-ot 1.0); trees are made in parts, when they are asked for; the first iteration's OTs come from SoftSpoken.
//!
//! Traffic: 16 h bytes down for each tree.

mod lpn;
mod params;
mod receiver;
mod sender;

pub use params::FerretParams;
pub(crate) use receiver::FerretReceiver;
pub(crate) use sender::FerretSender;

use lpn::Lpn;

use crate::block::Block;
use crate::buffer::Buffer;
use crate::session::Session;

/// Trees whose corrections travel in one message (agreement).
const TREES_PER_MESSAGE: usize = 64;

/// Where an iteration stands, the same at both sides.
struct Iteration {
    params: FerretParams,
    lpn: Lpn,
    /// The correlated OTs of this iteration: the LPN secret, then those of the trees, then those of the checks.
    base: Buffer,
    /// Trees made in this iteration.
    trees: usize,
    /// Rows of the code used in all iterations.
    rows: u64,
}

impl Iteration {
    /// `base` are at least [`FerretParams::consumed`] correlated OTs; `purpose` tells several uses of a session apart.
    fn new(params: FerretParams, session: &Session, purpose: &str, base: Buffer) -> Self {
        let lpn = Lpn::new(session.key(&format!("LPN code, {purpose}")));
        Self { params, lpn, base, trees: 0, rows: 0 }
    }

    /// Goes on from the OTs that the refilling trees made.
    fn restart(&mut self, base: Buffer) {
        self.base = base;
        self.trees = 0;
    }

    fn secret(&self) -> &[Block] {
        &self.base.filled()[..self.params.k()]
    }

    /// The correlated OTs of tree `tree`.
    fn levels(&self, tree: usize) -> &[Block] {
        let h = self.params.depth();
        &self.base.filled()[self.params.k() + tree * h..][..h]
    }

    /// Trees left for output.
    fn left(&self) -> usize {
        self.params.t() - self.params.refill_trees() - self.trees
    }
}
