//! Rows of trials: many small runs of one setting in one process, of which only the endings are kept.

use serde::{Deserialize, Serialize};

/// Where queries and public samples of trials come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Samples {
    /// Images that the promised model answers rightly whatever rounding does, and a corrupted inference always wrongly:
    /// what counting presupposes.
    #[default]
    Sure,
    /// Any images, public samples with the data set's labels: what an accuracy test is about.
    Labelled,
}

/// `trials.csv`: endings of `trials` runs of one plan against one server, both parties as threads of one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialRow {
    // What was run.
    /// Unique in the folder.
    pub(crate) setting: String,
    pub(crate) started_utc: String,
    pub(crate) experiment: String,
    /// Always `in-process`: threads over memory, no link.
    pub(crate) method: String,
    pub(crate) protocol: String,
    pub(crate) model: String,
    pub(crate) dataset: String,
    /// `honest`, or `cheat:NAME`.
    pub(crate) server: String,
    /// R.
    pub(crate) queries: u64,
    /// B.
    pub(crate) fusion_copies: u64,
    /// T.
    pub(crate) fusion_public: u64,
    /// m.
    pub(crate) fusion_tolerance: u64,
    pub(crate) fusion_chunk: Option<u64>,
    pub(crate) reveal: String,
    pub(crate) truncation: String,
    pub(crate) samples: Samples,
    /// Images that queries and public samples are drawn from.
    pub(crate) pool: u64,
    /// Of these, those that the server's model labels rightly, in fixed point, if it is one model throughout.
    pub(crate) pool_right: Option<u64>,
    /// Inferences that are corrupted in each run, if they are chosen by number.
    pub(crate) corrupted: Option<u64>,
    pub(crate) classes: u64,

    // How it ended.
    pub(crate) trials: u64,
    /// The client accused the server.
    pub(crate) caught: u64,
    /// Of these, because copies of a query differed.
    pub(crate) caught_by_copies: u64,
    /// Of these, because too many public samples were wrong. A run may be caught by both.
    pub(crate) caught_by_public: u64,
    /// The client accepted at least one wrong answer.
    pub(crate) fooled: u64,
    /// The client accepted, and all answers were right.
    pub(crate) unharmed: u64,
    /// The client ended with an error that accuses nobody.
    pub(crate) broken: u64,
    pub(crate) wall_ns: u64,

    // What it takes to run it again.
    pub(crate) seed: u64,
    pub(crate) model_hash: String,
    pub(crate) data_hash: String,
    pub(crate) commit: String,
    pub(crate) dirty: bool,
    pub(crate) rustc: String,
    pub(crate) target_features: String,
}
