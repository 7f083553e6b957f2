//! Experiments as data: what is run, over which links, how often.
//!
//! An experiment is a TOML file; those in `experiments/` are embedded. It has one or several groups of runs
//! (`[[runs]]`), each a matrix. [`Experiment::cells`] expands them to cells with stable names, which are what rows,
//! `--resume` and reports go by.

mod cell;
mod file;
mod plan;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use si_api::Options;
use si_netem::{Means, Profile};

use crate::behaviour::{Behaviour, Servers};
use crate::record::Method;
use crate::registry;
use crate::trials::{self, Trials};
pub(crate) use cell::{Cell, Load};
use file::File;
pub(crate) use plan::FusionPlan;

/// The experiments in `experiments/`, as (name, text).
const EMBEDDED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/experiments.rs"));

/// Connections between two parties where an experiment says nothing: one for the operators, one for OT extension in the
/// background.
const DEFAULT_LANES: u32 = 2;

/// Threads of each party's pool where an experiment says nothing.
const DEFAULT_THREADS: u32 = 1;

/// The most that a pool may have: more is a slip of the pen (local).
const MOST_THREADS: u32 = 256;

/// Most connections that a protocol may use side by side (local).
const MOST_LANES: u32 = 64;

/// Most repetitions of a cell (local): the list of all is kept.
const MOST_REPETITIONS: u32 = 10_000;

/// Longest time limit of a run, 30 days (local).
pub(crate) const MOST_TIMEOUT_S: u64 = 30 * 24 * 3600;

/// Most queries in one batch (local): twice what the greatest data set has, whose lack is a row; declared costs still fit into
/// 64 bits.
pub(crate) const MOST_BATCH: usize = 1 << 17;

/// Refuses what no machine can do, whether a file, a flag or a job says so.
///
/// # Errors
/// With the key, the number and the range.
pub(crate) fn ensure_within(key: &str, is: u64, most: u64) -> Result<()> {
    ensure!((1..=most).contains(&is), "{key} must be at least 1 and at most {most}, not {is}");
    Ok(())
}

/// Refuses lanes, threads and a time limit that no machine can do.
///
/// # Errors
/// With the key, the number and the range.
pub(crate) fn ensure_possible(lanes: u32, threads: u32, timeout_s: u64) -> Result<()> {
    ensure_within("lanes", lanes.into(), MOST_LANES.into())?;
    ensure_within("threads", threads.into(), MOST_THREADS.into())?;
    ensure_within("timeout_s", timeout_s, MOST_TIMEOUT_S)
}

/// One experiment. As TOML it is an experiment again, with every key written out in every group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Experiment {
    /// Its name: that of its file.
    pub(crate) name: String,
    /// One line for a reader.
    pub(crate) title: String,
    /// How much of it is run.
    pub(crate) size: Size,
    /// Which queries are drawn; the parties' secrets come from the operating system.
    pub(crate) seed: u64,
    /// Its matrices; none where there are only trials.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) runs: Vec<Runs>,
    /// Detection by the thousand, within one process.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trials: Vec<Trials>,
}

/// A matrix of runs that share what stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Runs {
    /// From which size on it is run.
    pub(crate) size: Size,
    /// Protocols by their registry names; wrappers as `fusion(cheetah)`.
    pub(crate) protocols: Vec<String>,
    /// Models of the zoo.
    pub(crate) models: Vec<String>,
    /// Where the queries come from.
    pub(crate) dataset: String,
    /// Link profiles.
    pub(crate) links: Vec<String>,
    /// How the links are made, those that shape nothing apart.
    pub(crate) means: Means,
    /// Queries a batch, for protocols without a plan of their own.
    pub(crate) batches: Vec<usize>,
    /// How often each cell is run.
    pub(crate) repetitions: u32,
    /// How long one repetition may take, loading and set-up included.
    pub(crate) timeout_s: u64,
    /// Connections between two parties that a protocol may use side by side.
    pub(crate) lanes: u32,
    /// Threads of each party's pool; more than one for protocols whose card says that they use them.
    #[serde(skip_serializing_if = "is_default_threads")]
    pub(crate) threads: Vec<u32>,
    /// How the server behaves: `honest`, `cheat:NAME`, or a list of these.
    pub(crate) server: Servers,
    /// What the parties agree on.
    pub(crate) options: Options,
    /// Plans of Fusion, in place of `batches` for its protocols.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fusion: Vec<FusionPlan>,
}

fn is_default_threads(threads: &[u32]) -> bool {
    threads == [DEFAULT_THREADS]
}

/// How much of an experiment is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Size {
    /// What a visitor waits for.
    #[default]
    Normal,
    /// Everything.
    Full,
}

/// What a user changes on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// In place of the experiment's.
    pub(crate) size: Option<Size>,
    /// Only this protocol.
    pub(crate) protocol: Option<String>,
    /// Only this model.
    pub(crate) model: Option<String>,
    /// Only this link, or this one in place of all.
    pub(crate) link: Option<String>,
    /// In place of the experiment's.
    pub(crate) means: Option<Means>,
    /// In place of every number of repetitions.
    pub(crate) repeat: Option<u32>,
    /// In place of all batches; plans of Fusion stay.
    pub(crate) batch: Option<usize>,
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
        let parsed: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(1, |s| 1 + text.bytes().take(s.start).filter(|b| *b == b'\n').count());
            anyhow::anyhow!("{file}, line {line}: {}", e.message())
        })?;
        let experiment = parsed.experiment().with_context(|| file.to_owned())?;
        experiment.validate().with_context(|| file.to_owned())?;
        Ok(experiment)
    }

    /// With the command line's changes. A protocol or model that the experiment names leaves the other ones out; one
    /// that it does not name takes the place of all, which makes sense only where there is a single group of runs.
    ///
    /// # Errors
    /// If the result makes no sense.
    pub(crate) fn with(mut self, o: Overrides) -> Result<Self> {
        if let Some(size) = o.size {
            self.size = size;
        }
        if let Some(p) = o.protocol {
            registry::check(&p).context("command line")?;
            let in_trials = self.trials.iter().any(|t| t.protocol == p);
            self.trials.retain(|t| t.protocol == p);
            if in_trials && !self.runs.iter().any(|r| r.protocols.contains(&p)) {
                self.runs.clear();
            } else {
                self.narrow("protocol", &p, |runs| &mut runs.protocols)?;
            }
            if !registry::is_planned(&p) {
                self.runs.iter_mut().for_each(|r| r.fusion.clear());
            }
        }
        if let Some(m) = o.model {
            si_models::zoo::graph(&m).context("command line")?;
            let in_trials = self.trials.iter().any(|t| t.model == m);
            self.trials.retain(|t| t.model == m);
            if in_trials && !self.runs.iter().any(|r| r.models.contains(&m)) {
                self.runs.clear();
            } else {
                self.narrow("model", &m, |runs| &mut runs.models)?;
            }
        }
        if let Some(l) = o.link {
            // Over any link, any matrix makes sense.
            let named = self.runs.iter().any(|r| r.links.contains(&l));
            self.runs.retain(|r| !named || r.links.contains(&l));
            self.runs.iter_mut().for_each(|r| r.links = vec![l.clone()]);
        }
        for runs in &mut self.runs {
            runs.means = o.means.unwrap_or(runs.means);
            if let Some(n) = o.batch {
                runs.batches = vec![n];
            }
            if let Some(n) = o.repeat {
                runs.repetitions = n;
                runs.fusion.iter_mut().for_each(|p| p.repetitions = None);
            }
        }
        self.validate().context("command line")?;
        Ok(self)
    }

    fn narrow(&mut self, what: &str, name: &str, list: impl Fn(&mut Runs) -> &mut Vec<String>) -> Result<()> {
        let named = self.runs.iter_mut().any(|r| list(r).iter().any(|n| n == name));
        ensure!(
            named || self.runs.len() == 1,
            "command line: none of the [[runs]] of experiment {} has the {what} {name}: write an experiment of your own",
            self.name
        );
        self.runs.retain_mut(|r| !named || list(r).iter().any(|n| n == name));
        self.runs.iter_mut().for_each(|r| *list(r) = vec![name.to_owned()]);
        Ok(())
    }

    /// Whether what is run depends on which means works here.
    pub(crate) fn leaves_means_open(&self) -> bool {
        self.cells().iter().any(|c| c.means == Means::Auto)
    }

    /// With every means that was left open replaced by `chosen`, so that the record says what was used.
    pub(crate) fn by(mut self, chosen: Means) -> Self {
        self.runs.iter_mut().filter(|r| r.means == Means::Auto).for_each(|r| r.means = chosen);
        self
    }

    /// The cells of its size, in the order of one repetition. A cell that groups of both sizes have is run as the group
    /// for the full size says.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = Vec::new();
        let mut groups: Vec<&Runs> = self.runs.iter().filter(|r| r.size <= self.size).collect();
        groups.sort_by_key(|r| r.size);
        for cell in groups.into_iter().flat_map(Runs::cells) {
            let name = cell.name();
            match cells.iter_mut().find(|c| c.name() == name) {
                Some(same) => *same = cell,
                None => cells.push(cell),
            }
        }
        cells
    }

    fn validate(&self) -> Result<()> {
        if self.name.is_empty() || !self.name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            bail!("name '{}' may hold letters, digits, '-', '_' and '.' only: records are named after it", self.name);
        }
        trials::validate(&self.trials)?;
        for (i, runs) in self.runs.iter().enumerate() {
            match self.runs.len() {
                1 => runs.validate()?,
                n => runs.validate().with_context(|| format!("[[runs]] {} of {n}", i + 1))?,
            }
        }
        for size in [Size::Normal, Size::Full] {
            let mut seen = BTreeSet::new();
            let of_size = self.runs.iter().filter(|r| r.size == size);
            if let Some(cell) = of_size.flat_map(Runs::cells).find(|c| !seen.insert(c.name())) {
                bail!("cell {} stands twice: let one of the [[runs]] have it", cell.name());
            }
        }
        Ok(())
    }
}

impl Runs {
    /// The matrix: protocols vary fastest, so that a drift of the machine falls on all alike.
    fn cells(&self) -> Vec<Cell> {
        let batches = self.batches.iter().map(|n| (Load::Batch(*n), self.repetitions, self.timeout_s));
        let plans = self.fusion.iter().map(|p| {
            let timeout_s = p.timeout_s.unwrap_or(self.timeout_s);
            (Load::Plan(p.clone()), p.repetitions.unwrap_or(self.repetitions), timeout_s)
        });
        let loads: Vec<_> = batches.chain(plans).collect();
        let mut cells = Vec::new();
        for link in &self.links {
            // The name was checked; a means of the profile's own stands unless the experiment has one.
            let means = Profile::named(link).map_or(self.means, |p| p.by(self.means).means);
            for model in &self.models {
                let served = self.server.0.iter().flat_map(|s| loads.iter().map(move |load| (s, load)));
                let threaded = served.flat_map(|s| self.threads.iter().map(move |t| (s, *t)));
                for ((server, (load, repetitions, timeout_s)), threads) in threaded {
                    let planned = matches!(load, Load::Plan(_));
                    for protocol in self.protocols.iter().filter(|p| registry::is_planned(p) == planned) {
                        cells.push(Cell {
                            protocol: protocol.clone(),
                            model: model.clone(),
                            dataset: self.dataset.clone(),
                            link: link.clone(),
                            means,
                            load: load.clone(),
                            repetitions: *repetitions,
                            timeout_s: *timeout_s,
                            lanes: self.lanes,
                            threads,
                            server: server.clone(),
                            options: self.options,
                        });
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
        ensure_within("repetitions", self.repetitions.into(), MOST_REPETITIONS.into())?;
        ensure_possible(self.lanes, DEFAULT_THREADS, self.timeout_s)?;
        if self.batches.is_empty() || !self.batches.iter().all(|n| (1..=MOST_BATCH).contains(n)) {
            bail!("batches must hold numbers from 1 to {MOST_BATCH}");
        }
        let distinct = self.threads.iter().collect::<BTreeSet<_>>().len() == self.threads.len();
        if self.threads.is_empty() || !distinct || !self.threads.iter().all(|t| (1..=MOST_THREADS).contains(t)) {
            bail!("threads must hold different numbers from 1 to {MOST_THREADS}");
        }
        let servers = &self.server.0;
        if servers.is_empty() || servers.iter().enumerate().any(|(i, s)| servers[..i].contains(s)) {
            bail!("server names nothing, or something twice");
        }
        if servers.iter().any(|s| !s.is_honest()) && self.fusion.iter().any(|p| p.method != Method::Measured) {
            bail!("a cheating server belongs to method = \"measured\": no part of a plan shows whether it is caught");
        }
        for p in &self.protocols {
            registry::check(p)?;
        }
        for m in &self.models {
            si_models::zoo::graph(m)?; // its weights may be absent: then its rows say so
        }
        for l in &self.links {
            Profile::named(l)?;
        }
        if self.means == Means::None && self.links.iter().any(|l| l != "loopback" && l != "network") {
            bail!("means = \"none\" shapes nothing, so the links must be \"loopback\" or \"network\"");
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

#[cfg(test)]
mod tests;
