//! Cheating servers over the insecure reference: caught as often as theory says, honest ones never.

mod common;

use common::{over_plain, plan};
use si_api::{Options, Reveal};
use si_fusion::soundness::log2_win;
use si_testing::graphs::CASES;
use si_testing::mix_and_check::Sizes;

const SMALL: Sizes = Sizes { queries: 2, copies: 2, public: 1, tolerance: 0 };
const TOLERANT: Sizes = Sizes { queries: 2, copies: 2, public: 2, tolerance: 1 };
const USUAL: Sizes = Sizes { queries: 4, copies: 3, public: 4, tolerance: 0 };
const TRIALS: u64 = 300;

fn options(reveal: Reveal) -> Options {
    Options { reveal, ..Options::default() }
}

#[test]
fn the_drivers_and_the_bound_count_alike() {
    for sizes in [SMALL, TOLERANT, USUAL] {
        for k in 1..=sizes.inferences() {
            let (fooled, _) = sizes.fooled_and_unharmed(k);
            let bound = log2_win(&plan(sizes), k).exp2();
            assert!((fooled - bound).abs() < 1e-12, "{sizes:?}, k={k}: {fooled} and {bound}");
            assert!(fooled <= plan(sizes).bound().log2_probability.exp2() + 1e-12);
        }
    }
}

#[test]
fn an_honest_server_is_never_accused() {
    over_plain(options(Reveal::Scores), None).honest(USUAL, 200).unwrap();
    over_plain(options(Reveal::Label), Some(5)).honest(USUAL, 50).unwrap();
}

#[test]
fn flipped_labels_are_caught_as_often_as_theory_says() {
    for reveal in [Reveal::Scores, Reveal::Label] {
        let plain = over_plain(options(reveal), None);
        // One position is always noticed, whole groups are not.
        plain.flipped_labels(USUAL, 1, 100).unwrap();
        plain.flipped_labels(SMALL, 2, TRIALS).unwrap();
        plain.flipped_labels(SMALL, 4, TRIALS).unwrap();
        plain.flipped_labels(TOLERANT, 1, TRIALS).unwrap();
        plain.flipped_labels(TOLERANT, 3, TRIALS).unwrap();
    }
}

#[test]
fn chunks_change_nothing() {
    over_plain(options(Reveal::Label), Some(2)).flipped_labels(SMALL, 2, TRIALS).unwrap();
}

#[test]
fn another_model_for_some_positions_is_caught_as_often_as_theory_says() {
    let other = CASES.iter().find(|c| c.name == "like-cnn4").unwrap().model(2);
    let plain = over_plain(options(Reveal::Label), None);
    plain.other_model_for_some(&other, SMALL, 2, TRIALS).unwrap();
    plain.other_model_for_some(&other, TOLERANT, 3, TRIALS).unwrap();
    plain.other_model_for_some(&other, USUAL, 4, 100).unwrap();
    plain.other_bias(SMALL, 2, TRIALS).unwrap();
    plain.other_bias(USUAL, 8, 100).unwrap();
}

#[test]
fn another_model_for_all_is_caught_by_the_public_samples_only() {
    let other = CASES.iter().find(|c| c.name == "like-cnn4").unwrap().model(2);
    let plain = over_plain(options(Reveal::Scores), None);
    for (public, tolerance) in [(3, 0), (4, 1), (6, 2)] {
        let sizes = Sizes { queries: 2, copies: 2, public, tolerance };
        plain.other_model_for_all(&other, sizes, 4, TRIALS).unwrap();
    }
}

#[test]
fn a_random_answer_is_caught_unless_it_is_right() {
    let plain = over_plain(options(Reveal::Label), None);
    plain.random_answer(SMALL, TRIALS).unwrap();
    plain.random_answer(TOLERANT, TRIALS).unwrap();
}
