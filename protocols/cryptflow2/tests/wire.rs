//! The bytes on the wire, pinned; and streams that are broken on the way.

use std::sync::Arc;
use std::time::Duration;

use si_api::{Options, Protocol, Reveal, Role};
use si_cryptflow2::Comparison::{Iknp, Silent};
use si_cryptflow2::CrypTFlow2;
use si_cryptflow2::LinearLayers::{self, He, Ot};
use si_testing::digest::wire_digest;
use si_testing::graphs::{CASES, random_queries};
use si_testing::hostile_wire::HostileWire;
use si_testing::pair::Seeds;

const VARIANTS: [LinearLayers; 2] = [Ot, He];

fn protocol(linear: LinearLayers) -> Arc<dyn Protocol> {
    Arc::new(CrypTFlow2::new(linear, Iknp))
}

#[test]
fn the_bytes_on_the_wire_are_pinned() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 2, 1);
    let pinned = [
        (Ot, Iknp, Reveal::Scores, "b7a7903a932a9c07cbfe0e93aee9eda0 7a348adb71401365dfa824774d1b9c52"),
        (Ot, Iknp, Reveal::Label, "021b652a4a9e1337392b2cc59f34f489 bfeb3f1cf2c23b2402629869496103a8"),
        (He, Iknp, Reveal::Scores, "b6e765e7b85bd69706a88fdfd05a0e43 3f79113c38f9ad36375962ef5321e431"),
        (He, Iknp, Reveal::Label, "61e08b0db845770178f7ae251026c678 075014909fd082f292657e2853023526"),
        (Ot, Silent, Reveal::Scores, "9536ea86c94196172c64d1df44667cfe 5faefd632e37c196132b57cc9c12fa0c"),
        (He, Silent, Reveal::Scores, "ae9b28cc9250f3f31ca219f2eb04412d 971b18019d3b08be620e1becd0de6c42"),
    ];
    let mut wrong = Vec::new();
    for (linear, comparison, reveal, pinned) in pinned {
        let options = Options { reveal, ..Options::default() };
        let protocol: Arc<dyn Protocol> = Arc::new(CrypTFlow2::new(linear, comparison));
        let digest = wire_digest(&protocol, &model, &queries, options, Seeds::from_number(1)).unwrap();
        if digest.to_string() != pinned {
            wrong.push((linear, comparison, reveal, digest.to_string()));
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
