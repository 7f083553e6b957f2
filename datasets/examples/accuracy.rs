//! Accuracy of the zoo's models in floating and in fixed point, how often the two agree on the label, how far their
//! scores are apart, and how near values come to the limits of the ring.
//!
//! `cargo run --release -p si-datasets --example accuracy [-- DATASET [MODEL]]`; the embedded `mnist` unless said
//! otherwise. `imagenet-sample` is for the models for photographs.

use std::process::ExitCode;
use std::time::Instant;

use ndarray::{Array2, ArrayView1, s};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_datasets::{Dataset, describe, is_folder, load_for};
use si_models::{
    Error, Model, encode_input, label, run_fixed, run_fixed_ranges, run_fixed_with, run_float, score_tolerance,
    worst_case_ranges, zoo,
};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn labels<T: PartialOrd + Copy>(scores: &Array2<T>) -> Vec<usize> {
    scores.outer_iter().map(|row| label(row.iter().copied())).collect()
}

/// Number of images whose class is among the five with the greatest scores.
fn among_five(scores: &Array2<f64>, labels: &[usize]) -> usize {
    let better = |row: ArrayView1<'_, f64>, l: usize| row.iter().filter(|s| **s > row[l]).count();
    scores.outer_iter().zip(labels).filter(|(row, l)| **l < row.len() && better(*row, **l) < 5).count()
}

/// Number of places in which two lists agree.
fn agreement(a: &[usize], b: &[usize]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a == b).count()
}

fn one(model: &Model, set: &Dataset, labelled: bool) -> Result<()> {
    let (graph, n) = (model.graph(), set.len());
    let start = Instant::now();
    let float = run_float(model, &set.images)?.mapv(f64::from);
    let float_s = start.elapsed().as_secs_f64() / n as f64;
    let x = encode_input(graph, &set.images);
    let start = Instant::now();
    let fixed = run_fixed(model, &x)?;
    let fixed_s = start.elapsed().as_secs_f64() / n as f64;
    let fixed = fixed.mapv(|v| graph.format().decode(v));
    let ([a, b], truth) = ([labels(&float), labels(&fixed)], &set.labels);
    println!("{} ({n} images; seconds an image: float {float_s:.3}, fixed {fixed_s:.3})", graph.name());
    if labelled {
        let five = [among_five(&float, truth), among_five(&fixed, truth)];
        let percent = |k: usize| format!("{k}/{n} ({:.2} %)", 100.0 * k as f64 / n as f64);
        println!("  right:      float {}, fixed {}", percent(agreement(&a, truth)), percent(agreement(&b, truth)));
        println!("  among five: float {}, fixed {}", percent(five[0]), percent(five[1]));
    }
    let apart = float.iter().zip(&fixed).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let spread = float.iter().map(|v| v.abs()).fold(0.0, f64::max);
    println!("  same label: {}/{n}; scores up to {spread:.3}, apart by up to {apart:.4}", agreement(&a, &b));
    // One image, as protocols with one-bit rounding compute it: a borrow from below is lost if the random share's low
    // bits are greater.
    let first = x.slice(s![..1, .., .., ..]).to_owned();
    let exact = run_fixed(model, &first)?;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut shares = |v: i64, bits: u32| {
        let mask = (1i64 << bits) - 1;
        i64::from(rng.next_u32()) & mask > v & mask
    };
    let off = |scores: Array2<i64>| (scores - &exact).iter().map(|d| d.abs()).max().unwrap_or(0);
    let [share, all] =
        [off(run_fixed_with(model, &first, &mut shares)?), off(run_fixed_with(model, &first, &mut |_, _| true)?)];
    println!(
        "  one-bit rounding, in the last place: tolerance {}; shares {share}, always {all}",
        score_tolerance(model)
    );
    let ranges = run_fixed_ranges(model, &x)?;
    let (least, greatest) = (x.iter().min().copied().unwrap_or(0), x.iter().max().copied().unwrap_or(0));
    let worst = worst_case_ranges(model, least, greatest);
    let tightest = ranges.iter().min_by_key(|r| r.signed_bits - r.needed_bits).ok_or("no nodes")?;
    let beyond = worst.iter().filter(|r| r.needed_bits > r.signed_bits).count();
    println!(
        "  ranges:     '{}' comes nearest, {} of {} bits; the worst case goes beyond at {beyond} of {} nodes",
        tightest.node,
        tightest.needed_bits,
        tightest.signed_bits,
        ranges.len()
    );
    Ok(())
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "mnist".to_owned());
    let chosen = arguments.next();
    if !is_folder(&name) {
        println!("{name}: {}", describe(&name)?.title);
    }
    let models = chosen
        .clone()
        .map_or_else(|| zoo::names().map(|n| n.into_iter().map(str::to_owned).collect()), |m| Ok(vec![m]))?;
    for name_of_model in models {
        let photograph = zoo::photograph(&name_of_model)?;
        let set = match load_for(&name, photograph.as_ref()) {
            Err(si_datasets::Error::Photographs { .. }) if chosen.is_none() => continue,
            set => set?,
        };
        if zoo::graph(&name_of_model)?.input_shape() != set.images.shape()[1..] && chosen.is_none() {
            continue;
        }
        match zoo::model(&name_of_model) {
            Err(e @ Error::NotFetched { .. }) => println!("{name_of_model}: {e}"),
            model => {
                let dataset = zoo::entry(&name_of_model).ok().and_then(|e| e.dataset.as_deref());
                let labelled = is_folder(&name) || dataset.is_some_and(|d| name.starts_with(d));
                one(&*model?, &set, labelled)?;
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("accuracy: {e}");
            ExitCode::FAILURE
        }
    }
}
