//! Whole runs: rows for every ending, nothing lost, nothing hanging.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{arg, bench, command, eventually, experiment, folder, record, rows};
use serde_json::{Value, json};

#[test]
fn a_run_leaves_checked_rows_and_resume_adds_what_is_missing() {
    let dir = folder();
    let root = dir.path().join("records");
    let file = experiment(dir.path(), &[("batches", "[1, 3]"), ("repetitions", "2")]);
    let said = bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    let record = record(&root);
    assert!(said.out.contains(arg(&record)), "{}", said.out);
    let ids = ["batch1#1", "batch3#1", "batch1#2", "batch3#2"].map(|s| format!("plain/tiny/loopback/{s}"));
    let found = rows(&record);
    assert_eq!(found.iter().map(|r| r.0.clone()).collect::<Vec<_>>(), ids);
    assert!(found.iter().all(|r| r.1 == "ok"), "{found:?}");
    bench(&["check", arg(&record)]).ok();
    assert!(bench(&["check", arg(&root)]).ok().out.contains("sound: 4 runs"), "a folder of records");

    // A byte that is changed after the run is found, and a row that is taken out even where the hash list is, too.
    let runs = std::fs::read_to_string(record.join("runs.csv")).expect("runs");
    let write = |text: &str| std::fs::write(record.join("runs.csv"), text).expect("written");
    write(&runs.replacen(",ok,", ",OK,", 1));
    bench(&["check", arg(&record)]).refuses(&["runs.csv:2: column 'status'"]);
    write(&runs.replacen("random", "Random", 1));
    let said = bench(&["check", arg(&record)]);
    assert!(!said.good && said.out.contains("runs.csv was changed after the list was written"), "{}", said.out);
    let without: Vec<_> = runs.lines().enumerate().filter(|(i, _)| *i != 2).map(|(_, line)| line).collect();
    write(&(without.join("\n") + "\n"));
    std::fs::remove_file(record.join("SHA256SUMS")).expect("removed");
    let said = bench(&["check", arg(&record)]);
    assert!(!said.good && said.out.contains("the row of 'plain/tiny/loopback/batch3#1' is absent"), "{}", said.out);

    // A killed run: its last row and the phases behind it are gone, half a line is left, and no hash list was written.
    let cut: Vec<_> = runs.lines().take(3).collect();
    write(&(cut.join("\n") + "\nplain/tiny/loop"));
    let said = bench(&["run", arg(&file), "--resume", arg(&record)]).ok();
    assert!(said.out.contains("2 repetitions of 2 cells"), "{}", said.out);
    assert_eq!(rows(&record).iter().map(|r| r.0.clone()).collect::<Vec<_>>(), ids);
    bench(&["check", arg(&record)]).ok();
    let said = bench(&["run", arg(&file), "--resume", arg(&record)]).ok();
    assert!(said.out.contains("0 repetitions"), "{}", said.out);
    let said = bench(&["check", arg(&record)]).ok();
    assert!(said.out.contains(", 0 caution(s)"), "the list is there again: {}", said.out);

    // The same without naming the folder: nothing is left to do, then one row.
    let go_on = || bench(&["run", arg(&file), "--records", arg(&root), "--continue"]).ok().out;
    assert!(go_on().contains("done already, in "));
    let runs = std::fs::read_to_string(record.join("runs.csv")).expect("runs");
    let cut: Vec<_> = runs.lines().take(4).collect();
    std::fs::write(record.join("runs.csv"), cut.join("\n") + "\n").expect("written");
    std::fs::remove_file(record.join("SHA256SUMS")).expect("removed");
    let said = go_on();
    assert!(said.contains("1 repetitions of 2 cells") && said.contains(arg(&record)), "{said}");
    assert_eq!(rows(&record).len(), 4);

    bench(&["run", arg(&file), "--repeat", "5", "--resume", arg(&record)]).refuses(&["another experiment"]);
    let said = bench(&["diff", arg(&record), arg(&record)]).ok();
    assert!(said.out.contains("quantities compared: 0 more, 0 less"), "{}", said.out);
}

#[test]
fn every_protocol_runs_and_its_rows_are_sound() {
    let dir = folder();
    let root = dir.path().join("smoke");
    let said = bench(&["run", "smoke", "--repeat", "1", "--records", arg(&root)]).ok();
    assert!(said.out.contains("| fusion(cheetah)") && said.out.contains("a malicious server"), "{}", said.out);
    bench(&["check", arg(&record(&root))]).ok();
    // Labels only, faithful truncation, a single lane, a composed plan beside a measured one.
    let plan = |how: &str| format!("{{ queries = 8, copies = 3, public = 4, security_bits = 0, {how} }}");
    let plans = format!("[{}, {}]", plan("method = \"measured\", chunk = 10"), plan("method = \"composed\", n = 6"));
    let lines = [
        ("protocols", "[\"cheetah\", \"fusion(cheetah)\", \"fusion(plain)\"]"),
        ("fusion", plans.as_str()),
        ("options", "{ reveal = \"label\", truncation = \"faithful\" }"),
        ("lanes", "1"),
    ];
    let file = experiment(dir.path(), &lines);
    let root = dir.path().join("records");
    bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    assert_eq!(rows(&record(&root)).len(), 5);
    bench(&["check", arg(&record(&root))]).ok();
}

#[test]
fn several_experiments_run_one_after_the_other_and_say_first_how_long_they_take() {
    let dir = folder();
    let root = dir.path().join("records");
    let file = experiment(dir.path(), &[("repetitions", "2")]);
    let copy = dir.path().join("copy.toml");
    std::fs::copy(&file, &copy).expect("copied");
    let said = bench(&["run", arg(&file), arg(&copy), "--repeat", "1", "--records", arg(&root)]).ok();
    let first = said.out.lines().next().unwrap_or_default();
    assert!(first.starts_with("expected for test and test: about ") && first.contains("by declared bytes"), "{first}");
    assert_eq!(std::fs::read_dir(&root).expect("records").count(), 2);
    let said = bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    assert!(said.out.contains("2 by earlier records of this machine"), "{}", said.out);
}

#[test]
fn what_cannot_be_run_is_skipped_with_the_reason() {
    let dir = folder();
    let lines = [("batches", "[70000]"), ("repetitions", "2")];
    let file = experiment(dir.path(), &lines);
    let root = dir.path().join("records");
    bench(&["run", arg(&file), "--records", arg(&root)]).ok();
    let rows = rows(&record(&root));
    assert!(rows.len() == 2 && rows.iter().all(|r| r.1 == "skipped" && r.2.contains("65536 images")), "{rows:?}");
    bench(&["check", arg(&record(&root))]).ok();
}

#[test]
fn a_server_that_is_caught_is_accused() {
    let dir = folder();
    let plan = "[{ queries = 2, copies = 3, public = 2, security_bits = 0, method = \"measured\" }]";
    let file = experiment(dir.path(), &[("protocols", "[\"fusion(cheetah)\"]"), ("fusion", plan)]);
    let good: Value = bench(&["run", arg(&file), "--print-job"]).json();
    let path = dir.path().join("job.json");
    std::fs::write(&path, good.to_string()).expect("written");
    assert_eq!(both(&path, &path).1["event"], "done");
    // To the client, a server whose model does not know a public sample.
    let mut caught = good;
    let label = caught["public"][0]["label"].as_u64().expect("a label");
    caught["public"][0]["label"] = json!((label + 1) % 4);
    let other = dir.path().join("caught.json");
    std::fs::write(&other, caught.to_string()).expect("written");
    let (_, client) = both(&path, &other);
    assert_eq!((&client["failure"]["kind"], &client["failure"]["accused"]), (&json!("abort"), &json!("server")));
    assert!(client["message"].as_str().is_some_and(|m| m.contains("1 public samples are wrong")), "{client}");
}

#[test]
fn a_timeout_is_a_row_and_nothing_hangs() {
    let dir = folder();
    // Ten seconds of link time in one second.
    let lines = [("links", "[\"wan-slow\"]"), ("batches", "[60000]"), ("timeout_s", "2"), ("repetitions", "1")];
    let file = experiment(dir.path(), &lines);
    let said = bench(&["run", arg(&file), "--records", arg(&dir.path().join("r"))]);
    assert!(!said.good && said.err.contains("1 of 1 repetitions failed"), "{}{}", said.out, said.err);
    let rows = rows(&record(&dir.path().join("r")));
    assert_eq!((rows.len(), rows[0].1.as_str()), (1, "timeout"), "{rows:?}");
    assert!(rows[0].2.contains("no end within 2 s") && rows[0].2.contains("timeout_s"), "{rows:?}");
}

#[cfg(target_os = "linux")]
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

#[cfg(target_os = "linux")]
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

#[cfg(target_os = "linux")]
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

/// A job for parties that are started by hand, with some fields replaced.
fn job(dir: &Path, name: &str, changes: &[(&str, Value)]) -> PathBuf {
    let file = experiment(dir, &[]);
    let mut job: Value = bench(&["run", arg(&file), "--print-job"]).json();
    job["connect_timeout_s"] = json!(5);
    for (key, value) in changes {
        job[*key] = value.clone();
    }
    let path = dir.join(name);
    std::fs::write(&path, job.to_string()).expect("written");
    path
}

/// A party, and the address it listens at if it is the server.
fn party(job: &Path, role: &str, address: Option<&str>) -> (Child, String, BufReader<std::process::ChildStdout>) {
    let mut c = command(&["party", "--job", arg(job), "--role", role]);
    if let Some(a) = address {
        c.args([if role == "server" { "--listen" } else { "--connect" }, a]);
    }
    let mut child = c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let mut out = BufReader::new(child.stdout.take().expect("output"));
    let mut address = String::new();
    if role == "server" {
        let mut line = String::new();
        out.read_line(&mut line).expect("a line");
        let event: Value = serde_json::from_str(&line).expect("JSON");
        event["address"].as_str().unwrap_or_default().clone_into(&mut address);
    }
    (child, address, out)
}

/// The last event of a party that ends by itself, and what it wrote for people.
fn end(mut child: Child, mut out: BufReader<std::process::ChildStdout>) -> (Value, String) {
    let (mut text, mut err) = (String::new(), String::new());
    out.read_to_string(&mut text).expect("output");
    child.stderr.take().expect("errors").read_to_string(&mut err).expect("errors");
    child.wait().expect("ends");
    let last = text.lines().last().unwrap_or("null");
    (serde_json::from_str(last).expect("JSON"), err)
}

/// Both parties by hand; their last events.
fn both(server: &Path, client: &Path) -> (Value, Value) {
    let (s, address, s_out) = party(server, "server", None);
    let (c, _, c_out) = party(client, "client", Some(&address));
    let client = end(c, c_out).0;
    (end(s, s_out).0, client)
}

#[test]
fn parties_can_be_started_by_hand() {
    let dir = folder();
    let job = job(dir.path(), "job.json", &[("link", json!("lan"))]);
    let (server, client) = both(&job, &job);
    assert_eq!((&server["event"], &client["event"]), (&json!("done"), &json!("done")));
    assert_eq!(client["answers"].as_array().map(Vec::len), Some(1));
    assert_eq!(server["agreement"], client["agreement"]);
    assert!(server["answers"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn parties_that_disagree_say_on_what() {
    let dir = folder();
    let good = job(dir.path(), "good.json", &[]);
    for (key, value, name) in [
        ("model", json!("mnist-cnn4"), "model"),
        ("pretend_commit", json!("0123abc"), "commit"),
        ("link", json!("wan"), "link"),
        ("queries", json!([1, 2]), "queries"),
        ("options", json!({ "reveal": "label", "truncation": "one-bit" }), "options"),
    ] {
        let other = job(dir.path(), "other.json", &[(key, value)]);
        for (event, peer) in {
            let (server, client) = both(&other, &good);
            [(server, "client"), (client, "server")]
        } {
            let message = event["message"].as_str().unwrap_or_default();
            assert_eq!(event["event"], "failed");
            assert!(message.contains(&format!("the parties disagree on {name}: ")), "{key}: {message}");
            assert!(message.contains(&format!("the {peer} has")) && message.contains("; "), "{message}");
        }
    }
}

#[test]
fn a_port_in_use_and_a_peer_that_never_comes() {
    let dir = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let job_file = job(dir.path(), "job.json", &[("connect_timeout_s", json!(1))]);
    bench_party(&job_file, "server", &address, &[&address, "in use", "port 0"]);
    drop(taken);
    bench_party(&job_file, "client", &address, &[&address, "does not answer", "running"]);
    bench_party(&job_file, "client", "127.0.0.1:0", &["names no port", "--connect"]);
    bench_party(&job_file, "client", "nowhere", &["nowhere", "host:port"]);
    let (server, _, out) = party(&job_file, "server", None);
    let (event, _) = end(server, out);
    assert_eq!(event["failure"]["kind"], "timeout");
    assert!(event["message"].as_str().is_some_and(|m| m.contains("waiting for it to connect")), "{event}");
    let unknown = job(dir.path(), "bad.json", &[("colour", json!("red"))]);
    bench(&["party", "--job", arg(&unknown), "--role", "server"]).refuses(&["unknown field `colour`", arg(&unknown)]);
}

fn bench_party(job: &Path, role: &str, address: &str, parts: &[&str]) {
    bench(&[
        "party",
        "--job",
        arg(job),
        "--role",
        role,
        if role == "server" { "--listen" } else { "--connect" },
        address,
    ])
    .refuses(parts);
}

#[test]
fn strangers_are_turned_away_and_the_party_serves_its_peer() {
    let dir = folder();
    let job = job(dir.path(), "job.json", &[]);
    let (server, address, out) = party(&job, "server", None);
    let stranger = |bytes: &[u8]| {
        let mut s = TcpStream::connect(&address).expect("connects");
        s.write_all(bytes).expect("written");
        s
    };
    let _silent = stranger(b"");
    let _web = stranger(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    drop(stranger(b"si-r"));
    let (client, _, client_out) = party(&job, "client", Some(&address));
    assert_eq!(end(client, client_out).0["event"], "done");
    let (event, err) = end(server, out);
    assert_eq!(event["event"], "done", "{event}");
    assert!(err.contains("turned away 127.0.0.1:") && err.contains("does not speak"), "{err}");
}

#[test]
fn a_peer_that_opens_the_wrong_connections_or_garbles_frames_ends_a_party_with_one_line() {
    let dir = folder();
    let job = job(dir.path(), "job.json", &[]);
    let refused = |bytes: &[&[u8]], expect: &str| {
        let (server, address, out) = party(&job, "server", None);
        // One socket after the other, each kept open until the server has ended.
        let sockets: Vec<_> = bytes
            .iter()
            .map(|b| {
                let mut s = TcpStream::connect(&address).expect("connects");
                s.set_write_timeout(Some(Duration::from_secs(5))).expect("set");
                s.write_all(b).expect("written");
                s
            })
            .collect();
        let (event, err) = end(server, out);
        drop(sockets);
        assert_eq!(event["event"], "failed", "{event}");
        assert!(event["message"].as_str().is_some_and(|m| m.contains(expect)), "{expect}: {event}");
        assert!(err.lines().count() == 1 && !err.contains("panicked"), "{err}");
    };
    let hello = |index: u32| [&b"si-run/1"[..], &index.to_le_bytes()].concat();
    let framed = |index: u32, frame: &[u8]| [&hello(index)[..], frame].concat();
    refused(&[&hello(5)], "opens connection 5 where connections 0 to 3 are expected");
    refused(&[&hello(1), &hello(1)], "opens connection 1 where");
    // Two connections and two lanes, then nonsense where the list of what is agreed on should be.
    let [a, b, c] = [1, 2, 3].map(hello);
    refused(&[&framed(0, &[0xff; 16]), &a, &b, &c], "announced a message of 4294967295 bytes");
    refused(&[&framed(0, &[4, 0, 0, 0, 9, 0, 0, 0]), &a, &b, &c], "malformed agreement");
}

#[test]
fn two_machines_know_each_other_by_their_keys_and_leave_a_record() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    for name in ["client", "server", "stranger"] {
        let said = bench(&["keygen", arg(&path(name))]).ok();
        assert!(said.out.contains("--key") && said.out.contains("--peer"), "{}", said.out);
    }
    bench(&["keygen", arg(&path("client"))]).refuses(&["client.key", "never overwritten"]);
    let job = job(dir.path(), "job.json", &[("link", json!("network")), ("means", json!("none"))]);
    // The same cell, by the name of the link that there is.
    let file = experiment(dir.path(), &[("links", "[\"network\"]")]);
    let mut printed: Value = bench(&["run", arg(&file), "--print-job"]).json();
    printed["connect_timeout_s"] = json!(20);
    std::fs::write(&job, printed.to_string()).expect("written");
    let records = path("records");
    let start = |role: &str, own: &str, peer: &str, at: &str| {
        let way = if role == "server" { "--listen" } else { "--connect" };
        let [key, crt] = [format!("{own}.key"), format!("{peer}.crt")].map(|n| path(&n));
        let mut c =
            command(&["party", "--job", arg(&job), "--role", role, way, at, "--key", arg(&key), "--peer", arg(&crt)]);
        if role == "client" {
            c.args(["--records", arg(&records)]);
        }
        let mut child = c.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let out = BufReader::new(child.stdout.take().expect("output"));
        (child, out)
    };
    // An address that strangers can reach.
    let (server, mut out) = start("server", "server", "client", "0.0.0.0:0");
    let mut line = String::new();
    out.read_line(&mut line).expect("a line");
    let event: Value = serde_json::from_str(&line).expect("JSON");
    let port = event["address"].as_str().and_then(|a| a.rsplit_once(':')).expect("a port").1.to_owned();
    let at = format!("127.0.0.1:{port}");
    // Strangers: one that says nothing, one without TLS, one with a key of its own, and one that trusts another server.
    let _silent = TcpStream::connect(&at).expect("connects");
    TcpStream::connect(&at).expect("connects").write_all(b"si-run/1\0\0\0\0").expect("written");
    let turned_away = |own: &str, peer: &str, expect: &str| {
        let (child, out) = start("client", own, peer, &at);
        let (event, err) = end(child, out);
        assert!(event["message"].as_str().is_some_and(|m| m.contains(expect)), "{event}");
        assert_eq!(err.lines().count(), 1, "{err}");
    };
    turned_away("stranger", "server", "turned us away");
    turned_away("client", "stranger", "is not the server whose certificate");
    assert!(!records.exists());
    // The peer is served all the same.
    let (client, client_out) = start("client", "client", "server", &at);
    let (event, err) = end(client, client_out);
    assert_eq!(event["event"], "done", "{event}");
    assert!(err.contains("records: "), "{err}");
    let (event, err) = end(server, out);
    assert_eq!(event["event"], "done", "{event}");
    assert!(err.matches("turned away 127.0.0.1:").count() >= 3, "{err}");
    let record = record(&records);
    let found = rows(&record);
    assert!(found.len() == 1 && found[0].1 == "ok", "{found:?}");
    let mut reader = csv::Reader::from_path(record.join("runs.csv")).expect("runs.csv");
    let row: std::collections::HashMap<String, String> = reader.deserialize().next().expect("a row").expect("fields");
    assert!(row["placement"].starts_with("two-parties:client="), "{row:?}");
    assert!(row["server_sent_bytes"] != "0" && !row["rtt_seen_p50_us"].is_empty(), "{row:?}");
    bench(&["check", arg(&record)]).ok();
}

#[test]
fn without_keys_a_party_keeps_to_its_own_machine() {
    let dir = folder();
    let job = job(dir.path(), "job.json", &[]);
    bench_party(&job, "server", "0.0.0.0:0", &["--key and --peer", "keygen", "strangers"]);
    bench_party(&job, "client", "192.0.2.1:7001", &["--key and --peer", "192.0.2.1:7001"]);
    let args = |role: &str, more: &[&str]| bench(&[&["party", "--job", arg(&job), "--role", role], more].concat());
    args("server", &["--key", "x"]).refuses(&["belong together"]);
    args("server", &["--connect", "127.0.0.1:1"]).refuses(&["--listen"]);
    args("client", &["--listen", "127.0.0.1:1"]).refuses(&["--connect"]);
    args("server", &["--records", arg(dir.path())]).refuses(&["--records is for the client"]);
    args("client", &["--key", "/nonexistent.key", "--peer", "x", "--connect", "127.0.0.1:1"])
        .refuses(&["/nonexistent.key"]);
}

#[cfg(target_os = "linux")]
fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
        found.extend(text.split_whitespace().filter_map(|p| p.parse::<u32>().ok()));
    }
    found
}

/// The role of a living party process.
#[cfg(target_os = "linux")]
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
