//! The bytes on the wire, pinned; and streams that are broken on the way.

use std::sync::Arc;
use std::time::Duration;

use si_api::{Options, Protocol, Reveal, Role};
use si_plain::PlainInsecure;
use si_testing::digest::wire_digest;
use si_testing::graphs::{CASES, random_queries};
use si_testing::hostile_wire::HostileWire;
use si_testing::pair::Seeds;

fn plain() -> Arc<dyn Protocol> {
    Arc::new(PlainInsecure::new())
}

#[test]
fn the_bytes_on_the_wire_are_pinned() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 2, 1);
    for (reveal, pinned) in [
        (Reveal::Scores, "9b773a4e667a4cdbc60ba599f4e937a3 85d59744e52097fe65a813efcf64ad51"),
        (Reveal::Label, "9b773a4e667a4cdbc60ba599f4e937a3 49128cfb6b5568e9645df7b5207a75db"),
    ] {
        let options = Options { reveal, ..Options::default() };
        let digest = wire_digest(&plain(), &model, &queries, options, Seeds::from_number(1)).unwrap();
        assert_eq!(digest.to_string(), pinned, "{reveal:?}");
    }
}

#[test]
fn broken_streams_end_in_errors() {
    let model = CASES[1].model(1);
    let queries = random_queries(model.graph(), 3, 1);
    for reveal in [Reveal::Scores, Reveal::Label] {
        let options = Options { reveal, ..Options::default() };
        let wire = HostileWire::new(plain(), Arc::clone(&model), queries.clone(), options)
            .patience(Duration::from_millis(200))
            .most_frames(3);
        for hostile in [Role::Client, Role::Server(0)] {
            let seen = wire.check(hostile).unwrap();
            assert_eq!(seen.errors + seen.passed, 3 * 9);
        }
    }
}
