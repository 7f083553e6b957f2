//! Every variant against the fixed-point oracle, bit for bit, and its declared cost against the meter.

use std::sync::Arc;

use si_api::{Options, Protocol, Reveal, Rounding, Truncation};
use si_cryptflow2::{Comparison, CrypTFlow2, LinearLayers};
use si_testing::conformance::Conformance;
use si_testing::graphs::CASES;
use si_testing::rounds_do_not_grow;

fn protocol(linear: LinearLayers, comparison: Comparison) -> Arc<dyn Protocol> {
    Arc::new(CrypTFlow2::new(linear, comparison))
}

/// A case and the gap of the card that leaves it out.
const SQUARES: (&str, &str) = ("squares", "no squares");

#[test]
fn the_ot_variant_conforms() {
    let ot = protocol(LinearLayers::Ot, Comparison::Iknp);
    assert_eq!(ot.card().rounding, Rounding::Exact);
    Conformance::new(ot).without(SQUARES.0, SQUARES.1).truncation(Truncation::Faithful).check().unwrap();
}

#[test]
fn the_ot_variant_conforms_with_silent_ot() {
    let silent = protocol(LinearLayers::Ot, Comparison::Silent);
    // Exact also where an experiment allows an error of one bit.
    Conformance::new(silent).without(SQUARES.0, SQUARES.1).truncation(Truncation::OneBit).seeds(0..1).check().unwrap();
}

#[test]
fn the_he_variant_conforms() {
    let he = protocol(LinearLayers::He, Comparison::Iknp);
    Conformance::new(he)
        .without(SQUARES.0, SQUARES.1)
        .truncation(Truncation::Faithful)
        .seeds(0..1)
        .batches(&[2, 1])
        .check()
        .unwrap();
}

#[test]
fn the_he_variant_conforms_with_silent_ot() {
    let silent = protocol(LinearLayers::He, Comparison::Silent);
    Conformance::new(silent)
        .without(SQUARES.0, SQUARES.1)
        .truncation(Truncation::OneBit)
        .seeds(1..2)
        .batches(&[1])
        .check()
        .unwrap();
}

#[test]
fn the_rounds_of_a_batch_are_those_of_one_inference() {
    let model = CASES.iter().find(|c| c.name == "like-cnn4").unwrap().model(0);
    for reveal in [Reveal::Scores, Reveal::Label] {
        let options = Options { reveal, ..Options::default() };
        for linear in [LinearLayers::Ot, LinearLayers::He] {
            rounds_do_not_grow(&protocol(linear, Comparison::Iknp), &model, 5, options).unwrap();
        }
    }
}
