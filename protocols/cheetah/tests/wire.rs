//! The bytes on the wire, pinned; and streams that are broken on the way.

use std::sync::Arc;
use std::time::Duration;

use si_api::{Options, Protocol, Reveal, Role, Truncation};
use si_cheetah::Cheetah;
use si_testing::digest::{digest_of_lane, wire_digest};
use si_testing::graphs::{CASES, random_queries};
use si_testing::hostile_wire::HostileWire;
use si_testing::pair::{Conditions, Seeds, run_pair};

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
        "44d17b6ce653c784af76ff111b2cd04e d41c728d876f8db569c284d41f2ed498",
        "fb0c8aa7943167a792283636723cf30a 3eb7390cc5b14cc8ad9d17dbf45d14a9",
    ];
    assert_eq!(digests, pinned, "scores, label");
}

#[test]
fn the_bytes_on_each_of_two_lanes_are_pinned() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 2, 1);
    let conditions = Conditions::new(Options::default(), Seeds::from_number(1)).with_lanes(2);
    let digests = [0, 1].map(|lane| {
        let conditions = Conditions { tampered_lane: lane, ..conditions };
        digest_of_lane(&cheetah(), &model, &queries, conditions).unwrap().to_string()
    });
    let pinned = [
        "4339bdc8d087e19ff4de6fedeadc3b34 9e11682692e666dc5a5b129221cc30b8",
        "4e43864f81540a035a85f044c77dc273 ba9b9ff5823864fe3d04333b774ef8bc",
    ];
    assert_eq!(digests, pinned, "by lane");
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
fn a_broken_lane_for_ots_ends_in_errors() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    let wire = HostileWire::new(cheetah(), model, queries, Options::default())
        .on_lane(1, 2)
        .patience(Duration::from_millis(1500))
        .most_frames(3);
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
