//! The floating-point executor: what the network computes before any cryptography asks for integers.

use ndarray::{Array2, Array4};

use crate::operators::{self, Linear, Slide};
use crate::walk::{self, Operands};
use crate::{Model, Op, Result};

/// Scores (n, classes) of images (n, c, h, w), in f32. Bit for bit the same on any number of threads.
///
/// # Errors
/// If the images' shape is not the model's.
pub fn run_float(model: &Model, input: &Array4<f32>) -> Result<Array2<f32>> {
    let graph = model.graph();
    walk::batch(graph, input, |image| walk::walk(graph, image, |index, operands| node(model, index, operands)))
}

fn node(model: &Model, index: usize, operands: Operands<'_, f32>) -> Result<Vec<f32>> {
    let graph = model.graph();
    let node = &graph.nodes()[index];
    let slide = |window| Slide { from: graph.shape(node.inputs[0]), to: node.shape, window };
    let linear = || {
        let layer = &model.weights().layers[&node.name];
        Linear { weights: &layer.weights, bias: &layer.bias }
    };
    Ok(match &node.op {
        // Summed in f64, so that this is the network and not an order of rounding.
        Op::Conv { window, groups: 1, .. } => {
            operators::conv_by_matrix(slide(*window), &linear(), &operands.x, f64::from, |v| v as f32)
        }
        Op::Conv { window, groups, .. } => operators::conv::<f32>(slide(*window), *groups, &linear(), &operands.x),
        Op::Fc { .. } => operators::fc::<f32>(&linear(), &operands.x),
        Op::Relu => {
            let mut x = operands.x.into_owned();
            x.iter_mut().for_each(|v| *v = v.max(0.0));
            x
        }
        Op::Square => operands.x.iter().map(|v| v * v).collect(),
        Op::MaxPool { window } => operators::pool(slide(*window), &operands.x, f32::max),
        Op::AvgPool { window } => {
            let area = (window.kernel[0] * window.kernel[1]) as f32;
            let mut sums = operators::pool(slide(*window), &operands.x, |a, b| a + b);
            sums.iter_mut().for_each(|v| *v /= area);
            sums
        }
        Op::Add => operands.pairs().map(|(a, b)| a + b).collect(),
        Op::Concat => operands.concatenated(),
        // Real numbers have no scale to take back.
        Op::Rescale { .. } | Op::Flatten => operands.x.into_owned(),
    })
}
