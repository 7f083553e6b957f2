//! `bench check`: is a record folder whole and consistent? Every rule that a row must keep is one line of `rows.rs`,
//! `phases.rs` or `answers.rs`, and each has a test with a row that breaks it.

mod answers;
mod phases;
mod rows;
mod trials;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::record::Folder;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The record contradicts itself or the schema: it must not be reported from.
    Problem,
    /// The record is sound, but a reader must know this. Reports say it too.
    Caution,
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    /// The run, or the file, that it is about.
    pub(crate) place: String,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = if self.severity == Severity::Problem { "problem" } else { "caution" };
        write!(f, "{severity}: {}: {}", self.place, self.what)
    }
}

/// Collects findings of one place.
struct Findings<'a> {
    place: &'a str,
    found: &'a mut Vec<Finding>,
}

impl Findings<'_> {
    /// A problem unless `holds`.
    fn require(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.found.push(Finding { severity: Severity::Problem, place: self.place.to_owned(), what: what() });
        }
    }

    fn caution(&mut self, what: String) {
        self.found.push(Finding { severity: Severity::Caution, place: self.place.to_owned(), what });
    }
}

/// Everything wrong with a folder that could be read.
pub(crate) fn check(folder: &Folder) -> Vec<Finding> {
    let mut found = Vec::new();
    rows::check(folder, &mut found);
    phases::check(folder, &mut found);
    answers::check(folder, &mut found);
    trials::check(folder, &mut found);
    found
}

/// Checks a folder and prints what it finds.
///
/// # Errors
/// If the folder cannot be read or has a problem. Cautions alone are no error.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let folder = Folder::read(dir)?;
    let found = check(&folder);
    found.iter().for_each(|f| println!("{f}"));
    let problems = found.iter().filter(|f| f.severity == Severity::Problem).count();
    let (runs, phases) = (folder.runs.len(), folder.phases.len());
    if problems > 0 {
        bail!("{}: {problems} problem(s) in {runs} runs and {phases} phases", dir.display());
    }
    let trials =
        if folder.trials.is_empty() { String::new() } else { format!(", {} settings of trials", folder.trials.len()) };
    println!("{}: sound: {runs} runs, {phases} phases{trials}, {} caution(s)", dir.display(), found.len());
    Ok(())
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::record::{PhaseRow, RunRow, samples};

    /// A sound folder: two repetitions of two protocols.
    pub(super) fn folder() -> Folder {
        let mut f = samples::folder("sample");
        for (protocol, repetition) in [("plain", 1), ("cheetah", 1), ("plain", 2), ("cheetah", 2)] {
            samples::add(&mut f, samples::run(protocol, "lan", repetition));
        }
        f
    }

    /// Spoils the second of two runs, or its phases, and expects exactly this one finding.
    pub(super) fn caught(
        severity: Severity,
        expect: &str,
        run: impl FnOnce(&mut RunRow),
        phases: impl FnOnce(&mut Vec<PhaseRow>),
    ) {
        let mut f = folder();
        f.runs.truncate(2);
        f.phases.truncate(24);
        run(&mut f.runs[1]);
        f.answers = None; // their rules have tests of their own
        phases(&mut f.phases);
        let found = check(&f);
        let shown: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].severity == severity && shown[0].contains(expect), "{expect}: {shown:#?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Recorder, samples};

    #[test]
    fn a_sound_folder_has_no_findings() {
        assert_eq!(check(&testing::folder()), []);
    }

    #[test]
    fn the_command_tells_sound_from_unsound() {
        let root = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&root.path().join("f"), &samples::machine(), "").unwrap();
        let (run, phases) = samples::run("cheetah", "wan", 1);
        recorder.append(&run, &phases, &samples::answers(&run)).unwrap();
        super::run(recorder.dir()).unwrap();
        let (mut run, phases) = samples::run("cheetah", "wan", 2);
        run.client_sent_bytes = Some(1);
        recorder.append(&run, &phases, &samples::answers(&run)).unwrap();
        let e = super::run(recorder.dir()).unwrap_err().to_string();
        assert!(e.contains("problem(s) in 2 runs and 24 phases"), "{e}");
        assert!(super::run(root.path()).unwrap_err().to_string().contains("cannot read"));
    }
}
