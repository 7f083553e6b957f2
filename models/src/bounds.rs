//! Bounds that hold for every input: how large values can get, and how far rescales that are one too small can carry
//! the scores. Interval arithmetic over the actual weights, one interval a channel.

use crate::run_fixed::needed_bits;
use crate::{FixedLayer, Model, Node, NodeRange, Op, Shape};

/// Every number between the two is possible, no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    lo: i128,
    hi: i128,
}

impl Interval {
    const ZERO: Self = Self { lo: 0, hi: 0 };

    fn map(self, f: impl Fn(i128) -> i128) -> Self {
        Self { lo: f(self.lo), hi: f(self.hi) }
    }

    /// Also reaching zero.
    fn or_zero(self) -> Self {
        Self { lo: self.lo.min(0), hi: self.hi.max(0) }
    }

    fn plus(self, other: Self) -> Self {
        Self { lo: self.lo.saturating_add(other.lo), hi: self.hi.saturating_add(other.hi) }
    }

    /// Of products of a number of each.
    fn product(self, other: Self) -> Self {
        let corners = [self.lo, self.hi].map(|a| [other.lo, other.hi].map(|b| a.saturating_mul(b)));
        let corners = corners.as_flattened();
        Self { lo: corners.iter().copied().min().unwrap_or(0), hi: corners.iter().copied().max().unwrap_or(0) }
    }

    fn square(self) -> Self {
        let all = self.product(self);
        let crosses = self.lo <= 0 && self.hi >= 0;
        Self { lo: if crosses { 0 } else { all.lo }, hi: all.hi }
    }

    fn times(self, factor: i128) -> Self {
        let (a, b) = (self.lo.saturating_mul(factor), self.hi.saturating_mul(factor));
        Self { lo: a.min(b), hi: a.max(b) }
    }
}

/// What intervals are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The values themselves.
    Values,
    /// The difference between what a protocol with one-bit rounding computes and the exact values.
    Errors,
}

/// Intervals of every node's channels for an input whose channels all lie in `input`.
fn propagate(model: &Model, input: Interval, of: Of) -> Vec<Vec<Interval>> {
    let graph = model.graph();
    // An error of a square depends on the value: on any that a query in range can bring about.
    let squares = of == Of::Errors && graph.nodes().iter().any(|node| node.op == Op::Square);
    let values = if squares {
        let most = 1i128 << (graph.signed_bits(0) - 1);
        propagate(model, Interval { lo: -most, hi: most }, Of::Values)
    } else {
        Vec::new()
    };
    let mut all = vec![vec![input; graph.input_shape()[0]]];
    for (index, node) in graph.nodes().iter().enumerate() {
        let x = &all[node.inputs[0]];
        let from = graph.shape(node.inputs[0]);
        let out = match &node.op {
            Op::Conv { .. } | Op::Fc { .. } => {
                let layer = model.fixed(index).expect("Model::new gives every linear node its weights");
                linear(node, from, layer, x, of)
            }
            Op::Rescale { bits } => x.iter().map(|i| rescale(*i, *bits, of)).collect(),
            Op::Relu => match of {
                Of::Values => x.iter().map(|i| i.map(|v| v.max(0))).collect(),
                // relu(v + e) - relu(v) lies between 0 and e.
                Of::Errors => x.iter().map(|i| i.or_zero()).collect(),
            },
            Op::Square => match of {
                Of::Values => x.iter().map(|i| i.square()).collect(),
                Of::Errors => {
                    // (v + e)^2 - v^2 = e (2 v + e).
                    let v = &values[node.inputs[0] - 1];
                    x.iter().zip(v).map(|(e, v)| e.product(v.times(2).plus(*e))).collect()
                }
            },
            // The maximum of numbers that all moved by lo to hi has moved by lo to hi; padding never wins.
            Op::MaxPool { .. } => x.clone(),
            Op::AvgPool { window } => {
                let area = window.kernel[0] * window.kernel[1];
                let factor = i128::from(graph.format().reciprocal(area));
                let padded = window.padding != [0; 4];
                let sum = |i: &Interval| if padded { i.or_zero() } else { *i }.times(area as i128 * factor);
                x.iter().map(sum).collect()
            }
            Op::Add => x.iter().zip(&all[node.inputs[1]]).map(|(a, b)| a.plus(*b)).collect(),
            Op::Concat => node.inputs.iter().flat_map(|v| all[*v].iter().copied()).collect(),
            Op::Flatten => x.iter().flat_map(|i| vec![*i; from[1] * from[2]]).collect(),
        };
        all.push(out);
    }
    all.split_off(1)
}

fn linear(node: &Node, from: Shape, layer: &FixedLayer, x: &[Interval], of: Of) -> Vec<Interval> {
    // How many consecutive weights belong to an input channel, whether some of them may fall on padding, and how many
    // channels an output sees.
    let (taps, padded, per_group) = match &node.op {
        Op::Conv { window, groups, .. } => {
            (window.kernel[0] * window.kernel[1], window.padding != [0; 4], from[0] / groups)
        }
        _ => (from[1] * from[2], false, from[0]),
    };
    let per_output = node.shape[0] / (from[0] / per_group);
    let rows = layer.weights.chunks_exact(per_group * taps).zip(&layer.bias);
    rows.enumerate()
        .map(|(o, (row, bias))| {
            let start = match of {
                Of::Values => Interval::ZERO.map(|_| i128::from(*bias)),
                Of::Errors => Interval::ZERO,
            };
            let first = o / per_output * per_group;
            row.iter().enumerate().fold(start, |sum, (i, weight)| {
                let x = x[first + i / taps];
                sum.plus(if padded { x.or_zero() } else { x }.times(i128::from(*weight)))
            })
        })
        .collect()
}

fn rescale(i: Interval, bits: u32, of: Of) -> Interval {
    match of {
        Of::Values => i.map(|v| v >> bits),
        // floor((v + e) / 2^bits) - floor(v / 2^bits) is floor or ceiling of e / 2^bits; then one may be lost.
        Of::Errors => Interval { lo: (i.lo >> bits) - 1, hi: -(-i.hi >> bits) },
    }
}

/// The ranges that the nodes' values can take when every input number lies between `min` and `max` (both encoded). If
/// they keep to the nodes' promises, no such input can overflow; if not, some may (the bound takes the worst of each
/// product, which no single input need reach).
#[must_use]
pub fn worst_case_ranges(model: &Model, min: i64, max: i64) -> Vec<NodeRange> {
    let clamp = |v: i128| i64::try_from(v).unwrap_or(if v < 0 { i64::MIN } else { i64::MAX });
    let input = Interval { lo: i128::from(min.min(max)), hi: i128::from(max.max(min)) };
    let ranges = propagate(model, input, Of::Values);
    let nodes = model.graph().nodes().iter();
    nodes
        .zip(ranges)
        .map(|(node, channels)| {
            let min = clamp(channels.iter().map(|i| i.lo).min().unwrap_or(0));
            let max = clamp(channels.iter().map(|i| i.hi).max().unwrap_or(0));
            let needed_bits = needed_bits(min).max(needed_bits(max));
            NodeRange { node: node.name.clone(), min, max, needed_bits, signed_bits: node.signed_bits }
        })
        .collect()
}

/// The greatest difference to [`crate::run_fixed()`], in units of the last place, that any score can show when any of the
/// rescales come out one too small: no assumption, hence wide, and useless for deep networks ([`i64::MAX`] if beyond).
/// [`crate::score_tolerance`] is the statistical one.
#[must_use]
pub fn score_error_bound(model: &Model) -> i64 {
    let errors = propagate(model, Interval::ZERO, Of::Errors);
    let greatest = errors.last().into_iter().flatten().map(|i| i.hi.max(-i.lo)).max();
    i64::try_from(greatest.unwrap_or(0)).unwrap_or(i64::MAX)
}
