use si_wire::Channel;
use zeroize::{Zeroize, Zeroizing};

use super::{FerretParams, Iteration, LEAVES_TOGETHER, Purpose, TREES_PER_MESSAGE};
use crate::Result;
use crate::block::{self, BLOCK_BYTES, Block};
use crate::buffer::Buffer;
use crate::cipher::Prg;
use crate::tree;

/// The sender's side.
pub(crate) struct FerretSender {
    pub(super) delta: Block,
    /// The roots of the trees.
    roots: Prg,
    pub(super) iteration: Iteration,
}

impl FerretSender {
    /// Starts from at least [`FerretParams::consumed`] correlated OTs.
    pub(crate) fn new(params: FerretParams, purpose: Purpose<'_>, roots: Prg, delta: Block, base: Buffer) -> Self {
        Self { delta, roots, iteration: Iteration::new(params, purpose, base) }
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

    /// Appends the leaves of the next `count` trees, with the code added and, in the malicious setting, checked.
    fn trees(&mut self, ch: &mut Channel, count: usize, out: &mut Buffer) -> Result<()> {
        let Self { delta, roots, iteration } = self;
        let (h, run) = (iteration.params.depth(), iteration.params.run());
        let mut left_sums = Zeroizing::new(vec![0; h]);
        let mut message = Vec::with_capacity(TREES_PER_MESSAGE * h * BLOCK_BYTES);
        for group in out.add(count * run)?.chunks_mut(TREES_PER_MESSAGE * run) {
            message.clear();
            for together in group.chunks_mut(LEAVES_TOGETHER) {
                let corrections = message.len();
                for (t, leaves) in together.chunks_exact_mut(run).enumerate() {
                    let mut root = [0];
                    roots.fill(iteration.rows + (t * run) as u64, &mut root);
                    tree::expand(&iteration.hash, root[0], *delta, leaves, &mut left_sums);
                    tree::finish(leaves);
                    let levels = iteration.levels(t).iter().zip(left_sums.iter());
                    message.extend(levels.flat_map(|(q, sum)| (q ^ sum).to_le_bytes()));
                }
                iteration.finish(&message[corrections..], together, None);
            }
            ch.send(&message)?;
        }
        if iteration.check.is_some() {
            let masks = Zeroizing::new(iteration.masks());
            let question = ch.recv_exact("Ferret check", BLOCK_BYTES)?;
            let question = block::decode(&question).next().unwrap_or_default();
            if let Some(check) = &mut iteration.check {
                ch.send(&check.answer(question, &masks, *delta))?;
            }
        }
        Ok(())
    }
}

impl Drop for FerretSender {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}
