//! Walks a graph with one party's kernels: the only place where operators are metered.

use std::sync::Arc;

use ndarray::Array3;
use si_models::{Graph, Op};
use si_wire::{Meter, Phase};

use crate::{Answer, Client, Error, Kernels, Result, Reveal, Server, Share};

/// One party of a share-based protocol.
pub struct Evaluator<K> {
    graph: Arc<Graph>,
    kernels: K,
    meter: Meter,
    reveal: Reveal,
}

impl<K: Kernels> Evaluator<K> {
    /// A party that evaluates `graph` with `kernels`.
    pub fn new(graph: Arc<Graph>, kernels: K, meter: Meter, reveal: Reveal) -> Self {
        Self { graph, kernels, meter, reveal }
    }

    fn prepare(&mut self, n: usize) -> Result<()> {
        let _scope = self.meter.enter(Phase::Offline, "offline");
        self.kernels.offline(&self.graph, n)
    }

    /// One batch, up to the shares of the scores.
    fn walk(&mut self, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        let graph = Arc::clone(&self.graph);
        let uses = last_uses(&graph);
        let mut values: Vec<Option<Share>> = Vec::with_capacity(graph.nodes().len() + 1);
        {
            let _scope = self.meter.enter(Phase::Online, "input");
            values.push(Some(self.kernels.input(&graph, queries, n)?));
        }
        for (i, node) in graph.nodes().iter().enumerate() {
            let _scope = self.meter.enter(Phase::Online, &self.kernels.label(node));
            let value = |k: usize| {
                values[node.inputs[k]].as_ref().ok_or_else(|| Error::invalid("a value was freed before its last use"))
            };
            let x = value(0)?;
            let out = match &node.op {
                Op::Conv { .. } | Op::Fc { .. } => self.kernels.linear(&graph, i, x)?,
                Op::Rescale { .. } => self.kernels.rescale(&graph, i, x)?,
                Op::Relu => self.kernels.relu(&graph, i, x)?,
                Op::Square => self.kernels.square(&graph, i, x)?,
                Op::MaxPool { .. } => self.kernels.max_pool(&graph, i, x)?,
                Op::AvgPool { .. } => self.kernels.avg_pool(&graph, i, x)?,
                Op::Add => self.kernels.add(&graph, i, x, value(1)?)?,
                Op::Concat => {
                    let parts = (0..node.inputs.len()).map(value).collect::<Result<Vec<_>>>()?;
                    self.kernels.concat(&graph, i, &parts)?
                }
                Op::Flatten => flatten(x)?,
            };
            values.push(Some(out));
            for v in &node.inputs {
                if uses[*v] == i {
                    values[*v] = None; // an ImageNet activation is tens of megabytes a query
                }
            }
        }
        values.pop().flatten().ok_or_else(|| Error::invalid("an empty graph"))
    }
}

/// Whether all queries have the shape that the graph takes.
///
/// # Errors
/// Names the first that has not.
pub fn check_shapes(graph: &Graph, queries: &[Array3<i64>]) -> Result<()> {
    let shape = graph.input_shape();
    match queries.iter().enumerate().find(|(_, q)| q.shape() != shape) {
        Some((i, q)) => {
            let name = graph.name();
            Err(Error::invalid(format!("query {i} has shape {:?}, {name} takes {shape:?}", q.shape())))
        }
        None => Ok(()),
    }
}

impl<K: Kernels> Client for Evaluator<K> {
    fn offline(&mut self, n: usize) -> Result<()> {
        self.prepare(n)
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        check_shapes(&self.graph, queries)?;
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let scores = self.walk(Some(queries), queries.len())?;
        let _scope = self.meter.enter(Phase::Online, "answer");
        let missing = || Error::invalid("the kernels opened nothing to the client");
        match self.reveal {
            Reveal::Scores => {
                let opened = self.kernels.open(&self.graph, &scores)?.ok_or_else(missing)?;
                Ok(opened.rows().into_iter().map(|r| from_scores(r.to_vec())).collect())
            }
            Reveal::Label => {
                let labels = self.kernels.argmax(&self.graph, &scores)?.ok_or_else(missing)?;
                Ok(labels.into_iter().map(|label| Answer { label, scores: None }).collect())
            }
        }
    }
}

impl<K: Kernels> Server for Evaluator<K> {
    fn offline(&mut self, n: usize) -> Result<()> {
        self.prepare(n)
    }

    fn online(&mut self, n: usize) -> Result<()> {
        if n == 0 {
            return Ok(());
        }
        let scores = self.walk(None, n)?;
        let _scope = self.meter.enter(Phase::Online, "answer");
        match self.reveal {
            Reveal::Scores => self.kernels.open(&self.graph, &scores).map(drop),
            Reveal::Label => self.kernels.argmax(&self.graph, &scores).map(drop),
        }
    }
}

fn from_scores(scores: Vec<i64>) -> Answer {
    let label = (0..scores.len()).rev().max_by_key(|i| scores[*i]).unwrap_or(0);
    Answer { label, scores: Some(scores) }
}

fn flatten(x: &Share) -> Result<Share> {
    let (n, c, h, w) = x.0.dim();
    x.0.clone()
        .into_shape_with_order((n, c * h * w, 1, 1))
        .map(Share)
        .map_err(|e| Error::invalid(format!("flatten: {e}")))
}

/// For each value, the index of the last node that reads it.
fn last_uses(graph: &Graph) -> Vec<usize> {
    let mut last = vec![usize::MAX; graph.nodes().len() + 1];
    for (i, node) in graph.nodes().iter().enumerate() {
        for v in &node.inputs {
            last[*v] = i;
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_index_wins_a_tie() {
        assert_eq!(from_scores(vec![1, 5, 5, 2]).label, 1);
        assert_eq!(from_scores(vec![-3, -3]).label, 0);
    }
}
