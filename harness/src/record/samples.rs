//! Synthetic records for tests: whole, consistent, and small enough to check by hand. Never written by `bench run`.

use std::fs;
use std::path::Path;

use super::{
    AnswerRow, Folder, HONEST, LinkGate, Machine, Method, PhaseRow, Recorder, RunRow, Samples, Status, TrialRow,
};

/// A record with two repetitions, still being written.
pub(super) fn begun(root: &Path) -> Recorder {
    let mut r = Recorder::create(&root.join("f"), &machine(), "name = \"x\"\n").unwrap();
    for n in 1..=2 {
        let (run, phases) = run("cheetah", "lan", n);
        r.append(&run, &phases, &answers(&run)).unwrap();
    }
    r
}

/// Replaces a part of a file.
pub(super) fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Why a folder is not read.
pub(super) fn refusal(dir: &Path) -> String {
    format!("{:#}", Folder::read(dir).unwrap_err())
}

pub(crate) fn machine() -> Machine {
    Machine {
        name: "testbox".into(),
        cpu: "Imaginary 9000".into(),
        logical_cores: 2,
        memory_bytes: 8 << 30,
        os: "Linux 6.1".into(),
        cpu_features: "avx2+aes".into(),
        rustc: "rustc 1.95.0".into(),
        notes: String::new(),
    }
}

/// Two settings of trials: two positions of 36 corrupted, and a worse model throughout.
pub(crate) fn trials() -> [TrialRow; 2] {
    let row = |server: &str| TrialRow {
        setting: format!("fusion(plain)/mnist-cnn4/trials/{server}"),
        started_utc: "2025-01-31T12:00:00Z".into(),
        experiment: "smoke".into(),
        method: "in-process".into(),
        protocol: "fusion(plain)".into(),
        model: "mnist-cnn4".into(),
        dataset: "mnist".into(),
        server: server.into(),
        queries: 16,
        fusion_copies: 2,
        fusion_public: 4,
        reveal: "label".into(),
        truncation: "one-bit".into(),
        pool: 700,
        classes: 10,
        trials: 1000,
        caught: 974,
        caught_by_copies: 970,
        caught_by_public: 230,
        fooled: 26,
        seed: 1,
        model_hash: "aa".repeat(32),
        data_hash: "bb".repeat(32),
        commit: "0123456789abcdef".into(),
        rustc: "rustc 1.95.0".into(),
        target_features: "avx2+aes".into(),
        ..TrialRow::default()
    };
    let model = TrialRow {
        samples: Samples::Labelled,
        fusion_public: 100,
        fusion_tolerance: 7,
        pool_right: Some(571),
        caught: 1000,
        caught_by_copies: 0,
        caught_by_public: 1000,
        fooled: 0,
        ..row("cheat:other-model=mnist-cnn4-low:all")
    };
    [TrialRow { corrupted: Some(2), ..row("cheat:flip-label:2") }, model]
}

/// An empty folder.
pub(crate) fn folder(dir: &str) -> Folder {
    Folder {
        dir: dir.into(),
        machine: machine(),
        experiment: String::new(),
        runs: Vec::new(),
        phases: Vec::new(),
        answers: Some(Vec::new()),
        trials: Vec::new(),
        log: String::new(),
    }
}

pub(crate) fn add(folder: &mut Folder, (run, phases): (RunRow, Vec<PhaseRow>)) {
    folder.answers.get_or_insert_default().extend(answers(&run));
    folder.runs.push(run);
    folder.phases.extend(phases);
}

/// Fusion's default plan, R=512, B=5, T=100, composed from a batch of 32.
pub(crate) fn composed(repetition: u64) -> (RunRow, Vec<PhaseRow>) {
    let (row, phases) = batch("fusion(cheetah)", "lan", 32, repetition);
    let row = RunRow {
        adversary: "malicious-server".into(),
        queries: 512,
        inferences: 2660,
        method: Method::Composed,
        composed_from: Some(32),
        fusion_copies: Some(5),
        fusion_public: Some(100),
        fusion_tolerance: Some(0),
        ..row
    };
    (row, phases)
}

/// A good run of one `mnist-cnn4` inference and its phases. Times grow by a millisecond a repetition.
pub(crate) fn run(protocol: &str, link: &str, repetition: u64) -> (RunRow, Vec<PhaseRow>) {
    batch(protocol, link, 1, repetition)
}

/// As [`run`], of a batch of `n`.
pub(crate) fn batch(protocol: &str, link: &str, n: u64, repetition: u64) -> (RunRow, Vec<PhaseRow>) {
    let cell = format!("{link}/mnist-cnn4/{protocol}/b{n}");
    let run_id = format!("{cell}#{repetition}");
    let set = |x: u64| (link != "loopback").then_some(x);
    let (rate, rtt) = if link == "wan" { (400_000_000, 40_000) } else { (3_000_000_000, 300) };
    let phases = phases(&run_id, n);
    let sum = |party: &str, setup: bool, of: fn(&PhaseRow) -> u64| {
        let matching = phases.iter().filter(|p| p.party == party && (p.phase == "setup") == setup);
        Some(matching.map(of).sum::<u64>())
    };
    let cpu = |p: &PhaseRow| p.cpu_ns;
    let sent = |p: &PhaseRow| p.sent_bytes;
    let recv = |p: &PhaseRow| p.recv_bytes;
    let rounds = |p: &PhaseRow| p.rounds;
    let row = RunRow {
        run_id,
        started_utc: "2025-01-31T12:00:00Z".into(),
        experiment: "smoke".into(),
        cell,
        repetition,
        protocol: protocol.into(),
        adversary: "semi-honest".into(),
        model: "mnist-cnn4".into(),
        dataset: "mnist-sample".into(),
        link: link.into(),
        server: HONEST.into(),
        batch: n,
        queries: n,
        inferences: n,
        method: Method::Measured,
        reveal: "scores".into(),
        truncation: "one-bit".into(),
        status: Status::Ok,
        setup_wall_ns: Some(50_000_000),
        offline_wall_ns: Some(0),
        online_wall_ns: Some(100_000_000 * n + 1_000_000 * repetition),
        verify_wall_ns: Some(0),
        run_wall_ns: Some(100_000_000 * n + 1_000_000 * repetition + 1_000),
        client_setup_cpu_ns: sum("client", true, cpu),
        server_setup_cpu_ns: sum("server", true, cpu),
        client_cpu_ns: sum("client", false, cpu),
        server_cpu_ns: sum("server", false, cpu),
        client_setup_sent_bytes: sum("client", true, sent),
        client_setup_recv_bytes: sum("client", true, recv),
        server_setup_sent_bytes: sum("server", true, sent),
        server_setup_recv_bytes: sum("server", true, recv),
        client_sent_bytes: sum("client", false, sent),
        client_recv_bytes: sum("client", false, recv),
        server_sent_bytes: sum("server", false, sent),
        server_recv_bytes: sum("server", false, recv),
        setup_rounds: sum("client", true, rounds),
        rounds: sum("client", false, rounds),
        client_peak_rss_bytes: Some(30 << 20),
        server_peak_rss_bytes: Some(40 << 20),
        labels_checked: Some(n),
        labels_equal: Some(n),
        max_score_error_ulp: Some(3),
        tolerance_ulp: Some(8),
        correct_labels: Some(n),
        link_means: if link == "loopback" { "none" } else { "model" }.into(),
        rate_set_bits_per_s: set(rate),
        rtt_set_us: set(rtt),
        tcp_slow_start_set: Some(false),
        rtt_seen_p50_us: Some(rtt + 10),
        rtt_seen_p99_us: Some(rtt + 90),
        up_seen_bits_per_s: Some(rate - rate / 200),
        down_seen_bits_per_s: Some(rate - rate / 100),
        link_gate: if link == "loopback" { LinkGate::None } else { LinkGate::Pass },
        seed: 7,
        model_hash: "aa".repeat(32),
        data_hash: "bb".repeat(32),
        options_hash: "cc".repeat(32),
        commit: "0123456789abcdef".into(),
        dirty: false,
        rustc: "rustc 1.95.0".into(),
        target_features: "avx2+aes".into(),
        threads: 1,
        lanes: 1,
        placement: "same-host".into(),
        load_avg_milli: Some(120),
        ..RunRow::default()
    };
    (row, phases)
}

/// Right answers to the queries that the row says were compared.
pub(crate) fn answers(run: &RunRow) -> Vec<AnswerRow> {
    let answer = |image| AnswerRow {
        run_id: run.run_id.clone(),
        image,
        expected_label: Some(image % 10),
        float_label: image % 10,
        float_rank: Some(1),
        fixed_label: image % 10,
        fixed_rank: Some(1),
        secure_label: image % 10,
        secure_rank: Some(1),
        score_error_ulp: run.max_score_error_ulp,
    };
    (0..run.labels_checked.unwrap_or(0)).map(answer).collect()
}

fn phases(run_id: &str, n: u64) -> Vec<PhaseRow> {
    let mut rows = Vec::new();
    for (phase, operator, up, down, rounds) in [
        ("setup", "keys", 9_000, 1_000, 2),
        ("online", "input", 20_000 * n, 0, 0),
        ("online", "conv1", 100_000 * n, 40_000 * n, 1),
        ("online", "relu1", 60_000 * n, 70_000 * n, 8),
        ("online", "fc3", 0, 12_000 * n, 1),
        ("online", "answer", 0, 80 * n, 1),
    ] {
        for party in ["client", "server"] {
            let client = party == "client";
            let (sent, received) = if client { (up, down) } else { (down, up) };
            rows.push(PhaseRow {
                run_id: run_id.into(),
                party: party.into(),
                phase: phase.into(),
                operator: operator.into(),
                calls: 1,
                wall_ns: 10_000_000 * n,
                cpu_ns: 8_000_000 * n,
                sent_bytes: sent,
                recv_bytes: received,
                messages: if sent > 0 { rounds.max(1) } else { 0 },
                rounds: if client { rounds } else { 0 },
            });
        }
    }
    rows
}
