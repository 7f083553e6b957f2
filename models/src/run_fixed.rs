//! The fixed-point executor: the oracle that every protocol's answers are compared with, bit for bit or within
//! [`crate::score_tolerance`].

use ndarray::{Array2, Array4};
use rayon::prelude::*;

use crate::operators::{self, Linear, Slide};
use crate::walk::{self, Operands};
use crate::{Error, FixedLayer, Graph, Model, Op, Result};

/// The images (n, c, h, w) as fixed-point numbers of the graph's format, each round(x * 2^scale_bits).
#[must_use]
pub fn encode_input(graph: &Graph, images: &Array4<f32>) -> Array4<i64> {
    images.mapv(|x| graph.format().encode(x))
}

/// Scores (n, classes) of images (n, c, h, w), all as signed representatives of ring elements:
///
/// - convolution and FC: exact sum of products plus the bias at double scale;
/// - rescale: floor(x / 2^bits);
/// - average pool: sum of the window times round(2^scale_bits / (kh * kw)), rescaled by the node that follows;
/// - ReLU, max-pool, addition, concatenation: as they are on integers.
///
/// As no value leaves its range, this is what a protocol over Z_2^l must open.
///
/// # Errors
/// If the images' shape is not the model's, or a value (of the input as well) leaves the range that its node promises
/// (see [`crate::Node::signed_bits`]): an [`Error::Overflow`] that names the node.
pub fn run_fixed(model: &Model, input: &Array4<i64>) -> Result<Array2<i64>> {
    let executor = Executor::new(model);
    walk::batch(model.graph(), input, |image| executor.image(image, &mut Quiet))
}

/// [`run_fixed()`] as a protocol with one-bit rounding computes it: for each number x to be rescaled, in order,
/// `one_too_small(x, bits)` says whether it comes out as floor(x / 2^bits) - 1. One image after the other.
///
/// # Errors
/// As [`run_fixed()`].
pub fn run_fixed_with(
    model: &Model,
    input: &Array4<i64>,
    one_too_small: &mut dyn FnMut(i64, u32) -> bool,
) -> Result<Array2<i64>> {
    let executor = Executor::new(model);
    let images = walk::images(model.graph(), input)?;
    let mut noise = Noise(one_too_small);
    let rows = images.into_iter().map(|image| executor.image(image, &mut noise)).collect::<Result<_>>()?;
    Ok(walk::scores(model.graph(), rows))
}

/// Smallest and greatest number that a node put out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRange {
    /// The node's name.
    pub node: String,
    /// Smallest value seen.
    pub min: i64,
    /// Greatest value seen.
    pub max: i64,
    /// Signed bits that these two need.
    pub needed_bits: u32,
    /// Signed bits that the node may use.
    pub signed_bits: u32,
}

/// The ranges that the nodes' values take on these images: how much room a format leaves in practice.
///
/// # Errors
/// As [`run_fixed()`].
pub fn run_fixed_ranges(model: &Model, input: &Array4<i64>) -> Result<Vec<NodeRange>> {
    let executor = Executor::new(model);
    let nodes = model.graph().nodes();
    let none = || Ranges(vec![(i64::MAX, i64::MIN); nodes.len()]);
    let Ranges(seen) = walk::images(model.graph(), input)?
        .into_par_iter()
        .map(|image| {
            let mut ranges = none();
            executor.image(image, &mut ranges).map(|_| ranges)
        })
        .try_reduce(none, |a, b| {
            Ok(Ranges(a.0.iter().zip(&b.0).map(|(a, b)| (a.0.min(b.0), a.1.max(b.1))).collect()))
        })?;
    Ok(nodes
        .iter()
        .zip(seen)
        .map(|(node, (min, max))| NodeRange {
            node: node.name.clone(),
            min,
            max,
            needed_bits: needed_bits(min).max(needed_bits(max)),
            signed_bits: node.signed_bits,
        })
        .collect())
}

/// Smallest b such that -2^(b-1) <= v < 2^(b-1).
pub(crate) fn needed_bits(v: i64) -> u32 {
    // The bits of v or of its complement, and the sign.
    65 - (v ^ (v >> 63)).leading_zeros()
}

/// Class with the greatest score; of equal scores the lowest class. Protocols that reveal only the label follow this.
#[must_use]
pub fn label<T: PartialOrd + Copy>(scores: impl IntoIterator<Item = T>) -> usize {
    let mut best: Option<(usize, T)> = None;
    for (class, score) in scores.into_iter().enumerate() {
        if best.is_none_or(|(_, b)| score > b) {
            best = Some((class, score));
        }
    }
    best.map_or(0, |(class, _)| class)
}

/// Whether `answer` may be the label that a protocol with one-bit rounding reveals: its exact score is the greatest, or
/// would be if each score moved by `tolerance`.
#[must_use]
pub fn label_within(scores: &[i64], answer: usize, tolerance: i64) -> bool {
    let greatest = scores.iter().max().copied().unwrap_or(0);
    scores.get(answer).is_some_and(|s| s.saturating_add(tolerance.saturating_mul(2)) >= greatest)
}

/// What the executor lets others see and disturb.
trait Hooks {
    /// Whether this number, rescaled by so many bits, comes out one too small.
    fn one_too_small(&mut self, _x: i64, _bits: u32) -> bool {
        false
    }

    /// Called with each node's output.
    fn seen(&mut self, _node: usize, _values: &[i64]) {}
}

struct Quiet;

impl Hooks for Quiet {}

struct Noise<'a>(&'a mut dyn FnMut(i64, u32) -> bool);

impl Hooks for Noise<'_> {
    fn one_too_small(&mut self, x: i64, bits: u32) -> bool {
        (self.0)(x, bits)
    }
}

struct Ranges(Vec<(i64, i64)>);

impl Hooks for Ranges {
    fn seen(&mut self, node: usize, values: &[i64]) {
        let range = &mut self.0[node];
        for v in values {
            *range = (range.0.min(*v), range.1.max(*v));
        }
    }
}

struct Executor<'a> {
    model: &'a Model,
    /// How many bits each node's sums of products need, whatever the input in range.
    sum_bits: Vec<u32>,
}

impl<'a> Executor<'a> {
    fn new(model: &'a Model) -> Self {
        let graph = model.graph();
        let sum_bits = (graph.nodes().iter().enumerate())
            .map(|(index, node)| {
                let input = graph.signed_bits(node.inputs[0]);
                model.fixed(index).map_or(0, |layer| sum_bits(layer, input))
            })
            .collect();
        Self { model, sum_bits }
    }

    fn image(&self, image: Vec<i64>, hooks: &mut impl Hooks) -> Result<Vec<i64>> {
        let graph = self.model.graph();
        self.check("input", graph.signed_bits(0), &image)?;
        walk::walk(graph, image, |index, operands| {
            let out = self.node(index, operands, hooks)?;
            let node = &graph.nodes()[index];
            hooks.seen(index, &out);
            self.check(&node.name, node.signed_bits, &out)?;
            Ok(out)
        })
    }

    fn node(&self, index: usize, operands: Operands<'_, i64>, hooks: &mut impl Hooks) -> Result<Vec<i64>> {
        let graph = self.model.graph();
        let node = &graph.nodes()[index];
        let slide = |window| Slide { from: graph.shape(node.inputs[0]), to: node.shape, window };
        let layer = || {
            let layer = self.model.fixed(index).expect("Model::new gives every linear node its weights");
            Linear { weights: &layer.weights, bias: &layer.bias }
        };
        Ok(match &node.op {
            Op::Conv { window, groups: 1, .. } if self.sum_bits[index] <= F64_BITS => {
                operators::conv_by_matrix(slide(*window), &layer(), &operands.x, |v| v as f64, |v| v as i64)
            }
            Op::Conv { window, groups, .. } if self.sum_bits[index] <= I64_BITS => {
                operators::conv::<i64>(slide(*window), *groups, &layer(), &operands.x)
            }
            Op::Conv { window, groups, .. } => {
                self.narrowed(index, operators::conv(slide(*window), *groups, &layer(), &operands.x))?
            }
            Op::Fc { .. } if self.sum_bits[index] <= I64_BITS => operators::fc::<i64>(&layer(), &operands.x),
            Op::Fc { .. } => self.narrowed(index, operators::fc(&layer(), &operands.x))?,
            Op::Rescale { bits } => {
                let mut x = operands.x.into_owned();
                x.iter_mut().for_each(|v| *v = (*v >> bits) - i64::from(hooks.one_too_small(*v, *bits)));
                x
            }
            Op::Relu => {
                let mut x = operands.x.into_owned();
                x.iter_mut().for_each(|v| *v = (*v).max(0));
                x
            }
            Op::Square => {
                let squares = operands.x.iter().map(|v| i128::from(*v).checked_mul(i128::from(*v)));
                self.narrowed(index, squares.collect())?
            }
            Op::MaxPool { window } => operators::pool(slide(*window), &operands.x, i64::max),
            Op::AvgPool { window } => {
                let factor = i128::from(graph.format().reciprocal(window.kernel[0] * window.kernel[1]));
                let x: Vec<i128> = operands.x.iter().map(|v| i128::from(*v)).collect();
                let sums = operators::pool(slide(*window), &x, |a, b| a + b);
                self.narrowed(index, sums.into_iter().map(|v| v.checked_mul(factor)).collect())?
            }
            // In i128, for both may use all of i64.
            Op::Add => {
                let sums = operands.pairs().map(|(a, b)| Some(i128::from(*a) + i128::from(*b)));
                self.narrowed(index, sums.collect())?
            }
            Op::Concat => operands.concatenated(),
            Op::Flatten => operands.x.into_owned(),
        })
    }

    /// Refuses sums that left i64; the others pass to [`Self::check`].
    fn narrowed(&self, index: usize, sums: Vec<Option<i128>>) -> Result<Vec<i64>> {
        let node = &self.model.graph().nodes()[index];
        sums.into_iter()
            .map(|sum| {
                sum.and_then(|v| i64::try_from(v).ok()).ok_or_else(|| {
                    let nearest = if sum.is_some_and(|v| v < 0) { i64::MIN } else { i64::MAX };
                    self.overflow(&node.name, node.signed_bits, nearest)
                })
            })
            .collect()
    }

    fn check(&self, node: &str, bits: u32, values: &[i64]) -> Result<()> {
        // Both bounds at once: a sign bit above the range shows as a difference from the sign.
        match values.iter().find(|v| (**v >> (bits - 1)) ^ (**v >> 63) != 0) {
            Some(v) => Err(self.overflow(node, bits, *v)),
            None => Ok(()),
        }
    }

    fn overflow(&self, node: &str, bits: u32, value: i64) -> Error {
        Error::Overflow { model: self.model.graph().name().to_owned(), node: node.to_owned(), value, bits }
    }
}

/// Bits of sums of which f64 holds every part exactly.
const F64_BITS: u32 = 53;

/// Bits of sums that i64 holds beside their sign.
const I64_BITS: u32 = 63;

/// The least b such that no sum of products with inputs of `input_bits` signed bits, nor part of one, can reach 2^b.
fn sum_bits(layer: &FixedLayer, input_bits: u32) -> u32 {
    let fan_in = layer.weights.len() / layer.bias.len();
    let rows = layer.weights.chunks_exact(fan_in).zip(&layer.bias);
    let greatest = rows.map(|(row, bias)| {
        // No overflow: fewer than 2^64 numbers below 2^64.
        let weights: u128 = row.iter().map(|w| u128::from(w.unsigned_abs())).sum();
        let products = weights.saturating_mul(1u128 << (input_bits - 1));
        products.saturating_add(u128::from(bias.unsigned_abs()))
    });
    128 - greatest.max().unwrap_or(0).leading_zeros()
}
