//! What a repetition needs and does: models, oracles and images that stay loaded, its job, its link, its ending.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use si_api::{Model, Rounding};
use si_netem::{Namespaces, Profile};

use crate::experiment::{Cell, Experiment, Load};
use crate::inputs::{self, Source};
use crate::job::{Job, Journal};
use crate::orchestrate::run_id;
use crate::record::space;
use crate::record::{Method, Recorder, Status};
use crate::row::Facts;
use crate::verify::{Oracle, Verdict};
use crate::{machine, registry, spawn};

/// How long a party waits for its peer to appear; both are started together (local).
const CONNECT_TIMEOUT_S: u64 = 20;

/// Where the client of a run of Fusion keeps its state until the run's row is written. It holds secrets of the run, so it
/// is no part of the record.
pub(crate) fn journal(folder: &Path, run_id: &str) -> PathBuf {
    folder.join(format!("journal-{}", crate::agree::short_hash(run_id.as_bytes())))
}

/// Deletes a journal, if there is one.
///
/// # Errors
/// If it cannot be deleted.
pub(crate) fn discard(journal: &Path) -> Result<()> {
    match std::fs::remove_file(journal) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot delete {}", journal.display()))
        }
        _ => Ok(()),
    }
}

/// What stays loaded between repetitions.
pub(crate) struct Stage {
    sources: BTreeMap<String, Source>,
    oracles: BTreeMap<String, (Oracle, String)>,
    /// Data sets and models whose files were not fetched, and what to do about it.
    absent: BTreeMap<String, String>,
}

/// How a repetition ended, with the answers compared if there are any.
pub(crate) struct End {
    /// What the processes did.
    pub(crate) outcome: spawn::Outcome,
    /// Comparison with the oracle, if the client had answers.
    pub(crate) verdict: Option<Verdict>,
    /// Packets that the link dropped, if that can be told.
    pub(crate) drops: Option<u64>,
}

/// The link of one repetition, where that is the kernel's work.
struct Net(Option<Namespaces>);

impl Net {
    fn up(profile: &Profile) -> si_netem::Result<Self> {
        if profile.means.is_kernel() { Namespaces::up(profile).map(|n| Self(Some(n))) } else { Ok(Self(None)) }
    }

    /// Takes the link down; how many packets it has dropped. What stays behind is logged, for the row is not lost by it.
    fn down(self, recorder: &mut Recorder) -> Result<Option<u64>> {
        let Some(net) = self.0 else { return Ok(None) };
        let drops = net.drops();
        if let Err(e) = net.down() {
            recorder.log(&format!("the link was not removed: {e}"))?;
        }
        Ok(drops)
    }
}

impl Stage {
    /// Loads what the cells need. Files that were not fetched are no error: the cells that need them are skipped.
    pub(crate) fn load(cells: &[Cell]) -> Result<Self> {
        let mut stage = Self { sources: BTreeMap::new(), oracles: BTreeMap::new(), absent: BTreeMap::new() };
        for cell in cells {
            let Cell { dataset, model, .. } = cell;
            if !stage.sources.contains_key(dataset) && !stage.absent.contains_key(dataset) {
                match Source::open(dataset) {
                    Ok(source) => drop(stage.sources.insert(dataset.clone(), source)),
                    Err(e) => drop(stage.absent.insert(dataset.clone(), not_fetched(e)?)),
                }
            }
            if !stage.oracles.contains_key(model) && !stage.absent.contains_key(model) {
                match si_models::zoo::model(model) {
                    Ok(m) => {
                        let hash = model_hash(&m);
                        stage.oracles.insert(model.clone(), (Oracle::new(m), hash));
                    }
                    Err(e) => drop(stage.absent.insert(model.clone(), not_fetched(e.into())?)),
                }
            }
            if let Some((source, (oracle, _))) = stage.sources.get(dataset).zip(stage.oracles.get(model)) {
                source.fits(oracle.graph())?;
            }
        }
        Ok(stage)
    }

    /// Why a cell cannot be run here.
    pub(crate) fn absent(&self, cell: &Cell) -> Option<&String> {
        [&cell.model, &cell.dataset].into_iter().find_map(|name| self.absent.get(name))
    }

    /// Why cells cannot be run here, each reason once.
    pub(crate) fn all_absent(&self) -> impl Iterator<Item = &String> {
        self.absent.values()
    }

    fn parts(&mut self, cell: &Cell) -> Result<(&Source, &mut Oracle)> {
        let source = self.sources.get(&cell.dataset);
        let oracle = self.oracles.get_mut(&cell.model).map(|(oracle, _)| oracle);
        source.zip(oracle).with_context(|| format!("the model or the data set of {} was not loaded", cell.name()))
    }

    /// What is known of a repetition before it is run.
    pub(crate) fn facts(&self, experiment: &Experiment, cell: &Cell, repetition: u64) -> Result<Facts> {
        Ok(Facts {
            run_id: run_id(cell, repetition),
            experiment: experiment.name.clone(),
            cell: cell.clone(),
            repetition,
            card: registry::card(&cell.protocol, cell.options, cell.plan())?,
            profile: Profile::named(&cell.link)?.by(cell.means),
            seed: experiment.seed,
            model_hash: self.oracles.get(&cell.model).map(|(_, hash)| hash.clone()).unwrap_or_default(),
            data_hash: self.sources.get(&cell.dataset).map(Source::hash).unwrap_or_default(),
            started_utc: crate::record::utc_now(),
            load_avg_milli: machine::load_avg_milli(),
            resumed: None,
            placement: "same-host".to_owned(),
        })
    }

    /// Runs one repetition. `None` if the user stops it.
    ///
    /// # Errors
    /// If something is wrong that is not the repetition's: the record cannot be written, a process not be started.
    pub(crate) fn repetition(
        &mut self,
        facts: &mut Facts,
        stop: &AtomicBool,
        recorder: &mut Recorder,
    ) -> Result<Option<End>> {
        if let Some(why) = self.absent(&facts.cell) {
            return Ok(Some(End::skipped(why.clone())));
        }
        if facts.cell.threads > 1 && !facts.card.parallel {
            let why = format!("one thread a party: {} has no use for more", facts.card.id);
            return Ok(Some(End::skipped(why)));
        }
        let mut job = match self.job(facts) {
            Ok(job) => job,
            Err(e) => return Ok(Some(End::skipped(format!("{e:#}")))),
        };
        if job.plan.as_ref().map(registry::plan).transpose()?.is_some_and(|plan| plan.is_chunked()) {
            let path = journal(recorder.dir(), &facts.run_id);
            let done = si_fusion::progress(&path)?.unwrap_or_default();
            facts.resumed = (done.inferences_done > 0).then_some(done.inferences_done as u64);
            job.journal = Some(Journal { path, chunks_done: done.chunks_done });
        }
        facts.started_utc = crate::record::utc_now();
        facts.load_avg_milli = machine::load_avg_milli();
        let net = match Net::up(&facts.profile) {
            Ok(net) => net,
            Err(e) => return Ok(Some(End::of(Status::Error, e.to_string()))),
        };
        let limit = Duration::from_secs(facts.cell.timeout_s);
        let ran = spawn::run(&job, limit, stop, net.0.as_ref());
        let drops = net.down(recorder)?;
        let outcome = match ran {
            Ok(Some(outcome)) => outcome,
            Ok(None) => return Ok(None),
            // The disk of temporary files: no row could be had there, but one can be written here.
            Err(e) if space::says_full(&e) => return Ok(Some(End::of(Status::Disk, format!("{e:#}")))),
            Err(e) => return Err(e),
        };
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if !outcome.stderr.is_empty() {
            recorder.log(&format!("{}\n{}", facts.run_id, outcome.stderr.trim_end()))?;
        }
        let verdict = self.verdict(facts, &job, &outcome)?;
        Ok(Some(End { outcome, verdict, drops }))
    }

    /// The client's answers against the oracle, if there are any.
    pub(crate) fn verdict(&mut self, facts: &Facts, job: &Job, outcome: &spawn::Outcome) -> Result<Option<Verdict>> {
        let Some(client) = outcome.client().filter(|_| outcome.status == Status::Ok) else { return Ok(None) };
        let revealed = facts.cell.options.reveal == si_api::Reveal::Scores;
        let (source, oracle) = self.parts(&facts.cell)?;
        oracle.check(source, &job.queries, &client.answers, facts.card.rounding, revealed).map(Some)
    }

    pub(crate) fn job(&mut self, facts: &Facts) -> Result<Job> {
        let cell = &facts.cell;
        let (protocol, plan, queries, public) = match &cell.load {
            Load::Batch(n) => (cell.protocol.clone(), None, *n, 0),
            Load::Plan(p) if p.method == Method::Measured => {
                (cell.protocol.clone(), Some(p.clone()), p.queries, p.public)
            }
            // A real batch of the inner protocol, which reports scale to the plan.
            Load::Plan(_) => (registry::inner(&cell.protocol)?.to_owned(), None, cell.run_inferences(), 0),
        };
        let (source, oracle) = self.parts(cell)?;
        // A plan that tolerates wrong public samples is a test of accuracy: any images, with their true labels. One that
        // does not would refuse an honest model for every mistake of its own: images that it certainly gets right.
        let tests_accuracy = plan.as_ref().is_some_and(|p| p.tolerance > 0);
        let known = |position| match source.label(oracle.graph(), position) {
            Some(truth) if tests_accuracy => Ok(Some(truth)),
            _ => oracle.sure_label(source, position),
        };
        let draw = inputs::draw(source, (facts.seed, facts.repetition), queries, public, known)?;
        Ok(Job {
            run_id: facts.run_id.clone(),
            protocol,
            plan,
            model: cell.model.clone(),
            dataset: cell.dataset.clone(),
            queries: draw.queries,
            public: draw.public,
            journal: None,
            score_tolerance_ulp: (facts.card.rounding == Rounding::OneBit).then(|| oracle.tolerance_ulp()),
            options: cell.options,
            link: cell.link.clone(),
            means: cell.means,
            lanes: cell.lanes,
            threads: cell.threads,
            server: cell.server.clone(),
            seed: facts.seed.wrapping_add(facts.repetition),
            address: "127.0.0.1:0".to_owned(),
            connect_timeout_s: CONNECT_TIMEOUT_S,
            timeout_s: cell.timeout_s,
            pretend_commit: None,
            record: None,
            supervised: true,
        })
    }
}

/// Why files are absent, if that is what is wrong.
///
/// # Errors
/// Any other error, as it is.
fn not_fetched(e: anyhow::Error) -> Result<String> {
    let dataset = matches!(e.downcast_ref(), Some(si_datasets::Error::NotFetched { .. }));
    let model = matches!(e.downcast_ref(), Some(si_models::Error::NotFetched { .. }));
    if dataset || model { Ok(format!("{e:#}")) } else { Err(e) }
}

/// Graph and fixed-point weights.
pub(crate) fn model_hash(model: &Model) -> String {
    let mut hash = blake3::Hasher::new();
    hash.update(model.graph().canonical().as_bytes());
    for layer in (0..model.graph().nodes().len()).filter_map(|i| model.fixed(i)) {
        layer.weights.iter().chain(&layer.bias).for_each(|w| {
            hash.update(&w.to_le_bytes());
        });
    }
    hash.finalize().to_hex().to_string()
}

impl End {
    /// Of a repetition that was not run.
    pub(crate) fn skipped(reason: String) -> Self {
        Self::of(Status::Skipped, reason)
    }

    /// Of a repetition whose parties were never started.
    fn of(status: Status, reason: String) -> Self {
        let (accused, reports, stderr) = (String::new(), Vec::new(), String::new());
        let outcome = spawn::Outcome { status, reason, accused, reports, stderr };
        Self { outcome, verdict: None, drops: None }
    }
}
