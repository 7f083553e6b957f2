//! Clients and servers that cheat at evaluations by ring-LWE: accused by the check that is there for it. All other cheats, and how often
//! they go unnoticed, are tested in the crate, with evaluations in the clear.

use std::sync::Arc;

use si_api::{Error, Model, Options, Protocol, Role};
use si_leviosa::{InsecureDeviation, LevioSA};
use si_testing::graphs::{CASES, random_queries};
use si_testing::pair::{Conditions, Failed, Seeds, run};

use InsecureDeviation::*;

/// Few servers: a run takes a second. Gross cheats are caught all the same.
const BITS: u32 = 5;
const BATCH: usize = 2;

fn model() -> Arc<Model> {
    CASES.iter().find(|c| c.name == "squares").expect("a case of squares").model(1)
}

/// How the honest party's run ends against a peer that deviates.
fn against(cheat: Role, deviation: InsecureDeviation, bits: u32, batch: usize, seed: u64) -> Result<(), Failed> {
    let model = model();
    let honest: Arc<dyn Protocol> = Arc::new(LevioSA::insecure_with_bits(bits).with_queries_in_a_block(batch));
    let cheating: Arc<dyn Protocol> =
        Arc::new(LevioSA::insecure_with_bits(bits).with_queries_in_a_block(batch).insecure_deviating(deviation));
    let queries = [random_queries(model.graph(), batch, seed)];
    let conditions = Conditions::new(Options::default(), Seeds::from_number(seed));
    let untouched = |c, s| (c, s);
    if cheat == Role::Client {
        run(&cheating, &honest, &model, &queries, conditions, &untouched).server
    } else {
        run(&honest, &cheating, &model, &queries, conditions, &untouched).client.map(drop)
    }
}

fn is_accused(cheat: Role, deviation: InsecureDeviation, bits: u32, batch: usize, by: &str) {
    match against(cheat, deviation, bits, batch, 3) {
        Err(Failed::Error(Error::Abort { accused, check })) => {
            assert_eq!(accused, cheat, "{deviation:?}");
            assert!(check.contains(by), "{deviation:?} was caught by '{check}', not by '{by}'");
        }
        other => panic!("{deviation:?} of the {cheat}: {other:?}"),
    }
}

/// Half of the servers: missed with probability 2^-t at most, t some tens.
fn half() -> usize {
    let plan = LevioSA::insecure_with_bits(BITS).with_queries_in_a_block(BATCH).plan(model().graph(), BATCH);
    plan.expect("a small network").parameters.servers / 2
}

#[test]
fn cheats_at_evaluations_are_caught() {
    let cases = [
        (Role::Client, InputCodeword(half()), "narrow code"),
        (Role::Client, Query(half()), "watchlist: its query"),
        (Role::Server(0), EvaluationInput(half()), "watchlist: its answer"),
        (Role::Server(0), ShiftedAnswers, "watchlist: its answer"),
        (Role::Server(0), Answer(half()), "watchlist: its answer"),
    ];
    for (cheat, deviation, by) in cases {
        is_accused(cheat, deviation, BITS, BATCH, by);
    }
}

#[test]
fn one_wrong_evaluation_is_no_codeword_even_where_nobody_watches() {
    is_accused(Role::Server(0), ShareCodeword(1), BITS, BATCH, "no codeword");
}

#[test]
fn peers_that_go_away_leave_an_error_behind() {
    for cheat in [Role::Client, Role::Server(0)] {
        match against(cheat, EarlyAbort, BITS, 1, 5) {
            Err(Failed::Error(Error::Wire(_))) => {}
            other => panic!("{cheat}: {other:?}"),
        }
    }
}

#[test]
fn a_gross_cheat_is_caught_with_all_servers() {
    is_accused(Role::Server(0), OtherBits, 40, 1, "a relation between values");
}
