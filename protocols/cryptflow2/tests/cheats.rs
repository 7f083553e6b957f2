//! A server that deviates goes unnoticed: this protocol is for semi-honest parties, and Fusion for others.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::sync::Arc;

use si_api::{Options, Protocol, Reveal};
use si_cryptflow2::{Comparison, CrypTFlow2, LinearLayers};
use si_models::run_fixed;
use si_testing::cheats::{Cheat, OpenServer, Opened, Positions, cheating_server};
use si_testing::graphs::{CASES, random_queries, stacked};
use si_testing::pair::{Conditions, Seeds, run};

const VARIANTS: [LinearLayers; 2] = [LinearLayers::He, LinearLayers::Ot];

fn protocol(linear: LinearLayers) -> CrypTFlow2 {
    CrypTFlow2::new(linear, Comparison::Iknp)
}

fn open(linear: LinearLayers) -> OpenServer {
    Arc::new(move |me, model| {
        let (kernels, modulus) = protocol(linear).insecure_open_server(me, model)?;
        Ok(Opened { kernels, modulus, in_the_clear: false, next_model: None })
    })
}

/// Scores, or labels, of two queries with this cheat, and the right scores.
fn answers(linear: LinearLayers, cheat: Cheat, reveal: Reveal) -> (Vec<si_api::Answer>, Vec<Vec<i64>>) {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 2, 1);
    let honest: Arc<dyn Protocol> = Arc::new(protocol(linear));
    let server = cheating_server(Arc::clone(&honest), Some(open(linear)), cheat, 5);
    let conditions = Conditions::new(Options { reveal, ..Options::default() }, Seeds::from_number(1));
    let batches = [queries.clone()];
    let run = run(&honest, &server, &model, &batches, conditions, &|c, s| (c, s)).both().unwrap();
    let right = run_fixed(&model, &stacked(model.graph(), &queries)).unwrap();
    (run.answers.concat(), right.rows().into_iter().map(|r| r.to_vec()).collect())
}

#[test]
fn another_bias_goes_unnoticed_and_shifts_the_scores() {
    for linear in VARIANTS {
        let classes = CASES[1].model(1).graph().classes() as i64;
        let bias: Vec<i64> = (0..classes).map(|c| 100 * c - 150).collect();
        let (answers, right) = answers(linear, Cheat::OtherBias(bias.clone(), Positions::these([1])), Reveal::Scores);
        for (i, (answer, right)) in answers.iter().zip(right).enumerate() {
            let shift = i64::from(i == 1);
            let expected: Vec<i64> = right.iter().zip(&bias).map(|(s, b)| s + shift * b).collect();
            assert_eq!(answer.scores.as_ref(), Some(&expected), "{linear:?}, position {i}");
        }
    }
}

#[test]
fn a_forced_class_goes_unnoticed_where_only_the_label_is_learnt() {
    for linear in VARIANTS {
        for class in 0..2 {
            let cheat = Cheat::FlipLabel { class, at: Positions::these([0, 1]) };
            let (answers, _) = answers(linear, cheat, Reveal::Label);
            assert!(answers.iter().all(|a| a.label == class), "{linear:?}: {answers:?}");
        }
    }
}
