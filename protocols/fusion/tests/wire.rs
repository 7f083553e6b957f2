//! The bytes on the wire, pinned: under fixed seeds the order of the positions is fixed too. And broken streams.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{plain, wrap};
use si_api::{Options, Role};
use si_models::run_fixed;
use si_testing::digest::wire_digest;
use si_testing::graphs::{CASES, random_queries, stacked};
use si_testing::hostile_wire::HostileWire;
use si_testing::mix_and_check::{Setup, Sizes};
use si_testing::pair::Seeds;

#[test]
fn the_bytes_on_the_wire_are_pinned_and_broken_streams_end_in_errors() {
    let model = CASES[1].model(1);
    let inputs = random_queries(model.graph(), 3, 9);
    let scores = run_fixed(&model, &stacked(model.graph(), &inputs)).unwrap();
    let labels = scores.rows().into_iter().map(|row| si_models::label(row.iter().copied())).collect();
    let sizes = Sizes { queries: 2, copies: 2, public: 3, tolerance: 0 };
    let fusion = wrap(Setup { inner: plain(), sizes, inputs, labels }, None);
    let queries = random_queries(model.graph(), 2, 1);
    let digest = |seed| wire_digest(&fusion, &model, &queries, Options::default(), Seeds::from_number(seed)).unwrap();
    assert_eq!(digest(1).to_string(), "25adf20a30b0b403eb982b61c6bf5240 f8bbd76bb595b208bd3a2d780556a620");
    assert_ne!(digest(1), digest(2), "the order of the positions depends on the client's randomness");
    let wire = HostileWire::new(Arc::clone(&fusion), Arc::clone(&model), queries.clone(), Options::default())
        .patience(Duration::from_millis(200))
        .most_frames(3);
    wire.check(Role::Client).unwrap();
    // Wrong contents pass the inner protocol, but not the checks.
    assert_eq!(wire.check(Role::Server(0)).unwrap().passed, 0);
}
