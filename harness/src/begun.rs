//! What an earlier, interrupted run of an experiment left: `bench run --continue` goes on with it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::experiment::{Cell, Experiment};
use crate::machine;
use crate::orchestrate::{order, run_id};
use crate::record::{Folder, RUNS_CSV, Status};

/// The newest record of an experiment by this code on this machine, and what it has.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// None if there is no such record.
    pub(crate) folder: Option<PathBuf>,
    runs: BTreeSet<String>,
    trials: BTreeSet<String>,
}

impl Begun {
    /// Looks among the folders in `records`. What cannot be read is somebody else's.
    ///
    /// # Errors
    /// If the experiment cannot be written as TOML, which the tests exclude.
    pub(crate) fn find(records: &Path, experiment: &Experiment) -> Result<Self> {
        let text = toml::to_string(experiment).context("the experiment as TOML")?;
        let (here, code) = (machine::describe().name, machine::commit());
        let entries = std::fs::read_dir(records).into_iter().flatten().flatten().map(|e| e.path());
        let folders = entries.filter(|p| p.join(RUNS_CSV).is_file()).filter_map(|p| Folder::read(&p).ok());
        let ours = |f: &Folder| {
            let by_this_code = f.runs.iter().all(|r| (r.commit.as_str(), r.dirty) == code)
                && f.trials.iter().all(|t| (t.commit.as_str(), t.dirty) == code);
            f.experiment == text && f.machine.name == here && by_this_code
        };
        let newest = folders.filter(ours).max_by_key(|f| (f.begun_utc(), f.name()));
        Ok(newest.map_or_else(Self::default, |f| Self {
            // What a full disk cut short is done again.
            runs: f.runs.iter().filter(|r| r.status != Status::Disk).map(|r| r.run_id.clone()).collect(),
            trials: f.trials.iter().map(|t| t.setting.clone()).collect(),
            folder: Some(f.dir),
        }))
    }

    /// Whether it has this repetition.
    pub(crate) fn has(&self, cell: &Cell, repetition: u64) -> bool {
        self.runs.contains(&run_id(cell, repetition))
    }

    /// Whether nothing is left to do.
    ///
    /// # Errors
    /// If the experiment's trials make no sense.
    pub(crate) fn is_complete(&self, experiment: &Experiment) -> Result<bool> {
        let cells = experiment.cells();
        let mut trials = Vec::new();
        for t in &experiment.trials {
            trials.extend(t.settings()?.into_iter().map(|(name, _)| name));
        }
        let runs = order(&cells).all(|(repetition, cell)| self.has(cell, repetition));
        Ok(self.folder.is_some() && runs && trials.iter().all(|name| self.trials.contains(name)))
    }
}
