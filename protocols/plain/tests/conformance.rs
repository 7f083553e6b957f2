//! The insecure reference against the fixed-point oracle, and its declared cost against the meter.

use std::sync::Arc;

use si_api::{Options, Protocol, Reveal, Truncation};
use si_plain::PlainInsecure;
use si_testing::conformance::Conformance;
use si_testing::graphs::CASES;
use si_testing::rounds_do_not_grow;

fn plain() -> Arc<dyn Protocol> {
    Arc::new(PlainInsecure::new())
}

#[test]
fn it_conforms() {
    for truncation in [Truncation::OneBit, Truncation::Faithful] {
        Conformance::new(plain()).truncation(truncation).seeds(0..20).check().unwrap();
    }
}

#[test]
fn a_batch_takes_one_round() {
    let model = CASES.last().unwrap().model(0);
    for reveal in [Reveal::Scores, Reveal::Label] {
        rounds_do_not_grow(&plain(), &model, 5, Options { reveal, ..Options::default() }).unwrap();
    }
}
