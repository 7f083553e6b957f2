use std::sync::{Arc, PoisonError};
use std::time::Instant;

use ndarray::{Array2, Array3, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Error, Graph, Kernels, Model, Node, Result, Share};
use si_models::run_fixed;

use super::positions::Chooser;
use super::wire::Switch;
use super::{Cheat, NextModel, Opened, Positions};

/// A server's kernels that are honest up to the scores, and then add to their share of them. Other cheats of theirs: to
/// take another model for some batches, and to tell the stream which operator runs.
pub(super) struct CheatKernels {
    honest: Box<dyn Kernels>,
    promised: Arc<Model>,
    next_model: Option<NextModel>,
    switch: Option<Arc<Switch>>,
    modulus: i128,
    cheat: Cheat,
    rng: ChaCha20Rng,
    /// Inferences of earlier batches.
    before: usize,
    /// The server's share of the queries of this batch.
    queries: Option<Share>,
    chooser: Chooser,
    arrival: Arrival,
    /// The share of the scores that was sent last.
    last: Option<Vec<u64>>,
}

/// When the batch began to be awaited, and how long it took once its first operator was done.
#[derive(Default)]
struct Arrival {
    since: Option<Instant>,
    wait: std::time::Duration,
}

impl CheatKernels {
    pub(super) fn new(
        opened: Opened,
        promised: Arc<Model>,
        switch: Option<Arc<Switch>>,
        cheat: Cheat,
        seed: u64,
    ) -> Self {
        Self {
            honest: opened.kernels,
            promised,
            next_model: opened.next_model,
            switch,
            modulus: i128::try_from(opened.modulus).unwrap_or(i128::MAX),
            cheat,
            rng: ChaCha20Rng::seed_from_u64(seed),
            before: 0,
            queries: None,
            chooser: Chooser::default(),
            arrival: Arrival::default(),
            last: None,
        }
    }

    /// Where the kernels hold shares, another model can be had for whole batches only: all images of a batch meet the
    /// same transformed weights.
    fn choose_model(&self, n: usize) -> Result<()> {
        let (Cheat::OtherModelAt(other, at), Some(next)) = (&self.cheat, &self.next_model) else { return Ok(()) };
        let hits = (self.before..self.before + n).filter(|i| at.contains(*i)).count();
        if hits != 0 && hits != n {
            return Err(Error::Unsupported {
                protocol: "a cheating server that holds shares".to_owned(),
                what: format!(
                    "another model for {hits} of a batch of {n}: run batches of one (chunk = 1), or cheat by another bias"
                ),
            });
        }
        let model = if hits > 0 { other } else { &self.promised };
        *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(model));
        Ok(())
    }

    /// Runs an operator; the stream learns of which kind it is.
    fn run<T>(&mut self, linear: bool, operator: impl FnOnce(&mut dyn Kernels) -> Result<T>) -> Result<T> {
        if let Some(switch) = &self.switch {
            switch.enter(linear);
        }
        let result = operator(&mut *self.honest);
        if let Some(since) = self.arrival.since.take() {
            self.arrival.wait = since.elapsed();
        }
        if let Some(switch) = &self.switch {
            switch.leave();
        }
        result
    }

    /// The scores of this batch after cheating. Ends the batch.
    fn tampered(&mut self, graph: &Graph, scores: &Share) -> Result<Share> {
        let mut scores = scores.clone();
        // Larger than any score and still in the range that the graph promises of them.
        let large = 1i64 << (graph.signed_bits(graph.nodes().len()) - 2);
        let queries = self.queries.take();
        let hits = match self.cheat.at() {
            Some(at) => self.chooser.choose(at, self.before, scores.batch(), self.arrival.wait),
            None => vec![false; scores.batch()],
        };
        for (i, mut row) in scores.0.outer_iter_mut().enumerate() {
            let sent_before = self.last.replace(row.iter().copied().collect());
            if !hits[i] {
                continue;
            }
            let mut add = |class: usize, offset: i64| {
                if let Some(word) = row.iter_mut().nth(class) {
                    *word = (i128::from(*word) + i128::from(offset)).rem_euclid(self.modulus) as u64;
                }
            };
            match &self.cheat {
                Cheat::OtherBias(bias, _) => bias.iter().enumerate().for_each(|(class, offset)| add(class, *offset)),
                Cheat::FlipLabel { class, .. } => add(*class, large),
                Cheat::RandomAnswer(_) => add(self.rng.random_range(0..graph.classes()), large),
                Cheat::Replay(_) => {
                    if let Some(words) = sent_before {
                        row.iter_mut().zip(words).for_each(|(word, old)| *word = old);
                    }
                }
                Cheat::OtherModelAt(other, _) if self.next_model.is_none() => {
                    let missing = || Error::invalid("the queries were never seen");
                    let query = queries.as_ref().ok_or_else(missing)?.0.index_axis(Axis(0), i);
                    let ring = graph.ring();
                    let answer = run_fixed(other, &query.mapv(|w| ring.to_signed(w)).insert_axis(Axis(0)))?;
                    row.iter_mut().zip(&answer).for_each(|(word, score)| *word = ring.from_signed(*score));
                }
                Cheat::OtherModelAt(..) | Cheat::OtherModel(_) | Cheat::Wire(_) => {}
            }
        }
        self.before += scores.batch();
        Ok(scores)
    }
}

impl Cheat {
    /// The inferences that it concerns, unless it concerns all alike.
    fn at(&self) -> Option<&Positions> {
        match self {
            Self::OtherModelAt(_, at) | Self::OtherBias(_, at) | Self::FlipLabel { at, .. } => Some(at),
            Self::RandomAnswer(at) | Self::Replay(at) => Some(at),
            Self::OtherModel(_) | Self::Wire(_) => None,
        }
    }
}

impl Kernels for CheatKernels {
    fn offline(&mut self, graph: &Graph, n: usize) -> Result<()> {
        self.choose_model(n)?;
        self.honest.offline(graph, n)
    }

    fn input(&mut self, graph: &Graph, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        self.arrival.since = Some(Instant::now());
        let share = self.honest.input(graph, queries, n)?;
        if matches!(self.cheat, Cheat::OtherModelAt(..)) {
            self.queries = Some(share.clone());
        }
        Ok(share)
    }

    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.run(true, |k| k.linear(graph, index, x))
    }

    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.run(false, |k| k.rescale(graph, index, x))
    }

    fn relu(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.run(false, |k| k.relu(graph, index, x))
    }

    fn square(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.run(false, |k| k.square(graph, index, x))
    }

    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.run(false, |k| k.max_pool(graph, index, x))
    }

    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.run(false, |k| k.avg_pool(graph, index, x))
    }

    fn add(&mut self, graph: &Graph, index: usize, x: &Share, y: &Share) -> Result<Share> {
        self.run(false, |k| k.add(graph, index, x, y))
    }

    fn concat(&mut self, graph: &Graph, index: usize, parts: &[&Share]) -> Result<Share> {
        self.run(false, |k| k.concat(graph, index, parts))
    }

    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>> {
        let tampered = self.tampered(graph, scores)?;
        self.honest.open(graph, &tampered)
    }

    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>> {
        let tampered = self.tampered(graph, scores)?;
        self.run(false, |k| k.argmax(graph, &tampered))
    }

    fn label(&self, node: &Node) -> String {
        self.honest.label(node)
    }
}
