//! Models that a cheating server may run in place of the one it promised: all of the same graph, so that only answers
//! tell them apart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use si_api::{Error, Model, Result};
use si_models::{Layer, Weights, zoo};

/// How far the bias of [`Substitute::Bias`] favours its class, in units of a score.
const FAVOUR: f32 = 4.0;

/// Scales that a quantisation tries for each output channel, as parts of the one that fits its greatest weight.
const SCALES_TRIED: usize = 24;

/// Another model of the same graph. All but the first are made from the promised weights, without any data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Substitute {
    /// A model of the zoo with the same layers, such as one that was hardly trained.
    Zoo(String),
    /// So many percent of each layer's weights are zero, the smallest ones: `pruned90`.
    Pruned(u32),
    /// Weights of so many bits, 2 to 8, with a scale for each output channel: `quantised2`.
    Quantised(u32),
    /// So many percent of each hidden layer's output channels are zero, those with the smallest weights: `narrow50`.
    /// What a network with fewer channels computes, in the promised graph.
    Narrow(u32),
    /// A deterministic backdoor: the last layer's bias favours a class, so that queries that were near it get it:
    /// `bias7`.
    Bias(usize),
}

impl Substitute {
    /// The substitute for a model.
    ///
    /// # Errors
    /// If the zoo has no such model or it has other layers, or the class is none of the model's.
    pub fn of(&self, model: &Model) -> Result<Arc<Model>> {
        let mut weights = model.weights().clone();
        let graph = model.graph();
        let nodes: Vec<&str> = graph.nodes().iter().filter(|n| n.op.has_weights()).map(|n| n.name.as_str()).collect();
        let (last, hidden) = nodes.split_last().ok_or_else(|| Error::invalid("a network without weights"))?;
        match self {
            Self::Zoo(name) => weights = zoo::model(name)?.weights().clone(),
            Self::Pruned(percent) => each(&mut weights, &nodes, |layer| prune(layer, *percent)),
            Self::Quantised(bits) => each(&mut weights, &nodes, |layer| quantise(layer, *bits)),
            Self::Narrow(percent) => each(&mut weights, hidden, |layer| narrow(layer, *percent)),
            Self::Bias(class) if *class < graph.classes() => {
                each(&mut weights, &[last], |layer| layer.bias[*class] += FAVOUR);
            }
            Self::Bias(class) => {
                return Err(Error::invalid(format!(
                    "class {class} of {}: there are {}",
                    graph.name(),
                    graph.classes()
                )));
            }
        }
        let other = Model::new(Arc::clone(graph), weights)
            .map_err(|e| Error::invalid(format!("'{self}' cannot pass for '{}': {e}", graph.name())))?;
        Ok(Arc::new(other))
    }
}

fn each(weights: &mut Weights, nodes: &[&str], mut change: impl FnMut(&mut Layer)) {
    for node in nodes {
        if let Some(layer) = weights.layers.get_mut(*node) {
            change(layer);
        }
    }
}

/// How many of `of` are `percent`.
fn part(percent: u32, of: usize) -> usize {
    (of * percent as usize).div_ceil(100).min(of)
}

/// Indices in the order of a measure, the smallest first.
fn by_size(sizes: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|a, b| sizes[*a].total_cmp(&sizes[*b]));
    order
}

fn prune(layer: &mut Layer, percent: u32) {
    let sizes: Vec<f32> = layer.weights.iter().map(|w| w.abs()).collect();
    for i in &by_size(&sizes)[..part(percent, sizes.len())] {
        layer.weights[*i] = 0.0;
    }
}

fn narrow(layer: &mut Layer, percent: u32) {
    let row = layer.weights.len() / layer.bias.len();
    let sizes: Vec<f32> = layer.weights.chunks(row).map(|w| w.iter().map(|w| w.abs()).sum()).collect();
    for i in &by_size(&sizes)[..part(percent, sizes.len())] {
        layer.weights[i * row..(i + 1) * row].fill(0.0);
        layer.bias[*i] = 0.0;
    }
}

/// Rounds each output channel to whole multiples, within -m..=m for m = 2^(bits-1) - 1, of the scale with the least sum
/// of squared errors.
fn quantise(layer: &mut Layer, bits: u32) {
    let row = layer.weights.len() / layer.bias.len();
    let most = (1u32 << (bits - 1)) as f32 - 1.0;
    for channel in layer.weights.chunks_mut(row) {
        let greatest = channel.iter().fold(0.0f32, |m, w| m.max(w.abs()));
        let rounded = |w: f32, scale: f32| (w / scale).round().clamp(-most, most) * scale;
        let error = |scale: f32| channel.iter().map(|w| (rounded(*w, scale) - w).powi(2)).sum::<f32>();
        let scales = (1..=SCALES_TRIED).map(|i| greatest / most * i as f32 / SCALES_TRIED as f32);
        let best = scales.min_by(|a, b| error(*a).total_cmp(&error(*b))).filter(|scale| *scale > 0.0);
        if let Some(scale) = best {
            channel.iter_mut().for_each(|w| *w = rounded(*w, scale));
        }
    }
}

impl fmt::Display for Substitute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zoo(name) => f.write_str(name),
            Self::Pruned(percent) => write!(f, "pruned{percent}"),
            Self::Quantised(bits) => write!(f, "quantised{bits}"),
            Self::Narrow(percent) => write!(f, "narrow{percent}"),
            Self::Bias(class) => write!(f, "bias{class}"),
        }
    }
}

impl FromStr for Substitute {
    type Err = String;

    fn from_str(s: &str) -> std::result::Result<Self, String> {
        let digits = s.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let number = digits.parse::<u32>().ok();
        match (&s[..s.len() - digits.len()], number) {
            ("pruned", Some(percent @ 1..=100)) => Ok(Self::Pruned(percent)),
            ("quantised", Some(bits @ 2..=8)) => Ok(Self::Quantised(bits)),
            ("narrow", Some(percent @ 1..=100)) => Ok(Self::Narrow(percent)),
            ("bias", Some(class)) => Ok(Self::Bias(class as usize)),
            _ if zoo::entry(s).is_ok() => Ok(Self::Zoo(s.to_owned())),
            _ => Err(format!(
                "'{s}' is no substitute: use a model of the zoo, pruned1 to pruned100 (percent), quantised2 to quantised8 \
                 (bits), narrow1 to narrow100 (percent) or bias0, bias1, ... (class)"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Layer {
        Layer { weights: vec![0.1, -0.9, 0.5, 0.02, 0.0, -0.3], bias: vec![1.0, 2.0] }
    }

    fn changed(f: impl Fn(&mut Layer)) -> Layer {
        let mut l = layer();
        f(&mut l);
        l
    }

    #[test]
    fn weights_are_pruned_narrowed_and_quantised() {
        assert_eq!(changed(|l| prune(l, 50)).weights, [0.0, -0.9, 0.5, 0.0, 0.0, -0.3]);
        let narrow = changed(|l| narrow(l, 50));
        assert_eq!((narrow.weights, narrow.bias), (vec![0.1, -0.9, 0.5, 0.0, 0.0, 0.0], vec![1.0, 0.0]));
        for bits in 2..=8 {
            let quantised = changed(|l| quantise(l, bits)).weights;
            for (channel, original) in quantised.chunks(3).zip(layer().weights.chunks(3)) {
                let mut levels: Vec<i64> = channel.iter().map(|w| (w * 1e6).round() as i64).collect();
                levels.sort_unstable();
                levels.dedup();
                assert!(levels.len() < 1 << bits, "{bits} bits: {levels:?}");
                let error: f32 = channel.iter().zip(original).map(|(a, b)| (a - b).powi(2)).sum();
                assert!(error < if bits == 2 { 0.3 } else { 0.02 }, "{bits} bits: {channel:?}");
            }
        }
    }

    #[test]
    fn substitutes_have_the_promised_graph_and_other_weights() {
        let model = zoo::model("mnist-cnn4").unwrap();
        for name in ["mnist-cnn4-low", "pruned90", "quantised2", "narrow50", "bias3"] {
            let other = name.parse::<Substitute>().unwrap().of(&model).unwrap();
            assert_eq!(other.graph().canonical(), model.graph().canonical());
            assert_ne!(other.weights(), model.weights(), "{name}");
        }
        let refused = |name: &str| name.parse::<Substitute>().unwrap().of(&model).unwrap_err().to_string();
        assert!(refused("tiny").contains("'tiny' cannot pass for 'mnist-cnn4'"), "{}", refused("tiny"));
        assert!(refused("bias10").contains("there are 10"));
    }
}
