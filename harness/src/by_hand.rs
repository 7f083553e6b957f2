//! Runs whose parties a person starts: their job, and the record that the client makes of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::experiment::Experiment;
use crate::job::{Job, PartyReport, RecordOf};
use crate::orchestrate::{ensure_some, run_id};
use crate::record::{Recorder, Status};
use crate::stage::{End, Stage};
use crate::{machine, row, spawn};

/// The job of the first repetition of the first cell, for parties that are started by hand.
///
/// # Errors
/// As [`crate::orchestrate::run`].
pub(crate) fn first_job(experiment: &Experiment) -> Result<Job> {
    let cells = experiment.cells();
    ensure_some(experiment, &cells)?;
    let mut stage = Stage::load(&cells[..1])?;
    let facts = stage.facts(experiment, &cells[0], 1)?;
    let text = toml::to_string(experiment).context("the experiment as TOML")?;
    Ok(Job { supervised: false, record: Some(RecordOf { experiment: text, repetition: 1 }), ..stage.job(&facts)? })
}

/// Checks the answers of a job that two parties ran by hand, and writes its row into a new folder under `records`, which it
/// returns. `reports` are the server's and the client's own.
///
/// # Errors
/// If the job is not one of its experiment's, or the record cannot be written.
pub(crate) fn record(job: &Job, reports: [PartyReport; 2], records: &Path) -> Result<PathBuf> {
    let of = job.record.as_ref().context("the job does not say which experiment it is of")?;
    let experiment = Experiment::parse(&of.experiment, "the job's experiment")?;
    let cells = experiment.cells();
    let cell = cells.iter().find(|c| run_id(c, of.repetition) == job.run_id);
    let cell = cell.with_context(|| format!("{} is none of its experiment's runs", job.run_id))?;
    let mut stage = Stage::load(std::slice::from_ref(cell))?;
    let mut facts = stage.facts(&experiment, cell, of.repetition)?;
    let roles = reports.each_ref().map(|r| r.role.as_str());
    ensure!(
        roles == ["server", "client"],
        "the reports are of the {} and the {}, not of the two parties",
        roles[0],
        roles[1]
    );
    let machines = [&reports[0].machine, &reports[1].machine];
    facts.placement = format!("two-parties:client={},server={}", machines[1], machines[0]);
    let (reason, accused, stderr) = (String::new(), String::new(), String::new());
    let outcome = spawn::Outcome { status: Status::Ok, reason, accused, reports: reports.into(), stderr };
    let verdict = stage.verdict(&facts, job, &outcome)?;
    let end = End { outcome, verdict, drops: None };
    let (row, phases) = row::of(&facts, &end);
    let mut recorder = Recorder::create_under(records, &machine::describe(), machine::commit().0, &of.experiment)?;
    let row = recorder.append(&row, &phases, &row::answers(&facts, &end))?;
    recorder.log(&row::describe(&row))?;
    recorder.seal()?;
    ensure!(row.status != Status::Disk, "{}: make room there, and run both parties again", row.reason);
    Ok(recorder.dir().to_owned())
}
