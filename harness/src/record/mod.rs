//! Records: what a run leaves behind. One folder per `bench run`, appended to and never edited, and read back by
//! `bench check` and `bench report`. `results/SCHEMA.md` explains every column; a test keeps it and this module together.

mod columns;
mod folder;
mod recorder;
mod rows;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod seal;
pub(crate) mod space;
mod trials;
mod utc;

pub(crate) use folder::Folder;
pub(crate) use recorder::Recorder;
pub(crate) use rows::{AnswerRow, HONEST, LinkGate, Machine, Method, PhaseRow, RunRow, Status};
pub(crate) use trials::{Samples, TrialRow};
pub(crate) use utc::{utc_date, utc_now};

/// Name of the file with one row per repetition.
pub(crate) const RUNS_CSV: &str = "runs.csv";
/// Name of the file with one row per run, party, phase and operator.
pub(crate) const PHASES_CSV: &str = "phases.csv";
/// Name of the file with one row per answer.
pub(crate) const ANSWERS_CSV: &str = "answers.csv";
/// Name of the file with one row per setting of trials, if there are any.
pub(crate) const TRIALS_CSV: &str = "trials.csv";
/// Name of the file that describes the machine.
pub(crate) const MACHINE_TOML: &str = "machine.toml";
/// Name of the copy of the experiment.
pub(crate) const EXPERIMENT_TOML: &str = "experiment.toml";
/// Name of the log.
pub(crate) const LOG_TXT: &str = "log.txt";
