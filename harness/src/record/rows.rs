//! The rows. Integers carry their unit in the name; an `Option` that is `None` is an empty field and means "does not
//! apply" or "was not measured", never zero. No column is a total or a mean of others: reports derive those.

use serde::{Deserialize, Serialize};

/// How a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    /// Answers arrived and equal the fixed-point oracle's within the protocol's declared rounding.
    Ok,
    /// Answers arrived and at least one is not the oracle's.
    Wrong,
    /// A party's check failed; `accused` names the party it blames.
    Abort,
    /// No end before the time limit; the processes were killed.
    Timeout,
    /// A party ran out of memory, or above its limit.
    Memory,
    /// A disk was full before the run was done, or before it was written down: it is done again when the record is resumed.
    Disk,
    /// Anything else that kept answers from arriving: a lost peer, a malformed frame, a refused parameter.
    #[default]
    Error,
    /// Not run, and why.
    Skipped,
}

/// How the numbers of a row came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// Everything that the row names was run.
    #[default]
    Measured,
    /// `composed_from` real inferences were run; the plan takes `inferences`. The row holds the raw numbers of the real
    /// ones, reports scale them.
    Composed,
    /// From a smaller instance by a stated rule.
    Extrapolated,
}

/// Whether the link was what it was set to be, by the probe before the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinkGate {
    /// Within the tolerance of the link's profile.
    Pass,
    /// Outside of it: times of the row do not count.
    Fail,
    /// Not probed, or nothing is set (loopback).
    #[default]
    None,
}

/// `runs.csv`: one repetition of one cell. Times, CPU, bytes and rounds exclude set-up unless named so: they begin when
/// all parties pass the barrier and end when the client holds checked answers. "Server" is every party but the client:
/// times and memory are the maximum over those parties, CPU and bytes their sum (`phases.csv` has each alone).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRow {
    // What was run.
    /// Unique in the folder: `cell` and `repetition`, as `cell#1`.
    pub(crate) run_id: String,
    pub(crate) started_utc: String,
    pub(crate) experiment: String,
    /// Name of the point of the matrix; equal names are the same setting.
    pub(crate) cell: String,
    /// From 1.
    pub(crate) repetition: u64,
    /// The card's id, such as `fusion(cheetah)`.
    pub(crate) protocol: String,
    /// The card's adversary, such as `semi-honest`.
    pub(crate) adversary: String,
    pub(crate) model: String,
    pub(crate) dataset: String,
    /// Name of the link's profile.
    pub(crate) link: String,
    /// `honest`, or `cheat:NAME`. Records of before there were cheating servers lack the column.
    #[serde(default = "honest")]
    pub(crate) server: String,
    /// Queries handed to the protocol in one call.
    pub(crate) batch: u64,
    /// Distinct queries answered by the plan (Fusion's R).
    pub(crate) queries: u64,
    /// Inferences that the plan takes, copies and public samples included (Fusion's R*B + T; otherwise `queries`).
    pub(crate) inferences: u64,
    pub(crate) method: Method,
    /// Inferences really run, unless `measured`: the raw numbers below are of these.
    pub(crate) composed_from: Option<u64>,
    /// Fusion's B.
    pub(crate) fusion_copies: Option<u64>,
    /// Fusion's T.
    pub(crate) fusion_public: Option<u64>,
    /// Wrong public samples that Fusion's check accepts.
    pub(crate) fusion_tolerance: Option<u64>,
    /// Inferences of one batch of the protocol inside of Fusion, if the plan is run in several.
    pub(crate) fusion_chunk: Option<u64>,
    /// Inferences that were done before the run was interrupted and resumed: the figures below are of the others.
    #[serde(default)]
    pub(crate) resumed_inferences: Option<u64>,
    /// `scores` or `label`.
    pub(crate) reveal: String,
    /// `faithful` or `one-bit`.
    pub(crate) truncation: String,

    // How it ended.
    pub(crate) status: Status,
    /// One line for every status but ok.
    pub(crate) reason: String,
    /// The role that an abort blames.
    pub(crate) accused: String,

    // Time.
    /// Connecting done until ready for the barrier: keys, base OTs.
    pub(crate) setup_wall_ns: Option<u64>,
    pub(crate) offline_wall_ns: Option<u64>,
    pub(crate) online_wall_ns: Option<u64>,
    /// The protocol's own checks of the answers.
    pub(crate) verify_wall_ns: Option<u64>,
    /// Barrier released until the client holds checked answers, by one clock.
    pub(crate) run_wall_ns: Option<u64>,
    pub(crate) client_setup_cpu_ns: Option<u64>,
    pub(crate) server_setup_cpu_ns: Option<u64>,
    pub(crate) client_cpu_ns: Option<u64>,
    pub(crate) server_cpu_ns: Option<u64>,

    // Communication, our framing included, TCP/IP excluded.
    pub(crate) client_setup_sent_bytes: Option<u64>,
    pub(crate) client_setup_recv_bytes: Option<u64>,
    pub(crate) server_setup_sent_bytes: Option<u64>,
    pub(crate) server_setup_recv_bytes: Option<u64>,
    pub(crate) client_sent_bytes: Option<u64>,
    pub(crate) client_recv_bytes: Option<u64>,
    pub(crate) server_sent_bytes: Option<u64>,
    pub(crate) server_recv_bytes: Option<u64>,
    /// Switches of the client from sending to receiving.
    pub(crate) setup_rounds: Option<u64>,
    pub(crate) rounds: Option<u64>,
    /// Trips over the link, one after the other, that the run had to wait for, on the connection with the most.
    #[serde(default)]
    pub(crate) one_way_trips: Option<u64>,

    // Memory.
    pub(crate) client_peak_rss_bytes: Option<u64>,
    pub(crate) server_peak_rss_bytes: Option<u64>,

    // Correctness.
    /// Answers compared with the fixed-point oracle.
    pub(crate) labels_checked: Option<u64>,
    /// Answers whose label is the oracle's.
    pub(crate) labels_equal: Option<u64>,
    /// Greatest distance of a score from the oracle's, in units of the last place; empty if no scores are revealed.
    pub(crate) max_score_error_ulp: Option<u64>,
    /// What the protocol's declared rounding allows.
    pub(crate) tolerance_ulp: Option<u64>,
    /// Of the answers checked, those whose label is the data set's.
    pub(crate) correct_labels: Option<u64>,

    // Link as set.
    /// `none`, `model`, `netem` or `tun`.
    pub(crate) link_means: String,
    /// Each way; empty if nothing is set.
    pub(crate) rate_set_bits_per_s: Option<u64>,
    pub(crate) rtt_set_us: Option<u64>,
    pub(crate) tcp_slow_start_set: Option<bool>,
    /// Congestion control of the parties' sockets.
    #[serde(default)]
    pub(crate) tcp_congestion: String,
    /// Whether the system lets connections start slowly again after they were idle.
    #[serde(default)]
    pub(crate) tcp_restarts_after_idle: Option<bool>,
    /// The most that a socket may buffer.
    #[serde(default)]
    pub(crate) tcp_buffer_bytes: Option<u64>,

    // Link as seen by the probe just before the run.
    pub(crate) rtt_seen_p50_us: Option<u64>,
    pub(crate) rtt_seen_p99_us: Option<u64>,
    /// From the client to the server.
    pub(crate) up_seen_bits_per_s: Option<u64>,
    /// From the server to the client.
    pub(crate) down_seen_bits_per_s: Option<u64>,
    /// Of messages of 1 KB.
    #[serde(default)]
    pub(crate) rtt_1kb_seen_p50_us: Option<u64>,
    /// Each way, while both are used.
    #[serde(default)]
    pub(crate) duplex_seen_bits_per_s: Option<u64>,
    /// The first megabyte of a fresh connection, and a byte back.
    #[serde(default)]
    pub(crate) fresh_mb_seen_us: Option<u64>,
    /// TCP segments that the parties' systems sent again, from the probe to the end of the run.
    #[serde(default)]
    pub(crate) retransmits_seen: Option<u64>,
    /// Packets that the link dropped from its set-up to the end of the run.
    #[serde(default)]
    pub(crate) drops_seen: Option<u64>,
    pub(crate) link_gate: LinkGate,

    // What it takes to run it again.
    /// Of the choice of queries (and of weights where a model is synthetic), not of the parties' secrets.
    pub(crate) seed: u64,
    /// Graph and weights.
    pub(crate) model_hash: String,
    pub(crate) data_hash: String,
    /// What the parties agreed on before the barrier: graph, options, plan.
    pub(crate) options_hash: String,
    pub(crate) commit: String,
    /// Whether the work tree had changes that were not committed.
    pub(crate) dirty: bool,
    pub(crate) rustc: String,
    /// SIMD features in use at run time, joined by `+`; `scalar` for none.
    pub(crate) target_features: String,
    /// Worker threads of each party.
    pub(crate) threads: u64,
    /// Connections between two parties that the protocol may use side by side.
    pub(crate) lanes: u64,
    /// Where the parties' processes ran, such as `same-host` or `same-host:client=0,server=1`.
    pub(crate) placement: String,
    /// One-minute load average before the run, in thousandths.
    pub(crate) load_avg_milli: Option<u64>,
}

/// `phases.csv`: one operator of one phase of one party of a run. Time is exclusive: no operator's contains another's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PhaseRow {
    /// As in `runs.csv`.
    pub(crate) run_id: String,
    /// The role: `client`, `server`, `server1`, `helper`, ...
    pub(crate) party: String,
    /// `setup`, `offline`, `online` or `verify`.
    pub(crate) phase: String,
    /// The meter's label.
    pub(crate) operator: String,
    pub(crate) calls: u64,
    pub(crate) wall_ns: u64,
    /// All threads of the party's process.
    pub(crate) cpu_ns: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) recv_bytes: u64,
    /// Messages sent.
    pub(crate) messages: u64,
    /// Switches of this party from sending to receiving.
    pub(crate) rounds: u64,
}

/// `answers.csv`: one answer of a run that brought answers, beside what the network says in the clear. A rank is that of
/// the expected label among the scores, from 1: 1 is a top-1 answer, 5 and less a top-5 answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerRow {
    /// As in `runs.csv`.
    pub(crate) run_id: String,
    /// Position of the query in the data set.
    pub(crate) image: u64,
    /// The data set's label, if it has labels of this network's classes.
    pub(crate) expected_label: Option<u64>,
    /// The network in floating point.
    pub(crate) float_label: u64,
    pub(crate) float_rank: Option<u64>,
    /// The network in fixed point: the oracle.
    pub(crate) fixed_label: u64,
    pub(crate) fixed_rank: Option<u64>,
    /// What the client got from the protocol.
    pub(crate) secure_label: u64,
    /// Empty if no scores are revealed, too.
    pub(crate) secure_rank: Option<u64>,
    /// Greatest distance of a score from the oracle's; empty if no scores are revealed.
    pub(crate) score_error_ulp: Option<u64>,
}

/// `machine.toml`: where the parties ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    /// Short name used in the folder's name and in reports: letters, digits and dashes.
    pub(crate) name: String,
    /// As the processor names itself.
    pub(crate) cpu: String,
    pub(crate) logical_cores: u64,
    pub(crate) memory_bytes: u64,
    /// System and kernel version.
    pub(crate) os: String,
    /// SIMD features that the processor offers, joined by `+`.
    pub(crate) cpu_features: String,
    pub(crate) rustc: String,
    /// What a reader must know to judge times, such as `shared with other work`.
    #[serde(default)]
    pub(crate) notes: String,
}

/// A server that follows the protocol.
pub(crate) const HONEST: &str = "honest";

fn honest() -> String {
    HONEST.to_owned()
}

impl RunRow {
    /// Inferences that the raw numbers are of.
    pub(crate) fn ran(&self) -> u64 {
        self.composed_from.unwrap_or(self.inferences)
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Wrong => "wrong",
            Self::Abort => "abort",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Error => "error",
            Self::Skipped => "skipped",
        })
    }
}

impl std::fmt::Display for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Measured => "measured",
            Self::Composed => "composed",
            Self::Extrapolated => "extrapolated",
        })
    }
}
