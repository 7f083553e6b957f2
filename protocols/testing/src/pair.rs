//! Two parties of a protocol, each in a thread, over channels in memory.
//!
//! Nothing here can hang a test: the channel bounds every wait for the peer, and a deadline bounds the whole run. The
//! threads of a run that misses its deadline are abandoned, for a thread cannot be stopped from outside.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ndarray::Array3;
use si_api::{Answer, Channel, Entry, Error, Meter, Model, Options, Party, Protocol, Role, Seed};
use si_wire::{Transport, memory_pair};

use crate::Failure;

/// Seeds of the two parties. Equal seeds give equal bytes on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    /// The client's.
    pub client: Seed,
    /// The server's.
    pub server: Seed,
}

impl Seeds {
    /// Two different seeds made from a number.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        let seed = |party: u8| {
            let mut seed = [party; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            seed
        };
        Self { client: seed(1), server: seed(2) }
    }
}

/// How a pair meets.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// What the parties agree on.
    pub options: Options,
    /// Their randomness.
    pub seeds: Seeds,
    /// Longest wait for one message of the peer.
    pub patience: Duration,
    /// Longest run.
    pub deadline: Duration,
    /// Lanes between the parties.
    pub lanes: usize,
    /// The lane that [`run`]'s `tamper` wraps.
    pub tampered_lane: usize,
}

impl Conditions {
    /// Waits that only a broken protocol reaches.
    #[must_use]
    pub fn new(options: Options, seeds: Seeds) -> Self {
        let (patience, deadline) = (Duration::from_secs(60), Duration::from_secs(240));
        Self { options, seeds, patience, deadline, lanes: 1, tampered_lane: 0 }
    }

    /// With more lanes.
    #[must_use]
    pub fn with_lanes(self, lanes: usize) -> Self {
        Self { lanes, ..self }
    }

    /// With another longest wait for a message.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// How one party's run ended without a result.
#[derive(Debug)]
pub enum Failed {
    /// It returned an error, as it should when its peer misbehaves.
    Error(Error),
    /// It panicked, which is always a bug.
    Panicked(String),
    /// It was still running at the deadline.
    Hung,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(e) => write!(f, "{e}"),
            Self::Panicked(why) => write!(f, "panic: {why}"),
            Self::Hung => write!(f, "still running at the deadline"),
        }
    }
}

/// The party that failed, and how.
#[derive(Debug)]
pub struct PartyFailed {
    /// Who.
    pub role: Role,
    /// How.
    pub how: Failed,
}

impl fmt::Display for PartyFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} failed: {}", self.role, self.how)
    }
}

impl std::error::Error for PartyFailed {}

impl From<PartyFailed> for Failure {
    fn from(e: PartyFailed) -> Self {
        Self::new(e.to_string())
    }
}

/// How a pair's run ended, seen by each party.
pub struct Outcome {
    /// The client's answers, batch by batch.
    pub client: Result<Vec<Vec<Answer>>, Failed>,
    /// The server's end.
    pub server: Result<(), Failed>,
    /// The client's meter.
    pub client_entries: Vec<Entry>,
    /// The server's meter.
    pub server_entries: Vec<Entry>,
}

/// A run that went well.
#[derive(Debug)]
pub struct PairRun {
    /// The answers, batch by batch.
    pub answers: Vec<Vec<Answer>>,
    /// The client's meter.
    pub client_entries: Vec<Entry>,
    /// The server's meter.
    pub server_entries: Vec<Entry>,
}

impl Outcome {
    /// The run, if both parties ended well.
    ///
    /// # Errors
    /// The failure of the party that failed first, as far as one can tell: a party that only lost its peer is not it.
    pub fn both(self) -> Result<PairRun, PartyFailed> {
        let lost_peer = |f: &Failed| {
            matches!(f, Failed::Error(Error::Wire(si_wire::Error::Closed { .. } | si_wire::Error::Timeout { .. })))
        };
        match (self.client, self.server) {
            (Ok(answers), Ok(())) => {
                Ok(PairRun { answers, client_entries: self.client_entries, server_entries: self.server_entries })
            }
            (Err(c), Err(s)) if lost_peer(&c) => Err(PartyFailed { role: Role::Server(0), how: s }),
            (Err(c), _) => Err(PartyFailed { role: Role::Client, how: c }),
            (Ok(_), Err(s)) => Err(PartyFailed { role: Role::Server(0), how: s }),
        }
    }
}

/// Wraps the ends of a lane, (client's, server's), before the parties get them.
pub type Tamper<'a> = &'a dyn Fn(Box<dyn Transport>, Box<dyn Transport>) -> (Box<dyn Transport>, Box<dyn Transport>);

/// Runs the client of one protocol against the server of another over batches of queries. For an honest pair both
/// are the same; a cheating server is another protocol.
pub fn run(
    client: &Arc<dyn Protocol>,
    server: &Arc<dyn Protocol>,
    model: &Arc<Model>,
    batches: &[Vec<Array3<i64>>],
    conditions: Conditions,
    tamper: Tamper<'_>,
) -> Outcome {
    let lane = |index| {
        let (to_server, to_client) = memory_pair("server", "client", conditions.patience);
        if index == conditions.tampered_lane { tamper(to_server, to_client) } else { (to_server, to_client) }
    };
    let (to_server, to_client): (Vec<_>, Vec<_>) = (0..conditions.lanes).map(lane).unzip();
    let party = |role, peer, transports: Vec<Box<dyn Transport>>, seed| {
        let meter = Meter::new();
        let me = Party::new(role, meter.clone(), conditions.options, seed);
        let with_lane = |me: Party, transport| me.with_lane(peer, Channel::new(transport, meter.clone()));
        (transports.into_iter().fold(me, with_lane), meter)
    };
    let (me, client_meter) = party(Role::Client, Role::Server(0), to_server, conditions.seeds.client);
    let (protocol, graph, queries) = (Arc::clone(client), Arc::clone(model.graph()), batches.to_vec());
    let client = start("client", move || {
        let mut client = protocol.client(me, graph)?;
        let mut answers = Vec::with_capacity(queries.len());
        for batch in &queries {
            client.offline(batch.len())?;
            answers.push(client.online(batch)?);
        }
        Ok(answers)
    });
    let (me, server_meter) = party(Role::Server(0), Role::Client, to_client, conditions.seeds.server);
    let (protocol, model) = (Arc::clone(server), Arc::clone(model));
    let sizes: Vec<usize> = batches.iter().map(Vec::len).collect();
    let server = start("server", move || {
        let mut server = protocol.server(me, model)?;
        for n in sizes {
            server.offline(n)?;
            server.online(n)?;
        }
        Ok(())
    });
    let end = Instant::now() + conditions.deadline;
    let (client, server) = (client(end), server(end));
    Outcome { client, server, client_entries: client_meter.entries(), server_entries: server_meter.entries() }
}

/// Runs an honest pair over batches of queries.
///
/// # Errors
/// If a party fails, panics or hangs.
pub fn run_batches(
    protocol: &Arc<dyn Protocol>,
    model: &Arc<Model>,
    batches: &[Vec<Array3<i64>>],
    conditions: Conditions,
) -> Result<PairRun, PartyFailed> {
    run(protocol, protocol, model, batches, conditions, &|c, s| (c, s)).both()
}

/// Runs an honest pair over one batch.
///
/// # Errors
/// If a party fails, panics or hangs.
pub fn run_pair(
    protocol: &Arc<dyn Protocol>,
    model: &Arc<Model>,
    queries: &[Array3<i64>],
    options: Options,
    seeds: Seeds,
) -> Result<PairRun, PartyFailed> {
    run_batches(protocol, model, &[queries.to_vec()], Conditions::new(options, seeds))
}

/// Starts a party; the function returned waits for its end, until an instant.
fn start<T: Send + 'static>(
    name: &str,
    party: impl FnOnce() -> si_api::Result<T> + Send + 'static,
) -> impl FnOnce(Instant) -> Result<T, Failed> {
    let (done, end) = channel();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // The party owns its channels: its peer sees them close before anybody waits for us.
        let result = match catch_unwind(AssertUnwindSafe(party)) {
            Ok(result) => result.map_err(Failed::Error),
            Err(panic) => Err(Failed::Panicked(message(&*panic))),
        };
        let _ = done.send(result); // the receiver is gone once the deadline has passed
    });
    move |until| match (thread, end.recv_timeout(until.saturating_duration_since(Instant::now()))) {
        (Err(e), _) => Err(Failed::Panicked(format!("no thread: {e}"))),
        (Ok(_), Ok(result)) => result,
        (Ok(_), Err(RecvTimeoutError::Timeout)) => Err(Failed::Hung),
        (Ok(_), Err(RecvTimeoutError::Disconnected)) => Err(Failed::Panicked("the thread vanished".to_owned())),
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "of an unknown kind".to_owned())
}
