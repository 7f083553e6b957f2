//! The server's side of a network: weights in floating and in fixed point.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Error, Graph, Op, Result};

/// Floating-point weights of one node: row-major (out, in / groups, kh, kw) or (out, in), and one bias an output.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The kernel or matrix.
    pub weights: Vec<f32>,
    /// The bias.
    pub bias: Vec<f32>,
}

/// Floating-point weights by node name.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Weights {
    /// One entry for each node that has weights.
    pub layers: BTreeMap<String, Layer>,
}

/// Fixed-point weights of one node: as [`Layer`], the weights with scale_bits fractional bits, the bias with twice as
/// many, for it is added to products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FixedLayer {
    /// The kernel or matrix.
    pub weights: Vec<i64>,
    /// The bias.
    pub bias: Vec<i64>,
}

/// A graph with its weights: what a server holds.
#[derive(Clone, Debug)]
pub struct Model {
    graph: Arc<Graph>,
    weights: Weights,
    fixed: Vec<Option<FixedLayer>>,
}

impl Model {
    /// Joins a graph and its weights.
    ///
    /// # Errors
    /// If a node's weights are missing or of the wrong size, a weight is not a number or too large for the ring, or
    /// weights are left over.
    pub fn new(graph: Arc<Graph>, weights: Weights) -> Result<Self> {
        let wrong = |why: String| Error::Weights { model: graph.name().to_owned(), why };
        let format = graph.format();
        let mut fixed = Vec::with_capacity(graph.nodes().len());
        let mut used = 0;
        for node in graph.nodes() {
            let input = graph.shape(node.inputs[0]);
            let (out, fan_in) = match &node.op {
                Op::Conv { out_channels, window, groups } => {
                    (*out_channels, input[0] / groups * window.kernel[0] * window.kernel[1])
                }
                Op::Fc { out_features } => (*out_features, input.iter().product()),
                _ => {
                    fixed.push(None);
                    continue;
                }
            };
            let layer =
                weights.layers.get(&node.name).ok_or_else(|| wrong(format!("no weights for '{}'", node.name)))?;
            if (layer.weights.len(), layer.bias.len()) != (out * fan_in, out) {
                return Err(wrong(format!(
                    "'{}' has {} weights and {} biases, the graph needs {} and {out}",
                    node.name,
                    layer.weights.len(),
                    layer.bias.len(),
                    out * fan_in
                )));
            }
            if layer.weights.iter().chain(&layer.bias).any(|w| !w.is_finite()) {
                return Err(wrong(format!("'{}' has a weight that is not a finite number", node.name)));
            }
            let double = f64::from(2 * format.scale_bits).exp2();
            let bound = f64::from(format.ring_bits - 1).exp2();
            let weights_fit = layer.weights.iter().all(|w| (f64::from(*w) * double.sqrt()).abs() + 1.0 < bound);
            if !weights_fit || layer.bias.iter().any(|b| (f64::from(*b) * double).abs() + 1.0 >= bound) {
                return Err(wrong(format!("'{}' has a weight or bias that the ring cannot hold", node.name)));
            }
            fixed.push(Some(FixedLayer {
                weights: layer.weights.iter().map(|w| format.encode(*w)).collect(),
                bias: layer.bias.iter().map(|b| (f64::from(*b) * double).round() as i64).collect(),
            }));
            used += 1;
        }
        if used != weights.layers.len() {
            return Err(wrong(format!("weights for {} nodes, the graph has {used}", weights.layers.len())));
        }
        Ok(Self { graph, weights, fixed })
    }

    /// The public part.
    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    /// The weights as trained.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Fixed-point weights of node `index`, if it has any.
    #[must_use]
    pub fn fixed(&self, index: usize) -> Option<&FixedLayer> {
        self.fixed.get(index).and_then(Option::as_ref)
    }
}
