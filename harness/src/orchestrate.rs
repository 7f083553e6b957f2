//! `bench run`: an experiment's matrix becomes rows. Whatever happens to a repetition, it leaves a row, and every row
//! is on the disk before the next repetition begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use si_api::{Model, Rounding};
use si_netem::{Namespaces, Profile};

use crate::estimate::{Basis, Estimator};
use crate::experiment::{Cell, Experiment, Load, Size};
use crate::inputs::{self, Source};
use crate::job::{Job, Journal};
use crate::progress::{Progress, Task};
use crate::record::{Folder, Method, Recorder, Status};
use crate::row::{self, Facts};
use crate::verify::{Oracle, Verdict};
use crate::{cost, machine, registry, spawn, trials};

/// Where records go unless the command line says otherwise.
pub(crate) const RECORDS: &str = "results/records";

/// How long a party waits for its peer to appear; both are started together (local).
const CONNECT_TIMEOUT_S: u64 = 20;

/// How a run of an experiment ended.
pub(crate) struct Summary {
    /// The record folder.
    pub(crate) folder: PathBuf,
    /// Rows of the experiment that are not ok, in this run.
    pub(crate) failed: usize,
    /// Rows written by this run.
    pub(crate) written: usize,
    /// Whether the user stopped it.
    pub(crate) stopped: bool,
}

/// Runs what is missing of an experiment: all of it in a new folder under `records`, or the rest in `resume`.
///
/// # Errors
/// If the experiment does not fit this program, or the records cannot be written.
pub(crate) fn run(
    experiment: &Experiment,
    records: &Path,
    resume: Option<&Path>,
    estimator: &Estimator,
    stop: &AtomicBool,
) -> Result<Summary> {
    let text = toml::to_string(experiment).context("the experiment as TOML")?;
    let cells = experiment.cells();
    let mut settings = Vec::new();
    for t in &experiment.trials {
        settings.extend(t.settings()?.into_iter().map(|(name, server)| (t, name, server)));
    }
    if settings.is_empty() {
        ensure_some(experiment, &cells)?;
    }
    let mut stage = Stage::load(&cells)?;

    let (commit, _) = machine::commit();
    let mut recorder = match resume {
        None => Recorder::create_under(records, &machine::describe(), commit, &text)?,
        Some(folder) => {
            let recorder = Recorder::resume(folder, &text)?;
            same_code(folder)?;
            recorder
        }
    };
    let todo: Vec<(u64, &Cell)> = order(&cells).filter(|(r, c)| !recorder.has(&run_id(c, *r))).collect();
    let can: Vec<&Cell> = todo.iter().map(|(_, c)| *c).filter(|c| stage.absent(c).is_none()).collect();
    let expected = estimator.of(can);
    settings.retain(|(_, name, _)| !recorder.has_trials(name));
    let of_trials = settings.iter().map(|(t, name, _)| Task {
        kind: format!("{}/{}/trials", t.protocol, t.model),
        inferences: (t.queries * t.copies + t.public) * t.count as usize,
        cell: name.clone(),
        expected: None,
    });
    let mut progress = Progress::new(todo.iter().map(|(_, c)| task(c, estimator)).chain(of_trials).collect());
    let trials = if settings.is_empty() { String::new() } else { format!(", {} settings of trials", settings.len()) };
    progress.say(&format!(
        "{}: {} repetitions of {} cells, {expected}{trials}; records in {}",
        experiment.name,
        todo.len(),
        cells.len(),
        recorder.dir().display()
    ));
    stage.absent.values().for_each(|why| progress.say(&format!("skipped: {why}")));
    recorder.log(&format!("{} repetitions to do, code {}, {}", todo.len(), machine::COMMIT, machine::PROFILE))?;
    for (_, cell) in todo.iter().filter(|(repetition, _)| *repetition == 1) {
        for note in cost::notes(cell) {
            recorder.log(&format!("{}: {note}", cell.name()))?;
        }
    }

    let mut summary = Summary { folder: recorder.dir().to_owned(), failed: 0, written: 0, stopped: false };
    let mut skipped: BTreeMap<String, String> = BTreeMap::new();
    for (repetition, cell) in todo {
        let id = run_id(cell, repetition);
        progress.begin(&id);
        let mut facts = stage.facts(experiment, cell, repetition)?;
        let done = match skipped.get(&cell.name()) {
            Some(why) => Some(End::skipped(why.clone())),
            None => stage.repetition(&mut facts, stop, &mut recorder)?,
        };
        let Some(end) = done else {
            summary.stopped = true;
            recorder.log("stopped by the user")?;
            break;
        };
        let (row, phases) = row::of(&facts, &end);
        if row.status == Status::Skipped {
            skipped.insert(cell.name(), row.reason.clone());
        }
        recorder.append(&row, &phases, &row::answers(&facts, &end))?;
        discard(&journal(recorder.dir(), &id))?;
        summary.written += 1;
        summary.failed += usize::from(row::is_failure(&row, &cell.server));
        let line = row::describe(&row);
        recorder.log(&line)?;
        progress.end(&line);
    }
    for (t, name, server) in settings {
        if summary.stopped {
            break;
        }
        progress.begin(&name);
        let row = match trials::run_setting(experiment, t, (&name, server), stop) {
            Ok(Some(row)) => row,
            Ok(None) => {
                summary.stopped = true;
                recorder.log("stopped by the user")?;
                break;
            }
            // The other settings are worth having; this one is done again with --resume.
            Err(e) => {
                (summary.failed, summary.written) = (summary.failed + 1, summary.written + 1);
                let line = format!("error: {e:#}");
                recorder.log(&line)?;
                progress.end(&line);
                continue;
            }
        };
        recorder.append_trials(&row)?;
        summary.written += 1;
        let line = format!(
            "{name}  {} trials: {} caught, {} fooled, {} unharmed, {} broken",
            row.trials, row.caught, row.fooled, row.unharmed, row.broken
        );
        recorder.log(&line)?;
        progress.end(&line);
    }
    progress.finish();
    recorder.seal()?;
    Ok(summary)
}

pub(crate) fn ensure_some(experiment: &Experiment, cells: &[Cell]) -> Result<()> {
    let more = Experiment { size: Size::Full, ..experiment.clone() }.cells().len();
    ensure!(
        !cells.is_empty(),
        "experiment {} has no cells: {}",
        experiment.name,
        if more > 0 { "it has some with --size full" } else { "is there a batch or a plan for its protocols?" }
    );
    Ok(())
}

/// Repetition by repetition, so that a drift of the machine falls on all protocols alike.
pub(crate) fn order(cells: &[Cell]) -> impl Iterator<Item = (u64, &Cell)> {
    let most = cells.iter().map(|c| c.repetitions).max().unwrap_or(0);
    (1..=most).flat_map(move |r| cells.iter().filter(move |c| r <= c.repetitions).map(move |c| (u64::from(r), c)))
}

fn task(cell: &Cell, estimator: &Estimator) -> Task {
    let working = registry::inner(&cell.protocol).unwrap_or(&cell.protocol);
    let kind = format!("{working}/{}/{}", cell.model, cell.link);
    let (duration, basis) = estimator.repetition(cell);
    let expected = (basis != Basis::Unknown).then_some(duration);
    Task { kind, inferences: cell.run_inferences(), cell: cell.name(), expected }
}

pub(crate) fn run_id(cell: &Cell, repetition: u64) -> String {
    format!("{}#{repetition}", cell.name())
}

/// Rows of two versions of the code do not belong into one folder.
fn same_code(folder: &Path) -> Result<()> {
    let (commit, dirty) = machine::commit();
    if let Some(row) = Folder::read(folder)?.runs.iter().find(|r| (r.commit.as_str(), r.dirty) != (commit, dirty)) {
        bail!(
            "{} was recorded with code {}{}, this program is {}: build that commit again, or begin a new folder",
            folder.display(),
            row.commit,
            if row.dirty { "-dirty" } else { "" },
            machine::COMMIT
        );
    }
    Ok(())
}

/// Where the client of a run of Fusion keeps its state until the run's row is written. It holds secrets of the run, so it
/// is no part of the record.
fn journal(folder: &Path, run_id: &str) -> PathBuf {
    folder.join(format!("journal-{}", crate::agree::short_hash(run_id.as_bytes())))
}

fn discard(journal: &Path) -> Result<()> {
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
    fn absent(&self, cell: &Cell) -> Option<&String> {
        [&cell.model, &cell.dataset].into_iter().find_map(|name| self.absent.get(name))
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
            threads: u64::from(spawn::THREADS),
            placement: "same-host".to_owned(),
        })
    }

    /// Runs one repetition. `None` if the user stops it.
    fn repetition(&mut self, facts: &mut Facts, stop: &AtomicBool, recorder: &mut Recorder) -> Result<Option<End>> {
        if let Some(why) = self.absent(&facts.cell) {
            return Ok(Some(End::skipped(why.clone())));
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
        let Some(outcome) = ran? else { return Ok(None) };
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
    fn skipped(reason: String) -> Self {
        Self::of(Status::Skipped, reason)
    }

    /// Of a repetition whose parties were never started.
    fn of(status: Status, reason: String) -> Self {
        let (accused, reports, stderr) = (String::new(), Vec::new(), String::new());
        let outcome = spawn::Outcome { status, reason, accused, reports, stderr };
        Self { outcome, verdict: None, drops: None }
    }
}
