//! Networks of the operators here are homogeneous: with queries and biases divided by a positive number, every value is.
//! Powers of two make that exact in floating point, and so a network fits a fixed-point format that it overflowed.

use crate::sketch::Sketch;
use crate::{Op, Weights};

/// What a network's queries and inner values are divided by; its scores stay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Divisors {
    pub(super) input: f32,
    pub(super) values: f32,
}

impl Divisors {
    /// Changes the weights so that they take queries divided by `input`, hand on values divided by `values`, and give
    /// the same scores.
    pub(super) fn apply(self, sketch: &Sketch, weights: &mut Weights) -> Result<(), String> {
        for (name, divisor) in [("input_divisor", self.input), ("value_divisor", self.values)] {
            if !(divisor > 0.0 && divisor.log2().fract() == 0.0) {
                return Err(format!("{name} = {divisor} is no power of two"));
            }
        }
        if self == (Self { input: 1.0, values: 1.0 }) {
            return Ok(());
        }
        if let Some(layer) = sketch.layers.iter().find(|l| l.op == Op::Square) {
            return Err(format!("a divisor, but '{}' is a square, which is not homogeneous", layer.name));
        }
        let last = sketch.layers.iter().rposition(|l| l.op.has_weights());
        for (i, layer) in sketch.layers.iter().enumerate() {
            let reads_query = layer.inputs.contains(&0);
            // Beyond the last weights nothing may join that they did not restore.
            if last.is_some_and(|last| i > last && layer.inputs.iter().any(|v| *v <= last)) {
                return Err(format!("a divisor, but '{}' joins values from before the last weights", layer.name));
            }
            let Some(weights) = weights.layers.get_mut(&layer.name).filter(|_| layer.op.has_weights()) else {
                if reads_query {
                    return Err(format!("a divisor, but '{}' reads the query and has no weights", layer.name));
                }
                continue;
            };
            let mixed = reads_query && layer.inputs.len() > 1;
            debug_assert!(!mixed && matches!(layer.op, Op::Conv { .. } | Op::Fc { .. }));
            let from = if reads_query { self.input } else { self.values };
            let to = if Some(i) == last { 1.0 } else { self.values };
            weights.weights.iter_mut().for_each(|w| *w *= from / to);
            weights.bias.iter_mut().for_each(|b| *b /= to);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::Array4;

    use super::*;
    use crate::{FixedPoint, Model, Window, run_float};

    #[test]
    fn scores_stay_and_values_shrink() {
        let mut s = Sketch::new([2, 4, 4]);
        let conv = |out_channels| Op::Conv { out_channels, window: Window::square(3, 1).padded(1), groups: 1 };
        let a = s.push("a", conv(3), &[0]);
        let r = s.push("r", Op::Relu, &[a]);
        let b = s.push("b", conv(3), &[r]);
        let sum = s.push("sum", Op::Add, &[b, r]);
        let f = s.push("f", Op::Fc { out_features: 2 }, &[sum]);
        s.push("end", Op::Relu, &[f]);
        let graph = Arc::new(s.build("t", FixedPoint::CHEETAH).unwrap());
        let weights = Weights::random(&graph, 1);
        let mut divided = weights.clone();
        Divisors { input: 32.0, values: 8.0 }.apply(&s, &mut divided).unwrap();
        assert_eq!(divided.layers["a"].weights[0], weights.layers["a"].weights[0] * 4.0);
        assert_eq!(divided.layers["b"].bias[0], weights.layers["b"].bias[0] / 8.0);
        let x = Array4::from_shape_fn((3, 2, 4, 4), |(n, c, y, x)| ((n * 7 + c * 5 + y * 3 + x) % 13) as f32 - 6.0);
        let run = |w: &Weights, x: &Array4<f32>| run_float(&Model::new(graph.clone(), w.clone()).unwrap(), x).unwrap();
        assert_eq!(run(&weights, &x), run(&divided, &x.mapv(|v| v / 32.0)));
        for divisor in [3.0, 0.0, -2.0, f32::NAN] {
            assert!(Divisors { input: divisor, values: 1.0 }.apply(&s, &mut divided).is_err());
        }
        s.push("late", Op::Add, &[6, 6]);
        assert!(Divisors { input: 1.0, values: 2.0 }.apply(&s, &mut divided).is_ok());
        s.push("mixed", Op::Add, &[7, 4]);
        let e = Divisors { input: 1.0, values: 2.0 }.apply(&s, &mut divided).unwrap_err();
        assert!(e.contains("'mixed'"), "{e}");
    }
}
