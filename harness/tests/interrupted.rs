//! Runs that are killed or stopped: nothing is lost, nothing is left behind, and they go on.
#![cfg(target_os = "linux")]

mod common;

use std::path::PathBuf;
use std::process::Stdio;

use common::{arg, bench, command, eventually, experiment, folder, record, rows};

#[test]
fn a_killed_server_leaves_a_row_and_every_other_row() {
    let dir = folder();
    let root = dir.path().join("records");
    let file = experiment(dir.path(), &[("repetitions", "12"), ("links", "[\"wan\"]")]);
    let mut run = command(&["run", arg(&file), "--records", arg(&root)]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let folder = || std::fs::read_dir(&root).ok()?.next()?.ok().map(|e| e.path());
    let done = || folder().is_some_and(|f| f.join("runs.csv").exists() && rows(&f).len() >= 2);
    eventually("two rows", done);
    eventually("a server to kill", || {
        children(run.id()).into_iter().find(|pid| role(*pid).as_deref() == Some("server")).is_some_and(kill)
    });
    assert!(!run.wait().expect("ends").success());
    let rows = rows(&record(&root));
    assert_eq!(rows.len(), 12, "{rows:?}");
    let bad: Vec<_> = rows.iter().filter(|r| r.1 != "ok").collect();
    assert_eq!(bad.len(), 1, "{rows:?}");
    assert_eq!(bad[0].1, "error");
    assert!(bad[0].2.contains("the server was killed by signal 9 in"), "{bad:?}");
    bench(&["check", arg(&record(&root))]).ok();
}

#[test]
fn parties_end_with_their_orchestrator_and_ctrl_c_keeps_rows() {
    let dir = folder();
    let root = dir.path().join("records");
    let file = experiment(dir.path(), &[("repetitions", "200"), ("links", "[\"wan\"]")]);
    let start = || {
        let mut c = command(&["run", arg(&file), "--records", arg(&root)]);
        c.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
    };
    // Killed outright: the parties see their standard input close.
    let mut run = start();
    let mut parties = Vec::new();
    eventually("two parties", || {
        parties = children(run.id());
        parties.len() == 2
    });
    assert!(kill(run.id()));
    run.wait().expect("ends");
    eventually("the parties are gone", || parties.iter().all(|p| role(*p).is_none()));
    std::fs::remove_dir_all(&root).expect("removed");

    let run = start();
    let folder = || std::fs::read_dir(&root).ok()?.next()?.ok().map(|e| e.path());
    eventually("a row", || folder().is_some_and(|f| f.join("runs.csv").exists() && !rows(&f).is_empty()));
    assert!(signal(run.id(), "INT"));
    let output = run.wait_with_output().expect("ends");
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("stopped after") && said.contains("--resume"), "{said}");
    let rows = rows(&record(&root));
    assert!(!rows.is_empty() && rows.iter().all(|r| r.1 == "ok"), "{rows:?}");
    bench(&["check", arg(&record(&root))]).ok();
}

/// As `make reproduce` runs all of them.
#[test]
fn several_experiments_that_were_interrupted_go_on_and_what_is_done_is_not_run_again() {
    let dir = folder();
    let (root, beside) = (dir.path().join("records"), dir.path().join("beside"));
    std::fs::create_dir(&beside).expect("made");
    let first = experiment(dir.path(), &[("repetitions", "6"), ("links", "[\"wan\"]")]);
    let trials =
        "[{ protocol = \"fusion(plain)\", model = \"tiny\", queries = 2, copies = 2, public = 1, count = 20 }]";
    let second = experiment(&beside, &[("name", "\"other\""), ("repetitions", "2"), ("trials", trials)]);
    let args = ["run", arg(&first), arg(&second), "--size", "full", "--records", arg(&root), "--continue"];
    let mut run = command(&args);
    let run = run.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts");
    let begun = || std::fs::read_dir(&root).ok()?.next()?.ok().map(|e| e.path());
    eventually("a row", || begun().is_some_and(|f| f.join("runs.csv").exists() && !rows(&f).is_empty()));
    assert!(signal(run.id(), "INT"));
    assert_eq!(run.wait_with_output().expect("ends").status.code(), Some(130));
    let before = record(&root);
    let kept = rows(&before);
    assert!((1..6).contains(&kept.len()), "{kept:?}");

    let said = bench(&args).ok();
    assert!(said.out.starts_with("expected for test and other: about "), "{}", said.out);
    assert!(said.out.contains(&format!("test: {} repetitions of 1 cells", 6 - kept.len())), "{}", said.out);
    assert_eq!(rows(&before)[..kept.len()], kept);
    assert_eq!((rows(&before).len(), std::fs::read_dir(&root).expect("records").count()), (6, 2));
    assert!(bench(&["check", arg(&root)]).ok().out.contains("2 runs, ") && said.out.contains("20 trials: "));
    let again = bench(&args).ok();
    assert_eq!(again.out.matches(": done already, in ").count(), 2, "{}", again.out);
}

#[test]
fn a_plan_that_was_killed_goes_on_from_its_last_chunk() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let root = dir.path().join("records");
    // 50 chunks, each a round trip of 40 ms at least.
    let plan = "[{ queries = 45, copies = 2, public = 10, security_bits = 0, method = \"measured\", chunk = 2 }]";
    let lines = [("protocols", "[\"fusion(plain)\"]"), ("links", "[\"wan\"]"), ("fusion", plan)];
    let file = experiment(dir.path(), &lines);
    let mut run = command(&["run", arg(&file), "--records", arg(&root)]);
    let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    let entries = |f: PathBuf| std::fs::read_dir(f).into_iter().flatten().flatten().map(|e| e.path());
    let journal = || {
        let mut files = entries(root.clone()).flat_map(entries);
        files.find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("journal-")))
    };
    let chunks = |path: PathBuf| std::fs::read_to_string(path).map_or(0, |t| t.lines().count().saturating_sub(1));
    eventually("some chunks", || journal().is_some_and(|path| chunks(path) >= 5));
    let parties = children(run.id());
    assert!(kill(run.id()));
    run.wait().expect("ends");
    eventually("the parties are gone", || parties.iter().all(|p| role(*p).is_none()));
    let record = record(&root);
    let (path, done) = (journal().expect("a journal"), chunks(journal().expect("a journal")));
    assert_eq!(std::fs::metadata(&path).expect("its mode").permissions().mode() & 0o777, 0o600);
    assert!(rows(&record).is_empty() && (5..50).contains(&done), "{done}");

    let said = bench(&["run", arg(&file), "--resume", arg(&record)]).ok();
    assert!(said.out.contains("RESUMED after") || said.out.contains("resumed |"), "{}", said.out);
    assert_eq!(rows(&record).iter().map(|r| r.1.as_str()).collect::<Vec<_>>(), ["ok"]);
    let mut reader = csv::Reader::from_path(record.join("runs.csv")).expect("runs.csv");
    let row: std::collections::HashMap<String, String> = reader.deserialize().next().expect("a row").expect("fields");
    assert_eq!(row["resumed_inferences"], (2 * done).to_string());
    assert_eq!((row["labels_equal"].as_str(), row["rounds"].as_str()), ("45", (50 - done).to_string().as_str()));
    assert!(journal().is_none(), "it holds secrets, so it goes when the row is there");
    let said = bench(&["check", arg(&record)]).ok();
    assert!(said.out.contains("caution: ") && said.out.contains("resumed after"), "{}", said.out);
}

fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
    }
    found
}

/// The role of a living party process.
fn role(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = line.split(|b| *b == 0).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
    words.iter().position(|w| w == "--role").and_then(|i| words.get(i + 1)).cloned()
}

fn kill(pid: u32) -> bool {
    signal(pid, "KILL")
}

fn signal(pid: u32, name: &str) -> bool {
    let ended = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    ended.is_ok_and(|s| s.success())
}
