//! Fusion over the insecure reference: right answers, declared cost, whatever the number of queries and the chunks.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::{over_plain, plain, plan, wrap};
use ndarray::{Array3, Array4, Axis};
use si_api::{Error, Model, Options, Phase, Protocol, Reveal};
use si_fusion::{AccuracyTest, Fusion, Plan, PublicSamples};
use si_models::{encode_input, run_fixed};
use si_testing::conformance::Conformance;
use si_testing::detection::{Tally, Trial};
use si_testing::graphs::{CASES, random_queries, stacked};
use si_testing::mix_and_check::{Setup, Sizes};
use si_testing::pair::{Seeds, run_pair};

/// Samples that no test asks about, labelled by the model itself.
fn labelled(model: &Model, n: usize) -> (Vec<Array3<i64>>, Vec<usize>) {
    let inputs = random_queries(model.graph(), n, 999);
    let scores = run_fixed(model, &stacked(model.graph(), &inputs)).unwrap();
    let labels = scores.rows().into_iter().map(|row| si_models::label(row.iter().copied())).collect();
    (inputs, labels)
}

fn for_model(model: &Model, sizes: Sizes, chunk: Option<usize>) -> Arc<dyn Protocol> {
    let (inputs, labels) = labelled(model, 3 * sizes.public);
    wrap(Setup { inner: plain(), sizes, inputs, labels }, chunk)
}

const SIZES: Sizes = Sizes { queries: 3, copies: 2, public: 2, tolerance: 0 };

#[test]
fn it_conforms_in_one_batch_and_in_chunks() {
    for chunk in [None, Some(3)] {
        Conformance::with(move |model| for_model(model, SIZES, chunk)).check().unwrap();
    }
}

#[test]
fn checks_are_metered_as_verification_and_send_nothing() {
    let model = CASES[1].model(0);
    let queries = random_queries(model.graph(), 3, 0);
    let run =
        run_pair(&for_model(&model, SIZES, None), &model, &queries, Options::default(), Seeds::from_number(0)).unwrap();
    let verify: Vec<_> = run.client_entries.iter().filter(|e| e.phase == Phase::Verify).collect();
    assert_eq!((verify.len(), verify[0].label.as_str(), verify[0].totals.calls), (1, "check", 1));
    assert_eq!((verify[0].totals.sent_bytes, verify[0].totals.recv_bytes), (0, 0));
    assert!(run.client_entries.iter().any(|e| e.phase == Phase::Online && e.label == "mix"));
    assert!(run.server_entries.iter().all(|e| e.phase != Phase::Verify && e.label != "mix"));
}

#[test]
fn the_wire_does_not_tell_how_many_queries_are_real() {
    let model = CASES[1].model(0);
    let bytes = |n| {
        let queries = random_queries(model.graph(), n, 0);
        let protocol = for_model(&model, SIZES, None);
        let run = run_pair(&protocol, &model, &queries, Options::default(), Seeds::from_number(0)).unwrap();
        assert_eq!(run.answers[0].len(), n);
        run.server_entries
            .iter()
            .map(|e| (e.totals.sent_bytes, e.totals.recv_bytes))
            .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    };
    assert_eq!(bytes(1), bytes(3));
}

struct Digits {
    model: Arc<Model>,
    inputs: Array4<i64>,
    truth: Vec<usize>,
    said: Vec<usize>,
}

fn digits() -> Digits {
    let model = si_models::zoo::model("mnist-cnn4").unwrap();
    let digits = si_datasets::load("mnist").unwrap();
    let inputs = encode_input(model.graph(), &digits.images);
    let scores = run_fixed(&model, &inputs).unwrap();
    let said = scores.rows().into_iter().map(|row| si_models::label(row.iter().copied())).collect();
    Digits { model, inputs, truth: digits.labels, said }
}

impl Digits {
    fn input(&self, i: usize) -> Array3<i64> {
        self.inputs.index_axis(Axis(0), i).to_owned()
    }

    /// An honest run: the first digits are the queries, all others public, with these labels.
    fn trial(&self, plan: Plan, labels: &[usize], seed: u64) -> Trial {
        let public = PublicSamples {
            inputs: (plan.queries()..labels.len()).map(|i| self.input(i)).collect(),
            labels: labels[plan.queries()..].to_vec(),
        };
        let fusion: Arc<dyn Protocol> =
            Arc::new(Fusion::insecure_over_anything(plain(), plan).with_public(public).unwrap());
        Trial {
            client: Arc::clone(&fusion),
            server: fusion,
            model: Arc::clone(&self.model),
            queries: (0..plan.queries()).map(|i| self.input(i)).collect(),
            options: Options::default(),
            seeds: Seeds::from_number(seed),
        }
    }
}

#[test]
fn an_honest_server_of_digits_is_never_accused_where_the_results_are_known() {
    let digits = digits();
    let plan = Plan::new(2, 3, 3, 0).unwrap();
    let tally = Tally::of(0..200, |seed| digits.trial(plan, &digits.said, seed)).unwrap();
    assert_eq!(tally, Tally { unharmed: 200, ..Tally::default() });
}

#[test]
fn an_honest_server_of_digits_passes_the_accuracy_test() {
    let digits = digits();
    let right = digits.truth.iter().zip(&digits.said).filter(|(t, s)| t == s).count();
    let accuracy = right as f64 / digits.truth.len() as f64;
    assert!((0.9..1.0).contains(&accuracy), "the model is wrong sometimes: {accuracy}");
    let test = AccuracyTest::for_honest(40, accuracy, 1e-3).unwrap();
    let plan = Plan::new(1, 2, 40, test.tolerance()).unwrap();
    let tally = Tally::of(0..30, |seed| digits.trial(plan, &digits.truth, seed)).unwrap();
    assert!(tally.caught <= 1 && tally.fooled == 0, "{tally:?}"); // 30 runs, 1e-3 each: two have probability 4e-4
    // And without a tolerance it does not: 40 digits hold a wrong one more often than not.
    let strict = Plan::new(1, 2, 40, 0).unwrap();
    let tally = Tally::of(0..30, |seed| digits.trial(strict, &digits.truth, seed)).unwrap();
    assert!(tally.caught > 5, "{tally:?}");
}

#[test]
fn a_failed_run_ends_the_session() {
    let driver = over_plain(Options { reveal: Reveal::Label, ..Options::default() }, None);
    let model = &driver.model;
    // One public sample carries a wrong label, so every run fails.
    let (inputs, mut labels) = labelled(model, 4);
    labels.iter_mut().for_each(|label| *label = (*label + 1) % 10);
    let public = PublicSamples { inputs, labels };
    let fusion = Fusion::insecure_over_anything(plain(), plan(SIZES)).with_public(public).unwrap();
    let (to_server, _keep) = si_api::Channel::memory_pair(std::time::Duration::from_secs(5));
    let meter = to_server.meter().clone();
    let party =
        |role, peer, channel| si_api::Party::new(role, meter.clone(), driver.options, [1; 32]).with_lane(peer, channel);
    let mut client = fusion
        .client(party(si_api::Role::Client, si_api::Role::Server(0), to_server), Arc::clone(model.graph()))
        .unwrap();
    let mut server =
        fusion.server(party(si_api::Role::Server(0), si_api::Role::Client, _keep), Arc::clone(model)).unwrap();
    let queries = random_queries(model.graph(), 1, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| server.online(1).unwrap());
        assert!(matches!(client.online(&queries), Err(Error::Abort { .. })));
    });
    let again = client.online(&queries).unwrap_err().to_string();
    assert!(again.contains("start a new one"), "{again}");
}
