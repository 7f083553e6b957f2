//! The bytes on the wire, pinned; and streams that are broken on the way.

use std::sync::Arc;
use std::time::Duration;

use si_api::{Options, Protocol, Role};
use si_leviosa::LevioSA;
use si_testing::digest::wire_digest;
use si_testing::graphs::{CASES, random_queries};
use si_testing::hostile_wire::HostileWire;
use si_testing::pair::Seeds;

/// Few servers.
const BITS: u32 = 6;

fn protocol() -> Arc<dyn Protocol> {
    Arc::new(LevioSA::insecure_with_bits(BITS))
}

fn case(name: &str) -> usize {
    CASES.iter().position(|c| c.name == name).expect("a case of this name")
}

#[test]
fn the_bytes_on_the_wire_are_pinned() {
    let model = CASES[case("squares")].model(1);
    let queries = random_queries(model.graph(), 2, 1);
    let digest = wire_digest(&protocol(), &model, &queries, Options::default(), Seeds::from_number(1)).unwrap();
    assert_eq!(digest.to_string(), "89f0b472cd7fcc8a74bc6abe39d19a66 5112ad54ffa800825933edb2798f3e6e");
}

#[test]
fn equal_queries_look_different() {
    let model = CASES[case("fc")].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    let digest = |n| {
        let seeds = Seeds { client: Seeds::from_number(n).client, ..Seeds::from_number(0) };
        wire_digest(&protocol(), &model, &queries, Options::default(), seeds).unwrap().to_string()
    };
    assert_ne!(digest(1), digest(2));
}

#[test]
fn broken_streams_end_in_errors() {
    let model = CASES[case("fc")].model(1);
    let queries = random_queries(model.graph(), 1, 1);
    // As few servers as there can be: many runs, each with a wait.
    let few: Arc<dyn Protocol> = Arc::new(LevioSA::insecure_with_bits(1));
    let wire = HostileWire::new(few, Arc::clone(&model), queries, Options::default())
        .patience(Duration::from_millis(3000))
        .most_frames(2);
    for hostile in [Role::Client, Role::Server(0)] {
        wire.check(hostile).unwrap();
    }
}
