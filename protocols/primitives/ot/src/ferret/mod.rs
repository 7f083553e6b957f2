//! Ferret: Yang, Weng, Lan, Zhang, Wang (CCS 2020), with regular noise: correlated OTs for a fraction of a bit each.
//!
//! An iteration starts from correlated OTs at both sides. For each of t trees (half-tree, [`crate::tree`]) the sender
//! expands 2^h leaves and sends one block a level, masked by a correlated OT; the receiver obtains all leaves but one,
//! and that one plus Δ: correlated OTs whose choices are zero but at one random position. Adding a 10-local code of
//! k more correlated OTs (LPN) makes the choices pseudorandom. Some of the trees make the OTs of the next iteration.
//!
//! Differences: the path of a tree *is* the random choice of its correlated OTs, so the receiver sends nothing (as in
//! emp-ot 1.0); trees are made in parts, when they are asked for; the first iteration's OTs come from SoftSpokenOT; the
//! code's key is a hash of the transcript of the base OTs.
//!
//! Traffic: 16 h bytes down for each tree; with the check, 16 bytes up and 32 down for each part and a round trip.

mod check;
mod lpn;
mod params;
mod receiver;
mod sender;

pub use params::FerretParams;
pub(crate) use receiver::FerretReceiver;
pub(crate) use sender::FerretSender;

use check::TreeCheck;
use lpn::Lpn;
use params::CHECK_OTS;

use crate::block::Block;
use crate::buffer::Buffer;
use crate::session::Session;
use crate::tree::TreeHash;

/// Trees whose corrections travel in one message (agreement).
const TREES_PER_MESSAGE: usize = 64;

/// Leaves that are finished together, while they are in the cache (agreement: they share a challenge of the check).
const LEAVES_TOGETHER: usize = 1 << 13;

/// Which Ferret of a session this is.
#[derive(Clone, Copy)]
pub(crate) struct Purpose<'a> {
    pub(crate) session: &'a Session,
    /// Tells several uses of a session apart.
    pub(crate) name: &'static str,
    pub(crate) malicious: bool,
}

impl Purpose<'_> {
    fn key(&self, what: &str) -> Block {
        self.session.key(&format!("{what}, {}", self.name))
    }
}

/// Where an iteration stands, the same at both sides.
struct Iteration {
    params: FerretParams,
    hash: TreeHash,
    lpn: Lpn,
    /// The correlated OTs of this iteration: the LPN secret, then those of the trees, then those of the checks.
    base: Buffer,
    /// Trees made in this iteration.
    trees: usize,
    /// Checks made in this iteration.
    checks: usize,
    /// Rows of the code used in all iterations.
    rows: u64,
    check: Option<TreeCheck>,
}

impl Iteration {
    /// `base` are at least [`FerretParams::consumed`] correlated OTs.
    fn new(params: FerretParams, purpose: Purpose<'_>, base: Buffer) -> Self {
        Self {
            params,
            hash: TreeHash::new(purpose.key("Ferret trees")),
            lpn: Lpn::new(purpose.key("LPN code")),
            base,
            trees: 0,
            checks: 0,
            rows: 0,
            check: purpose
                .malicious
                .then(|| TreeCheck::new(purpose.session.transcript(&format!("Ferret check, {}", purpose.name)))),
        }
    }

    /// Goes on from the OTs that the refilling trees made.
    fn restart(&mut self, base: Buffer) {
        self.base = base;
        self.trees = 0;
        self.checks = 0;
    }

    fn secret(&self) -> &[Block] {
        &self.base.filled()[..self.params.k()]
    }

    /// The correlated OTs of tree `tree` of those to come.
    fn levels(&self, tree: usize) -> &[Block] {
        let h = self.params.depth();
        &self.base.filled()[self.params.k() + (self.trees + tree) * h..][..h]
    }

    /// The correlated OTs of the next check.
    fn masks(&mut self) -> Vec<Block> {
        let from = self.params.k() + self.params.t() * self.params.depth() + self.checks * CHECK_OTS;
        self.checks += 1;
        self.base.filled()[from..from + CHECK_OTS].to_vec()
    }

    /// Completes the leaves of the next trees, which are correlated OTs with one choice in each tree that is 1; the
    /// receiver knows where.
    fn finish(&mut self, corrections: &[u8], leaves: &mut [Block], missing: Option<&[usize]>) {
        if let Some(check) = &mut self.check {
            check.trees(corrections, leaves, self.params.run(), missing);
        }
        self.lpn.add(self.rows, self.secret(), leaves);
        self.trees += leaves.len() / self.params.run();
        self.rows += leaves.len() as u64;
    }

    /// Trees left for output.
    fn left(&self) -> usize {
        self.params.t() - self.params.refill_trees() - self.trees
    }
}

#[cfg(test)]
mod tests;
