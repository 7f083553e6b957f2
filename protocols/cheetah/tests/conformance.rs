//! Cheetah against the fixed-point oracle, and its declared cost against the meter.

use std::sync::Arc;

use si_api::{Options, Protocol, Reveal, Truncation};
use si_cheetah::{Cheetah, Extension};
use si_testing::conformance::Conformance;
use si_testing::graphs::CASES;
use si_testing::rounds_do_not_grow;

fn cheetah(truncation: Truncation) -> Arc<dyn Protocol> {
    Arc::new(Cheetah::new(truncation))
}

#[test]
fn it_conforms_with_one_bit_truncation() {
    Conformance::new(cheetah(Truncation::OneBit)).lanes(2).check().unwrap();
}

#[test]
fn it_conforms_over_a_single_lane() {
    Conformance::new(cheetah(Truncation::OneBit)).seeds(0..1).check().unwrap();
}

#[test]
fn it_is_exact_with_faithful_truncation() {
    Conformance::new(cheetah(Truncation::Faithful)).truncation(Truncation::Faithful).lanes(2).check().unwrap();
}

#[test]
fn it_conforms_with_other_ot_extensions() {
    for (extension, id) in [(Extension::Iknp, "cheetah+iknp"), (Extension::SoftSpoken, "cheetah+softspoken")] {
        let cheetah = Cheetah::with_ot(Truncation::OneBit, extension);
        let card = cheetah.card();
        assert_eq!(card.id, id);
        assert!(!card.title.contains("silent") && card.assumptions.iter().all(|a| !a.contains("LPN")), "{card:?}");
        Conformance::new(Arc::new(cheetah)).seeds(0..1).lanes(2).check().unwrap();
    }
}

#[test]
fn the_rounds_of_a_batch_are_those_of_one_inference() {
    let model = CASES.last().unwrap().model(0);
    for reveal in [Reveal::Scores, Reveal::Label] {
        let options = Options { reveal, truncation: Truncation::OneBit };
        rounds_do_not_grow(&cheetah(Truncation::OneBit), &model, 5, options).unwrap();
    }
}
