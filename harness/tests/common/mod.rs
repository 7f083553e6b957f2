//! The built program, driven as a user drives it.

#![allow(dead_code)] // each test file uses a part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// What a command said.
pub(crate) struct Said {
    pub(crate) good: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(o: Output) -> Self {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        Self { good: o.status.success(), out: text(&o.stdout), err: text(&o.stderr) }
    }
}

impl Said {
    /// Expects failure with one line on standard error that holds all of `parts`.
    pub(crate) fn refuses(&self, parts: &[&str]) {
        assert!(!self.good, "should have failed: {}", self.out);
        let lines: Vec<_> = self.err.lines().collect();
        assert_eq!(lines.len(), 1, "{}", self.err);
        assert!(lines[0].starts_with("error: "), "{}", self.err);
        for part in parts {
            assert!(lines[0].contains(part), "'{part}' is not in: {}", self.err);
        }
    }

    /// Expects success.
    pub(crate) fn ok(self) -> Self {
        assert!(self.good, "{}\n{}", self.out, self.err);
        self
    }

    /// Expects success and JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok().out).expect("JSON")
    }
}

/// A command of the program, ready to be changed and run.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_bench"));
    c.args(args).env_remove("SI_DATASETS_DIR").env_remove("SI_MODELS_DIR");
    c
}

/// Runs a command.
pub(crate) fn bench(args: &[&str]) -> Said {
    command(args).output().expect("the program starts").into()
}

/// A folder for one test.
pub(crate) fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Writes an experiment: `plain` on `tiny` over loopback, with some lines replaced or added.
pub(crate) fn experiment(folder: &Path, lines: &[(&str, &str)]) -> PathBuf {
    let mut all = vec![
        ("name", "\"test\"".to_owned()),
        ("title", "\"a test\"".to_owned()),
        ("protocols", "[\"plain\"]".to_owned()),
        ("models", "[\"tiny\"]".to_owned()),
        ("dataset", "\"random\"".to_owned()),
        ("links", "[\"loopback\"]".to_owned()),
        ("means", "\"model\"".to_owned()), // the same wherever the tests run
        ("repetitions", "1".to_owned()),
        ("timeout_s", "30".to_owned()),
    ];
    for (key, value) in lines {
        match all.iter_mut().find(|(k, _)| k == key) {
            Some(line) => line.1 = (*value).to_owned(),
            None => all.push((key, (*value).to_owned())),
        }
    }
    let text: String = all.iter().map(|(k, v)| format!("{k} = {v}\n")).collect();
    let path = folder.join("test.toml");
    std::fs::write(&path, text).expect("written");
    path
}

/// The one record folder below `root`.
pub(crate) fn record(root: &Path) -> PathBuf {
    let mut found: Vec<_> = std::fs::read_dir(root).expect("records").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Rows of a record's runs.csv as (run_id, status, reason).
pub(crate) fn rows(record: &Path) -> Vec<(String, String, String)> {
    let mut reader = csv::Reader::from_path(record.join("runs.csv")).expect("runs.csv");
    let headers = reader.headers().expect("a header").clone();
    let at = |name: &str| headers.iter().position(|h| h == name).expect("a column");
    let (id, status, reason) = (at("run_id"), at("status"), at("reason"));
    let row = |r: csv::StringRecord| (r[id].to_owned(), r[status].to_owned(), r[reason].to_owned());
    reader.records().map(|r| row(r.expect("a row"))).collect()
}

/// Waits until `true`, for at most some seconds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("never happened: {what}");
}
