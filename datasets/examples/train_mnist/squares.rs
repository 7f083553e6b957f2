//! Forward and backward pass of four fully connected layers with squares between them on one image, over one flat vector of parameters.

use std::collections::BTreeMap;

use ndarray::{ArrayView1, ArrayView2};
use si_models::{Graph, Layer, Weights};

/// Name, outputs and fan-in of the layers.
const LAYERS: [(&str, usize, usize); 4] = [("fc1", 100, 784), ("fc2", 100, 100), ("fc3", 100, 100), ("fc4", 10, 100)];

/// Weight of the penalty (m - 1)^2, m the mean square of a layer's outputs before they are squared: it keeps all values near one,
/// where fixed-point numbers with few bits have room for them.
const PENALTY: f32 = 0.02;

/// Where layer `i` begins within the parameters: weights, then biases.
fn start_of(i: usize) -> usize {
    LAYERS[..i].iter().map(|(_, out, fan_in)| out * (fan_in + 1)).sum()
}

fn parts(params: &[f32], i: usize) -> (ArrayView2<'_, f32>, &[f32]) {
    let (_, out, fan_in) = LAYERS[i];
    let (weights, bias) = params[start_of(i)..start_of(i + 1)].split_at(out * fan_in);
    (ArrayView2::from_shape((out, fan_in), weights).expect("start_of() gives as many"), bias)
}

/// Random weights of variance 1 / fan-in, half of that after a square, no bias.
pub(crate) fn start(graph: &Graph, seed: u64) -> Vec<f32> {
    let random = Weights::random(graph, seed);
    let layers =
        LAYERS.iter().enumerate().map(|(i, (name, ..))| (&random.layers[*name], if i == 0 { 0.7 } else { 0.4 }));
    layers.flat_map(|(l, gain)| l.weights.iter().map(move |w| w * gain).chain(l.bias.iter().map(|_| 0.0))).collect()
}

/// The parameters as the zoo's weights.
pub(crate) fn to_weights(params: &[f32]) -> Weights {
    let layer = |i| {
        let (weights, bias) = parts(params, i);
        Layer { weights: weights.iter().copied().collect(), bias: bias.to_vec() }
    };
    Weights { layers: (0..LAYERS.len()).map(|i| (LAYERS[i].0.to_owned(), layer(i))).collect::<BTreeMap<_, _>>() }
}

/// Adds to `sum` the gradient of the cross-entropy loss of one image, and of the penalty, with respect to the parameters.
pub(crate) fn add_gradient(params: &[f32], image: &[f32], label: usize, sum: &mut [f32]) {
    let mut inputs = vec![image.to_vec()];
    let mut outputs: Vec<Vec<f32>> = Vec::new();
    for i in 0..LAYERS.len() {
        let (weights, bias) = parts(params, i);
        let y = weights.dot(&ArrayView1::from(&inputs[i])) + ArrayView1::from(bias);
        inputs.push(y.iter().map(|y| y * y).collect());
        outputs.push(y.to_vec());
    }
    let last = LAYERS.len() - 1;
    let greatest = outputs[last].iter().copied().fold(f32::MIN, f32::max);
    let exp: Vec<f32> = outputs[last].iter().map(|s| (s - greatest).exp()).collect();
    let total: f32 = exp.iter().sum();
    let mut gradient: Vec<f32> =
        exp.iter().enumerate().map(|(class, e)| e / total - f32::from(u8::from(class == label))).collect();
    for i in (0..LAYERS.len()).rev() {
        let (weights, _) = parts(params, i);
        let (dw, db) = sum[start_of(i)..start_of(i + 1)].split_at_mut(weights.len());
        for (row, g) in dw.chunks_exact_mut(inputs[i].len()).zip(&gradient) {
            row.iter_mut().zip(&inputs[i]).for_each(|(d, x)| *d += g * x);
        }
        db.iter_mut().zip(&gradient).for_each(|(d, g)| *d += g);
        if i > 0 {
            let y = &outputs[i - 1];
            let square = y.iter().map(|y| y * y).sum::<f32>() / y.len() as f32;
            let pull = PENALTY * 4.0 * (square - 1.0) / y.len() as f32;
            let below = weights.t().dot(&ArrayView1::from(&gradient));
            gradient = below.iter().zip(y).map(|(g, y)| 2.0 * y * g + pull * y).collect();
        }
    }
}
