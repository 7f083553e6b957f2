use si_wire::Channel;
use zeroize::{Zeroize, Zeroizing};

use super::{FerretParams, Iteration, TREES_PER_MESSAGE};
use crate::Result;
use crate::block::{BLOCK_BYTES, Block};
use crate::buffer::Buffer;
use crate::cipher::Prg;
use crate::session::Session;
use crate::tree::{self, TreeHash};

/// The sender's side.
pub(crate) struct FerretSender {
    delta: Block,
    hash: TreeHash,
    /// The roots of the trees.
    roots: Prg,
    iteration: Iteration,
}

impl FerretSender {
    /// Starts from at least [`FerretParams::consumed`] correlated OTs; `purpose` tells several uses of a session apart.
    pub(crate) fn new(
        params: FerretParams,
        session: &Session,
        purpose: &str,
        roots: Prg,
        delta: Block,
        base: Buffer,
    ) -> Self {
        let hash = TreeHash::new(session.key("Ferret trees"));
        Self { delta, hash, roots, iteration: Iteration::new(params, session, purpose, base) }
    }

    /// Appends at least `n` correlated OTs. Flushes.
    pub(crate) fn extend(&mut self, ch: &mut Channel, n: usize, out: &mut Buffer) -> Result<()> {
        let goal = out.len() + n;
        while out.len() < goal {
            if self.iteration.left() == 0 {
                let mut next = Buffer::default();
                self.trees(ch, self.iteration.params.refill_trees(), &mut next)?;
                self.iteration.restart(next);
            }
            self.trees(ch, self.iteration.params.part_trees().min(self.iteration.left()), out)?;
        }
        ch.flush()?;
        Ok(())
    }

    /// Appends the leaves of the next `count` trees, with the code added.
    fn trees(&mut self, ch: &mut Channel, count: usize, out: &mut Buffer) -> Result<()> {
        let Self { delta, hash, roots, iteration } = self;
        let (h, run) = (iteration.params.depth(), iteration.params.run());
        let all = out.add(count * run)?;
        let mut left_sums = Zeroizing::new(vec![0; h]);
        let mut message = Vec::with_capacity(TREES_PER_MESSAGE * h * BLOCK_BYTES);
        for group in all.chunks_mut(TREES_PER_MESSAGE * run) {
            message.clear();
            for leaves in group.chunks_exact_mut(run) {
                let mut root = [0];
                roots.fill(iteration.rows, &mut root);
                tree::expand(hash, root[0], *delta, leaves, &mut left_sums);
                tree::finish(leaves);
                let levels = iteration.levels(iteration.trees).iter().zip(left_sums.iter());
                message.extend(levels.flat_map(|(q, sum)| (q ^ sum).to_le_bytes()));
                iteration.lpn.add(iteration.rows, iteration.secret(), leaves);
                iteration.trees += 1;
                iteration.rows += run as u64;
            }
            ch.send(&message)?;
        }
        Ok(())
    }
}

impl Drop for FerretSender {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}
