//! The bytes on the wire, pinned; and streams that are broken on the way.

use std::sync::Arc;
use std::time::Duration;

use si_api::{Options, Protocol, Reveal, Role, Truncation};
use si_cheetah::Cheetah;
use si_testing::digest::wire_digest;
use si_testing::graphs::{CASES, random_queries};
use si_testing::hostile_wire::HostileWire;
use si_testing::pair::{Seeds, run_pair};

fn cheetah() -> Arc<dyn Protocol> {
    Arc::new(Cheetah::new(Truncation::OneBit))
}

#[test]
fn the_bytes_on_the_wire_are_pinned() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 2, 1);
    let digests = [Reveal::Scores, Reveal::Label].map(|reveal| {
        let options = Options { reveal, ..Options::default() };
        wire_digest(&cheetah(), &model, &queries, options, Seeds::from_number(1)).unwrap().to_string()
    });
    let pinned = [
        "371f7ca9825a55c5204f5078adaf474d d5a67c4eb481bd50f6fcfd53437c96a2",
        "2b2c4446218f0b4ef6a38b80b107aabe dc7d7d97bd7ce8a3b514425472d744d8",
    ];
    assert_eq!(digests, pinned, "scores, label");
}

#[test]
fn equal_queries_look_different() {
    // Two runs that differ in the client's randomness only: nothing it sends may repeat but its length.
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    let digest = |n| {
        let seeds = Seeds { client: Seeds::from_number(n).client, ..Seeds::from_number(0) };
        wire_digest(&cheetah(), &model, &queries, Options::default(), seeds).unwrap().to_string()
    };
    assert_ne!(digest(1), digest(2));
}

#[test]
fn broken_streams_end_in_errors() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    let wire = HostileWire::new(cheetah(), model, queries, Options::default())
        .patience(Duration::from_millis(1500))
        .most_frames(4);
    for hostile in [Role::Client, Role::Server(0)] {
        wire.check(hostile).unwrap();
    }
}

#[test]
fn a_truncation_it_was_not_made_for_is_refused() {
    let model = CASES[0].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    let options = Options { truncation: Truncation::Faithful, ..Options::default() };
    let failed = run_pair(&cheetah(), &model, &queries, options, Seeds::from_number(1)).unwrap_err();
    assert!(failed.to_string().contains("does not support"), "{failed}");
}
