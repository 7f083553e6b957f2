//! What one repetition is, as given to the party processes, and what they answer: JSON, one value a line.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use si_api::Options;
use si_netem::{Means, TcpSeen};

use crate::behaviour::Behaviour;
use crate::experiment::{FusionPlan, MOST_TIMEOUT_S, ensure_possible, ensure_within};
use crate::trips::LaneTurns;

/// One repetition. Every party gets the same job; who it is comes from the command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Job {
    /// The cell and the repetition, for people.
    pub(crate) run_id: String,
    /// Registry name.
    pub(crate) protocol: String,
    /// Fusion's plan, if the protocol needs one.
    #[serde(default)]
    pub(crate) plan: Option<FusionPlan>,
    /// Zoo name.
    pub(crate) model: String,
    /// Data set of the queries.
    pub(crate) dataset: String,
    /// The queries, as positions in the data set. The server sees only how many there are.
    pub(crate) queries: Vec<usize>,
    /// Fusion's public samples.
    #[serde(default)]
    pub(crate) public: Vec<PublicSample>,
    /// How far honest scores may be from the exact ones, by which Fusion compares copies; a public parameter.
    #[serde(default)]
    pub(crate) score_tolerance_ulp: Option<u64>,
    /// Where Fusion's client keeps its state, so that a run can be resumed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) journal: Option<Journal>,
    /// What the parties agree on.
    pub(crate) options: Options,
    /// Link profile.
    pub(crate) link: String,
    /// How the link is made. Where that is the kernel's work, whoever starts the parties sees to it.
    pub(crate) means: Means,
    /// Connections that the protocol may use.
    pub(crate) lanes: u32,
    /// Threads of the party's pool.
    pub(crate) threads: u32,
    /// How the server behaves.
    #[serde(default)]
    pub(crate) server: Behaviour,
    /// Of a cheating server's choices.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Where the server listens and the client connects, unless the command line says otherwise; port 0 lets the
    /// system choose one.
    pub(crate) address: String,
    /// How long to wait for the peer to appear.
    pub(crate) connect_timeout_s: u64,
    /// How long to wait for any one message.
    pub(crate) timeout_s: u64,
    /// What the party states as the commit of its code, in place of the truth: for tests of the agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pretend_commit: Option<String>,
    /// What the client needs to write a record of the run itself, where nobody supervises both parties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) record: Option<RecordOf>,
    /// Whether another process holds the party's standard input open, so that the party ends when it closes.
    #[serde(default)]
    pub(crate) supervised: bool,
}

/// Which repetition of which experiment a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordOf {
    /// The experiment, as TOML.
    pub(crate) experiment: String,
    /// From 1.
    pub(crate) repetition: u64,
}

/// An image whose label the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublicSample {
    /// Position in the data set.
    pub(crate) position: usize,
    /// What an honest server's model answers.
    pub(crate) label: usize,
}

/// The journal of a run of Fusion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Journal {
    /// The client's file.
    pub(crate) path: PathBuf,
    /// Chunks that an earlier client has finished, on which the parties agree.
    pub(crate) chunks_done: usize,
}

impl Job {
    /// Inferences of the session.
    pub(crate) fn inferences(&self) -> usize {
        self.plan.as_ref().map_or(self.queries.len(), FusionPlan::inferences)
    }

    /// Reads a job file.
    ///
    /// # Errors
    /// If it cannot be read, or has an unknown, missing or ill-typed field.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("job {}", path.display()))?;
        let job: Self = serde_json::from_str(&text).with_context(|| format!("job {}", path.display()))?;
        ensure_possible(job.lanes, job.threads, job.timeout_s)
            .and_then(|()| ensure_within("connect_timeout_s", job.connect_timeout_s, MOST_TIMEOUT_S))
            .with_context(|| format!("job {}", path.display()))?;
        Ok(job)
    }
}

/// What a party writes on its standard output, one a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The server is ready for connections here.
    Listening {
        /// Host and port.
        address: String,
    },
    /// A part of the run begins.
    Stage {
        /// `load`, `connect`, `agree`, `probe`, `setup`, `offline` or `online`.
        stage: String,
    },
    /// All went well.
    Done(Box<PartyReport>),
    /// It did not.
    Failed {
        /// Of which kind.
        failure: Failure,
        /// One line for people.
        message: String,
    },
}

/// Kinds of failure that the records tell apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Failure {
    /// A check failed.
    Abort {
        /// The role it blames.
        accused: String,
    },
    /// The peer was silent for too long.
    Timeout,
    /// A disk of this party's is full.
    DiskFull,
    /// The peer hung up: the reason is to be found there.
    PeerLost,
    /// The protocol cannot do this.
    Unsupported,
    /// Anything else.
    Other,
}

/// What one party has to report of a repetition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartyReport {
    /// Who.
    pub(crate) role: String,
    /// Hash of all that the parties agreed on.
    pub(crate) agreement: String,
    /// Code and its state.
    pub(crate) commit: String,
    /// Short name of the machine that it ran on.
    #[serde(default)]
    pub(crate) machine: String,
    /// Elapsed time of each part, barrier to end.
    pub(crate) setup_wall_ns: u64,
    /// See `setup_wall_ns`.
    pub(crate) offline_wall_ns: u64,
    /// See `setup_wall_ns`.
    pub(crate) online_wall_ns: u64,
    /// Release of the barrier before the offline part until the end of the online part, by one clock.
    pub(crate) run_wall_ns: u64,
    /// Greatest resident memory of the process, if the system tells.
    pub(crate) peak_rss_bytes: Option<u64>,
    /// The order of the messages of each connection.
    #[serde(default)]
    pub(crate) turns: Vec<LaneTurns>,
    /// The meter's lines.
    pub(crate) entries: Vec<EntryLine>,
    /// What the client's probe of the link saw.
    pub(crate) link_seen: Option<LinkSeen>,
    /// What the kernel's TCP does on the party's connections.
    #[serde(default)]
    pub(crate) tcp: TcpLine,
    /// TCP segments that the party's system sent again, from the probe to the end; only where nothing else uses it.
    #[serde(default)]
    pub(crate) retransmits: Option<u64>,
    /// The client's answers.
    pub(crate) answers: Vec<AnswerLine>,
}

/// One line of a meter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // the fields are those of si_wire::Totals
pub(crate) struct EntryLine {
    pub(crate) phase: String,
    pub(crate) operator: String,
    pub(crate) calls: u64,
    pub(crate) wall_ns: u64,
    pub(crate) cpu_ns: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) recv_bytes: u64,
    pub(crate) messages: u64,
    pub(crate) rounds: u64,
}

impl From<si_api::Entry> for EntryLine {
    fn from(e: si_api::Entry) -> Self {
        let t = e.totals;
        Self {
            phase: e.phase.to_string(),
            operator: e.label,
            calls: t.calls,
            wall_ns: t.wall_ns,
            cpu_ns: t.cpu_ns,
            sent_bytes: t.sent_bytes,
            recv_bytes: t.recv_bytes,
            messages: t.sent_messages,
            rounds: t.rounds,
        }
    }
}

/// The kernel's TCP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TcpLine {
    /// Congestion control.
    pub(crate) congestion: String,
    /// Whether connections start slowly again after they were idle.
    pub(crate) restarts_after_idle: Option<bool>,
    /// The most that a socket may buffer.
    pub(crate) buffer_bytes: Option<u64>,
}

impl From<TcpSeen> for TcpLine {
    fn from(t: TcpSeen) -> Self {
        Self { congestion: t.congestion, restarts_after_idle: t.restarts_after_idle, buffer_bytes: t.buffer_bytes }
    }
}

/// A link as the probe saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LinkSeen {
    /// Median round trip of a small message.
    pub(crate) rtt_p50_us: u64,
    /// Its 99th percentile.
    pub(crate) rtt_p99_us: u64,
    /// Client to server.
    pub(crate) up_bits_per_s: u64,
    /// Server to client.
    pub(crate) down_bits_per_s: u64,
    /// Median round trip of 1 KB.
    pub(crate) rtt_1kb_p50_us: u64,
    /// Each way, both at once.
    pub(crate) duplex_bits_per_s: u64,
    /// The first megabyte of a fresh connection and a byte back.
    pub(crate) fresh_mb_us: u64,
    /// Why the link is not what its profile says; empty if it is.
    pub(crate) complaints: Vec<String>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AnswerLine {
    /// Index of the greatest score.
    pub(crate) label: usize,
    /// Fixed-point scores, if they are revealed.
    pub(crate) scores: Option<Vec<i64>>,
}

impl From<si_api::Answer> for AnswerLine {
    fn from(a: si_api::Answer) -> Self {
        Self { label: a.label, scores: a.scores }
    }
}
