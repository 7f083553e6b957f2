//! A network before its fixed-point format is chosen: what architectures are written as, what files are read into, and
//! what rewrites work on.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use crate::{Error, FixedPoint, Graph, GraphBuilder, Op, Result, Shape, ValueId, Weights};

/// A layer: one application of an operator other than [`Op::Rescale`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SketchLayer {
    pub(crate) name: String,
    pub(crate) op: Op,
    pub(crate) inputs: Vec<ValueId>,
}

/// Layers in an order in which every input is computed before it is used; value 0 is the query, i + 1 the output of
/// layer i, and the last the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sketch {
    pub(crate) input: Shape,
    pub(crate) layers: Vec<SketchLayer>,
}

impl Sketch {
    pub(crate) fn new(input: Shape) -> Self {
        Self { input, layers: Vec::new() }
    }

    /// Appends a layer; its output.
    pub(crate) fn push(&mut self, name: impl Into<String>, op: Op, inputs: &[ValueId]) -> ValueId {
        self.layers.push(SketchLayer { name: name.into(), op, inputs: inputs.to_vec() });
        self.layers.len()
    }

    /// The layer that computes a value, unless it is the query.
    pub(crate) fn layer(&self, value: ValueId) -> Option<&SketchLayer> {
        self.layers.get(value.checked_sub(1)?)
    }

    /// How often each value is used; the answer is used once more.
    pub(crate) fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.layers.len() + 1];
        self.layers.iter().flat_map(|l| &l.inputs).for_each(|v| uses[*v] += 1);
        if let Some(last) = uses.last_mut() {
            *last += 1;
        }
        uses
    }

    /// The graph.
    ///
    /// # Errors
    /// If an operator does not fit its inputs.
    pub(crate) fn build(&self, name: &str, format: FixedPoint) -> Result<Graph> {
        let mut g = GraphBuilder::new(name, self.input, format)?;
        let mut values = vec![0];
        for layer in &self.layers {
            let wrong = |why: &str| Error::Shape {
                model: name.to_owned(),
                node: layer.name.clone(),
                why: format!("{} {why}", layer.op.name()),
            };
            let inputs: Option<Vec<_>> = layer.inputs.iter().map(|v| values.get(*v).copied()).collect();
            let inputs = inputs.ok_or_else(|| wrong("takes a value that is not computed before it"))?;
            let name = layer.name.as_str();
            values.push(match (&layer.op, inputs.as_slice()) {
                (Op::Conv { out_channels, window, groups }, [x]) => {
                    g.conv(name, *x, *out_channels, *window, *groups)?
                }
                (Op::Fc { out_features }, [x]) => g.fc(name, *x, *out_features)?,
                (Op::Relu, [x]) => g.relu(name, *x)?,
                (Op::Square, [x]) => g.square(name, *x)?,
                (Op::MaxPool { window }, [x]) => g.max_pool(name, *x, *window)?,
                (Op::AvgPool { window }, [x]) => g.avg_pool(name, *x, *window)?,
                (Op::Add, [a, b]) => g.add(name, *a, *b)?,
                (Op::Concat, parts) => g.concat(name, parts)?,
                (Op::Flatten, [x]) => g.flatten(name, *x)?,
                (_, inputs) => return Err(wrong(&format!("cannot take {} inputs", inputs.len()))),
            });
        }
        g.build()
    }

    /// For each value, a number that is equal for values computed alike from the query, whatever the layers' names.
    fn fingerprints(&self) -> Vec<u64> {
        let mut all: Vec<u64> = vec![0];
        for layer in &self.layers {
            let mut of: Vec<u64> = layer.inputs.iter().map(|v| all[*v]).collect();
            if layer.op == Op::Add {
                of.sort_unstable(); // a + b is b + a
            }
            let mut hasher = DefaultHasher::new();
            (&layer.op, of).hash(&mut hasher);
            all.push(hasher.finish());
        }
        all
    }

    /// The weights of `other`, a network with the same layers under other names and in another order, by the names of
    /// this one; `None` if it is another network.
    pub(crate) fn adopt(&self, other: &Self, mut weights: Weights) -> Option<Weights> {
        let (ours, theirs) = (self.fingerprints(), other.fingerprints());
        if self.input != other.input || ours.last() != theirs.last() {
            return None;
        }
        let mut adopted = BTreeMap::new();
        // From the answer back to the query: pairs of values that are computed alike.
        let mut pairs = vec![(self.layers.len(), other.layers.len())];
        let mut seen = vec![false; self.layers.len() + 1];
        while let Some((mine, their)) = pairs.pop() {
            let (Some(a), Some(b)) = (self.layer(mine), other.layer(their)) else { continue };
            if std::mem::replace(&mut seen[mine], true) {
                continue;
            }
            if a.op.has_weights() {
                adopted.insert(a.name.clone(), weights.layers.remove(&b.name)?);
            }
            let crossed = a.op == Op::Add && ours[a.inputs[0]] != theirs[b.inputs[0]];
            let mut of = b.inputs.clone();
            if crossed {
                of.reverse();
            }
            pairs.extend(a.inputs.iter().copied().zip(of));
        }
        Some(Weights { layers: adopted })
    }
}
