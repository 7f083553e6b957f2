//! Forward and backward pass of the four-layer network on one image, over one flat vector of parameters.

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, linalg::general_mat_mul};
use si_models::{Graph, Layer, Weights};

/// Side of an image.
pub(crate) const SIDE: usize = 28;
const KERNEL: usize = 5;
const CHANNELS: usize = 16;
/// Sides after the two convolutions.
const SIDES: [usize; 2] = [24, 8];

/// Name, outputs and fan-in of the layers that have weights.
const LAYERS: [(&str, usize, usize); 4] =
    [("conv1", CHANNELS, 25), ("conv2", CHANNELS, CHANNELS * 25), ("fc1", 100, CHANNELS * 16), ("fc2", 10, 100)];

/// Where layer `i` has its weights and its biases within the parameters.
fn place(i: usize) -> (Range<usize>, Range<usize>) {
    let start: usize = LAYERS[..i].iter().map(|(_, out, fan_in)| out * (fan_in + 1)).sum();
    let (_, out, fan_in) = LAYERS[i];
    (start..start + out * fan_in, start + out * fan_in..start + out * (fan_in + 1))
}

fn weights(params: &[f32], i: usize) -> ArrayView2<'_, f32> {
    let (_, out, fan_in) = LAYERS[i];
    ArrayView2::from_shape((out, fan_in), &params[place(i).0]).expect("place() gives as many")
}

fn bias(params: &[f32], i: usize) -> &[f32] {
    &params[place(i).1]
}

/// Random weights of variance 2 / fan-in, no bias.
pub(crate) fn start(graph: &Graph, seed: u64) -> Vec<f32> {
    let random = Weights::random(graph, seed);
    let layers = LAYERS.iter().map(|(name, ..)| &random.layers[*name]);
    layers.flat_map(|l| l.weights.iter().copied().chain(l.bias.iter().map(|_| 0.0))).collect()
}

/// The parameters as the zoo's weights.
pub(crate) fn to_weights(params: &[f32]) -> Weights {
    let layer = |i| Layer { weights: params[place(i).0].to_vec(), bias: bias(params, i).to_vec() };
    Weights { layers: (0..LAYERS.len()).map(|i| (LAYERS[i].0.to_owned(), layer(i))).collect::<BTreeMap<_, _>>() }
}

/// Patches under the kernel as columns: (channels * 25, side * side of the output).
fn patches(x: &[f32], from: usize, to: usize) -> Array2<f32> {
    let channels = x.len() / (from * from);
    let mut out = Array2::zeros((channels * KERNEL * KERNEL, to * to));
    for (row, mut column) in out.outer_iter_mut().enumerate() {
        let (c, ky, kx) = (row / 25, row / KERNEL % KERNEL, row % KERNEL);
        let plane = &x[c * from * from..];
        let flat = column.as_slice_mut().expect("rows are contiguous");
        for (y, line) in flat.chunks_exact_mut(to).enumerate() {
            line.copy_from_slice(&plane[(y + ky) * from + kx..][..to]);
        }
    }
    out
}

/// Adds patches back to where they came from: the transpose of [`patches`].
fn unpatch(patches: &Array2<f32>, from: usize, to: usize) -> Vec<f32> {
    let mut x = vec![0.0; patches.nrows() / 25 * from * from];
    for (row, column) in patches.outer_iter().enumerate() {
        let (c, ky, kx) = (row / 25, row / KERNEL % KERNEL, row % KERNEL);
        let flat = column.to_slice().expect("rows are contiguous");
        for (y, line) in flat.chunks_exact(to).enumerate() {
            let start = c * from * from + (y + ky) * from + kx;
            for (a, b) in x[start..start + to].iter_mut().zip(line) {
                *a += b;
            }
        }
    }
    x
}

/// ReLU and 2x2 max-pool of planes of a side: the values, and where each came from if it passed the ReLU.
fn pool(x: &[f32], side: usize) -> (Vec<f32>, Vec<Option<usize>>) {
    let half = side / 2;
    let corners = (0..x.len() / (side * side))
        .flat_map(|c| (0..half * half).map(move |i| c * side * side + 2 * (i / half) * side + 2 * (i % half)));
    let pick = |corner: usize| {
        let window = [corner, corner + 1, corner + side, corner + side + 1];
        let best = window.into_iter().fold(corner, |best, i| if x[i] > x[best] { i } else { best });
        if x[best] > 0.0 { (x[best], Some(best)) } else { (0.0, None) }
    };
    corners.map(pick).unzip()
}

/// Gradient before the pool from the one after it.
fn unpool(gradient: &[f32], winners: &[Option<usize>], len: usize) -> Vec<f32> {
    let mut x = vec![0.0; len];
    for (g, winner) in gradient.iter().zip(winners) {
        if let Some(i) = winner {
            x[*i] += g;
        }
    }
    x
}

fn conv(params: &[f32], i: usize, columns: &Array2<f32>) -> Vec<f32> {
    let mut y = weights(params, i).dot(columns);
    for (mut plane, b) in y.outer_iter_mut().zip(bias(params, i)) {
        plane += *b;
    }
    y.into_raw_vec_and_offset().0
}

fn fc(params: &[f32], i: usize, x: &[f32]) -> Vec<f32> {
    let y = weights(params, i).dot(&ArrayView1::from(x));
    y.iter().zip(bias(params, i)).map(|(y, b)| y + b).collect()
}

/// Adds the gradient of a convolution's parameters; gives that of its patches if `down`.
fn conv_back(
    params: &[f32],
    i: usize,
    columns: &Array2<f32>,
    gradient: &[f32],
    sum: &mut [f32],
    down: bool,
) -> Option<Array2<f32>> {
    let (_, out, fan_in) = LAYERS[i];
    let dy = ArrayView2::from_shape((out, gradient.len() / out), gradient).expect("one plane an output");
    let (w, b) = place(i);
    let mut dw = ndarray::ArrayViewMut2::from_shape((out, fan_in), &mut sum[w]).expect("place() gives as many");
    general_mat_mul(1.0, &dy, &columns.t(), 1.0, &mut dw);
    for (sum, g) in sum[b].iter_mut().zip(dy.sum_axis(Axis(1))) {
        *sum += g;
    }
    down.then(|| weights(params, i).t().dot(&dy))
}

/// Adds the gradient of a fully connected layer's parameters; gives that of its input.
fn fc_back(params: &[f32], i: usize, x: &[f32], gradient: &[f32], sum: &mut [f32]) -> Vec<f32> {
    let (w, b) = place(i);
    for (row, g) in sum[w].chunks_exact_mut(x.len()).zip(gradient) {
        for (sum, x) in row.iter_mut().zip(x) {
            *sum += g * x;
        }
    }
    for (sum, g) in sum[b].iter_mut().zip(gradient) {
        *sum += g;
    }
    weights(params, i).t().dot(&ArrayView1::from(gradient)).to_vec()
}

/// Adds to `sum` the gradient of the cross-entropy loss of one image (28 x 28) with respect to the parameters.
pub(crate) fn add_gradient(params: &[f32], image: &[f32], label: usize, sum: &mut [f32]) {
    let columns1 = patches(image, SIDE, SIDES[0]);
    let y1 = conv(params, 0, &columns1);
    let (x1, winners1) = pool(&y1, SIDES[0]);
    let columns2 = patches(&x1, SIDES[0] / 2, SIDES[1]);
    let y2 = conv(params, 1, &columns2);
    let (x2, winners2) = pool(&y2, SIDES[1]);
    let x3: Vec<f32> = fc(params, 2, &x2).iter().map(|v| v.max(0.0)).collect();
    let scores = fc(params, 3, &x3);

    let greatest = scores.iter().copied().fold(f32::MIN, f32::max);
    let exp: Vec<f32> = scores.iter().map(|s| (s - greatest).exp()).collect();
    let total: f32 = exp.iter().sum();
    let d_scores: Vec<f32> =
        exp.iter().enumerate().map(|(class, e)| e / total - f32::from(u8::from(class == label))).collect();

    let mut d3 = fc_back(params, 3, &x3, &d_scores, sum);
    for (d, x) in d3.iter_mut().zip(&x3) {
        *d *= f32::from(u8::from(*x > 0.0));
    }
    let d2 = fc_back(params, 2, &x2, &d3, sum);
    let d_columns2 = conv_back(params, 1, &columns2, &unpool(&d2, &winners2, y2.len()), sum, true);
    let d1 = unpatch(&d_columns2.expect("asked for"), SIDES[0] / 2, SIDES[1]);
    conv_back(params, 0, &columns1, &unpool(&d1, &winners1, y1.len()), sum, false);
}
