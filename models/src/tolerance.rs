//! How far the scores of a protocol with one-bit rounding may be from the oracle's, statistically. The bound for the
//! worst case is [`crate::score_error_bound`]; it is safe but so wide that it would hide mistakes.

use crate::bounds::score_error_bound;
use crate::{FixedLayer, Model, Op};

/// Standard deviations allowed beyond the shift of the mean (*agreement*: the harness and its records share it). A
/// normal deviate exceeds 8 with probability 1.2e-15; the rest is room for what is taken as an average, above all the
/// half of the numbers that a ReLU stops.
const DEVIATIONS: f64 = 16.0;

/// Mean square of what is squared (*agreement*, as [`DEVIATIONS`]): training aims at 1. Tests compare the tolerance with digits.
const SQUARED: f64 = 1.5;

/// What is known about the errors of one channel, in units of the last place.
#[derive(Clone, Copy, Debug)]
struct Errors {
    /// Their mean, if every rescale comes out one too small.
    mean: f64,
    /// Variance of what differs from channel to channel, and is the same throughout a channel.
    shared: f64,
    /// Variance of what differs from number to number.
    own: f64,
}

impl Errors {
    const NONE: Self = Self { mean: 0.0, shared: 0.0, own: 0.0 };

    /// The errors that a ReLU lets pass: those of a share of the channel's numbers that is uniform between 0 and 1, whose
    /// mean is 1/2, mean square 1/3 and variance 1/12.
    fn gated(self) -> Self {
        Self { mean: self.mean / 2.0, shared: self.shared / 3.0 + self.mean * self.mean / 12.0, own: self.own / 2.0 }
    }

    /// The errors of squares of numbers of mean square [`SQUARED`] and either sign: e (2 v + e), e the smaller.
    fn squared(self, scale_bits: u32) -> Self {
        let factor = 4.0 * SQUARED * f64::from(2 * scale_bits).exp2();
        let shared = self.shared + self.mean * self.mean;
        Self { mean: shared + self.own, shared: factor * shared, own: factor * self.own }
    }

    /// One too small or not has variance 1/4 at most. So has the floor of a number that an error moved by a fraction of
    /// a unit.
    fn rescaled(self, bits: u32) -> Self {
        let unit = f64::from(bits).exp2();
        let square = unit * unit;
        Self { mean: self.mean / unit - 1.0, shared: self.shared / square, own: self.own / square + 0.5 }
    }

    /// The sum of numbers of one channel, times factors with this sum and this sum of squares.
    fn times(self, sum: f64, squares: f64) -> Self {
        Self { mean: self.mean * sum, shared: self.shared * sum * sum, own: self.own * squares }
    }

    /// The sum of two numbers with errors of their own.
    fn plus(self, other: Self) -> Self {
        Self { mean: self.mean + other.mean, shared: self.shared + other.shared, own: self.own + other.own }
    }

    fn reach(self) -> f64 {
        self.mean.abs() + DEVIATIONS * (self.shared + self.own).sqrt()
    }
}

/// By how much a score may differ from [`crate::run_fixed()`]'s, in units of the last place, when every rescale may come
/// out as floor - 1 in place of floor, as the local truncation of shares does.
///
/// A statistical bound, propagated layer by layer and channel by channel as a shift of the mean and two variances, of what
/// a channel's numbers share and of what is each number's own:
///
/// - a rescale is one too small with a chance p that depends on the data: its mean shift is -p, and is taken for p = 1,
///   the worst; its variance is at most 1/4, and rounding what came before adds as much;
/// - a linear operator multiplies a channel's shift by the sum of the actual weights on that channel, sign and all, the
///   shared variance by that sum's square and the own variance by the sum of squares; channels and the two sides of a
///   residual connection are taken as uncorrelated;
/// - a square multiplies an error by twice the number squared, of mean square 1.5 and either sign: what was a shift is then a variance;
/// - max-pool enlarges no error; a ReLU passes a share of a channel's numbers, taken as uniform between none and all: half
///   the shift and of the own variance, a third of the shared one, and 1/12 of the shift's square joins the latter.
///
/// The answer is the greatest |shift| + 16 standard deviations of any score, rounded up, and never more than
/// [`crate::score_error_bound`]. It is no proof: tests compare it with simulated truncation on real digits and photographs,
/// where it is at least twice the greatest error seen.
#[must_use]
pub fn score_tolerance(model: &Model) -> i64 {
    let graph = model.graph();
    let mut all = vec![vec![Errors::NONE; graph.input_shape()[0]]];
    for (index, node) in graph.nodes().iter().enumerate() {
        let x = &all[node.inputs[0]];
        let [_, h, w] = graph.shape(node.inputs[0]);
        let out: Vec<Errors> = match (&node.op, model.fixed(index)) {
            (Op::Conv { window, groups, .. }, Some(layer)) => {
                linear(layer, x, window.kernel[0] * window.kernel[1], *groups)
            }
            (Op::Fc { .. }, Some(layer)) => linear(layer, x, h * w, 1),
            (Op::Rescale { bits }, _) => x.iter().map(|e| e.rescaled(*bits)).collect(),
            (Op::Relu, _) => x.iter().map(|e| e.gated()).collect(),
            (Op::Square, _) => x.iter().map(|e| e.squared(graph.format().scale_bits)).collect(),
            (Op::AvgPool { window }, _) => {
                let area = window.kernel[0] * window.kernel[1];
                let factor = graph.format().reciprocal(area) as f64;
                x.iter().map(|e| e.times(area as f64 * factor, area as f64 * factor * factor)).collect()
            }
            (Op::Add, _) if node.inputs[0] == node.inputs[1] => x.iter().map(|e| e.times(2.0, 4.0)).collect(),
            (Op::Add, _) => x.iter().zip(&all[node.inputs[1]]).map(|(a, b)| a.plus(*b)).collect(),
            (Op::Concat, _) => node.inputs.iter().flat_map(|v| all[*v].iter().copied()).collect(),
            (Op::Flatten, _) => x.iter().flat_map(|e| vec![*e; h * w]).collect(),
            (Op::MaxPool { .. } | Op::Conv { .. } | Op::Fc { .. }, _) => x.clone(),
        };
        all.push(out);
    }
    let reach = all.last().into_iter().flatten().map(|e| e.reach()).fold(0.0, f64::max);
    (reach.ceil() as i64).min(score_error_bound(model))
}

fn linear(layer: &FixedLayer, x: &[Errors], taps: usize, groups: usize) -> Vec<Errors> {
    let per_group = x.len() / groups;
    let per_output = layer.bias.len() / groups;
    let rows = layer.weights.chunks_exact(per_group * taps);
    rows.enumerate()
        .map(|(o, row)| {
            let channels = &x[o / per_output * per_group..][..per_group];
            row.chunks_exact(taps).zip(channels).fold(Errors::NONE, |sum, (weights, x)| {
                let total: f64 = weights.iter().map(|w| *w as f64).sum();
                let squares: f64 = weights.iter().map(|w| (*w as f64).powi(2)).sum();
                sum.plus(x.times(total, squares))
            })
        })
        .collect()
}
