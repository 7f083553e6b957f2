use si_wire::Channel;
use zeroize::Zeroizing;

use super::{FerretParams, Iteration, TREES_PER_MESSAGE};
use crate::Result;
use crate::block::{self, BLOCK_BYTES};
use crate::buffer::Buffer;
use crate::session::Session;
use crate::tree::{self, TreeHash};

/// The receiver's side.
pub(crate) struct FerretReceiver {
    hash: TreeHash,
    iteration: Iteration,
}

impl FerretReceiver {
    /// Starts from at least [`FerretParams::consumed`] correlated OTs; `purpose` tells several uses of a session apart.
    pub(crate) fn new(params: FerretParams, session: &Session, purpose: &str, base: Buffer) -> Self {
        let hash = TreeHash::new(session.key("Ferret trees"));
        Self { hash, iteration: Iteration::new(params, session, purpose, base) }
    }

    /// Appends at least `n` correlated OTs.
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
        Ok(())
    }

    /// Appends the leaves of the next `count` trees, with the code added.
    fn trees(&mut self, ch: &mut Channel, count: usize, out: &mut Buffer) -> Result<()> {
        let Self { hash, iteration } = self;
        let (h, run) = (iteration.params.depth(), iteration.params.run());
        let all = out.add(count * run)?;
        let mut known = Zeroizing::new(vec![0; h]);
        for group in all.chunks_mut(TREES_PER_MESSAGE * run) {
            let message = ch.recv_exact("Ferret trees", group.len() / run * h * BLOCK_BYTES)?;
            let mut corrections = block::decode(&message);
            for leaves in group.chunks_exact_mut(run) {
                // v = q + uΔ and the correction q + left sum give the sum of the left side if u = 0, else of the right.
                let mut position = 0;
                let levels = iteration.levels(iteration.trees).iter().zip(corrections.by_ref());
                for (level, ((v, correction), known)) in levels.zip(known.iter_mut()).enumerate() {
                    *known = v ^ correction;
                    position |= (!*v as usize & 1) << level;
                }
                tree::expand_punctured(hash, position, &known, leaves).finish(hash, leaves);
                iteration.lpn.add(iteration.rows, iteration.secret(), leaves);
                iteration.trees += 1;
                iteration.rows += run as u64;
            }
        }
        Ok(())
    }
}
