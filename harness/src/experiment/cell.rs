//! Cells: the points of an experiment's matrix.

use si_api::{Options, Reveal, Truncation};
use si_netem::Means;

use super::{Behaviour, DEFAULT_LANES, DEFAULT_THREADS, FusionPlan};
use crate::record::Method;

/// The size of one repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// One batch of this many queries.
    Batch(usize),
    /// A plan of Fusion.
    Plan(FusionPlan),
}

/// One combination of the matrix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    /// Registry name.
    pub(crate) protocol: String,
    /// Zoo name.
    pub(crate) model: String,
    /// Where its queries come from.
    pub(crate) dataset: String,
    /// Profile name.
    pub(crate) link: String,
    /// How the link is made.
    pub(crate) means: Means,
    /// How much.
    pub(crate) load: Load,
    /// How often.
    pub(crate) repetitions: u32,
    /// How long one repetition may take.
    pub(crate) timeout_s: u64,
    /// Connections that the protocol may use side by side.
    pub(crate) lanes: u32,
    /// Threads of each party's pool.
    pub(crate) threads: u32,
    /// How the server behaves.
    pub(crate) server: Behaviour,
    /// What the parties agree on.
    pub(crate) options: Options,
}

impl Cell {
    /// Its stable name. What is as usual is not named.
    pub(crate) fn name(&self) -> String {
        let Self { protocol, model, link, .. } = self;
        let load = match &self.load {
            Load::Batch(n) => format!("batch{n}"),
            Load::Plan(p) => p.to_string(),
        };
        let mut name = format!("{protocol}/{model}/{link}/{load}");
        if self.options.reveal == Reveal::Label {
            name += "/label";
        }
        if self.options.truncation == Truncation::Faithful {
            name += "/faithful";
        }
        if self.lanes != DEFAULT_LANES {
            name += &format!("/lanes{}", self.lanes);
        }
        if self.threads != DEFAULT_THREADS {
            name += &format!("/threads{}", self.threads);
        }
        if self.means.is_kernel() {
            name += &format!("/{}", self.means);
        }
        if !self.server.is_honest() {
            name += &format!("/{}", self.server);
        }
        name
    }

    /// Queries whose answers the client wants.
    pub(crate) fn queries(&self) -> usize {
        match &self.load {
            Load::Batch(n) => *n,
            Load::Plan(p) => p.queries,
        }
    }

    /// Inferences of the inner protocol that the whole cell stands for.
    pub(crate) fn inferences(&self) -> usize {
        match &self.load {
            Load::Batch(n) => *n,
            Load::Plan(p) => p.inferences(),
        }
    }

    /// Inferences that are really run.
    pub(crate) fn run_inferences(&self) -> usize {
        match &self.load {
            Load::Plan(FusionPlan { method: Method::Composed, n: Some(n), .. }) => *n,
            _ => self.inferences(),
        }
    }

    /// Where its figures come from.
    pub(crate) fn method(&self) -> Method {
        match &self.load {
            Load::Batch(_) => Method::Measured,
            Load::Plan(p) => p.method,
        }
    }

    /// The plan of Fusion, if it runs by one.
    pub(crate) fn plan(&self) -> Option<&FusionPlan> {
        match &self.load {
            Load::Batch(_) => None,
            Load::Plan(p) => Some(p),
        }
    }
}
