//! Net2Wider (Chen, Goodfellow, Shlens, arXiv 1511.05641): a wider network that computes what a thin one computes.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;

use crate::weights_file::shapes;
use crate::{Graph, Layer, Weights};

/// How far the two halves of a split weight are apart: standard deviations of the layer's weights (*agreement*: the
/// widened models are defined by it).
const SPREAD: f64 = 0.5;

/// The weights of `wide`, the network `thin` with every layer twice as wide but for the channels of the query, the first
/// layer's and the scores, which stay: outputs are doubled, and where inputs were doubled a weight w is split into
/// w/2 + n and w/2 - n, n Gaussian of half the standard deviation of the layer, drawn from `seed`. As both copies of an
/// input are equal, n cancels up to floating-point rounding: with n = 0 the halves would be equal, and no other network.
///
/// `None` if a layer's shape in `wide` is no such doubling.
pub(crate) fn widen(thin: &Graph, weights: &Weights, wide: &Graph, seed: u64) -> Option<Weights> {
    let thin_shapes: BTreeMap<_, _> = shapes(thin).into_iter().collect();
    let mut layers = BTreeMap::new();
    let mut normal = Normal { rng: ChaCha20Rng::seed_from_u64(seed), spare: None };
    for (name, shape) in shapes(wide) {
        let from = thin_shapes.get(&name)?;
        let layer = weights.layers.get(&name)?;
        let factor = |i: usize| (shape[i] % from[i] == 0 && shape[i] / from[i] <= 2).then(|| shape[i] / from[i]);
        let (outputs, inputs) = (factor(0)?, factor(1)?);
        if shape[2..] != from[2..] {
            return None;
        }
        let taps: usize = from[2..].iter().product();
        // Copies of a channel stand one thin width apart, as concatenating the network with itself would put them.
        let row = from[1] * taps;
        let spread = if inputs == 2 { SPREAD * deviation(&layer.weights) } else { 0.0 };
        let mut wider = Vec::with_capacity(shape.iter().product());
        for _ in 0..outputs {
            for row in layer.weights.chunks_exact(row) {
                if inputs == 1 {
                    wider.extend_from_slice(row);
                    continue;
                }
                let noise: Vec<f32> = row.iter().map(|_| (spread * normal.next()) as f32).collect();
                wider.extend(row.iter().zip(&noise).map(|(w, n)| w / 2.0 + n));
                wider.extend(row.iter().zip(&noise).map(|(w, n)| w / 2.0 - n));
            }
        }
        let bias = (0..outputs).flat_map(|_| layer.bias.iter().copied()).collect();
        layers.insert(name, Layer { weights: wider, bias });
    }
    Some(Weights { layers })
}

fn deviation(weights: &[f32]) -> f64 {
    let n = weights.len() as f64;
    let mean = weights.iter().map(|w| f64::from(*w)).sum::<f64>() / n;
    (weights.iter().map(|w| (f64::from(*w) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Standard normal deviates by Box and Muller. Written out here, for models are defined by the sequence.
struct Normal {
    rng: ChaCha20Rng,
    spare: Option<f64>,
}

impl Normal {
    fn next(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        // 53 bits, in (0, 1].
        let mut uniform = || ((self.rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
        self.spare = Some(radius * angle.sin());
        radius * angle.cos()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ndarray::Array4;

    use super::*;
    use crate::sketch::Sketch;
    use crate::{FixedPoint, Model, Op, Window, run_float};

    /// A stem, a residual block and a classifier.
    fn network(width: usize) -> Graph {
        let conv = |out_channels, kernel: usize| Op::Conv {
            out_channels,
            window: Window::square(kernel, 1).padded(kernel / 2),
            groups: 1,
        };
        let mut s = Sketch::new([2, 6, 6]);
        let x = s.push("stem", conv(5, 3), &[0]);
        let x = s.push("relu", Op::Relu, &[x]);
        let short = s.push("short", conv(2 * width, 1), &[x]);
        let y = s.push("a", conv(width, 3), &[x]);
        let y = s.push("ra", Op::Relu, &[y]);
        let y = s.push("b", conv(2 * width, 1), &[y]);
        let x = s.push("sum", Op::Add, &[short, y]);
        let x = s.push("rs", Op::Relu, &[x]);
        let x = s.push("pool", Op::AvgPool { window: Window::square(6, 1) }, &[x]);
        s.push("fc", Op::Fc { out_features: 3 }, &[x]);
        s.build("t", FixedPoint::CHEETAH).unwrap()
    }

    #[test]
    fn the_wide_network_computes_what_the_thin_one_does() {
        let (thin, wide) = (Arc::new(network(4)), Arc::new(network(8)));
        let weights = Weights::random(&thin, 7);
        let wider = widen(&thin, &weights, &wide, 1).unwrap();
        assert_eq!(wider, widen(&thin, &weights, &wide, 1).unwrap());
        assert_ne!(wider, widen(&thin, &weights, &wide, 2).unwrap());
        // The halves differ: it is not the thin network twice.
        let b = &wider.layers["b"].weights;
        assert!(b[..4].iter().zip(&b[4..8]).all(|(left, right)| left != right));
        let x =
            Array4::from_shape_fn((10, 2, 6, 6), |(n, c, y, x)| ((n * 7 + c * 5 + y * 3 + x) % 13) as f32 / 4.0 - 1.5);
        let run = |g: &Arc<Graph>, w: Weights| run_float(&Model::new(Arc::clone(g), w).unwrap(), &x).unwrap();
        let (a, b) = (run(&thin, weights.clone()), run(&wide, wider));
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a} {b}");
        assert!(widen(&thin, &weights, &network(12), 1).is_none());
    }

    #[test]
    fn normal_deviates_are_pinned_and_normal() {
        let mut normal = Normal { rng: ChaCha20Rng::seed_from_u64(1), spare: None };
        let draws: Vec<f64> = (0..20_000).map(|_| normal.next()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|v| v * v).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
