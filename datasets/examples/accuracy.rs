//! Accuracy of the zoo's models in floating and in fixed point, and how often the two agree on the label.
//!
//! `cargo run --release -p si-datasets --example accuracy [-- DATASET]`; the embedded `mnist` unless said otherwise.

use std::process::ExitCode;

use ndarray::Array2;
use si_datasets::{describe, load};
use si_models::{encode_input, label, run_fixed, run_float, zoo};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn labels<T: PartialOrd + Copy>(scores: &Array2<T>) -> Vec<usize> {
    scores.outer_iter().map(|row| label(row.iter().copied())).collect()
}

/// Share of the places in which two lists agree, in percent.
fn agreement(a: &[usize], b: &[usize]) -> f64 {
    100.0 * a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn run() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "mnist".to_owned());
    let digits = load(&name)?;
    println!("{name}: {} ({} images)", describe(&name)?.title, digits.len());
    println!("{:<16} {:>10} {:>10} {:>10}", "model", "float", "fixed", "agree");
    for name in zoo::names()? {
        let model = zoo::model(name)?;
        let graph = model.graph();
        if zoo::entry(name)?.dataset.is_none() || graph.input_shape() != digits.images.shape()[1..] {
            continue;
        }
        let float = labels(&run_float(&model, &digits.images)?);
        let fixed = labels(&run_fixed(&model, &encode_input(graph, &digits.images))?);
        let [a, b, c] =
            [(&float, &digits.labels), (&fixed, &digits.labels), (&float, &fixed)].map(|(a, b)| agreement(a, b));
        println!("{name:<16} {a:>8.2} % {b:>8.2} % {c:>8.2} %");
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
