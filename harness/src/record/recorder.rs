//! A record folder that is being written: row by row, each on the disk before the next repetition begins.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::columns::{cut_rows, cut_unfinished_line, ensure_measurable, header, lines};
use super::seal::{self, Occasion, SHA256SUMS};
use super::space::{self, Reserve, append_all};
use super::{
    ANSWERS_CSV, AnswerRow, EXPERIMENT_TOML, Folder, LOG_TXT, MACHINE_TOML, Machine, PHASES_CSV, PhaseRow, RUNS_CSV,
    RunRow, Status, TRIALS_CSV, TrialRow, utc_date, utc_now,
};

/// A record folder that is being written. Each row is on the disk before `append` returns, so that a run that is killed
/// loses nothing it had finished, and some space is reserved, so that a full disk does not either.
pub(crate) struct Recorder {
    dir: PathBuf,
    runs: File,
    phases: File,
    answers: File,
    log: File,
    known: HashSet<String>,
    /// Settings of trials that are done.
    trials: HashSet<String>,
    /// Whether the hash list is there: it goes before the first change.
    sealed: bool,
    reserve: Reserve,
    /// Whether something did not fit without the reserve.
    full: bool,
}

/// `<date>-<machine>-<commit>`: the name of a new folder.
fn folder_name(machine: &Machine, commit: &str) -> String {
    let commit = &commit[..commit.len().min(8)];
    format!("{}-{}-{}", utc_date(), machine.name, if commit.is_empty() { "nocommit" } else { commit })
}

impl Recorder {
    /// Begins a folder named by [`folder_name`] under `root`, with `-2`, `-3`, ... appended if the name is taken.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn create_under(root: &Path, machine: &Machine, commit: &str, experiment: &str) -> Result<Self> {
        let name = folder_name(machine, commit);
        let candidates = (1..1000).map(|i| root.join(if i == 1 { name.clone() } else { format!("{name}-{i}") }));
        for dir in candidates {
            if !dir.exists() {
                return Self::create(&dir, machine, experiment);
            }
        }
        bail!("{}: too many folders named {name}", root.display())
    }

    /// Begins a folder at `dir`, which must not exist or be empty.
    ///
    /// # Errors
    /// If there is something there, or it cannot be written; then nothing is left of it.
    pub(crate) fn create(dir: &Path, machine: &Machine, experiment: &str) -> Result<Self> {
        let named = || format!("cannot write the record folder {}", dir.display());
        fs::create_dir_all(dir).with_context(named)?;
        ensure!(
            fs::read_dir(dir).with_context(named)?.next().is_none(),
            "{} is not empty: records are never overwritten; name another folder, or add to this one with --resume",
            dir.display()
        );
        let files = [
            (MACHINE_TOML, toml::to_string(machine).context("machine.toml")?.into_bytes()),
            (EXPERIMENT_TOML, experiment.as_bytes().to_vec()),
            (PHASES_CSV, header::<PhaseRow>()?),
            (ANSWERS_CSV, header::<AnswerRow>()?),
            (RUNS_CSV, header::<RunRow>()?),
        ];
        let written = files.iter().try_for_each(|(name, bytes)| fs::write(dir.join(name), bytes));
        let opened = written.map_err(Into::into).and_then(|()| Self::open(dir)).with_context(named);
        if opened.is_err() {
            // A folder without a row is of no use; the first error is the one to tell.
            files.iter().map(|(name, _)| *name).chain([LOG_TXT]).for_each(|name| drop(fs::remove_file(dir.join(name))));
            let _ = fs::remove_dir(dir);
        }
        opened
    }

    /// Goes on with a folder that was begun before. What an earlier run could not finish is cut off: an unfinished last line,
    /// the phases and answers of a run that was killed before its row was written, the row that says of a run that the disk
    /// was full. Nothing else is touched.
    ///
    /// # Errors
    /// If the folder cannot be read or is in use, its experiment is not `experiment`, it was changed after its run, or there
    /// is too little space.
    pub(crate) fn resume(dir: &Path, experiment: &str) -> Result<Self> {
        // The lock comes first: another writer's unfinished line is not ours to cut.
        let mut recorder = Self::open(dir)?;
        let changed = seal::differences(dir)?;
        recorder.sealed = changed.is_some();
        if let Some(change) = changed.iter().flatten().next() {
            bail!("{}: {change}: a changed record is not added to; begin a new folder", dir.display());
        }
        cut_unfinished_line(&dir.join(RUNS_CSV))?;
        cut_unfinished_line(&dir.join(PHASES_CSV))?;
        cut_unfinished_line(&dir.join(ANSWERS_CSV))?;
        if dir.join(TRIALS_CSV).exists() {
            cut_unfinished_line(&dir.join(TRIALS_CSV))?;
        }
        let folder = Folder::read(dir)?;
        ensure!(
            folder.experiment == experiment,
            "{} was begun with another experiment: resume with the same file and --means, or begin a new folder",
            dir.join(EXPERIMENT_TOML).display()
        );
        if folder.runs.last().is_some_and(|r| r.status == Status::Disk) {
            recorder.break_seal()?;
            cut_rows(&dir.join(RUNS_CSV), folder.runs.iter().map(|r| r.status != Status::Disk))?;
        }
        let finished = folder.runs.iter().filter(|r| r.status != Status::Disk);
        recorder.known = finished.map(|r| r.run_id.clone()).collect();
        let of_known = |run: &str| recorder.known.contains(run);
        cut_rows(&dir.join(PHASES_CSV), folder.phases.iter().map(|p| of_known(&p.run_id)))?;
        let answers = folder.answers.iter().flatten();
        cut_rows(&dir.join(ANSWERS_CSV), answers.map(|a| of_known(&a.run_id)))?;
        recorder.trials = folder.trials.iter().map(|t| t.setting.clone()).collect();
        Ok(recorder)
    }

    fn open(dir: &Path) -> Result<Self> {
        let append = |name: &str, create: bool| {
            let path = dir.join(name);
            let file = OpenOptions::new().append(true).create(create).open(&path);
            file.with_context(|| format!("cannot append to {}", path.display()))
        };
        let (runs, phases, log) = (append(RUNS_CSV, false)?, append(PHASES_CSV, false)?, append(LOG_TXT, true)?);
        let answers = append(ANSWERS_CSV, false)?;
        runs.try_lock().map_err(|e| anyhow!("{} is in use by another run ({e})", dir.display()))?;
        let reserve = Reserve::hold(dir)?;
        let (known, trials) = (HashSet::new(), HashSet::new());
        Ok(Self { dir: dir.to_owned(), runs, phases, answers, log, known, trials, sealed: false, reserve, full: false })
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the folder has a row of this run.
    pub(crate) fn has(&self, run_id: &str) -> bool {
        self.known.contains(run_id)
    }

    /// Whether the disk was full: what was appended since stands in what was reserved, and no more should be run.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }

    /// Appends a run. Its phases and answers go first: the row of the run is what makes it finished. Returns the row as it
    /// was written: where phases and answers do not even fit into the reserve, it has the status [`Status::Disk`].
    ///
    /// # Errors
    /// If the run is there already, a phase or an answer is of another run, or the folder cannot be written.
    pub(crate) fn append(&mut self, run: &RunRow, phases: &[PhaseRow], answers: &[AnswerRow]) -> Result<RunRow> {
        ensure!(!self.has(&run.run_id), "run '{}' is recorded already", run.run_id);
        let mut parts = phases.iter().map(|p| &p.run_id).chain(answers.iter().map(|a| &a.run_id));
        if let Some(other) = parts.find(|id| **id != run.run_id) {
            bail!("a phase or an answer of run '{other}' beside run '{}'", run.run_id);
        }
        // What could not be read back is not written: a party on another machine says what it likes.
        ensure_measurable(run)
            .and_then(|()| phases.iter().try_for_each(ensure_measurable))
            .and_then(|()| answers.iter().try_for_each(ensure_measurable))
            .with_context(|| format!("the row of '{}'", run.run_id))?;
        self.break_seal()?;
        let row = RunRow { reason: run.reason.lines().collect::<Vec<_>>().join(" | "), ..run.clone() };
        let (phases, answers, line) = (lines(phases)?, lines(answers)?, lines(std::slice::from_ref(&row))?);
        let written = self.within_reserve(|r| {
            append_all(&mut [(&mut r.phases, &phases), (&mut r.answers, &answers), (&mut r.runs, &line)])
        });
        let row = match written {
            Err(e) if space::is_full(e.kind()) => self.append_alone(row)?,
            other => other.map(|()| row).with_context(|| format!("cannot append to {}", self.dir.display()))?,
        };
        self.known.insert(row.run_id.clone());
        Ok(row)
    }

    /// The row of a run whose phases and answers do not fit.
    fn append_alone(&mut self, run: RunRow) -> Result<RunRow> {
        let dir = self.dir.display();
        let reason = format!("no space left in {dir} for its phases and answers; it had ended as {}", run.status);
        let row = RunRow { status: Status::Disk, reason, accused: String::new(), ..run };
        let line = lines(std::slice::from_ref(&row))?;
        append_all(&mut [(&mut self.runs, &line)])
            .with_context(|| format!("{dir}: no space left for the row of '{}', which is lost", row.run_id))?;
        Ok(row)
    }

    /// Whether the folder has these trials.
    pub(crate) fn has_trials(&self, setting: &str) -> bool {
        self.trials.contains(setting)
    }

    /// Appends a setting of trials.
    ///
    /// # Errors
    /// If it is there already, or the folder cannot be written.
    pub(crate) fn append_trials(&mut self, row: &TrialRow) -> Result<()> {
        ensure!(!self.has_trials(&row.setting), "trials '{}' are recorded already", row.setting);
        self.break_seal()?;
        let path = self.dir.join(TRIALS_CSV);
        let named = || format!("cannot append to {}", path.display());
        let mut file = OpenOptions::new().append(true).create(true).open(&path).with_context(named)?;
        let is_new = file.metadata().with_context(named)?.len() == 0;
        let mut bytes = if is_new { header::<TrialRow>()? } else { Vec::new() };
        bytes.extend(lines(std::slice::from_ref(row))?);
        self.within_reserve(|_| append_all(&mut [(&mut file, &bytes)])).with_context(named)?;
        self.trials.insert(row.setting.clone());
        Ok(())
    }

    /// Appends a line to the log, with the time before it.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub(crate) fn log(&mut self, message: &str) -> Result<()> {
        self.break_seal()?;
        let line = format!("{} {}\n", utc_now(), message.replace('\n', "\n    "));
        self.within_reserve(|r| append_all(&mut [(&mut r.log, line.as_bytes())]))
            .with_context(|| format!("cannot append to {}", self.dir.join(LOG_TXT).display()))
    }

    /// Ends the run, or what was done of it: writes the hash list, by which `bench check` finds any later change.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn seal(&mut self) -> Result<()> {
        self.reserve.give_up();
        seal::write(&self.dir, Occasion::EndOfRun)?;
        self.sealed = true;
        Ok(())
    }

    /// Writes; where the disk is full, once more with the reserve given up.
    fn within_reserve(&mut self, mut write: impl FnMut(&mut Self) -> io::Result<()>) -> io::Result<()> {
        match write(self) {
            Err(e) if space::is_full(e.kind()) => {
                self.full = true;
                if self.reserve.give_up() { write(self) } else { Err(e) }
            }
            other => other,
        }
    }

    /// The list goes before anything changes: a folder that is killed while it is written to has none.
    fn break_seal(&mut self) -> Result<()> {
        if std::mem::take(&mut self.sealed) {
            let list = self.dir.join(SHA256SUMS);
            fs::remove_file(&list).with_context(|| format!("cannot delete {}", list.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::record::samples::{self, begun, edit, refusal};

    #[test]
    fn nothing_is_written_twice_or_over() {
        let root = tempfile::tempdir().unwrap();
        let mut r = begun(root.path());
        let (run, phases) = samples::run("cheetah", "lan", 1);
        assert!(r.append(&run, &phases, &[]).unwrap_err().to_string().contains("recorded already"));
        let (other, _) = samples::run("cheetah", "lan", 3);
        assert!(r.append(&other, &phases, &[]).unwrap_err().to_string().contains("beside run"));
        assert!(Recorder::create(r.dir(), &samples::machine(), "").err().unwrap().to_string().contains("not empty"));
        assert!(r.append(&other, &[], &samples::answers(&run)).unwrap_err().to_string().contains("beside run"));
        assert_eq!(Folder::read(r.dir()).unwrap().runs.len(), 2);
        let a = Recorder::create_under(root.path(), &samples::machine(), "0123456789", "").unwrap();
        let b = Recorder::create_under(root.path(), &samples::machine(), "0123456789", "").unwrap();
        let name = a.dir().file_name().unwrap().to_str().unwrap();
        assert!(name.ends_with("-testbox-01234567"), "{name}");
        assert_eq!(b.dir().file_name().unwrap().to_str().unwrap(), format!("{name}-2"));
    }

    #[test]
    fn a_killed_run_is_resumed_where_it_stopped() {
        let root = tempfile::tempdir().unwrap();
        let r = begun(root.path());
        let dir = r.dir().to_owned();
        assert!(format!("{:#}", Recorder::resume(&dir, "name = \"x\"\n").err().unwrap()).contains("in use"));
        drop(r);
        let before = [PHASES_CSV, ANSWERS_CSV].map(|name| fs::read(dir.join(name)).unwrap());
        // The phases of run 3 arrived, its own row only in part.
        let (run, phases) = samples::run("cheetah", "lan", 3);
        let mut cut = lines(std::slice::from_ref(&run)).unwrap();
        cut.truncate(cut.len() / 2);
        let add = |name: &str, bytes: &[u8]| {
            OpenOptions::new().append(true).open(dir.join(name)).unwrap().write_all(bytes).unwrap();
        };
        add(RUNS_CSV, &cut);
        add(PHASES_CSV, &lines(&phases).unwrap());
        add(ANSWERS_CSV, &lines(&samples::answers(&run)).unwrap());
        assert!(refusal(&dir).contains("runs.csv:4: "), "{}", refusal(&dir));

        assert!(Recorder::resume(&dir, "other").err().unwrap().to_string().contains("another experiment"));
        let mut r = Recorder::resume(&dir, "name = \"x\"\n").unwrap();
        assert_eq!([PHASES_CSV, ANSWERS_CSV].map(|name| fs::read(dir.join(name)).unwrap()), before);
        assert!(r.has("lan/mnist-cnn4/cheetah/b1#2") && !r.has(&run.run_id));
        r.append(&run, &phases, &samples::answers(&run)).unwrap();
        let f = Folder::read(&dir).unwrap();
        assert_eq!((f.runs.len(), f.phases.len(), f.answers.unwrap().len()), (3, 3 * phases.len(), 3));
        fs::remove_file(dir.join(ANSWERS_CSV)).unwrap();
        assert_eq!(Folder::read(&dir).unwrap().answers, None, "a folder of an earlier version");
    }

    #[test]
    fn the_hash_list_is_there_between_runs_and_never_during_one() {
        let root = tempfile::tempdir().unwrap();
        let mut r = begun(root.path());
        let (dir, list) = (r.dir().to_owned(), r.dir().join(SHA256SUMS));
        assert!(!list.exists());
        r.seal().unwrap();
        assert_eq!(seal::differences(&dir).unwrap(), Some(vec![]));
        drop(r);
        let mut r = Recorder::resume(&dir, "name = \"x\"\n").unwrap();
        assert!(list.exists(), "nothing was written yet");
        r.log("goes on").unwrap();
        assert!(!list.exists());
        r.seal().unwrap();
        drop(r);
        edit(&dir.join(RUNS_CSV), "cheetah", "Cheetah");
        let e = Recorder::resume(&dir, "name = \"x\"\n").err().unwrap().to_string();
        assert!(e.contains("runs.csv was changed after the list was written"), "{e}");
    }

    /// With one of its files on a disk that is full.
    fn full(mut r: Recorder, of: fn(&mut Recorder) -> &mut File) -> Recorder {
        *of(&mut r) = OpenOptions::new().append(true).open("/dev/full").unwrap();
        r
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_run_that_does_not_fit_becomes_a_row_that_says_so_and_is_done_again() {
        let root = tempfile::tempdir().unwrap();
        let mut r = full(begun(root.path()), |r| &mut r.phases);
        let dir = r.dir().to_owned();
        let before = [PHASES_CSV, ANSWERS_CSV].map(|name| fs::read(dir.join(name)).unwrap());
        let (run, phases) = samples::run("cheetah", "lan", 3);
        assert!(!r.is_full());
        let row = r.append(&run, &phases, &samples::answers(&run)).unwrap();
        assert!(r.is_full() && row.status == Status::Disk && row.reason.contains("no space left in"), "{}", row.reason);
        assert!(row.reason.ends_with("it had ended as ok") && row.run_wall_ns == run.run_wall_ns);
        r.seal().unwrap();
        drop(r);
        assert_eq!(Folder::read(&dir).unwrap().runs[2], row);
        assert_eq!([PHASES_CSV, ANSWERS_CSV].map(|name| fs::read(dir.join(name)).unwrap()), before);

        let mut r = Recorder::resume(&dir, "name = \"x\"\n").unwrap();
        assert!(!r.has(&run.run_id) && r.has("lan/mnist-cnn4/cheetah/b1#2") && !dir.join(SHA256SUMS).exists());
        assert_eq!(r.append(&run, &phases, &samples::answers(&run)).unwrap(), run);
        assert_eq!(Folder::read(&dir).unwrap().runs.len(), 3);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_without_space_for_a_row_is_an_error_that_loses_no_other() {
        let root = tempfile::tempdir().unwrap();
        let (run, phases) = samples::run("cheetah", "lan", 3);
        let mut r = full(begun(root.path()), |r| &mut r.runs);
        let e = r.append(&run, &phases, &samples::answers(&run)).unwrap_err();
        assert!(space::says_full(&e) && format!("{e:#}").contains("no space left for the row of"), "{e:#}");
        let dir = r.dir().to_owned();
        let mut r = full(r, |r| &mut r.log);
        assert!(space::says_full(&r.log("x").unwrap_err()));
        drop(r);
        let f = Folder::read(&dir).unwrap();
        assert_eq!((f.runs.len(), f.phases.len()), (2, 2 * phases.len()));
        let left: Vec<_> = fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("reserve")), "{left:?}");
    }
}
