//! A record folder: written row by row, read back with errors that name file, line and column.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::seal::{self, Occasion, SHA256SUMS};
use super::{
    ANSWERS_CSV, AnswerRow, EXPERIMENT_TOML, LOG_TXT, MACHINE_TOML, Machine, PHASES_CSV, PhaseRow, RUNS_CSV, RunRow,
    TRIALS_CSV, TrialRow, utc_date, utc_now,
};

/// Columns that were added after records had been made, and have a default (agreement with [`RunRow`]).
const LATER: [&str; 11] = [
    "one_way_trips",
    "server",
    "resumed_inferences",
    "tcp_congestion",
    "tcp_restarts_after_idle",
    "tcp_buffer_bytes",
    "rtt_1kb_seen_p50_us",
    "duplex_seen_bits_per_s",
    "fresh_mb_seen_us",
    "retransmits_seen",
    "drops_seen",
];

/// A record folder that is being written. Each row is flushed before `append` returns, so that a run that is killed
/// loses nothing it had finished.
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
}

/// A record folder as read.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    pub(crate) machine: Machine,
    /// The experiment's text as it was run.
    pub(crate) experiment: String,
    pub(crate) runs: Vec<RunRow>,
    pub(crate) phases: Vec<PhaseRow>,
    /// `None` in folders of versions that did not write them.
    pub(crate) answers: Option<Vec<AnswerRow>>,
    /// Empty unless the experiment has trials.
    pub(crate) trials: Vec<TrialRow>,
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
    /// If there is something there, or it cannot be written.
    pub(crate) fn create(dir: &Path, machine: &Machine, experiment: &str) -> Result<Self> {
        let named = || format!("cannot write the record folder {}", dir.display());
        fs::create_dir_all(dir).with_context(named)?;
        ensure!(
            fs::read_dir(dir).with_context(named)?.next().is_none(),
            "{} is not empty: records are never overwritten; name another folder, or add to this one with --resume",
            dir.display()
        );
        fs::write(dir.join(MACHINE_TOML), toml::to_string(machine).context("machine.toml")?).with_context(named)?;
        fs::write(dir.join(EXPERIMENT_TOML), experiment).with_context(named)?;
        fs::write(dir.join(PHASES_CSV), header::<PhaseRow>()?).with_context(named)?;
        fs::write(dir.join(ANSWERS_CSV), header::<AnswerRow>()?).with_context(named)?;
        fs::write(dir.join(RUNS_CSV), header::<RunRow>()?).with_context(named)?;
        Self::open(dir, HashSet::new()).with_context(named)
    }

    /// Goes on with a folder that was begun before. An unfinished last line, and the phases and answers of a run that was
    /// killed before its row was written, are cut off; nothing else is touched.
    ///
    /// # Errors
    /// If the folder cannot be read or is in use, its experiment is not `experiment`, or it was changed after its run.
    pub(crate) fn resume(dir: &Path, experiment: &str) -> Result<Self> {
        // The lock comes first: another writer's unfinished line is not ours to cut.
        let mut recorder = Self::open(dir, HashSet::new())?;
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
        recorder.known = folder.runs.iter().map(|r| r.run_id.clone()).collect();
        let of_known = |run: &str| recorder.known.contains(run);
        cut_orphans(&dir.join(PHASES_CSV), folder.phases.iter().map(|p| of_known(&p.run_id)))?;
        let answers = folder.answers.iter().flatten();
        cut_orphans(&dir.join(ANSWERS_CSV), answers.map(|a| of_known(&a.run_id)))?;
        recorder.trials = folder.trials.iter().map(|t| t.setting.clone()).collect();
        Ok(recorder)
    }

    fn open(dir: &Path, known: HashSet<String>) -> Result<Self> {
        let append = |name: &str, create: bool| {
            let path = dir.join(name);
            let file = OpenOptions::new().append(true).create(create).open(&path);
            file.with_context(|| format!("cannot append to {}", path.display()))
        };
        let (runs, phases, log) = (append(RUNS_CSV, false)?, append(PHASES_CSV, false)?, append(LOG_TXT, true)?);
        let answers = append(ANSWERS_CSV, false)?;
        runs.try_lock().map_err(|e| anyhow!("{} is in use by another run ({e})", dir.display()))?;
        Ok(Self { dir: dir.to_owned(), runs, phases, answers, log, known, trials: HashSet::new(), sealed: false })
    }

    /// Where it is.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether the folder has a row of this run.
    pub(crate) fn has(&self, run_id: &str) -> bool {
        self.known.contains(run_id)
    }

    /// Appends a run. Its phases and answers go first: the row of the run is what makes it finished.
    ///
    /// # Errors
    /// If the run is there already, a phase or an answer is of another run, or the folder cannot be written.
    pub(crate) fn append(&mut self, run: &RunRow, phases: &[PhaseRow], answers: &[AnswerRow]) -> Result<()> {
        ensure!(!self.has(&run.run_id), "run '{}' is recorded already", run.run_id);
        let mut parts = phases.iter().map(|p| &p.run_id).chain(answers.iter().map(|a| &a.run_id));
        if let Some(other) = parts.find(|id| **id != run.run_id) {
            bail!("a phase or an answer of run '{other}' beside run '{}'", run.run_id);
        }
        self.break_seal()?;
        let named = || format!("cannot append to {}", self.dir.display());
        write_whole(&mut self.phases, &lines(phases)?).with_context(named)?;
        write_whole(&mut self.answers, &lines(answers)?).with_context(named)?;
        let one_line = RunRow { reason: run.reason.lines().collect::<Vec<_>>().join(" | "), ..run.clone() };
        write_whole(&mut self.runs, &lines(&[one_line])?).with_context(named)?;
        self.known.insert(run.run_id.clone());
        Ok(())
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
        let mut bytes = if path.exists() { Vec::new() } else { header::<TrialRow>()? };
        bytes.extend(lines(std::slice::from_ref(row))?);
        let mut file = OpenOptions::new().append(true).create(true).open(&path).with_context(named)?;
        write_whole(&mut file, &bytes).with_context(named)?;
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
        write_whole(&mut self.log, line.as_bytes()).with_context(|| format!("{}/{LOG_TXT}", self.dir.display()))
    }

    /// Ends the run, or what was done of it: writes the hash list, by which `bench check` finds any later change.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn seal(&mut self) -> Result<()> {
        seal::write(&self.dir, Occasion::EndOfRun)?;
        self.sealed = true;
        Ok(())
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

impl Folder {
    /// Reads a folder.
    ///
    /// # Errors
    /// If a file is missing, has other columns than this version writes, or a field does not parse.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let machine = toml::from_str(&text(MACHINE_TOML)?)
            .map_err(|e| anyhow!("{}: {}", dir.join(MACHINE_TOML).display(), e.message()))?;
        Ok(Self {
            dir: dir.to_owned(),
            machine,
            experiment: text(EXPERIMENT_TOML)?,
            runs: read_rows(&dir.join(RUNS_CSV))?,
            phases: read_rows(&dir.join(PHASES_CSV))?,
            answers: Some(dir.join(ANSWERS_CSV)).filter(|p| p.exists()).map(|p| read_rows(&p)).transpose()?,
            trials: if dir.join(TRIALS_CSV).exists() { read_rows(&dir.join(TRIALS_CSV))? } else { Vec::new() },
        })
    }

    /// The experiment that was run, if anything was.
    pub(crate) fn experiment_name(&self) -> Option<String> {
        self.runs.first().map(|r| &r.experiment).or(self.trials.first().map(|t| &t.experiment)).cloned()
    }

    /// When the first row was begun, if there is one.
    pub(crate) fn begun_utc(&self) -> Option<String> {
        self.runs.first().map(|r| &r.started_utc).or(self.trials.first().map(|t| &t.started_utc)).cloned()
    }

    /// The folder's own name.
    pub(crate) fn name(&self) -> String {
        self.dir.file_name().map_or_else(|| self.dir.display().to_string(), |n| n.to_string_lossy().into_owned())
    }
}

/// Names of the columns of a row, in order.
pub(crate) fn columns<T: Default + Serialize>() -> Result<Vec<String>> {
    let mut w = csv::Writer::from_writer(Vec::new());
    w.serialize(T::default())?;
    let bytes = w.into_inner().map_err(|e| anyhow!("{e}"))?;
    let mut r = csv::Reader::from_reader(bytes.as_slice());
    Ok(r.headers()?.iter().map(str::to_owned).collect())
}

fn header<T: Default + Serialize>() -> Result<Vec<u8>> {
    Ok(format!("{}\n", columns::<T>()?.join(",")).into_bytes())
}

fn lines<T: Serialize>(rows: &[T]) -> Result<Vec<u8>> {
    let mut w = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for row in rows {
        w.serialize(row)?;
    }
    w.into_inner().map_err(|e| anyhow!("{e}"))
}

/// One call to the system for all lines, so that a kill between two calls cannot leave half a row.
fn write_whole(file: &mut File, bytes: &[u8]) -> std::io::Result<()> {
    file.write_all(bytes)?;
    file.sync_data()
}

fn read_rows<T: Default + Serialize + DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let shown = path.display();
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {shown}"))?;
    let headers = reader.headers().with_context(|| format!("{shown}:1"))?.clone();
    let (found, want): (Vec<_>, _) = (headers.iter().map(str::to_owned).collect(), columns::<T>()?);
    if let Some(c) = want.iter().find(|c| !found.contains(c) && !LATER.contains(&c.as_str())) {
        bail!("{shown}:1: column '{c}' is missing; see results/SCHEMA.md");
    }
    if let Some(c) = found.iter().find(|c| !want.contains(c)) {
        bail!("{shown}:1: unknown column '{c}'; see results/SCHEMA.md");
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(rows),
            Ok(true) => {
                rows.push(record.deserialize(Some(&headers)).map_err(|e| explain(path, &headers, &record, &e))?)
            }
            Err(e) => return Err(explain(path, &headers, &record, &e)),
        }
    }
}

/// `file:line: column 'c': why (value)`.
fn explain(path: &Path, headers: &csv::StringRecord, record: &csv::StringRecord, e: &csv::Error) -> anyhow::Error {
    let shown = path.display();
    match e.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            anyhow!("{shown}:{line}: {len} fields, the header has {expected_len}")
        }
        csv::ErrorKind::Deserialize { err, .. } => {
            let line = record.position().map_or(0, csv::Position::line);
            // An unknown variant comes without its field, but between backticks.
            let variant = err.kind().to_string().split('`').nth(1).map(str::to_owned);
            let by_value = || record.iter().position(|v| Some(v) == variant.as_deref());
            let field = err.field().and_then(|f| usize::try_from(f).ok()).or_else(by_value);
            let column = field.and_then(|f| headers.get(f)).unwrap_or("?");
            let value = field.and_then(|f| record.get(f)).unwrap_or("");
            anyhow!("{shown}:{line}: column '{column}': {} (value '{value}')", err.kind())
        }
        _ => anyhow!("{shown}: {e}"),
    }
}

fn cut_unfinished_line(path: &Path) -> Result<()> {
    let named = || format!("cannot read {}", path.display());
    let bytes = fs::read(path).with_context(named)?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    if whole < bytes.len() {
        truncate(path, whole as u64)?;
    }
    Ok(())
}

/// Cuts rows of unknown runs from the end of the file; elsewhere they are left for `bench check` to report.
fn cut_orphans(path: &Path, known: impl Iterator<Item = bool>) -> Result<()> {
    let known: Vec<bool> = known.collect();
    let keep = known.iter().rposition(|k| *k).map_or(0, |i| i + 1);
    if keep == known.len() {
        return Ok(());
    }
    let mut reader = csv::Reader::from_path(path)?;
    let first_orphan = reader.records().nth(keep).transpose()?;
    match first_orphan.as_ref().and_then(csv::StringRecord::position) {
        Some(p) => truncate(path, p.byte()),
        None => Ok(()),
    }
}

fn truncate(path: &Path, len: u64) -> Result<()> {
    let named = || format!("cannot cut the unfinished end of {}", path.display());
    OpenOptions::new().write(true).open(path).and_then(|f| f.set_len(len)).with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn begun(root: &Path) -> Recorder {
        let mut r = Recorder::create(&root.join("f"), &samples::machine(), "name = \"x\"\n").unwrap();
        for n in 1..=2 {
            let (run, phases) = samples::run("cheetah", "lan", n);
            r.append(&run, &phases, &samples::answers(&run)).unwrap();
        }
        r
    }

    fn edit(path: &Path, from: &str, to: &str) {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn refusal(dir: &Path) -> String {
        format!("{:#}", Folder::read(dir).unwrap_err())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let root = tempfile::tempdir().unwrap();
        let mut r = begun(root.path());
        let mut failed = RunRow { run_id: "f".into(), reason: "first\nsecond, \"third\"".into(), ..RunRow::default() };
        r.append(&failed, &[], &[]).unwrap();
        r.log("began").unwrap();
        let f = Folder::read(r.dir()).unwrap();
        failed.reason = "first | second, \"third\"".into();
        let (run, phases) = samples::run("cheetah", "lan", 2);
        assert_eq!((&f.runs[1], &f.runs[2]), (&run, &failed));
        assert_eq!(f.phases[phases.len()..], phases);
        assert_eq!(f.answers.unwrap()[1..], samples::answers(&run));
        assert_eq!((f.machine, f.experiment.as_str()), (samples::machine(), "name = \"x\"\n"));
        assert!(fs::read_to_string(r.dir().join(LOG_TXT)).unwrap().ends_with("Z began\n"));
    }

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

    #[test]
    fn records_from_before_a_column_are_read() {
        let root = tempfile::tempdir().unwrap();
        let dir = begun(root.path()).dir().to_owned();
        let new = Folder::read(&dir).unwrap().runs;
        let runs = dir.join(RUNS_CSV);
        let mut reader = csv::Reader::from_path(&runs).unwrap();
        let at = reader.headers().unwrap().iter().position(|h| h == LATER[1]).unwrap();
        let header = reader.headers().unwrap().clone();
        let mut old = csv::Writer::from_writer(Vec::new());
        for row in std::iter::once(header).chain(reader.records().map(Result::unwrap)) {
            old.write_record(row.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, v)| v)).unwrap();
        }
        fs::write(&runs, old.into_inner().unwrap()).unwrap();
        assert_eq!(Folder::read(&dir).unwrap().runs, new);
    }

    #[test]
    fn errors_name_file_line_and_column() {
        let root = tempfile::tempdir().unwrap();
        let dir = begun(root.path()).dir().to_owned();
        let runs = dir.join(RUNS_CSV);
        let original = fs::read_to_string(&runs).unwrap();
        let refused = |from: &str, to: &str, expect: &str| {
            edit(&runs, from, to);
            let e = refusal(&dir);
            assert!(e.contains(expect), "{e}");
            fs::write(&runs, &original).unwrap();
        };
        refused(",rounds,", ",round_trips,", "runs.csv:1: column 'rounds' is missing");
        refused(",rounds,", ",rounds,total,", "runs.csv:1: unknown column 'total'");
        refused(",semi-honest,", ",semi-honest,,", "runs.csv:2: ");
        refused(",measured,", ",guessed,", "runs.csv:2: column 'method': unknown variant");
        refused(",false,rustc", ",maybe,rustc", "runs.csv:2: column 'dirty'");
        refused("#2,", "#2,\"", "runs.csv");
        fs::remove_file(dir.join(MACHINE_TOML)).unwrap();
        assert!(refusal(&dir).contains("machine.toml"));
    }

    /// Every column stands in the schema, in order, and the schema knows no other.
    #[test]
    fn the_schema_explains_every_column() {
        let schema = include_str!("../../../results/SCHEMA.md");
        let section = |name: &str| -> Vec<String> {
            let start = schema.find(&format!("## `{name}`")).unwrap_or_else(|| panic!("no section on {name}"));
            let body = &schema[start + 3..];
            let body = &body[..body.find("\n## ").unwrap_or(body.len())];
            let rows = body.lines().filter_map(|l| l.strip_prefix("| `")?.split_once('`'));
            rows.map(|(column, rest)| {
                let filled = rest.split('|').skip(1).filter(|cell| !cell.trim().is_empty()).count();
                assert_eq!(filled, 2, "{name}: {column} needs a unit or type and a meaning");
                column.to_owned()
            })
            .collect()
        };
        assert_eq!(section(RUNS_CSV), columns::<RunRow>().unwrap());
        assert_eq!(section(PHASES_CSV), columns::<PhaseRow>().unwrap());
        assert_eq!(section(ANSWERS_CSV), columns::<AnswerRow>().unwrap());
        assert_eq!(section(TRIALS_CSV), columns::<TrialRow>().unwrap());
        let machine = toml::to_string(&Machine::default()).unwrap();
        let keys: Vec<_> = machine.lines().map(|l| l.split(" = ").next().unwrap().to_owned()).collect();
        assert_eq!(section(MACHINE_TOML), keys);
    }
}
