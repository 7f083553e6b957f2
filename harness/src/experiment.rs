//! Experiments as data: what is run, over which links, how often.
//!
//! An experiment is a TOML file; those in `experiments/` are embedded. [`Experiment::cells`] expands its matrix to
//! cells with stable names, which are what rows, `--resume` and reports go by.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use si_api::Options;

use crate::record::Method;
use crate::registry;

/// The experiments in `experiments/`, as (name, text).
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/experiments.rs"));

/// One experiment. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    /// Its name: that of its file.
    pub(crate) name: String,
    /// One line for a reader.
    pub(crate) title: String,
    /// Protocols by their registry names; wrappers as `fusion(cheetah)`.
    pub(crate) protocols: Vec<String>,
    /// Models of the zoo.
    pub(crate) models: Vec<String>,
    /// Where the queries come from.
    pub(crate) dataset: String,
    /// Link profiles.
    pub(crate) links: Vec<String>,
    /// Queries a batch, for protocols without a plan of their own.
    #[serde(default = "one_batch")]
    pub(crate) batches: Vec<usize>,
    /// How often each cell is run.
    pub(crate) repetitions: u32,
    /// How long one repetition may take, loading and set-up included.
    pub(crate) timeout_s: u64,
    /// Which queries are drawn; the parties' secrets come from the operating system.
    #[serde(default)]
    pub(crate) seed: u64,
    /// Connections between two parties that a protocol may use side by side.
    #[serde(default = "one")]
    pub(crate) lanes: u32,
    /// How the server behaves. Only `honest` exists outside the tests of the protocols.
    #[serde(default)]
    pub(crate) server: Behaviour,
    /// What the parties agree on.
    #[serde(default)]
    pub(crate) options: Options,
    /// Plans of Fusion, in place of `batches` for its protocols.
    #[serde(default)]
    pub(crate) fusion: Vec<FusionPlan>,
}

/// How the server behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Behaviour {
    /// It follows the protocol.
    #[default]
    Honest,
}

/// A plan of Fusion: R queries, B copies of each, T public samples, up to m of which may be answered wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FusionPlan {
    /// R.
    pub(crate) queries: usize,
    /// B.
    pub(crate) copies: usize,
    /// T.
    pub(crate) public: usize,
    /// m.
    #[serde(default)]
    pub(crate) tolerance: usize,
    /// Statistical security that the plan must have.
    #[serde(default = "statistical_bits")]
    pub(crate) security_bits: u32,
    /// Whether all R * B + T inferences are run.
    pub(crate) method: Method,
    /// Inferences that are run as one batch, to bound memory; all at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunk: Option<usize>,
    /// Inferences of the real batch that a composed plan is scaled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<usize>,
    /// In place of the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repetitions: Option<u32>,
    /// In place of the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_s: Option<u64>,
}

/// R=512, B=5, T=100, m=0: 2^-40.97 at 5.195 inferences a query.
impl Default for FusionPlan {
    fn default() -> Self {
        Self {
            queries: 512,
            copies: 5,
            public: 100,
            tolerance: 0,
            security_bits: statistical_bits(),
            method: Method::Measured,
            chunk: None,
            n: None,
            repetitions: None,
            timeout_s: None,
        }
    }
}

impl FusionPlan {
    /// R * B + T.
    pub(crate) fn inferences(&self) -> usize {
        self.queries.saturating_mul(self.copies).saturating_add(self.public)
    }
}

impl fmt::Display for FusionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queries, copies, public, tolerance, method, .. } = self;
        write!(f, "R{queries}-B{copies}-T{public}-m{tolerance}-{method}")?;
        self.chunk.map_or(Ok(()), |c| write!(f, "-chunk{c}"))?;
        self.n.map_or(Ok(()), |n| write!(f, "-n{n}"))
    }
}

/// What a user changes on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// In place of all protocols.
    pub(crate) protocol: Option<String>,
    /// In place of all models.
    pub(crate) model: Option<String>,
    /// In place of all links.
    pub(crate) link: Option<String>,
    /// In place of every number of repetitions.
    pub(crate) repeat: Option<u32>,
    /// In place of all batches; plans of Fusion stay.
    pub(crate) batch: Option<usize>,
}

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
    /// Profile name.
    pub(crate) link: String,
    /// How much.
    pub(crate) load: Load,
    /// How often.
    pub(crate) repetitions: u32,
    /// How long one repetition may take.
    pub(crate) timeout_s: u64,
}

impl Cell {
    /// Its stable name.
    pub(crate) fn name(&self) -> String {
        let Self { protocol, model, link, .. } = self;
        match &self.load {
            Load::Batch(n) => format!("{protocol}/{model}/{link}/batch{n}"),
            Load::Plan(p) => format!("{protocol}/{model}/{link}/{p}"),
        }
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
}

impl Experiment {
    /// Names and titles of the embedded experiments.
    ///
    /// # Errors
    /// If an embedded file is invalid, which the tests exclude.
    pub(crate) fn embedded() -> Result<Vec<Self>> {
        EMBEDDED.iter().map(|(name, text)| Self::parse(text, &format!("experiments/{name}.toml"))).collect()
    }

    /// The embedded experiment of this name, or the file at this path.
    ///
    /// # Errors
    /// If there is neither, or it is not a valid experiment.
    pub(crate) fn find(name: &str) -> Result<Self> {
        if let Some((_, text)) = EMBEDDED.iter().find(|(n, _)| *n == name) {
            return Self::parse(text, &format!("experiments/{name}.toml"));
        }
        let path = Path::new(name);
        if !path.exists() {
            let known: Vec<_> = EMBEDDED.iter().map(|(n, _)| *n).collect();
            bail!("unknown experiment '{name}': name one of {}, or the path of a TOML file", known.join(", "));
        }
        Self::load(path)
    }

    /// The experiment in a file.
    ///
    /// # Errors
    /// If it cannot be read or is not a valid experiment.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("experiment {}", path.display()))?;
        Self::parse(&text, &path.display().to_string())
    }

    /// Parses and checks an experiment; `file` names it in errors.
    ///
    /// # Errors
    /// If a key is unknown, missing or of the wrong type, or a value makes no sense.
    pub(crate) fn parse(text: &str, file: &str) -> Result<Self> {
        let experiment: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| 1 + text[..s.start.min(text.len())].matches('\n').count());
            anyhow::anyhow!("{file}, line {line}: {}", e.message())
        })?;
        experiment.validate().with_context(|| file.to_owned())?;
        Ok(experiment)
    }

    /// With the command line's changes.
    ///
    /// # Errors
    /// If the result makes no sense.
    pub(crate) fn with(mut self, o: Overrides) -> Result<Self> {
        if let Some(p) = o.protocol {
            if !registry::is_planned(&p) {
                self.fusion.clear();
            }
            self.protocols = vec![p];
        }
        if let Some(m) = o.model {
            self.models = vec![m];
        }
        if let Some(l) = o.link {
            self.links = vec![l];
        }
        if let Some(n) = o.batch {
            self.batches = vec![n];
        }
        if let Some(r) = o.repeat {
            self.repetitions = r;
            self.fusion.iter_mut().for_each(|p| p.repetitions = None);
        }
        self.validate().context("command line")?;
        Ok(self)
    }

    /// The matrix, in the order of one repetition: protocols vary fastest, so that a drift of the machine falls on all
    /// alike.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let batches = self.batches.iter().map(|n| (Load::Batch(*n), self.repetitions, self.timeout_s));
        let plans = self.fusion.iter().map(|p| {
            let timeout_s = p.timeout_s.unwrap_or(self.timeout_s);
            (Load::Plan(p.clone()), p.repetitions.unwrap_or(self.repetitions), timeout_s)
        });
        let loads: Vec<_> = batches.chain(plans).collect();
        let mut cells = Vec::new();
        for link in &self.links {
            for model in &self.models {
                for (load, repetitions, timeout_s) in &loads {
                    for protocol in &self.protocols {
                        if registry::is_planned(protocol) == matches!(load, Load::Plan(_)) {
                            cells.push(Cell {
                                protocol: protocol.clone(),
                                model: model.clone(),
                                link: link.clone(),
                                load: load.clone(),
                                repetitions: *repetitions,
                                timeout_s: *timeout_s,
                            });
                        }
                    }
                }
            }
        }
        cells
    }

    fn validate(&self) -> Result<()> {
        let lists = [("protocols", &self.protocols), ("models", &self.models), ("links", &self.links)];
        for (key, list) in lists {
            if list.is_empty() {
                bail!("{key} is empty: name at least one");
            }
            if list.iter().collect::<BTreeSet<_>>().len() != list.len() {
                bail!("{key} names something twice");
            }
        }
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            bail!("name '{}' may hold letters, digits, '-', '_' and '.' only: records are named after it", self.name);
        }
        for (key, least) in
            [("repetitions", u64::from(self.repetitions)), ("timeout_s", self.timeout_s), ("lanes", self.lanes.into())]
        {
            if least == 0 {
                bail!("{key} must be at least 1");
            }
        }
        if self.batches.contains(&0) || self.batches.is_empty() {
            bail!("batches must hold numbers of at least 1");
        }
        for p in &self.protocols {
            registry::check(p)?;
        }
        for m in &self.models {
            si_models::zoo::graph(m)?;
        }
        for l in &self.links {
            si_netem::Profile::named(l)?;
        }
        let planned = self.protocols.iter().find(|p| registry::is_planned(p));
        match (planned, self.fusion.is_empty()) {
            (Some(p), true) => bail!("protocol {p} needs a plan: add a [[fusion]] table"),
            (None, false) => bail!("a [[fusion]] table, but no protocol such as fusion(plain)"),
            _ => {}
        }
        self.fusion.iter().try_for_each(|p| p.validate().with_context(|| format!("fusion plan {p}")))
    }
}

impl FusionPlan {
    fn validate(&self) -> Result<()> {
        match (self.method, self.n) {
            (Method::Extrapolated, _) => bail!("method is \"measured\" or \"composed\": nothing is extrapolated here"),
            (Method::Composed, None) => bail!("method = \"composed\" needs n, the size of the batch that is run"),
            (Method::Measured, Some(_)) => bail!("n belongs to method = \"composed\"; a measured plan runs everything"),
            (Method::Composed, Some(n)) if n == 0 || n >= self.inferences() => {
                bail!("n = {n} is not below the plan's {} inferences (queries * copies + public)", self.inferences())
            }
            (Method::Composed, Some(_)) if self.chunk.is_some() => {
                bail!("chunk belongs to method = \"measured\"; the batch of a composed plan has n inferences")
            }
            _ => {}
        }
        if self.repetitions == Some(0) || self.timeout_s == Some(0) {
            bail!("repetitions and timeout_s must be at least 1");
        }
        registry::plan(self).map(drop)
    }
}

fn one_batch() -> Vec<usize> {
    vec![1]
}

/// Security: the statistical parameter that the field takes as a standard, 2^-40 for one run of the protocol.
fn statistical_bits() -> u32 {
    40
}

fn one() -> u32 {
    1
}
