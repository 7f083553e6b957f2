//! `bench check`: is a record folder whole and consistent? Every rule that a row must keep is one line of `rows.rs`,
//! `phases.rs`, `answers.rs` or `trials.rs`, and each has a test with a row that breaks it; `whole.rs` compares the bytes
//! with the hash list and the rows with the experiment.

mod answers;
mod phases;
mod rows;
mod trials;
mod whole;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::commands::print;
use crate::record::Folder;
use crate::record::seal::{self, Occasion};

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

/// Everything wrong with a folder that was read from the disk: with its bytes, and with what its rows say.
pub(crate) fn folder(folder: &Folder) -> Vec<Finding> {
    let mut found = Vec::new();
    whole::check(folder, &mut found);
    found.extend(check(folder));
    found
}

/// Everything wrong with the rows of a folder.
fn check(folder: &Folder) -> Vec<Finding> {
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
    let found = self::folder(&folder);
    found.iter().try_for_each(|f| print(&f.to_string()))?;
    let problems = found.iter().filter(|f| f.severity == Severity::Problem).count();
    let (runs, phases) = (folder.runs.len(), folder.phases.len());
    if problems > 0 {
        bail!("{}: {problems} problem(s) in {runs} runs and {phases} phases", dir.display());
    }
    let trials =
        if folder.trials.is_empty() { String::new() } else { format!(", {} settings of trials", folder.trials.len()) };
    print(&format!("{}: sound: {runs} runs, {phases} phases{trials}, {} caution(s)", dir.display(), found.len()))?;
    Ok(())
}

/// Writes the hash list of a folder that has none and is otherwise sound. A list that is there is never replaced.
///
/// # Errors
/// If the folder has a problem, or cannot be read or written.
pub(crate) fn seal(dir: &Path) -> Result<()> {
    if seal::differences(dir)?.is_some() {
        print(&format!("{}: has a hash list already, which stays", dir.display()))?;
        return Ok(());
    }
    run(dir)?;
    seal::write(dir, Occasion::Later)?;
    print(&format!("{}: hash list written; it vouches for the files from now on", dir.display()))?;
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
        super::seal(recorder.dir()).unwrap();
        super::run(recorder.dir()).unwrap();
        let machine = recorder.dir().join(crate::record::MACHINE_TOML);
        let text = std::fs::read_to_string(&machine).unwrap();
        std::fs::write(&machine, text.replace("9000", "9001")).unwrap();
        super::run(recorder.dir()).unwrap_err();
        super::seal(recorder.dir()).unwrap();
        super::run(recorder.dir()).unwrap_err(); // the first list stays
        std::fs::remove_file(recorder.dir().join(seal::SHA256SUMS)).unwrap();
        let (mut run, phases) = samples::run("cheetah", "wan", 2);
        run.client_sent_bytes = Some(1);
        recorder.append(&run, &phases, &samples::answers(&run)).unwrap();
        let e = super::run(recorder.dir()).unwrap_err().to_string();
        assert!(e.contains("problem(s) in 2 runs and 24 phases"), "{e}");
        super::seal(recorder.dir()).unwrap_err();
        assert!(!recorder.dir().join(seal::SHA256SUMS).exists(), "an unsound record is not sealed");
        assert!(super::run(root.path()).unwrap_err().to_string().contains("cannot read"));
    }

    /// Whatever a byte of a record is changed to: it is refused, or found, or it makes no difference.
    #[test]
    fn no_changed_byte_is_too_much_for_the_reader_or_the_rules() {
        let root = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&root.path().join("f"), &samples::machine(), "").unwrap();
        let (run, phases) = samples::run("fusion(cheetah)", "wan", 1);
        recorder.append(&run, &phases, &samples::answers(&run)).unwrap();
        samples::trials().iter().for_each(|t| recorder.append_trials(t).unwrap());
        super::seal(recorder.dir()).unwrap();
        let dir = recorder.dir();
        let strides =
            [("runs.csv", 43), ("phases.csv", 97), ("answers.csv", 31), ("trials.csv", 71), (seal::SHA256SUMS, 53)];
        for (file, stride) in strides {
            let path = dir.join(file);
            let original = std::fs::read(&path).unwrap();
            // A new file each time: some file systems wait for the disk when an old one is cut and written again.
            let write = |bytes: &[u8]| std::fs::remove_file(&path).and_then(|()| std::fs::write(&path, bytes)).unwrap();
            for at in (0..original.len()).step_by(stride) {
                for byte in [b"9", b"-", b",", b"\"", b"\n", b"\xff"] {
                    let text: [&[u8]; 3] = [&original[..at], byte, &original[at + 1..]];
                    write(&text.concat());
                    // Every list of hashes notices, so the rows' own rules are asked, too.
                    if let Ok(f) = Folder::read(dir) {
                        let _ = (folder(&f), crate::report::totals(dir));
                    }
                }
                write(&original[..at]);
                let _ = Folder::read(dir).map(|f| folder(&f));
            }
            write(&original);
        }
        super::run(dir).unwrap();
    }
}
