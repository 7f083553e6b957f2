//! The bytes on the wire, pinned; and streams that are broken on the way.

use std::sync::Arc;
use std::time::Duration;

use si_api::{Options, Protocol, Reveal, Role};
use si_cryptflow2::{Comparison, CrypTFlow2, LinearLayers};
use si_testing::digest::wire_digest;
use si_testing::graphs::{CASES, random_queries};
use si_testing::hostile_wire::HostileWire;
use si_testing::pair::Seeds;

const VARIANTS: [LinearLayers; 2] = [LinearLayers::Ot, LinearLayers::He];

fn protocol(linear: LinearLayers) -> Arc<dyn Protocol> {
    Arc::new(CrypTFlow2::new(linear, Comparison::Iknp))
}

#[test]
fn the_bytes_on_the_wire_are_pinned() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 2, 1);
    let pinned = [
        (LinearLayers::Ot, Reveal::Scores, "c594cd27bee5c627075c6060ca972f31 f83254aa3a71b88d26095a294db788f2"),
        (LinearLayers::Ot, Reveal::Label, "9023355c99c33b14bbe05c04e8bb7532 7995c000a6af37afb58056da587b59f4"),
        (LinearLayers::He, Reveal::Scores, "68436ef1a68b3870023391788b8456f6 7087577f1402287bd25778dbfbb8ddff"),
        (LinearLayers::He, Reveal::Label, "9db5bf23765ff341648170d2eca07d36 0701a6a93319fcf31f3d5193437782a0"),
    ];
    let mut wrong = Vec::new();
    for (linear, reveal, pinned) in pinned {
        let options = Options { reveal, ..Options::default() };
        let digest = wire_digest(&protocol(linear), &model, &queries, options, Seeds::from_number(1)).unwrap();
        if digest.to_string() != pinned {
            wrong.push((linear, reveal, digest.to_string()));
        }
    }
    assert!(wrong.is_empty(), "the bytes on the wire have changed: {wrong:#?}");
}

#[test]
fn equal_queries_look_different() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    for linear in VARIANTS {
        let digest = |n| {
            let seeds = Seeds { client: Seeds::from_number(n).client, ..Seeds::from_number(0) };
            wire_digest(&protocol(linear), &model, &queries, Options::default(), seeds).unwrap().to_string()
        };
        assert_ne!(digest(1), digest(2));
    }
}

#[test]
fn broken_streams_end_in_errors() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    for linear in VARIANTS {
        let wire = HostileWire::new(protocol(linear), Arc::clone(&model), queries.clone(), Options::default())
            .patience(Duration::from_millis(1500))
            .most_frames(4);
        for hostile in [Role::Client, Role::Server(0)] {
            wire.check(hostile).unwrap();
        }
    }
}
