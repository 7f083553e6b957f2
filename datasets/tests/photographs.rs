//! Models for photographs on real photographs. Both are fetched; without them, a line says what was not checked.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use ndarray::{Array2, Array4};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_datasets::{Dataset, Error, load, load_for};
use si_models::{
    Error as ModelError, Model, encode_input, label, run_fixed, run_fixed_with, run_float, score_tolerance, zoo,
};

/// A model and the photographs as it sees them, unless something was not fetched.
fn with_photographs(name: &str) -> Option<(Arc<Model>, Dataset)> {
    let model = match zoo::model(name) {
        Err(e @ ModelError::NotFetched { .. }) => return skip(name, &e.to_string()),
        model => model.unwrap(),
    };
    match load_for("imagenet-sample", zoo::photograph(name).unwrap().as_ref()) {
        Err(e @ Error::NotFetched { .. }) => skip(name, &e.to_string()),
        set => Some((model, set.unwrap())),
    }
}

fn skip<T>(name: &str, why: &str) -> Option<T> {
    println!("not checked: {name}: {why}");
    None
}

fn probabilities(scores: &Array2<f32>) -> Array2<f64> {
    let mut p = scores.mapv(|v| f64::from(v).exp());
    p.rows_mut().into_iter().for_each(|mut row| row /= row.sum());
    p
}

/// Position of the true class among the scores, from 0.
fn rank(scores: &[f64], truth: usize) -> usize {
    scores.iter().filter(|s| **s > scores[truth]).count()
}

#[test]
fn photographs_need_a_model() {
    let e = load("imagenet-sample").unwrap_err().to_string();
    assert!(e.contains("'imagenet-sample'") && e.contains("a model for photographs"), "{e}");
}

#[test]
fn small_pictures_are_as_pinned() {
    for (name, shape) in [
        ("cifar10-sample", [3, 32, 32]),
        ("cifar100-sample", [3, 32, 32]),
        ("mnist-test-sample", [1, 28, 28]),
        ("fashion-sample", [1, 28, 28]),
    ] {
        match load(name) {
            Err(e @ Error::NotFetched { .. }) => println!("not checked: {e}"),
            set => assert_eq!(set.unwrap().images.shape()[1..], shape),
        }
    }
}

#[test]
fn squeezenet_knows_photographs_in_float_and_fixed_point() {
    let Some((model, set)) = with_photographs("squeezenet") else { return };
    let float = run_float(&model, &set.images).unwrap().mapv(f64::from);
    let fixed = run_fixed(&model, &encode_input(model.graph(), &set.images)).unwrap().mapv(|v| v as f64);
    for (scores, what) in [(float, "float"), (fixed, "fixed")] {
        let ranks: Vec<_> = scores.outer_iter().zip(&set.labels).map(|(row, l)| rank(&row.to_vec(), *l)).collect();
        let [first, five] = [1, 5].map(|n| ranks.iter().filter(|r| **r < n).count());
        println!("{what}: {first} and {five} of {}", set.len());
        assert_eq!((first, five), (14, 19), "{what}");
    }
}

#[test]
fn the_wide_resnet_computes_what_the_thin_one_does() {
    let Some((thin, set)) = with_photographs("resnet50-half") else { return };
    let wide = zoo::model("resnet50").unwrap();
    let images = set.first(2).unwrap().images;
    let [a, b] = [&thin, &wide].map(|m| probabilities(&run_float(m, &images).unwrap()));
    let apart = (&a - &b).mapv(f64::abs).into_iter().fold(0.0, f64::max);
    println!("probabilities {a} are {apart:e} apart");
    assert!(apart < 1e-6);
    let fixed = run_fixed(&wide, &encode_input(wide.graph(), &images)).unwrap();
    for (float, fixed) in a.outer_iter().zip(fixed.outer_iter()) {
        assert_eq!(label(float.iter().copied()), label(fixed.iter().copied()));
    }
}

/// Greatest difference that rounding of this kind makes to a score.
fn greatest_error(model: &Model, x: &Array4<i64>, one_too_small: &mut dyn FnMut(i64, u32) -> bool) -> i64 {
    let noisy = run_fixed_with(model, x, one_too_small).unwrap();
    (noisy - run_fixed(model, x).unwrap()).iter().map(|d| d.abs()).max().unwrap()
}

#[test]
fn the_tolerance_of_deep_networks_holds_and_catches_mistakes() {
    let Some((model, set)) = with_photographs("squeezenet") else { return };
    let x = encode_input(model.graph(), &set.first(1).unwrap().images);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    // Shares truncated where they are: a borrow from below is lost if the random share's low bits are greater.
    let shares = greatest_error(&model, &x, &mut |v, bits| {
        let mask = (1i64 << bits) - 1;
        i64::from(rng.next_u32()) & mask > v & mask
    });
    let all = greatest_error(&model, &x, &mut |_, _| true);
    let tolerance = score_tolerance(&model);
    println!("squeezenet: tolerance {tolerance}; shares {shares}, always {all}");
    assert!(0 < shares && 2 * shares.max(all) <= tolerance);
    // The biases of the last layer off by half, of scores up to 39.
    let mut weights = model.weights().clone();
    weights.layers.get_mut("conv10").unwrap().bias.iter_mut().for_each(|b| *b += 0.5);
    let other = Model::new(Arc::clone(model.graph()), weights).unwrap();
    let off = (run_fixed(&other, &x).unwrap() - run_fixed(&model, &x).unwrap()).iter().copied().max().unwrap();
    assert!(off > tolerance, "{off} {tolerance}");
}
