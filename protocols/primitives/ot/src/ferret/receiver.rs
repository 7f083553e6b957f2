use si_wire::Channel;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::check::{HASH_BYTES, NAME};
use super::{FerretParams, Iteration, LEAVES_TOGETHER, Purpose, TREES_PER_MESSAGE};
use crate::block::{self, BLOCK_BYTES};
use crate::buffer::Buffer;
use crate::tree;
use crate::{Error, Result};

/// The receiver's side.
pub(crate) struct FerretReceiver {
    iteration: Iteration,
}

impl FerretReceiver {
    /// Starts from at least [`FerretParams::consumed`] correlated OTs.
    pub(crate) fn new(params: FerretParams, purpose: Purpose<'_>, base: Buffer) -> Self {
        Self { iteration: Iteration::new(params, purpose, base) }
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

    /// Appends the leaves of the next `count` trees, with the code added and, in the malicious setting, checked.
    fn trees(&mut self, ch: &mut Channel, count: usize, out: &mut Buffer) -> Result<()> {
        let Self { iteration } = self;
        let (h, run) = (iteration.params.depth(), iteration.params.run());
        let mut known = Zeroizing::new(vec![0; h]);
        let mut missing = Zeroizing::new(Vec::with_capacity(LEAVES_TOGETHER / run));
        for group in out.add(count * run)?.chunks_mut(TREES_PER_MESSAGE * run) {
            let message = ch.recv_exact("Ferret trees", group.len() / run * h * BLOCK_BYTES)?;
            let corrections_together = LEAVES_TOGETHER / run * h * BLOCK_BYTES;
            for (together, all) in group.chunks_mut(LEAVES_TOGETHER).zip(message.chunks(corrections_together)) {
                missing.clear();
                let trees = together.chunks_exact_mut(run).zip(all.chunks_exact(h * BLOCK_BYTES));
                for (t, (leaves, corrections)) in trees.enumerate() {
                    // v = q + uΔ and the correction q + left sum give the sum of the left side if u = 0, else the right.
                    let mut position = 0;
                    let levels = iteration.levels(t).iter().zip(block::decode(corrections));
                    for (level, ((v, correction), known)) in levels.zip(known.iter_mut()).enumerate() {
                        *known = v ^ correction;
                        position |= (!*v as usize & 1) << level;
                    }
                    let hash = &iteration.hash;
                    tree::expand_punctured(hash, position, &known, leaves).finish(hash, leaves);
                    missing.push(position);
                }
                iteration.finish(all, together, Some(&missing));
            }
        }
        if iteration.check.is_some() {
            let masks = Zeroizing::new(iteration.masks());
            if let Some(check) = &mut iteration.check {
                let (question, expected) = check.ask(&masks);
                ch.send(&question.to_le_bytes())?;
                let answer = ch.recv_exact("Ferret check", HASH_BYTES)?;
                if !bool::from(answer.ct_eq(&expected)) {
                    return Err(Error::Check { check: NAME, peer: ch.peer().to_owned() });
                }
            }
        }
        Ok(())
    }
}
