//! A record folder, read back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};

use super::columns::read_rows;
use super::{
    ANSWERS_CSV, AnswerRow, EXPERIMENT_TOML, LOG_TXT, MACHINE_TOML, Machine, PHASES_CSV, PhaseRow, RUNS_CSV, RunRow,
    TRIALS_CSV, TrialRow,
};

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
    /// What happened, line by line; empty if there is no log.
    pub(crate) log: String,
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
            log: if dir.join(LOG_TXT).exists() { text(LOG_TXT)? } else { String::new() },
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::columns::{LATER, columns};
    use crate::record::samples::{self, begun, edit, refusal};

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
        refused(",rounds,", ",rounds,rounds,", "runs.csv:1: column 'rounds' stands twice");
        for number in ["NaN", "-2", "2.5", "99999999999999999999"] {
            refused(
                "lan/mnist-cnn4/cheetah/b1,2,",
                &format!("lan/mnist-cnn4/cheetah/b1,{number},"),
                "column 'repetition'",
            );
        }
        let huge = "lan/mnist-cnn4/cheetah/b1,18446744073709551615,";
        refused("lan/mnist-cnn4/cheetah/b1,2,", huge, "runs.csv:3: column 'repetition': 18446744073709551615 is above");
        fs::write(&runs, &original[..original.len() - 30]).unwrap();
        assert!(refusal(&dir).contains("runs.csv:3: 77 fields, the header has 82"), "{}", refusal(&dir));
        fs::write(&runs, [original.as_bytes(), b"\xff\n"].concat()).unwrap();
        assert!(refusal(&dir).contains("runs.csv"), "{}", refusal(&dir));
        fs::write(&runs, &original).unwrap();
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
