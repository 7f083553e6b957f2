//! Parties that a person starts: they find each other, agree, and turn others away.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{arg, bench, command, experiment, folder, record, rows};
use serde_json::{Value, json};

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
