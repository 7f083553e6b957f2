//! Positions are alike: a server sees messages of the same number and lengths whatever stands where, so that it cannot
//! choose what to corrupt by size, and choosing by time does it no good.

#![allow(clippy::unwrap_used)] // helpers of tests

mod common;

use std::sync::Arc;

use common::{over_plain, plain, plan};
use ndarray::Array3;
use si_api::{Model, Options, Protocol, Reveal};
use si_cheetah::Cheetah;
use si_fusion::{Fusion, PublicSamples};
use si_models::{label, run_fixed};
use si_testing::chances::alike;
use si_testing::cheats::{Cheat, Positions};
use si_testing::detection::{Tally, consistent};
use si_testing::graphs::{CASES, random_queries, stacked};
use si_testing::mix_and_check::Sizes;
use si_testing::pair::Seeds;
use si_testing::shape::{Shape, shape};

const SIZES: Sizes = Sizes { queries: 2, copies: 2, public: 2, tolerance: 0 };

fn model() -> Arc<Model> {
    CASES.iter().find(|c| c.name == "like-cnn4").unwrap().model(1)
}

/// The shape of a session in batches of one, whose order is drawn from `seed`.
fn session(inner: &Arc<dyn Protocol>, queries: &[Array3<i64>], inputs: Vec<Array3<i64>>, seed: u64) -> Shape {
    let model = model();
    let scores = run_fixed(&model, &stacked(model.graph(), &inputs)).unwrap();
    let labels = scores.rows().into_iter().map(|s| label(s.iter().copied())).collect();
    let in_ones = plan(SIZES).in_chunks(1).unwrap();
    let fusion = Fusion::insecure_over_anything(Arc::clone(inner), in_ones);
    let fusion: Arc<dyn Protocol> = Arc::new(fusion.with_public(PublicSamples { inputs, labels }).unwrap());
    let options = Options { reveal: Reveal::Label, ..Options::default() };
    shape(&fusion, &model, queries, options, Seeds::from_number(seed)).unwrap()
}

/// Sessions that differ in order, queries and public samples, among them blank ones.
fn shapes(inner: &Arc<dyn Protocol>) -> Vec<Shape> {
    let graph = Arc::clone(model().graph());
    let random = |seed| random_queries(&graph, 2, seed);
    let blank = |fill: i64| (0..2).map(|i| Array3::from_elem(graph.input_shape(), fill + i)).collect::<Vec<_>>();
    [(random(1), random(2), 1), (random(3), blank(0), 2), (blank(2), random(4), 3), (random(2), random(1), 4)]
        .into_iter()
        .map(|(queries, public, seed)| session(inner, &queries, public, seed))
        .collect()
}

#[test]
fn every_position_has_messages_of_the_same_number_and_lengths() {
    let all = shapes(&plain());
    // Here a message is a position: copies of queries and public samples side by side.
    assert_eq!(all[0].up.len(), SIZES.inferences());
    assert!(all[0].up.iter().all(|len| *len == all[0].up[0]) && all[0].down.iter().all(|len| *len == all[0].down[0]));
    assert!(all.iter().all(|s| *s == all[0]));
}

#[test]
fn over_cheetah_message_by_message_nothing_tells_what_stands_where() {
    let cheetah: Arc<dyn Protocol> = Arc::new(Cheetah::default());
    let all = shapes(&cheetah);
    assert!(all[0].up.len() > 6 * SIZES.inferences(), "{:?}", all[0].up);
    for (i, other) in all.iter().enumerate().skip(1) {
        for (at, (a, b)) in all[0].up.iter().zip(&other.up).enumerate() {
            assert_eq!(a, b, "message {at} to the server in session {i}");
        }
        assert_eq!(&all[0], other, "session {i}");
    }
}

#[test]
fn choosing_the_slowest_positions_is_no_better_than_chance() {
    let sizes = Sizes { queries: 2, copies: 2, public: 1, tolerance: 0 };
    let drivers = over_plain(Options { reveal: Reveal::Label, ..Options::default() }, Some(1));
    let of = sizes.inferences();
    let tally: Tally = drivers
        .forced_where(sizes, 300, &|class| Cheat::FlipLabel { class, at: Positions::Slowest { count: 2, of } })
        .unwrap();
    let chances = alike(sizes, 2);
    consistent(tally.caught, tally.trials(), chances.caught, 5e-4).unwrap();
    consistent(tally.fooled, tally.trials(), chances.fooled, 5e-4).unwrap();
}
