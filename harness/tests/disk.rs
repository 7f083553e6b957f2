//! Runs whose disk fills up: nothing that was measured is lost, and with room they go on.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use common::{Said, arg, bench, command, eventually, experiment, folder, record, rows};

/// A disk of 2 MiB: a file system in memory that only its holder's mount namespace has, reached through the holder's view.
struct TinyDisk {
    holder: Child,
    path: PathBuf,
    _mount: tempfile::TempDir,
}

impl TinyDisk {
    /// `None`, said aloud, where nothing can be mounted.
    fn new() -> Option<Self> {
        let mount = folder();
        let hold = "mount -t tmpfs -o size=2m none \"$0\" && echo up && read -r end";
        // As root; else as root of a user namespace.
        for options in [&["-m"][..], &["-r", "-m"]] {
            let mut c = Command::new("unshare");
            c.args(options).args(["sh", "-c", hold, arg(mount.path())]);
            let spawned = c.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            let Ok(mut holder) = spawned else { continue };
            let mut said = String::new();
            let _ = BufReader::new(holder.stdout.take().expect("output")).read_line(&mut said);
            if said == "up\n" {
                let path = format!("/proc/{}/root{}", holder.id(), arg(mount.path())).into();
                return Some(Self { holder, path, _mount: mount });
            }
            let _ = holder.wait();
        }
        eprintln!("SKIPPED: nothing can be mounted here (unshare -m, as root or in a user namespace)");
        None
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut filler = File::create(self.path.join("filler")).expect("a file");
        while filler.write_all(&[1; 512]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.path.join("filler")).expect("removed");
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A run that has not ended yet.
fn begin(file: &Path, root: &Path) -> Child {
    let mut c = command(&["run", arg(file), "--records", arg(root)]);
    c.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts")
}

/// What a run says that a full disk has ended.
fn ended(output: Output) -> Said {
    let said = Said::from(output);
    assert!(!said.good, "{}", said.out);
    for part in ["error: a disk is full: ", "make room, then: bench run ", " --resume "] {
        assert!(said.err.contains(part), "'{part}' is not in: {}", said.err);
    }
    said
}

fn files(of: &Path) -> Vec<String> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_disk_that_fills_up_loses_no_row_and_the_run_goes_on() {
    let Some(disk) = TinyDisk::new() else { return };
    let dir = folder();
    let root = disk.path.join("records");
    let file = experiment(dir.path(), &[("repetitions", "14")]);
    let run = begin(&file, &root);
    let two = || fs::read_dir(&root).ok()?.next()?.ok().map(|e| e.path());
    eventually("two rows", || two().is_some_and(|f| f.join("runs.csv").exists() && rows(&f).len() >= 2));
    disk.fill();
    let said = ended(run.wait_with_output().expect("ends"));
    assert!(said.err.contains("no space left in"), "{}", said.err);
    let record = record(&root);
    let kept = rows(&record);
    assert!((2..14).contains(&kept.len()) && kept.iter().all(|r| r.1 == "ok"), "{kept:?}");
    assert!(said.out.contains(&format!("[{}/14] {}", kept.len(), kept[kept.len() - 1].0)), "{}", said.out);
    assert!(files(&record).contains(&"SHA256SUMS".to_owned()) && !files(&record).contains(&"reserve.tmp".to_owned()));
    let said = bench(&["check", arg(&record)]).ok();
    assert!(said.out.contains("repetitions were not run yet"), "{}", said.out);

    // As long as there is no room, nothing is run for nothing.
    bench(&["run", arg(&file), "--resume", arg(&record)]).refuses(&["cannot keep 1024 KiB free in", "make room there"]);
    assert_eq!(rows(&record), kept);
    disk.make_room();
    bench(&["run", arg(&file), "--resume", arg(&record)]).ok();
    let all = rows(&record);
    assert!(all.len() == 14 && all[..kept.len()] == kept && all.iter().all(|r| r.1 == "ok"), "{all:?}");
    bench(&["check", arg(&record)]).ok();

    // No folder is begun where there is no room for a row.
    disk.fill();
    let before = files(&root);
    bench(&["run", arg(&file), "--records", arg(&root)]).refuses(&["cannot write the record folder", "No space left"]);
    assert_eq!(files(&root), before);
}

#[test]
fn a_plan_on_a_full_disk_is_a_row_that_says_so_and_goes_on_from_its_last_chunk() {
    let Some(disk) = TinyDisk::new() else { return };
    let dir = folder();
    let root = disk.path.join("records");
    // 50 chunks, each a round trip of 40 ms; their answers fill several pages of the journal.
    let plan = "[{ queries = 45, copies = 2, public = 10, security_bits = 0, method = \"measured\", chunk = 2 }]";
    let lines = [("protocols", "[\"fusion(plain)\"]"), ("links", "[\"wan\"]"), ("fusion", plan)];
    let file = experiment(dir.path(), &lines);
    let run = begin(&file, &root);
    let journal = || {
        let folder = fs::read_dir(&root).ok()?.next()?.ok()?.path();
        files(&folder).into_iter().find(|name| name.starts_with("journal-")).map(|name| folder.join(name))
    };
    let chunks = |path: PathBuf| fs::read_to_string(path).map_or(0, |t| t.lines().count().saturating_sub(1));
    eventually("some chunks", || journal().is_some_and(|path| chunks(path) >= 3));
    disk.fill();
    let said = ended(run.wait_with_output().expect("ends"));
    assert!(said.err.contains("the client in online: journal "), "{}", said.err);
    let record = record(&root);
    let row = &rows(&record)[0];
    assert!(row.1 == "disk" && row.2.contains("cannot append to it: No space left"), "{row:?}");
    let said = bench(&["check", arg(&record)]).ok();
    assert!(said.out.contains("a disk was full: make room"), "{}", said.out);
    let done = chunks(journal().expect("it stays"));
    assert!((3..50).contains(&done), "{done}");

    disk.make_room();
    let said = bench(&["run", arg(&file), "--records", arg(&root), "--continue"]).ok();
    assert!(said.out.contains("RESUMED after"), "{}", said.out);
    let mut reader = csv::Reader::from_path(record.join("runs.csv")).expect("runs.csv");
    let all: Vec<std::collections::HashMap<String, String>> = reader.deserialize().map(|r| r.expect("a row")).collect();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0]["status"].as_str(), all[0]["resumed_inferences"].clone()), ("ok", (2 * done).to_string()));
    assert!(all[0]["labels_equal"] == "45" && journal().is_none(), "{:?}", all[0]);
    bench(&["check", arg(&record)]).ok();
}

#[test]
fn a_full_disk_of_temporary_files_is_a_row_that_says_so() {
    let Some(disk) = TinyDisk::new() else { return };
    let dir = folder();
    let root = dir.path().join("records");
    let file = experiment(dir.path(), &[("repetitions", "2")]);
    disk.fill();
    let mut c = command(&["run", arg(&file), "--records", arg(&root)]);
    ended(c.env("TMPDIR", &disk.path).output().expect("ends"));
    let record = record(&root);
    let kept = rows(&record);
    assert!(kept.len() == 1 && kept[0].1 == "disk" && kept[0].2.contains("job.json: No space left"), "{kept:?}");
    bench(&["run", arg(&file), "--resume", arg(&record)]).ok();
    let all = rows(&record);
    assert!(all.len() == 2 && all.iter().all(|r| r.1 == "ok") && all[0].0 == kept[0].0, "{all:?}");
    bench(&["check", arg(&record)]).ok();
}
