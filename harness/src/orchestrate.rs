//! `bench run`: an experiment's matrix becomes rows. Whatever happens to a repetition, it leaves a row, and every row
//! is on the disk before the next repetition begins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};

use crate::behaviour::Behaviour;
use crate::estimate::{Basis, Estimator};
use crate::experiment::{Cell, Experiment, Size};
use crate::progress::{Progress, Task};
use crate::record::space::says_full;
use crate::record::{Folder, Recorder, Status};
use crate::stage::{self, End, Stage};
use crate::trials::{self, Trials};
use crate::{cost, machine, registry, row};

/// Where records go unless the command line says otherwise.
pub(crate) const RECORDS: &str = "results/records";

/// How a run of an experiment ended.
pub(crate) struct Summary {
    /// The record folder.
    pub(crate) folder: PathBuf,
    /// Rows of the experiment that are not ok, in this run.
    pub(crate) failed: usize,
    /// Rows written by this run.
    pub(crate) written: usize,
    /// Why it ended before all was done.
    pub(crate) cut_short: Option<CutShort>,
}

/// Why a run ended before all was done.
pub(crate) enum CutShort {
    /// The user stopped it.
    Stopped,
    /// A disk was full: which one, in words.
    DiskFull(String),
}

/// A setting of trials: its group, its name, how the server behaves.
type Setting<'e> = (&'e Trials, String, &'e Behaviour);

/// Runs what is missing of an experiment: all of it in a new folder under `records`, or the rest in `resume`.
///
/// # Errors
/// If the experiment does not fit this program, or the records cannot be written. A disk that fills up while it runs is
/// no error here: the summary says so.
pub(crate) fn run(
    experiment: &Experiment,
    records: &Path,
    resume: Option<&Path>,
    estimator: &Estimator,
    stop: &AtomicBool,
) -> Result<Summary> {
    let text = toml::to_string(experiment).context("the experiment as TOML")?;
    let cells = experiment.cells();
    let mut settings: Vec<Setting<'_>> = Vec::new();
    for t in &experiment.trials {
        settings.extend(t.settings()?.into_iter().map(|(name, server)| (t, name, server)));
    }
    if settings.is_empty() {
        ensure_some(experiment, &cells)?;
    }
    let mut stage = Stage::load(&cells)?;

    let (commit, _) = machine::commit();
    let recorder = match resume {
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
    let progress = Progress::new(todo.iter().map(|(_, c)| task(c, estimator)).chain(of_trials).collect());
    let trials = if settings.is_empty() { String::new() } else { format!(", {} settings of trials", settings.len()) };
    progress.say(&format!(
        "{}: {} repetitions of {} cells, {expected}{trials}; records in {}",
        experiment.name,
        todo.len(),
        cells.len(),
        recorder.dir().display()
    ));
    stage.all_absent().for_each(|why| progress.say(&format!("skipped: {why}")));

    let summary = Summary { folder: recorder.dir().to_owned(), failed: 0, written: 0, cut_short: None };
    let mut run = Run { experiment, recorder, progress, stop, summary };
    let ran = run.begin(&todo).and_then(|()| run.repetitions(&mut stage, todo)).and_then(|()| run.trials(settings));
    run.end(ran)
}

/// A run that has begun.
struct Run<'r> {
    experiment: &'r Experiment,
    recorder: Recorder,
    progress: Progress,
    stop: &'r AtomicBool,
    summary: Summary,
}

impl Run<'_> {
    /// Notes in the log what is to be done, by which code, and what there is to know of it.
    fn begin(&mut self, todo: &[(u64, &Cell)]) -> Result<()> {
        let build = format!("code {}, {}", machine::COMMIT, machine::PROFILE);
        self.recorder.log(&format!("{} repetitions to do, {build}", todo.len()))?;
        for (_, cell) in todo.iter().filter(|(repetition, _)| *repetition == 1) {
            for note in cost::notes(cell) {
                self.recorder.log(&format!("{}: {note}", cell.name()))?;
            }
        }
        Ok(())
    }

    /// Runs repetitions until they are done, the user stops them, or the disk is full.
    fn repetitions(&mut self, stage: &mut Stage, todo: Vec<(u64, &Cell)>) -> Result<()> {
        let mut skipped: BTreeMap<String, String> = BTreeMap::new();
        for (repetition, cell) in todo {
            if self.is_cut_short() {
                break;
            }
            let id = run_id(cell, repetition);
            self.progress.begin(&id);
            let mut facts = stage.facts(self.experiment, cell, repetition)?;
            let done = match skipped.get(&cell.name()) {
                Some(why) => Some(End::skipped(why.clone())),
                None => stage.repetition(&mut facts, self.stop, &mut self.recorder)?,
            };
            let Some(end) = done else { return self.stopped() };
            let (row, phases) = row::of(&facts, &end);
            if row.status == Status::Skipped {
                skipped.insert(cell.name(), row.reason.clone());
            }
            let row = self.recorder.append(&row, &phases, &row::answers(&facts, &end))?;
            self.summary.written += 1;
            self.summary.failed += usize::from(row::is_failure(&row, &cell.server));
            if row.status == Status::Disk {
                // With the journal of its plan, the run goes on where it is now.
                self.summary.cut_short = Some(CutShort::DiskFull(row.reason.clone()));
            } else {
                stage::discard(&stage::journal(self.recorder.dir(), &id))?;
            }
            self.line(&row::describe(&row))?;
        }
        Ok(())
    }

    /// Runs settings of trials, in the same way.
    fn trials(&mut self, settings: Vec<Setting<'_>>) -> Result<()> {
        for (t, name, server) in settings {
            if self.is_cut_short() {
                break;
            }
            self.progress.begin(&name);
            match trials::run_setting(self.experiment, t, (&name, server), self.stop) {
                Ok(Some(row)) => {
                    self.recorder.append_trials(&row)?;
                    self.summary.written += 1;
                    self.line(&format!(
                        "{name}  {} trials: {} caught, {} fooled, {} unharmed, {} broken",
                        row.trials, row.caught, row.fooled, row.unharmed, row.broken
                    ))?;
                }
                Ok(None) => return self.stopped(),
                // The other settings are worth having; this one is done again with --resume.
                Err(e) => {
                    (self.summary.failed, self.summary.written) = (self.summary.failed + 1, self.summary.written + 1);
                    self.line(&format!("error: {e:#}"))?;
                }
            }
        }
        Ok(())
    }

    /// Whether to run nothing more.
    fn is_cut_short(&mut self) -> bool {
        if self.recorder.is_full() && self.summary.cut_short.is_none() {
            let why = format!("no space left in {}", self.recorder.dir().display());
            self.summary.cut_short = Some(CutShort::DiskFull(why));
        }
        self.summary.cut_short.is_some()
    }

    fn stopped(&mut self) -> Result<()> {
        self.summary.cut_short = Some(CutShort::Stopped);
        self.recorder.log("stopped by the user")
    }

    /// A line for the log and for the user.
    fn line(&mut self, line: &str) -> Result<()> {
        self.progress.end(line);
        self.recorder.log(line)
    }

    /// Closes the record.
    fn end(mut self, ran: Result<()>) -> Result<Summary> {
        self.progress.finish();
        let cut_short = self.is_cut_short();
        match ran {
            Err(e) if says_full(&e) && !cut_short => {
                self.summary.cut_short = Some(CutShort::DiskFull(format!("{e:#}")));
            }
            Err(e) if says_full(&e) => {}
            ran => ran?,
        }
        match self.recorder.seal() {
            // Without a hash list it is as if it had been killed, and goes on in the same way.
            Err(e) if says_full(&e) && matches!(self.summary.cut_short, Some(CutShort::DiskFull(_))) => {}
            sealed => sealed?,
        }
        Ok(self.summary)
    }
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
