//! The journal: a run that was interrupted goes on without repeating what is finished, in a new order, and only if
//! everything is as it was.

#![allow(clippy::unwrap_used)] // helpers of tests

use std::path::Path;
use std::sync::{Arc, Mutex};

use ndarray::Array3;
use si_api::{
    Answer, Card, Client, Error, Graph, Meter, Model, Options, Party, Phase, Protocol, Result, Role, Server, WireError,
};
use si_fusion::{Fusion, FusionError, MOST_RESUMES, Plan, Progress, PublicSamples, progress};
use si_plain::PlainInsecure;
use si_testing::graphs::{CASES, random_queries};

/// The batches that a party was given, chunk by chunk.
type Seen = Arc<Mutex<Vec<Vec<Array3<i64>>>>>;

/// A protocol without a peer: the label is a function of the input. It fails at its `at`-th batch, if it is to fail.
struct Alone {
    card: Card,
    seen: Seen,
    fails: Option<(usize, fn() -> Error)>,
}

impl Alone {
    fn new(seen: &Seen, fails: Option<(usize, fn() -> Error)>) -> Arc<Self> {
        Arc::new(Self { card: PlainInsecure::new().card().clone(), seen: Arc::clone(seen), fails })
    }
}

fn label(input: &Array3<i64>) -> usize {
    usize::from(input.sum() % 2 == 0)
}

fn answer(label: usize) -> Answer {
    Answer { label, scores: Some(if label == 0 { vec![1, 0] } else { vec![-5, 7] }) }
}

struct Party1 {
    seen: Seen,
    fails: Option<(usize, fn() -> Error)>,
    batches: usize,
}

impl Client for Party1 {
    fn offline(&mut self, _n: usize) -> Result<()> {
        Ok(())
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        self.seen.lock().unwrap().push(queries.to_vec());
        self.batches += 1;
        match self.fails {
            Some((at, error)) if self.batches > at => Err(error()),
            _ => Ok(queries.iter().map(|q| answer(label(q))).collect()),
        }
    }
}

impl Server for Party1 {
    fn offline(&mut self, n: usize) -> Result<()> {
        self.seen.lock().unwrap().push(vec![Array3::zeros((1, 1, 1)); n]);
        Ok(())
    }

    fn online(&mut self, _n: usize) -> Result<()> {
        Ok(())
    }
}

impl Protocol for Alone {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, _me: Party, _graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        Ok(Box::new(Party1 { seen: Arc::clone(&self.seen), fails: self.fails, batches: 0 }))
    }

    fn server(&self, _me: Party, _model: Arc<Model>) -> Result<Box<dyn Server>> {
        Ok(Box::new(Party1 { seen: Arc::clone(&self.seen), fails: None, batches: 0 }))
    }
}

fn lost() -> Error {
    Error::Wire(WireError::Closed { peer: "server".to_owned() })
}

fn malformed() -> Error {
    Error::Malformed { peer: Role::Server(0), what: "a ciphertext".to_owned(), why: "of no use".to_owned() }
}

/// One run, as it would be begun in a new process each time.
#[derive(Clone)]
struct World {
    plan: Plan,
    queries: Vec<Array3<i64>>,
    public: PublicSamples,
    context: &'static str,
    seed: u8,
}

impl World {
    fn new() -> Self {
        let graph = CASES[0].graph();
        let inputs = random_queries(&graph, 9, 70);
        let labels = inputs.iter().map(label).collect();
        Self {
            plan: Plan::new(4, 3, 6, 0).unwrap().in_chunks(4).unwrap(), // 18 inferences in 5 chunks
            queries: random_queries(&graph, 4, 60),
            public: PublicSamples { inputs, labels },
            context: "commit 1",
            seed: 1,
        }
    }

    fn run(&self, path: &Path, done: usize, seen: &Seen, fails: Option<(usize, fn() -> Error)>) -> Result<Vec<Answer>> {
        let fusion = Fusion::insecure_over_anything(Alone::new(seen, fails), self.plan);
        let fusion = fusion.with_public(self.public.clone())?.with_journal(path, self.context).resumed_after(done)?;
        let me = Party::new(Role::Client, Meter::new(), Options::default(), [self.seed; 32]);
        let mut client = fusion.client(me, CASES[0].graph())?;
        client.offline(self.queries.len())?;
        client.online(&self.queries)
    }

    /// A run that loses its connection in the chunk after `chunks`, and what the server saw.
    fn interrupted(&self, path: &Path, chunks: usize) -> Vec<Vec<Array3<i64>>> {
        let seen = Seen::default();
        assert!(matches!(self.run(path, 0, &seen, Some((chunks, lost))), Err(Error::Wire(_))));
        seen.lock().unwrap().clone()
    }

    fn refusal(&self, path: &Path, done: usize) -> String {
        let seen = Seen::default();
        let error = self.run(path, done, &seen, None).unwrap_err().to_string();
        assert!(seen.lock().unwrap().is_empty(), "nothing was run");
        error
    }

    /// How often each tensor must be run in all.
    fn whole(&self, samples: &[Array3<i64>]) -> Vec<Array3<i64>> {
        let copies = self.queries.iter().flat_map(|q| std::iter::repeat_n(q.clone(), self.plan.copies()));
        sorted(copies.chain(samples.iter().cloned()))
    }
}

fn sorted(tensors: impl Iterator<Item = Array3<i64>>) -> Vec<Array3<i64>> {
    let mut all: Vec<_> = tensors.collect();
    all.sort_by_key(|t| t.iter().copied().collect::<Vec<_>>());
    all
}

fn folder() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal");
    (dir, path)
}

#[test]
fn a_run_goes_on_where_it_was_interrupted_in_a_new_order() {
    let (_dir, path) = folder();
    let world = World::new();
    assert_eq!(progress(&path).unwrap(), None);
    let before = world.interrupted(&path, 2);
    let done: usize = world.plan.chunks()[..2].iter().sum();
    assert_eq!(progress(&path).unwrap(), Some(Progress { chunks_done: 2, inferences_done: done, resumes: 0 }));

    let seen = Seen::default();
    let answers = World { seed: 2, ..world.clone() }.run(&path, 2, &seen, None).unwrap();
    assert_eq!(
        answers.iter().map(|a| a.label).collect::<Vec<_>>(),
        world.queries.iter().map(label).collect::<Vec<_>>()
    );
    let after = seen.lock().unwrap().clone();
    assert_eq!(after.len(), 3, "the chunks that were left, and no more");
    // What was recorded and what was run afterwards are the plan: nothing is missing, nothing is done twice.
    let ran = sorted(before[..2].iter().chain(&after).flatten().cloned());
    let samples: Vec<_> = world.public.inputs.iter().filter(|s| ran.contains(s)).cloned().collect();
    assert_eq!(samples.len(), world.plan.public());
    assert_eq!(ran, world.whole(&samples));
    // The chunk that was sent in vain does not come again as it was (its 4 of 10 positions left: by chance, 1 in 5040).
    assert_ne!(before[2], after[0]);
    assert_eq!(progress(&path).unwrap().unwrap().resumes, 1);
}

#[test]
fn a_run_without_interruption_is_as_without_a_journal_and_its_answers_can_be_had_again() {
    let (_dir, path) = folder();
    let world = World::new();
    let seen = Seen::default();
    let answers = world.run(&path, 0, &seen, None).unwrap();
    assert_eq!(seen.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>(), world.plan.chunks());
    // The process died between the end and the use of the answers.
    let again = Seen::default();
    assert_eq!(world.run(&path, 5, &again, None).unwrap(), answers);
    assert!(again.lock().unwrap().is_empty());
    assert!(world.refusal(&path, 0).contains("5 finished chunks, the parties agreed on 0"));
}

#[test]
fn the_server_serves_the_rest() {
    let world = World::new();
    let seen = Seen::default();
    let fusion = Fusion::insecure_over_anything(Alone::new(&seen, None), world.plan);
    let serve = |fusion: Fusion| {
        seen.lock().unwrap().clear();
        let me = Party::new(Role::Server(0), Meter::new(), Options::default(), [1; 32]);
        let mut server = fusion.server(me, CASES[0].model(0)).unwrap();
        server.offline(4).unwrap();
        server.online(4).unwrap();
        seen.lock().unwrap().iter().map(Vec::len).collect::<Vec<_>>()
    };
    let chunks = world.plan.chunks();
    assert_eq!(serve(fusion), chunks);
    let resumed = |done| Fusion::insecure_over_anything(Alone::new(&seen, None), world.plan).resumed_after(done);
    assert_eq!(serve(resumed(3).unwrap()), chunks[3..]);
    assert!(serve(resumed(5).unwrap()).is_empty());
    assert_eq!(resumed(6).err(), Some(FusionError::ResumedAfter { chunks: 6, of: 5 }));
}

#[test]
fn a_torn_last_record_is_cut_off_and_its_chunk_run_again() {
    let world = World::new();
    for cut in [1, 7, 40] {
        let (_dir, path) = folder();
        world.interrupted(&path, 2);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        assert_eq!(progress(&path).unwrap().unwrap().chunks_done, 1);
        let seen = Seen::default();
        world.run(&path, 1, &seen, None).unwrap();
        assert_eq!(seen.lock().unwrap().len(), 4);
    }
    // Torn in its first record: nothing was sent, so a new run begins.
    let (_dir, path) = folder();
    world.interrupted(&path, 0);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(progress(&path).unwrap(), None);
    world.run(&path, 0, &Seen::default(), None).unwrap();
}

#[test]
fn a_damaged_journal_is_refused_with_the_record() {
    let (_dir, path) = folder();
    let world = World::new();
    world.interrupted(&path, 3);
    let whole = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let refused = |text: &str, parts: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let error = world.refusal(&path, 3);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        assert_eq!(progress(&path).unwrap_err().to_string(), error);
    };
    refused(&whole.replacen("\"label\":1", "\"label\":0", 1), &["record 2", "does not match", "start anew"]);
    refused(&[lines[0], lines[2], lines[1], lines[3]].concat(), &["record 2", "does not match"]);
    refused(&lines[1..].concat(), &["record 1", "does not match"]);
    refused(&whole.replacen(lines[1], "short\n", 1), &["record 2"]);
    std::fs::write(&path, [&whole.as_bytes()[..300], &[0xff, b'\n'], whole.as_bytes()].concat()).unwrap();
    assert!(world.refusal(&path, 3).contains("not text"));
}

#[test]
fn the_journal_of_another_run_is_refused() {
    let (_dir, path) = folder();
    let world = World::new();
    world.interrupted(&path, 1);
    let refused = |world: World, parts: &[&str]| {
        let error = world.refusal(&path, 1);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let plan = Plan::new(4, 3, 5, 0).unwrap().in_chunks(4).unwrap();
    refused(World { plan, ..world.clone() }, &["another plan", "T=6", "T=5"]);
    refused(
        World { plan: world.plan.in_chunks(9).unwrap(), ..world.clone() },
        &["another plan", "5 chunks", "2 chunks"],
    );
    refused(World { context: "commit 2", ..world.clone() }, &["another context", "commit 1", "commit 2"]);
    let mut other = world.clone();
    other.public.labels[8] = 1 - other.public.labels[8];
    refused(other, &["another set of public samples"]);
    let mut other = world.clone();
    other.queries.swap(0, 1);
    refused(other, &["another set of queries"]);
    refused(
        World { queries: world.queries[..3].to_vec(), ..world.clone() },
        &["another set of queries", "4 of", "3 of"],
    );
    let error = {
        let fusion = Fusion::insecure_over_anything(Alone::new(&Seen::default(), None), world.plan);
        let graph = CASES[1].graph();
        let inputs = random_queries(&graph, 6, 1);
        let public = PublicSamples { labels: vec![0; 6], inputs };
        let fusion = fusion.with_public(public).unwrap().with_journal(&path, world.context).resumed_after(1).unwrap();
        let me = Party::new(Role::Client, Meter::new(), Options::default(), [1; 32]);
        fusion.client(me, graph).err().unwrap().to_string()
    };
    assert!(error.contains("another graph"), "{error}");
    assert!(world.refusal(&path, 2).contains("1 finished chunks, the parties agreed on 2"));
    let fusion = Fusion::insecure_over_anything(Alone::new(&Seen::default(), None), world.plan);
    let fusion = fusion.with_public(world.public.clone()).unwrap().resumed_after(1).unwrap();
    let me = Party::new(Role::Client, Meter::new(), Options::default(), [1; 32]);
    assert!(fusion.client(me, CASES[0].graph()).err().unwrap().to_string().contains("needs the journal"));
}

#[test]
fn what_the_server_sent_may_not_be_tried_again() {
    let (_dir, path) = folder();
    let world = World::new();
    assert!(world.run(&path, 0, &Seen::default(), Some((2, malformed))).is_err());
    assert!(world.refusal(&path, 2).contains("the run has ended (a ciphertext from the server is malformed"));
    // Nor an accusation.
    let (_dir, path) = folder();
    let mut accusing = World::new();
    accusing.public.labels.iter_mut().for_each(|label| *label = 1 - *label);
    let accused = accusing.run(&path, 0, &Seen::default(), None);
    assert!(matches!(accused, Err(Error::Abort { accused: Role::Server(0), .. })), "{accused:?}");
    assert!(accusing.refusal(&path, 5).contains("accused"));
}

#[test]
fn a_run_is_resumed_a_limited_number_of_times() {
    let (_dir, path) = folder();
    let world = World::new();
    world.interrupted(&path, 1);
    for _ in 0..MOST_RESUMES {
        assert!(world.run(&path, 1, &Seen::default(), Some((0, lost))).is_err());
    }
    assert!(world.refusal(&path, 1).contains(&format!("resumed {MOST_RESUMES} times already")));
}

#[test]
fn a_session_with_a_journal_holds_one_run_and_meters_it() {
    let (_dir, path) = folder();
    let world = World::new();
    let fusion = Fusion::insecure_over_anything(Alone::new(&Seen::default(), None), world.plan);
    let fusion = fusion.with_public(world.public.clone()).unwrap().with_journal(&path, "");
    let meter = Meter::new();
    let me = || Party::new(Role::Client, meter.clone(), Options::default(), [1; 32]);
    let mut client = fusion.client(me(), CASES[0].graph()).unwrap();
    assert!(fusion.client(me(), CASES[0].graph()).err().unwrap().to_string().contains("in use"));
    client.online(&world.queries).unwrap();
    assert!(client.online(&world.queries).unwrap_err().to_string().contains("holds one run"));
    let calls = |phase| {
        meter.entries().iter().filter(|e| e.label == "journal" && e.phase == phase).map(|e| e.totals.calls).sum::<u64>()
    };
    assert_eq!((calls(Phase::Online), calls(Phase::Verify)), (1 + 5, 1));
}

#[cfg(unix)]
#[test]
fn it_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, path) = folder();
    let world = World::new();
    world.interrupted(&path, 1);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = world.refusal(&path, 1);
    assert!(error.contains("mode 644") && error.contains("chmod 600"), "{error}");
}
