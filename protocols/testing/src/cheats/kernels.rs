use ndarray::{Array2, Array3, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Error, Graph, Kernels, Node, Result, Share};
use si_models::run_fixed;

use super::{Cheat, Opened};

/// A server's kernels that are honest up to the scores, and then add to their share of them.
pub(super) struct CheatKernels {
    honest: Box<dyn Kernels>,
    mask: u64,
    cheat: Cheat,
    rng: ChaCha20Rng,
    /// Inferences of earlier batches.
    before: usize,
    /// The server's share of the queries of this batch.
    queries: Option<Share>,
}

impl CheatKernels {
    pub(super) fn new(opened: Opened, cheat: Cheat, seed: u64) -> Self {
        let mask = u64::MAX >> (64 - opened.score_bits.clamp(1, 64));
        let rng = ChaCha20Rng::seed_from_u64(seed);
        Self { honest: opened.kernels, mask, cheat, rng, before: 0, queries: None }
    }

    /// The scores of this batch after cheating. Ends the batch.
    fn tampered(&mut self, graph: &Graph, scores: &Share) -> Result<Share> {
        let mut scores = scores.clone();
        // Larger than any score and still in the range that the graph promises of them.
        let large = 1i64 << (graph.signed_bits(graph.nodes().len()) - 2);
        let queries = self.queries.take();
        for (i, mut row) in scores.0.outer_iter_mut().enumerate() {
            let position = self.before + i;
            let mut add = |class: usize, offset: i64| {
                if let Some(word) = row.iter_mut().nth(class) {
                    *word = word.wrapping_add(offset as u64) & self.mask;
                }
            };
            match &self.cheat {
                Cheat::OtherBias(bias, at) if at.contains(position) => {
                    bias.iter().enumerate().for_each(|(class, offset)| add(class, *offset));
                }
                Cheat::FlipLabel { class, at } if at.contains(position) => add(*class, large),
                Cheat::RandomAnswer(at) if at.contains(position) => {
                    add(self.rng.random_range(0..graph.classes()), large);
                }
                Cheat::OtherModelAt(other, at) if at.contains(position) => {
                    let missing = || Error::invalid("the queries were never seen");
                    let query = queries.as_ref().ok_or_else(missing)?.0.index_axis(Axis(0), i);
                    let ring = graph.ring();
                    let answer = run_fixed(other, &query.mapv(|w| ring.to_signed(w)).insert_axis(Axis(0)))?;
                    row.iter_mut().zip(&answer).for_each(|(word, score)| *word = ring.from_signed(*score));
                }
                _ => {}
            }
        }
        self.before += scores.batch();
        Ok(scores)
    }
}

impl Kernels for CheatKernels {
    fn offline(&mut self, graph: &Graph, n: usize) -> Result<()> {
        self.honest.offline(graph, n)
    }

    fn input(&mut self, graph: &Graph, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        let share = self.honest.input(graph, queries, n)?;
        if matches!(self.cheat, Cheat::OtherModelAt(..)) {
            self.queries = Some(share.clone());
        }
        Ok(share)
    }

    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.honest.linear(graph, index, x)
    }

    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.honest.rescale(graph, index, x)
    }

    fn relu(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.honest.relu(graph, index, x)
    }

    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.honest.max_pool(graph, index, x)
    }

    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.honest.avg_pool(graph, index, x)
    }

    fn add(&mut self, graph: &Graph, index: usize, x: &Share, y: &Share) -> Result<Share> {
        self.honest.add(graph, index, x, y)
    }

    fn concat(&mut self, graph: &Graph, index: usize, parts: &[&Share]) -> Result<Share> {
        self.honest.concat(graph, index, parts)
    }

    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>> {
        let tampered = self.tampered(graph, scores)?;
        self.honest.open(graph, &tampered)
    }

    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>> {
        let tampered = self.tampered(graph, scores)?;
        self.honest.argmax(graph, &tampered)
    }

    fn label(&self, node: &Node) -> String {
        self.honest.label(node)
    }
}
