//! Answers against the fixed-point oracle, with few virtual servers; what is unsupported is refused.

use std::sync::Arc;

use si_api::{Adversary, Options, Protocol, Reveal};
use si_leviosa::LevioSA;
use si_testing::conformance::Conformance;
use si_testing::graphs::CASES;

/// What chains of layers and squares cannot express.
const NO_CHAIN: &str = "only chains";

#[test]
fn chains_of_layers_and_squares_conform() {
    let protocol: Arc<dyn Protocol> = Arc::new(LevioSA::insecure_with_bits(6));
    assert_eq!(protocol.card().adversary, Adversary::Malicious);
    let supported = ["fc", "squares"];
    let suite = Conformance::new(protocol).reveals(&[Reveal::Scores]).seeds(0..1);
    let unsupported = CASES.iter().filter(|case| !supported.contains(&case.name));
    unsupported.fold(suite, |suite, case| suite.without(case.name, NO_CHAIN)).check().unwrap();
}

#[test]
fn queries_may_share_a_block() {
    let protocol: Arc<dyn Protocol> = Arc::new(LevioSA::insecure_with_bits(6).with_queries_in_a_block(2));
    let suite = Conformance::new(protocol).reveals(&[Reveal::Scores]).seeds(1..2).batches(&[3]);
    let unsupported = CASES.iter().filter(|case| case.name != "squares" && case.name != "fc");
    unsupported.fold(suite, |suite, case| suite.without(case.name, NO_CHAIN)).check().unwrap();
}

/// The batch of the experiment: the fewest bytes are those of blocks of eight.
#[test]
fn large_batches_take_few_evaluations_a_product() {
    let graph = si_models::zoo::graph("mnist-dnn4-square").unwrap();
    let plan = LevioSA::default().plan(&graph, 120).unwrap();
    assert!(plan.log2_soundness <= -40.0 && plan.queries >= 8, "{plan:?}");
    let (layer, products, evaluations) = &plan.products[0];
    assert!(*evaluations as f64 <= 4.5 * *products as f64, "{layer}: {evaluations} for {products}");
    let notes = LevioSA::default().notes(&graph, 120, Options::default()).unwrap();
    assert!(notes.iter().any(|note| note.starts_with(&format!("{layer}: {evaluations} passive OLEs"))), "{notes:?}");
}
