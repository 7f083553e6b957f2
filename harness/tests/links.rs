//! Links of the kernel's: network namespaces, netem, TUN. What this machine cannot do is skipped, with a line that says so.
#![cfg(target_os = "linux")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use common::{Said, arg, bench, command, eventually, experiment, folder, record, rows};
use serde_json::Value;

/// Links share the machine's two cores, and their delays are looked at: one test after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether a link can be made so here. If not, the program must have said why in one line.
fn works(means: &'static str) -> bool {
    static KNOWN: Mutex<BTreeMap<&str, bool>> = Mutex::new(BTreeMap::new());
    *KNOWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).entry(means).or_insert_with(|| try_out(means))
}

fn try_out(means: &str) -> bool {
    let said = bench(&["probe", "--link", "lan", "--means", means]);
    if !said.good {
        said.refuses(&[&format!("link by {means}: ")]);
        eprintln!("SKIPPED: no {means} here: {}", said.err.trim());
    }
    said.good
}

fn namespaces() -> Vec<String> {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Namespaces that this process made.
fn of(pid: u32) -> Vec<String> {
    let mut all = namespaces();
    all.retain(|n| n.starts_with(&format!("si-{pid}.")));
    all.sort();
    all
}

/// A program that was started, and its namespaces, once it has them.
fn started(args: &[&str]) -> (Child, Vec<String>) {
    let child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    // Links come and go with repetitions: wait for a run that has begun.
    let mut seen = Vec::new();
    eventually("a link", || {
        seen = of(child.id());
        seen.len() == 2 && has_link(&seen[0])
    });
    (child, seen)
}

fn has_link(namespace: &str) -> bool {
    let shown = Command::new("ip").args(["-n", namespace, "link", "show", "shaped"]).output();
    shown.is_ok_and(|o| o.status.success())
}

fn row(record: &Path) -> HashMap<String, String> {
    let mut reader = csv::Reader::from_path(record.join("runs.csv")).expect("runs.csv");
    reader.deserialize().next().expect("a row").expect("fields")
}

#[test]
fn every_means_that_works_gives_rows_whose_probes_agree() {
    let _alone = alone();
    let dir = folder();
    for means in ["model", "tun", "netem"].into_iter().filter(|m| works(m)) {
        let root = dir.path().join(means);
        let args = ["run", "smoke", "--protocol", "plain", "--link", "wan", "--batch", "1", "--repeat", "1"];
        let run = command(&[&args[..], &["--means", means, "--records", arg(&root)]].concat());
        let child = { run }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let pid = child.id();
        let said: Said = child.wait_with_output().expect("ends").into();
        let said = said.ok();
        assert_eq!(of(pid), Vec::<String>::new(), "nothing is left behind");
        let record = record(&root);
        let row = row(&record);
        let number = |column: &str| row[column].parse::<f64>().unwrap_or_else(|_| panic!("{column}: {row:?}"));
        assert_eq!(row["link_means"], means);
        // Never faster than set; how much later than set is for the gate, and a busy machine may fail it.
        assert!((40_000.0..60_000.0).contains(&number("rtt_seen_p50_us")), "{row:?}");
        assert!(number("rtt_1kb_seen_p50_us") >= 40_000.0 && number("fresh_mb_seen_us") >= 60_000.0, "{row:?}");
        for column in ["up_seen_bits_per_s", "down_seen_bits_per_s", "duplex_seen_bits_per_s"] {
            assert!((1e6..=404e6).contains(&number(column)), "{column}: {row:?}");
        }
        assert!(number("run_wall_ns") >= 40e6 && number("one_way_trips") == 2.0 * number("rounds"), "{row:?}");
        let kernel = means != "model";
        assert_eq!(row["drops_seen"], if kernel { "0" } else { "" });
        assert_eq!(row["retransmits_seen"].is_empty(), !kernel);
        if kernel {
            assert_eq!((row["tcp_congestion"].as_str(), row["tcp_restarts_after_idle"].as_str()), ("cubic", "false"));
            assert!(row["cell"].ends_with(&format!("/{means}")) && said.out.contains(&format!("wan ({means})")));
        }
        bench(&["check", arg(&record)]).ok();
    }
}

#[test]
fn what_auto_comes_to_is_said_aloud_and_recorded() {
    let _alone = alone();
    let dir = folder();
    let file = experiment(dir.path(), &[("means", "\"auto\""), ("links", "[\"lan\"]")]);
    let root = dir.path().join("records");
    let said = bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    let line = said.out.lines().next().unwrap_or_default();
    let means = &row(&record(&root))["link_means"];
    assert!(line.starts_with(&format!("links by {means}, ")) && line.contains("--means"), "{line}");
    let text = std::fs::read_to_string(record(&root).join("experiment.toml")).expect("experiment.toml");
    assert!(text.contains(&format!("means = \"{means}\"")), "{text}");
    // Parties that are started by hand are in no namespaces.
    let job: Value = bench(&["run", arg(&file), "--print-job"]).json();
    assert_eq!(job["means"], "model");
    bench(&["run", arg(&file), "--means", "magic"])
        .err
        .contains("auto, netem, tun, model, none")
        .then_some(())
        .expect("a list");
    bench(&["run", arg(&file), "--means", "none"]).refuses(&["means = \"none\"", "loopback"]);
}

#[test]
fn without_root_without_tun_and_without_netem_the_reason_is_one_line() {
    let _alone = alone();
    let probe = ["probe", "--link", "lan", "--means", "tun"];
    if works("tun") {
        use std::os::unix::process::CommandExt;
        match command(&probe).uid(65_534).output() {
            Ok(output) => Said::from(output).refuses(&["link by tun: network namespaces need root"]),
            Err(e) => eprintln!("SKIPPED: another user cannot run the program where it is: {e}"),
        }
        // A mount namespace without the device, in which nobody can make it.
        let hidden = Command::new("unshare")
            .args(["-m", "sh", "-c", "mount -t tmpfs -o ro tmpfs /dev/net && exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_bench"))
            .args(probe)
            .output();
        match hidden {
            Ok(output) => Said::from(output).refuses(&["link by tun: ", "/dev/net/tun"]),
            Err(e) => eprintln!("SKIPPED: no unshare: {e}"),
        }
        if !works("netem") {
            bench(&["probe", "--link", "lan", "--means", "netem"]).refuses(&["sch_netem"]);
        }
    }
    bench(&["link", "lan", "--means", "model"]).refuses(&["needs no network namespaces"]);
    bench(&["link", "lan", "--means", "tun", "--id", "a/b"]).refuses(&["'a/b' is no name"]);
}

#[test]
fn a_name_that_is_taken_is_refused_and_the_holder_keeps_its_link() {
    let _alone = alone();
    if !works("tun") {
        return;
    }
    let id = format!("test{}", std::process::id());
    let hold = ["link", "lan", "--means", "tun", "--id", &id];
    let holder = command(&hold).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let client = format!("si-{id}-c");
    eventually("a link", || has_link(&client));
    bench(&hold).refuses(&["link by tun: ", &client, "already"]);
    assert!(has_link(&client));
    let begun = Instant::now();
    assert!(signal(holder.id(), "INT"));
    let said: Said = holder.wait_with_output().expect("ends").into();
    assert!(begun.elapsed().as_secs() < 5, "tear-down took {:?}", begun.elapsed());
    assert!(said.ok().out.contains(&format!("ip netns exec {client}")));
    assert!(namespaces().iter().all(|n| !n.contains(&id)), "{:?}", namespaces());
}

#[test]
fn an_interface_that_vanishes_is_a_row_with_the_reason() {
    let _alone = alone();
    if !works("tun") {
        return;
    }
    let dir = folder();
    let root = dir.path().join("records");
    // A minute of link time, cut short.
    let lines = [
        ("links", "[\"wan-slow\"]"),
        ("means", "\"tun\""),
        ("batches", "[60000]"),
        ("timeout_s", "60"),
        ("repetitions", "1"),
    ];
    let file = experiment(dir.path(), &lines);
    let (run, namespaces) = started(&["run", arg(&file), "--records", arg(&root)]);
    let begun = Instant::now();
    let cut = Command::new("ip").args(["-n", &namespaces[0], "link", "del", "shaped"]).status();
    assert!(cut.is_ok_and(|s| s.success()));
    let pid = run.id();
    let said: Said = run.wait_with_output().expect("ends").into();
    assert!(!said.good && begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
    let rows = rows(&record(&root));
    assert!(rows.len() == 1 && rows[0].1 == "error" && rows[0].2.contains("'shaped' of"), "{rows:?}");
    assert!(rows[0].2.contains("vanished"), "{rows:?}");
    assert_eq!(of(pid), Vec::<String>::new());
}

#[test]
fn what_a_killed_run_leaves_is_removed_by_the_next_and_nothing_else() {
    let _alone = alone();
    if !works("tun") {
        return;
    }
    let dir = folder();
    let lines = [("links", "[\"wan-slow\"]"), ("means", "\"tun\""), ("batches", "[60000]"), ("repetitions", "1")];
    let file: PathBuf = experiment(dir.path(), &lines);
    let (mut run, left) = started(&["run", arg(&file), "--records", arg(&dir.path().join("records"))]);
    assert!(signal(run.id(), "KILL"));
    run.wait().expect("ends");
    assert_eq!(of(run.id()), left, "a killed process cannot clean up");
    // Somebody else's, though it looks like ours; and one of a living process.
    let others = [format!("si-hand{}-c", std::process::id()), format!("si-1.{}.0-c", start_of(1))];
    for other in &others {
        assert!(Command::new("ip").args(["netns", "add", other]).status().is_ok_and(|s| s.success()));
    }
    bench(&["probe", "--link", "lan", "--means", "tun"]).ok();
    let after = namespaces();
    for other in &others {
        let _ = Command::new("ip").args(["netns", "del", other]).status();
    }
    assert_eq!(of(run.id()), Vec::<String>::new());
    assert!(others.iter().all(|o| after.contains(o)), "{after:?}");
}

/// When a process started, as in its namespaces' names.
fn start_of(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let rest = stat.rsplit_once(')').expect("a name").1;
    rest.split_whitespace().nth(19).expect("a start").to_owned()
}

fn signal(pid: u32, name: &str) -> bool {
    Command::new("kill").args(["-s", name, &pid.to_string()]).status().is_ok_and(|s| s.success())
}
