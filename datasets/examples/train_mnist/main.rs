//! Trains the networks `mnist-cnn4`, `mnist-cnn4-low` and `mnist-dnn4-square` of the zoo on the 8,000 digits of `mnist-train`.
//!
//! `make fetch`, then `cargo run --release -p si-datasets --example train_mnist [-- --check] [NAME...]`. Writes
//! `models/embedded/NAME.safetensors` and prints the hash that `models/zoo.toml` pins; with `--check` writes nothing and
//! fails unless the result is the pinned one, or at least as accurate to half a percent (another kind of processor sums
//! in another order).
//!
//! Deterministic: seeded, and summed in an order that does not depend on the number of threads.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ndarray::ArrayView3;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use si_datasets::{Dataset, load, permutation};
use si_models::{Graph, Model, Weights, label, run_float, sha256_hex, zoo};

mod network;
mod squares;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How a network of the zoo is trained.
struct Recipe {
    name: &'static str,
    /// Digits used, of the 8,000.
    digits: usize,
    /// Times that each is seen, shifted anew each time.
    epochs: usize,
    seed: u64,
    /// Greatest learning rate; it rises over the first tenth of the steps and falls to 0 along a cosine.
    rate: f32,
    network: Network,
}

/// Forward and backward pass.
enum Network {
    Convolutions,
    Squares,
}

impl Network {
    fn start(&self, graph: &Graph, seed: u64) -> Vec<f32> {
        match self {
            Self::Convolutions => network::start(graph, seed),
            Self::Squares => squares::start(graph, seed),
        }
    }

    fn add_gradient(&self, params: &[f32], image: &[f32], label: usize, sum: &mut [f32]) {
        match self {
            Self::Convolutions => network::add_gradient(params, image, label, sum),
            Self::Squares => squares::add_gradient(params, image, label, sum),
        }
    }

    fn to_weights(&self, params: &[f32]) -> Weights {
        match self {
            Self::Convolutions => network::to_weights(params),
            Self::Squares => squares::to_weights(params),
        }
    }
}

const RECIPES: [Recipe; 3] = [
    Recipe { name: "mnist-cnn4", digits: 8000, epochs: 25, seed: 1, rate: RATE, network: Network::Convolutions },
    Recipe { name: "mnist-cnn4-low", digits: 400, epochs: 5, seed: 2, rate: RATE, network: Network::Convolutions },
    Recipe { name: "mnist-dnn4-square", digits: 8000, epochs: 60, seed: 3, rate: 1e-3, network: Network::Squares },
];

/// Images between two steps, and the fixed number of them that one thread sums up.
const BATCH: usize = 32;
const SHARE: usize = 8;
/// Greatest learning rate of the convolutional network.
const RATE: f32 = 2e-3;
/// Greatest shift of a digit in either direction, in pixels.
const SHIFT: u32 = 2;

/// Adam (Kingma and Ba, 2015) with its usual constants.
struct Adam {
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: i32,
}

impl Adam {
    fn step(&mut self, params: &mut [f32], gradient: &[f32], rate: f32) {
        const KEEP: [f32; 2] = [0.9, 0.999];
        self.steps += 1;
        let [bias1, bias2] = KEEP.map(|b| 1.0 - b.powi(self.steps));
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((p, g), (m, v)) in params.iter_mut().zip(gradient).zip(moments) {
            *m = KEEP[0] * *m + (1.0 - KEEP[0]) * g;
            *v = KEEP[1] * *v + (1.0 - KEEP[1]) * g * g;
            *p -= rate * (*m / bias1) / ((*v / bias2).sqrt() + 1e-8);
        }
    }
}

/// The digit moved by up to [`SHIFT`] pixels, zeros coming in.
fn shifted(image: ArrayView3<'_, f32>, rng: &mut ChaCha20Rng) -> Vec<f32> {
    let mut by = || (rng.next_u32() % (2 * SHIFT + 1)) as isize - SHIFT as isize;
    let (dy, dx) = (by(), by());
    let side = network::SIDE;
    let at = |i: usize| {
        // A negative shift wraps around to a number beyond the side as well.
        let (y, x) = ((i / side).wrapping_add_signed(dy), (i % side).wrapping_add_signed(dx));
        if y < side && x < side { image[[0, y, x]] } else { 0.0 }
    };
    (0..side * side).map(at).collect()
}

fn train(graph: &Graph, recipe: &Recipe, digits: &Dataset) -> Weights {
    let mut params = recipe.network.start(graph, recipe.seed);
    let mut adam = Adam { mean: vec![0.0; params.len()], square: vec![0.0; params.len()], steps: 0 };
    let mut rng = ChaCha20Rng::seed_from_u64(recipe.seed);
    let steps = (recipe.epochs * digits.len().div_ceil(BATCH)) as f32;
    for epoch in 0..recipe.epochs {
        let order = permutation(digits.len(), (recipe.seed << 32) + epoch as u64);
        for batch in order.chunks(BATCH) {
            let images: Vec<(Vec<f32>, usize)> = (batch.iter())
                .map(|i| (shifted(digits.images.index_axis(ndarray::Axis(0), *i), &mut rng), digits.labels[*i]))
                .collect();
            let shares: Vec<Vec<f32>> = images
                .par_chunks(SHARE)
                .map(|share| {
                    let mut sum = vec![0.0; params.len()];
                    share
                        .iter()
                        .for_each(|(image, label)| recipe.network.add_gradient(&params, image, *label, &mut sum));
                    sum
                })
                .collect();
            let scale = 1.0 / batch.len() as f32;
            let gradient: Vec<f32> =
                (0..params.len()).map(|i| shares.iter().map(|share| share[i]).sum::<f32>() * scale).collect();
            let done = adam.steps as f32 / steps;
            let rate = recipe.rate * (done * 10.0).min(0.5 + 0.5 * (std::f32::consts::PI * done).cos());
            adam.step(&mut params, &gradient, rate);
        }
        eprint!("\r{}: epoch {} of {}", recipe.name, epoch + 1, recipe.epochs);
    }
    eprintln!();
    recipe.network.to_weights(&params)
}

/// Share of the digits that the reference executor labels right.
fn accuracy(graph: &Arc<Graph>, weights: &Weights, digits: &Dataset) -> Result<f64> {
    let scores = run_float(&Model::new(Arc::clone(graph), weights.clone())?, &digits.images)?;
    let right = scores.outer_iter().zip(&digits.labels).filter(|(s, l)| label(s.iter().copied()) == **l).count();
    Ok(right as f64 / digits.len() as f64)
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let check = arguments.iter().any(|a| a == "--check");
    let names: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| *a != "--check").collect();
    if let Some(unknown) = names.iter().find(|n| !RECIPES.iter().any(|r| r.name == **n)) {
        return Err(format!("no recipe for '{unknown}': choose of {}", RECIPES.map(|r| r.name).join(", ")).into());
    }
    let (digits, heldout) = (load("mnist-train")?, load("mnist-heldout")?);
    for recipe in RECIPES.iter().filter(|r| names.is_empty() || names.contains(&r.name)) {
        let graph = zoo::graph(recipe.name)?;
        let weights = train(&graph, recipe, &digits.first(recipe.digits)?);
        let reached = accuracy(&graph, &weights, &heldout)?;
        println!("{}: {:.2} % of the 2,000 held-out digits", recipe.name, 100.0 * reached);
        let file = weights.to_safetensors(&graph)?;
        let hash = sha256_hex(&file);
        if check {
            let pinned = zoo::model(recipe.name)?;
            let same = *pinned.weights() == weights;
            let before = accuracy(&graph, pinned.weights(), &heldout)?;
            println!("{}: the pinned weights {:.2} %, identical: {same}", recipe.name, 100.0 * before);
            if !same && (reached - before).abs() > 0.005 {
                return Err(format!("{}: the recipe no longer gives the pinned weights' accuracy", recipe.name).into());
            }
        } else {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/embedded");
            std::fs::write(path.join(format!("{}.safetensors", recipe.name)), &file)?;
            println!("{}: {} bytes, sha256 {hash}: pin it in models/zoo.toml", recipe.name, file.len());
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("train_mnist: {e}");
            ExitCode::FAILURE
        }
    }
}
