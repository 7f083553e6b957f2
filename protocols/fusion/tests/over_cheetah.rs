//! Cheating servers over Cheetah, a protocol that Fusion makes secure against them: caught as often as theory says,
//! honest ones never, although its truncation is off by one bit now and then.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::plan;
use si_api::{Adversary, Options, Protocol, Reveal};
use si_cheetah::{Cheetah, InsecureOpened};
use si_fusion::{Fusion, PublicSamples};
use si_testing::cheats::{OpenServer, Opened};
use si_testing::graphs::CASES;
use si_testing::mix_and_check::{MixAndCheck, Setup, Sizes};

const SIZES: Sizes = Sizes { queries: 2, copies: 2, public: 1, tolerance: 0 };
const USUAL: Sizes = Sizes { queries: 3, copies: 2, public: 3, tolerance: 0 };
/// Each trial sets up keys and OTs anew.
const TRIALS: u64 = 20;

fn wrap(setup: Setup, score_tolerance: u64) -> Arc<dyn Protocol> {
    let public = PublicSamples { inputs: setup.inputs, labels: setup.labels };
    let fusion = Fusion::new(setup.inner, plan(setup.sizes), 2).unwrap().with_public(public).unwrap();
    Arc::new(fusion.with_score_tolerance(score_tolerance))
}

fn open() -> OpenServer {
    Arc::new(|me, model| {
        let InsecureOpened { kernels, score_bits, next_model } = Cheetah::default().insecure_open_server(me, model)?;
        Ok(Opened { kernels, modulus: 1 << score_bits, in_the_clear: false, next_model: Some(next_model) })
    })
}

fn over_cheetah(reveal: Reveal) -> MixAndCheck {
    let model = CASES.iter().find(|c| c.name == "like-cnn4").unwrap().model(1);
    let tolerance = si_models::score_tolerance(&model).unsigned_abs();
    MixAndCheck {
        inner: Arc::new(Cheetah::default()),
        open: Some(open()),
        wrap: Box::new(move |setup| wrap(setup, tolerance)),
        model,
        options: Options { reveal, ..Options::default() },
    }
}

#[test]
fn its_card_claims_security_against_a_malicious_server() {
    let fusion = Fusion::new(Arc::new(Cheetah::default()), plan(SIZES), 2).unwrap();
    assert_eq!((fusion.card().id.as_str(), fusion.card().adversary), ("fusion(cheetah)", Adversary::MaliciousServer));
}

#[test]
fn an_honest_server_is_never_accused() {
    over_cheetah(Reveal::Scores).honest(USUAL, TRIALS).unwrap();
    over_cheetah(Reveal::Label).honest(USUAL, TRIALS).unwrap();
}

#[test]
fn a_flipped_label_is_caught() {
    over_cheetah(Reveal::Scores).flipped_labels(USUAL, 1, TRIALS).unwrap();
    over_cheetah(Reveal::Label).flipped_labels(SIZES, 2, TRIALS).unwrap();
}

#[test]
fn another_model_for_some_positions_is_caught() {
    over_cheetah(Reveal::Scores).other_bias(SIZES, 2, TRIALS).unwrap();
    over_cheetah(Reveal::Label).other_bias(USUAL, 3, TRIALS).unwrap();
}

#[test]
fn another_model_for_all_is_caught_by_the_public_samples() {
    let other = CASES.iter().find(|c| c.name == "like-cnn4").unwrap().model(2);
    over_cheetah(Reveal::Scores).other_model_for_all(&other, USUAL, 4, TRIALS).unwrap();
}

#[test]
fn a_random_answer_is_caught() {
    over_cheetah(Reveal::Label).random_answer(SIZES, TRIALS).unwrap();
}
