//! The server's side: its shares are the values themselves, as ring elements.

use std::sync::Arc;

use ndarray::{Array2, Array3, Array4};
use rayon::prelude::*;
use si_api::{Channel, Error, Graph, Kernels, Model, Op, Result, Role, Share};
use si_ring::{pack, packed_len, unpack};

use crate::operators::{Slide, argmax, conv, fc, max_windows, sum_windows};

/// The server's operators.
pub(crate) struct PlainServer {
    channel: Channel,
    model: Arc<Model>,
}

impl PlainServer {
    pub(crate) fn new(channel: Channel, model: Arc<Model>) -> Self {
        Self { channel, model }
    }
}

/// Applies `f` to each inference of a batch; the results are the inferences of the node's output.
fn each(graph: &Graph, index: usize, x: &Share, f: impl Fn(&[u64]) -> Vec<u64> + Sync + Send) -> Result<Share> {
    let node = &graph.nodes()[index];
    let size: usize = graph.shape(node.inputs[0]).iter().product();
    let out: Vec<Vec<u64>> = x.words().par_chunks_exact(size).map(f).collect();
    let [c, h, w] = node.shape;
    Array4::from_shape_vec((x.batch(), c, h, w), out.concat())
        .map(Share)
        .map_err(|e| Error::invalid(format!("node '{}': {e}", node.name)))
}

/// The window of a pooling node, laid over its input.
fn slide(graph: &Graph, index: usize) -> Result<Slide> {
    let node = &graph.nodes()[index];
    match node.op {
        Op::Conv { window, .. } | Op::MaxPool { window } | Op::AvgPool { window } => {
            Ok(Slide { from: graph.shape(node.inputs[0]), to: node.shape, window })
        }
        _ => Err(Error::invalid(format!("node '{}' has no window", node.name))),
    }
}

impl Kernels for PlainServer {
    fn offline(&mut self, _graph: &Graph, _n: usize) -> Result<()> {
        Ok(())
    }

    fn input(&mut self, graph: &Graph, _queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        let (shape, bits) = (graph.input_shape(), graph.ring().bits());
        let count = shape.iter().product();
        let mut words = Vec::new(); // grows with what arrives, not with what was announced
        for _ in 0..n {
            let bytes = self.channel.recv_exact("query", packed_len(count, bits))?;
            words.extend(unpack(&bytes, count, bits).map_err(|e| Error::Malformed {
                peer: Role::Client,
                what: "query".to_owned(),
                why: e.to_string(),
            })?);
        }
        Array4::from_shape_vec((n, shape[0], shape[1], shape[2]), words)
            .map(Share)
            .map_err(|e| Error::invalid(format!("queries: {e}")))
    }

    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let layer =
            self.model.fixed(index).ok_or_else(|| Error::invalid(format!("no weights for node '{}'", node.name)))?;
        let ring = graph.ring();
        match node.op {
            Op::Conv { groups, .. } => {
                let slide = slide(graph, index)?;
                each(graph, index, x, |x| conv(&slide, groups, &layer.weights, &layer.bias, x, ring))
            }
            _ => each(graph, index, x, |x| fc(&layer.weights, &layer.bias, x, ring)),
        }
    }

    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let Op::Rescale { bits } = node.op else {
            return Err(Error::invalid(format!("node '{}' is no rescale", node.name)));
        };
        let ring = graph.ring();
        Ok(Share(x.0.mapv(|w| ring.from_signed(ring.to_signed(w) >> bits))))
    }

    fn relu(&mut self, graph: &Graph, _index: usize, x: &Share) -> Result<Share> {
        let ring = graph.ring();
        Ok(Share(x.0.mapv(|w| w * (1 - ring.msb(w)))))
    }

    fn square(&mut self, graph: &Graph, _index: usize, x: &Share) -> Result<Share> {
        let ring = graph.ring();
        Ok(Share(x.0.mapv(|w| ring.mul(w, w))))
    }

    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let (slide, ring) = (slide(graph, index)?, graph.ring());
        each(graph, index, x, |x| max_windows(&slide, x, ring))
    }

    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let (slide, ring) = (slide(graph, index)?, graph.ring());
        let factor = graph.format().reciprocal(slide.window.kernel.iter().product());
        each(graph, index, x, |x| sum_windows(&slide, x, ring.from_signed(factor), ring))
    }

    fn add(&mut self, graph: &Graph, _index: usize, x: &Share, y: &Share) -> Result<Share> {
        let ring = graph.ring();
        let mut sum = x.0.clone();
        sum.zip_mut_with(&y.0, |a, b| *a = ring.add(*a, *b));
        Ok(Share(sum))
    }

    fn concat(&mut self, _graph: &Graph, _index: usize, parts: &[&Share]) -> Result<Share> {
        Share::concatenated(parts)
    }

    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>> {
        let mut bytes = Vec::new();
        for row in scores.words().chunks_exact(graph.classes()) {
            bytes.clear();
            pack(row, graph.ring().bits(), &mut bytes);
            self.channel.send(&bytes)?;
        }
        self.channel.flush()?;
        Ok(None)
    }

    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>> {
        let ring = graph.ring();
        for row in scores.words().chunks_exact(graph.classes()) {
            self.channel.send(&(argmax(row, ring) as u32).to_le_bytes())?;
        }
        self.channel.flush()?;
        Ok(None)
    }
}
