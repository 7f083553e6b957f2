//! The checks of this crate against protocols that must not pass them.

use std::sync::Arc;
use std::time::Duration;

use ndarray::Array3;
use si_api::{
    Answer, Card, Channel, Client, Cost, CostLine, Graph, Model, Options, Party, Phase, Protocol, Result, Role, Server,
};
use si_plain::PlainInsecure;
use si_testing::conformance::Conformance;
use si_testing::graphs::{CASES, random_queries};
use si_testing::hostile_wire::HostileWire;
use si_testing::pair::{Conditions, Failed, Seeds, run, run_pair};

/// What is wrong with a protocol that otherwise is the plain one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ScoreOffByOne,
    WrongLabel,
    SwappedAnswers,
    MissingAnswer,
    ScoresWithheld,
    ByteNotDeclared,
    RoundNotDeclared,
    Panics,
    NeverEnds,
}

struct Faulty {
    honest: PlainInsecure,
    fault: Fault,
}

struct FaultyClient(Box<dyn Client>, Fault);

impl Client for FaultyClient {
    fn offline(&mut self, n: usize) -> Result<()> {
        self.0.offline(n)
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        let mut answers = self.0.online(queries)?;
        match self.1 {
            Fault::ScoreOffByOne => answers[0].scores.iter_mut().for_each(|s| s[0] -= 1),
            Fault::WrongLabel => answers[0].label ^= 1,
            Fault::SwappedAnswers => answers.reverse(),
            Fault::MissingAnswer => answers.truncate(queries.len() - 1),
            Fault::ScoresWithheld => answers.iter_mut().for_each(|a| a.scores = None),
            Fault::Panics => panic!("a bug"),
            Fault::NeverEnds => std::thread::sleep(Duration::from_secs(3600)),
            Fault::ByteNotDeclared | Fault::RoundNotDeclared => {}
        }
        Ok(answers)
    }
}

impl Protocol for Faulty {
    fn card(&self) -> &Card {
        self.honest.card()
    }

    fn client(&self, me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        Ok(Box::new(FaultyClient(self.honest.client(me, graph)?, self.fault)))
    }

    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        self.honest.server(me, model)
    }

    fn cost(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        let mut lines = self.honest.cost(graph, n, options)?;
        match self.fault {
            Fault::ByteNotDeclared => lines[0].cost.up_bytes -= 1,
            Fault::RoundNotDeclared => lines[1].cost.rounds = 0,
            _ => {}
        }
        Ok(lines)
    }
}

fn faulty(fault: Fault) -> Arc<dyn Protocol> {
    Arc::new(Faulty { honest: PlainInsecure::new(), fault })
}

#[test]
fn conformance_fails_for_each_fault_and_says_why() {
    for (fault, says) in [
        (Fault::ScoreOffByOne, "scores"),
        (Fault::WrongLabel, "label"),
        (Fault::SwappedAnswers, "answer 0"),
        (Fault::MissingAnswer, "0 answers to 1 queries"),
        (Fault::ScoresWithheld, "scores are None"),
        (Fault::ByteNotDeclared, "online 'input': declared"),
        (Fault::RoundNotDeclared, "online 'answer': declared"),
        (Fault::Panics, "panic: a bug"),
    ] {
        let failure = Conformance::new(faulty(fault)).seeds(0..1).check().unwrap_err().to_string();
        assert!(failure.contains(says), "{fault:?}: {failure}");
    }
}

#[test]
fn only_unsupported_cases_may_be_left_out() {
    let plain = || Conformance::new(Arc::new(PlainInsecure::new())).seeds(0..1);
    for (case, says) in [("groups", "the card's gaps do not mention"), ("nonsense", "there is no case 'nonsense'")] {
        let failure = plain().without(case, "no reason").check().unwrap_err().to_string();
        assert!(failure.contains(says), "{failure}");
    }
}

#[test]
fn a_party_that_never_ends_is_reported() {
    let model = CASES[0].model(0);
    let never = faulty(Fault::NeverEnds);
    let conditions = Conditions {
        deadline: Duration::from_millis(300),
        ..Conditions::new(Options::default(), Seeds::from_number(0))
    };
    let batches = [random_queries(model.graph(), 1, 0)];
    let outcome = run(&never, &never, &model, &batches, conditions, &|c, s| (c, s));
    assert!(matches!(outcome.client, Err(Failed::Hung)));
    assert_eq!(outcome.both().unwrap_err().role, Role::Client);
}

#[test]
fn the_party_that_failed_first_is_named() {
    let model = CASES[0].model(0);
    let queries = random_queries(CASES[1].model(0).graph(), 1, 0); // of the wrong shape: the client refuses them
    let failed =
        run_pair(&faulty(Fault::WrongLabel), &model, &queries, Options::default(), Seeds::from_number(0)).unwrap_err();
    assert_eq!(failed.role, Role::Client);
    assert!(failed.to_string().contains("shape"), "{failed}");
}

/// A protocol of one frame in each direction whose client does not look at what it gets.
struct Careless {
    card: Card,
    unwraps: bool,
}

struct CarelessClient(Channel, bool);

impl Client for CarelessClient {
    fn offline(&mut self, _n: usize) -> Result<()> {
        Ok(())
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        self.0.send(b"query")?;
        let answer = self.0.recv(1 << 20)?;
        if self.1 {
            assert_eq!(answer, [7; 8]);
        }
        Ok(queries.iter().map(|_| Answer { label: 0, scores: None }).collect())
    }
}

struct CarelessServer(Channel);

impl Server for CarelessServer {
    fn offline(&mut self, _n: usize) -> Result<()> {
        Ok(())
    }

    fn online(&mut self, _n: usize) -> Result<()> {
        self.0.recv_exact("query", 5)?;
        self.0.send(&[7; 8])?;
        Ok(self.0.flush()?)
    }
}

impl Protocol for Careless {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, mut me: Party, _graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        Ok(Box::new(CarelessClient(me.take_lane(Role::Server(0), 0)?, self.unwraps)))
    }

    fn server(&self, mut me: Party, _model: Arc<Model>) -> Result<Box<dyn Server>> {
        Ok(Box::new(CarelessServer(me.take_lane(Role::Client, 0)?)))
    }

    fn cost(&self, _graph: &Graph, _n: usize, _options: Options) -> Result<Vec<CostLine>> {
        Ok(vec![CostLine::new(Phase::Online, "all", Cost::default())])
    }
}

#[test]
fn careless_readers_do_not_pass_a_hostile_wire() {
    let model = CASES[0].model(0);
    let queries = random_queries(model.graph(), 1, 0);
    for (unwraps, says) in [(false, "the honest party noticed nothing"), (true, "panic")] {
        let careless = Arc::new(Careless { card: PlainInsecure::new().card().clone(), unwraps });
        let wire = HostileWire::new(careless, Arc::clone(&model), queries.clone(), Options::default())
            .patience(Duration::from_millis(200));
        let failure = wire.check(Role::Server(0)).unwrap_err().to_string();
        assert!(failure.contains(says), "{failure}");
        // Its server does look.
        assert_eq!(wire.check(Role::Client).unwrap().passed, 1);
    }
}
