//! Whole runs against cheats, by the hundred: how many are caught is what the bound says; and once each with all virtual servers.
//! Evaluations are those of [`plain`], a black box to what is tested here; `tests/cheats.rs` has the real ones.

mod plain;

use std::sync::Arc;
use std::time::Duration;

use ndarray::Array3;
use si_api::{Answer, Channel, Client, Error, Meter, Options, Result, Role, Server};
use si_rlwe::field::Field;
use si_rlwe::ole::PRIME;
use si_testing::graphs::{CASES, random_queries};
use si_testing::pair::Seeds;

use crate::client::LeviOsaClient;
use crate::deviation::InsecureDeviation::{self, *};
use crate::parameters::{Parameters, log2_missed};
use crate::party::Party;
use crate::server::LeviOsaServer;
use crate::session::Setting;
use plain::InsecurePlainOle;

/// Inferences, all in one block.
const BATCH: usize = 2;

/// Runs of each cheat.
const TRIALS: u32 = 300;

const SERVER: Role = Role::Server(0);

/// A client and a server that have met, and can begin anew after an abort: oblivious transfers are all used up before a cheat.
struct Pair {
    client: LeviOsaClient,
    server: LeviOsaServer,
    queries: Vec<Array3<i64>>,
    ole: Arc<InsecurePlainOle>,
}

impl Pair {
    fn new(bits: u32, parameters: Option<Parameters>) -> Self {
        let model = CASES.iter().find(|c| c.name == "squares").expect("a case of squares").model(1);
        let graph = Arc::clone(model.graph());
        let field = Field::new(PRIME).expect("a prime");
        let ole = Arc::new(InsecurePlainOle::new(field));
        let seeds = Seeds::from_number(1);
        let (to_server, to_client) = Channel::memory_pair(Duration::from_secs(60));
        let party = |role, peer, seed, channel, ole: &Arc<InsecurePlainOle>| {
            let mut setting =
                Setting::with_ole(&graph, Arc::clone(ole) as _, field, bits, Some(BATCH)).expect("a chain");
            setting.parameters.clone_from(&parameters);
            let me = si_api::Party::new(role, Meter::new(), Options::default(), seed).with_lane(peer, channel);
            Party::new(me, peer, setting, None).expect("honest oblivious transfers")
        };
        let queries = random_queries(&graph, BATCH, 1);
        let (client, server) = std::thread::scope(|s| {
            let client = s.spawn(|| {
                party(Role::Client, SERVER, seeds.client, to_server, &Arc::new(InsecurePlainOle::new(field)))
            });
            let server = party(SERVER, Role::Client, seeds.server, to_client, &ole);
            (client.join().expect("no panic"), server)
        });
        let client = LeviOsaClient { party: client, graph: Arc::clone(&graph) };
        Self { client, server: LeviOsaServer { party: server, model }, queries, ole }
    }

    /// One batch over a fresh channel.
    fn run(&mut self, cheat: Option<(Role, InsecureDeviation)>) -> (Result<Vec<Answer>>, Result<()>) {
        let of = |role| cheat.filter(|(cheat, _)| *cheat == role).map(|(_, deviation)| deviation);
        let Self { client, server, queries, .. } = self;
        let (to_server, to_client) = Channel::memory_pair(Duration::from_secs(60));
        (client.party.channel, server.party.channel) = (Some(to_server), Some(to_client));
        (client.party.deviation, server.party.deviation) = (of(Role::Client), of(SERVER));
        std::thread::scope(|s| {
            let server = s.spawn(|| server.offline(BATCH).and_then(|()| server.online(BATCH)));
            let answers = client.offline(BATCH).and_then(|()| client.online(queries));
            (answers, server.join().expect("no panic"))
        })
    }

    /// The check by which the honest party caught the other, if it did.
    fn caught(&mut self, cheat: Role, deviation: InsecureDeviation) -> Option<String> {
        let (answers, served) = self.run(Some((cheat, deviation)));
        match if cheat == Role::Client { served } else { answers.map(drop) } {
            Err(Error::Abort { accused, check }) if accused == cheat => Some(check),
            Ok(()) => None,
            // A client whose wrong inputs were not noticed cannot use the answers.
            Err(Error::Wire(_)) if matches!(deviation, InputCodeword(_)) => None,
            Err(e) => panic!("{deviation:?} of the {cheat} ended in: {e}"),
        }
    }
}

/// n = 48, w = 31, L = 10: few enough servers for cheats to go unnoticed.
fn few() -> Parameters {
    Parameters { servers: 48, watched: 3, errors: 3, slots: 10, threshold: 16, stride: 16 }
}

#[test]
fn cheats_go_unnoticed_as_often_as_the_bound_says() {
    let parameters = few();
    let (n, t, w, slots) = (parameters.servers, parameters.watched, parameters.wide(), parameters.slots);
    let missed = |bad| log2_missed(n, bad, t).exp2();
    let all_watched = t as f64 / n as f64;
    let mut pair = Pair::new(1, Some(parameters));
    assert!(pair.run(None).0.is_ok());
    let cases = [
        (Role::Client, InputCodeword(1), missed(1)),
        (Role::Client, InputCodeword(12), missed(12)),
        (Role::Client, Query(1), missed(1)),
        (Role::Client, Query(12), missed(12)),
        (Role::Client, BitCodeword(12), missed(12)),
        (Role::Client, ChangedBetweenLayersAndProof, missed(n - w + 1)),
        (Role::Client, ChangedSquareAndProof, missed(n - w + slots)),
        (Role::Client, WatchShares(1), all_watched),
        (SERVER, WeightCodeword(1), missed(1)),
        (SERVER, WeightCodeword(12), missed(12)),
        (SERVER, Answer(1), missed(1)),
        (SERVER, Answer(12), missed(12)),
        (SERVER, BitCodeword(12), missed(12)),
        (SERVER, ShiftedAnswers, missed(n - w + 1)),
        (SERVER, ChangedBetweenLayersAndProof, missed(n - w + 1)),
        (SERVER, ChangedSquareAndProof, missed(n - w + slots)),
        (SERVER, WatchShares(1), all_watched),
    ];
    for (cheat, deviation, p) in cases {
        let unnoticed = (0..TRIALS).filter(|_| pair.caught(cheat, deviation).is_none()).count() as f64;
        let (expected, trials) = (p * f64::from(TRIALS), f64::from(TRIALS));
        // Of as many honest formulas one in a thousand would fall outside.
        let interval = 4.0 * (trials * p * (1.0 - p)).sqrt();
        println!("{cheat}, {deviation:?}: {unnoticed} of {TRIALS} unnoticed, expected {expected:.1} +- {interval:.1}");
        assert!(
            (unnoticed - expected).abs() <= interval,
            "{cheat}, {deviation:?}: {unnoticed} instead of {expected:.1}"
        );
    }
    // What no watchlist is needed for.
    let always = [
        (Role::Client, UnequalInput),
        (Role::Client, OutOfRange),
        (SERVER, EvaluationInput(1)),
        (SERVER, EvaluationInput(n - w)),
        (SERVER, ShareCodeword(1)),
        (SERVER, ShareCodeword(n - w)),
        (SERVER, OtherAnswer),
    ];
    for (cheat, deviation) in always {
        assert!((0..TRIALS / 10).all(|_| pair.caught(cheat, deviation).is_some()), "{cheat}, {deviation:?}");
    }
}

#[test]
fn gross_cheats_are_caught_with_all_servers() {
    let mut pair = Pair::new(40, None);
    let parameters = pair.client.party.setting.plan(BATCH).expect("parameters").code.parameters().clone();
    assert!(parameters.log2_soundness(Field::new(PRIME).expect("a prime")) <= -40.0, "{parameters}");
    let half = parameters.servers / 2;
    assert!(pair.run(None).0.is_ok());
    let either = [
        (BitCodeword(half), "narrow code"),
        (NotABit, "a relation between values"),
        (OtherBits, "a relation between values"),
        (ChangedBetweenLayers, "a linear relation between values"),
        (ChangedBetweenLayersAndProof, "linear relations do not fit"),
        (ChangedSquare, "a relation between values"),
        (ChangedSquareAndProof, "product relations do not fit"),
        (Proof, "narrow code"),
        (WatchShares(half), "shares of the proof"),
    ];
    let client = [
        (InputCodeword(half), "narrow code"),
        (Query(half), "watchlist: its query"),
        (UnequalInput, "a linear relation between values"),
        (OutOfRange, "a linear relation between values"),
    ];
    let server = [
        (WeightCodeword(half), "watchlist: its answer"),
        (EvaluationInput(half), "watchlist: its answer"),
        (ShareCodeword(1), "no codeword"),
        (ShareCodeword(half), "no codeword"),
        (ShiftedAnswers, "watchlist: its answer"),
        (Answer(half), "watchlist: its answer"),
        (UnequalWeight, "a linear relation between values"),
        (OtherAnswer, "a relation between values"),
    ];
    let of_client = either.into_iter().chain(client).map(|case| (Role::Client, case));
    let of_server = either.into_iter().chain(server).map(|case| (SERVER, case));
    for (cheat, (deviation, by)) in of_client.chain(of_server) {
        let check =
            pair.caught(cheat, deviation).unwrap_or_else(|| panic!("{deviation:?} of the {cheat} went unnoticed"));
        assert!(check.contains(by), "{deviation:?} of the {cheat} was caught by '{check}', not by '{by}'");
    }
}

#[test]
fn watching_more_servers_is_caught() {
    for cheat in [Role::Client, SERVER] {
        // Those who are caught go on with the other watchlist: oblivious transfers are out of step.
        let check = Pair::new(1, Some(few())).caught(cheat, WatchMore(1)).expect("caught");
        assert!(check.contains("no more than"), "{check}");
    }
}

#[test]
fn queries_beyond_the_range_are_refused_before_anything_is_sent() {
    let mut pair = Pair::new(1, Some(few()));
    let most = 1 << (pair.client.party.setting.network.query_bits - 1);
    pair.queries[1][[0, 2, 2]] = -most;
    assert!(pair.run(None).0.is_ok());
    for x in [most, -most - 1] {
        pair.queries[1][[0, 2, 2]] = x;
        let refused = pair.client.online(&pair.queries).expect_err("out of range").to_string();
        assert!(refused.contains("query 1") && refused.contains(&x.to_string()), "{refused}");
    }
}

#[test]
fn evaluations_are_as_many_as_the_plan_says() {
    let mut pair = Pair::new(1, Some(few()));
    assert!(pair.run(None).0.is_ok());
    let network = &pair.server.party.setting.network;
    let inputs: usize = network.layers.iter().map(|l| l.inputs).sum();
    assert_eq!(pair.ole.evaluations(), few().servers * (inputs + network.squares));
}
