//! The hash list of a record folder, in the format of `sha256sum -c`: it is written when a run ends, so that a byte that
//! is changed later is found. It is no signature: who can change a file can also write a new list, but not the old one.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::{Context, Result};

use super::{ANSWERS_CSV, EXPERIMENT_TOML, LOG_TXT, MACHINE_TOML, PHASES_CSV, RUNS_CSV, TRIALS_CSV, utc_now};

/// Name of the list.
pub(crate) const SHA256SUMS: &str = "SHA256SUMS";

/// The files that a record may have, all of which the list covers.
const FILES: [&str; 7] = [ANSWERS_CSV, EXPERIMENT_TOML, LOG_TXT, MACHINE_TOML, PHASES_CSV, RUNS_CSV, TRIALS_CSV];

/// When a list is written: its first line says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// By the program that wrote the record, at the end of its run.
    EndOfRun,
    /// Some time after the run: the list vouches for nothing before that.
    Later,
}

/// Writes the list of a folder, whole or not at all.
///
/// # Errors
/// If a file cannot be read or the list cannot be written.
pub(crate) fn write(dir: &Path, occasion: Occasion) -> Result<()> {
    let now = utc_now();
    let mut text = match occasion {
        Occasion::EndOfRun => format!("# Written by bench run at its end, {now}.\n"),
        Occasion::Later => {
            format!("# Written by bench check --seal, {now}: the files as they were then, not as the run left them.\n")
        }
    };
    for name in FILES.iter().filter(|n| dir.join(n).exists()) {
        let _ = writeln!(text, "{}  {name}", hash(&dir.join(name))?);
    }
    let (list, draft) = (dir.join(SHA256SUMS), dir.join("SHA256SUMS.new"));
    let named = || format!("cannot write {}", list.display());
    let mut file = File::create(&draft).with_context(named)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(named)?;
    fs::rename(&draft, &list).with_context(named)
}

/// What differs between a folder and its list, in words: nothing if all is as it was. `None` if there is no list.
///
/// # Errors
/// If a file cannot be read.
pub(crate) fn differences(dir: &Path) -> Result<Option<Vec<String>>> {
    let path = dir.join(SHA256SUMS);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut found = Vec::new();
    let mut listed = BTreeSet::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.starts_with('#')) {
        let at = format!("{SHA256SUMS}:{}", i + 1);
        let Some((expected, name)) = line.split_once("  ").filter(|(h, _)| h.len() == 64) else {
            found.push(format!("{at}: not a hash, two spaces and a file's name"));
            continue;
        };
        // No path of the list is opened unless it is that of a file of a record.
        if !FILES.contains(&name) {
            found.push(format!("{at}: '{name}' is no file of a record"));
        } else if !listed.insert(name) {
            found.push(format!("{at}: {name} stands twice"));
        } else if !dir.join(name).exists() {
            found.push(format!("{name} is on the list and not in the folder"));
        } else if !hash(&dir.join(name))?.eq_ignore_ascii_case(expected) {
            found.push(format!("{name} was changed after the list was written"));
        }
    }
    let unlisted = FILES.iter().filter(|n| dir.join(n).exists() && !listed.contains(**n));
    found.extend(unlisted.map(|n| format!("{n} is in the folder and not on the list")));
    Ok(Some(found))
}

fn hash(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(si_models::sha256_hex(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in [MACHINE_TOML, EXPERIMENT_TOML, RUNS_CSV, PHASES_CSV, LOG_TXT] {
            fs::write(dir.path().join(name), format!("{name}\n")).unwrap();
        }
        write(dir.path(), Occasion::EndOfRun).unwrap();
        dir
    }

    #[test]
    fn the_list_is_that_of_sha256sum() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(differences(dir.path()).unwrap(), None);
        fs::write(dir.path().join(LOG_TXT), "abc").unwrap(); // the first example of FIPS 180-4
        write(dir.path(), Occasion::Later).unwrap();
        let text = fs::read_to_string(dir.path().join(SHA256SUMS)).unwrap();
        let line = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  log.txt";
        assert!(text.starts_with("# Written by bench check --seal") && text.lines().nth(1) == Some(line), "{text}");
        assert!(!dir.path().join("SHA256SUMS.new").exists());
    }

    #[test]
    fn every_change_of_a_sealed_folder_is_found() {
        let dir = sealed();
        assert_eq!(differences(dir.path()).unwrap(), Some(vec![]));
        let found = |change: &dyn Fn(&Path), expect: &str| {
            let dir = sealed();
            change(dir.path());
            let found = differences(dir.path()).unwrap().unwrap();
            assert!(found.len() == 1 && found[0].contains(expect), "{expect}: {found:?}");
        };
        for name in [MACHINE_TOML, EXPERIMENT_TOML, RUNS_CSV, PHASES_CSV, LOG_TXT] {
            // One bit of one byte.
            found(&|d| fs::write(d.join(name), format!("{name}\x0b")).unwrap(), &format!("{name} was changed"));
            found(&|d| fs::remove_file(d.join(name)).unwrap(), &format!("{name} is on the list and not in"));
        }
        found(&|d| fs::write(d.join(ANSWERS_CSV), "").unwrap(), "answers.csv is in the folder and not on the list");
        let list = |d: &Path, edit: &dyn Fn(String) -> String| {
            let path = d.join(SHA256SUMS);
            fs::write(&path, edit(fs::read_to_string(&path).unwrap())).unwrap();
        };
        let twice = |t: String| t.clone() + t.lines().last().unwrap() + "\n";
        found(&|d| list(d, &twice), "SHA256SUMS:7: runs.csv stands twice");
        let outside = |t: String| t + &"0".repeat(64) + "  ../../passwd\n";
        found(&|d| list(d, &outside), "'../../passwd' is no file of a record");
        found(&|d| list(d, &|t| t + "nonsense\n"), "SHA256SUMS:7: not a hash");
    }
}
