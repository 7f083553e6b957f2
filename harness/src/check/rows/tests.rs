use super::super::Severity::{self, Caution, Problem};
use super::super::{check as check_all, testing};
use super::*;

fn caught(expect: &str, spoil: impl FnOnce(&mut RunRow)) {
    caught_as(Problem, expect, spoil);
}

fn caught_as(severity: Severity, expect: &str, spoil: impl FnOnce(&mut RunRow)) {
    testing::caught(severity, expect, spoil, |_| {});
}

#[test]
fn names_and_settings() {
    caught("started_utc", |r| r.started_utc = "31.1.2025".into());
    caught("adversary is 'honest'", |r| r.adversary = "honest".into());
    caught("reveal is ''", |r| r.reveal.clear());
    caught("truncation", |r| r.truncation = "none".into());
    let mut f = testing::folder();
    f.runs[3].threads = 2;
    assert_eq!(
        check_all(&f)[0].what,
        format!("is not the same setting as {}, though both are of cell '{}'", f.runs[1].run_id, f.runs[1].cell)
    );
    let mut f = testing::folder();
    f.runs[3] = f.runs[1].clone();
    assert!(check_all(&f)[0].what.contains("recorded twice"));
    let mut f = testing::folder();
    f.runs[1].repetition = 0;
    let found = check_all(&f);
    assert!(found[0].what.contains("run_id is not cell") && found[1].what.contains("count from 1"), "{found:?}");
    caught("dataset is empty", |r| r.dataset.clear());
}

#[test]
fn plans_and_methods() {
    caught("a batch of 3 in 1 inferences", |r| r.batch = 3);
    caught("takes 1 inferences, the row says 4", |r| r.inferences = 4);
    caught("fusion_chunk without a plan", |r| r.fusion_chunk = Some(32));
    caught("belong together", |r| r.fusion_copies = Some(3));
    caught("takes 12 inferences", |r| {
        (r.fusion_copies, r.fusion_public, r.fusion_tolerance) = (Some(7), Some(5), Some(0));
    });
    caught("measured, yet composed_from", |r| r.composed_from = Some(1));
    caught("composed, yet composed_from is empty", |r| r.method = Method::Composed);
    caught("composed from 2 of 1", |r| (r.method, r.composed_from) = (Method::Composed, Some(2)));
    let fusion = |r: &mut RunRow| {
        (r.fusion_copies, r.fusion_public, r.fusion_tolerance) = (Some(7), Some(5), Some(0));
        (r.inferences, r.method, r.composed_from) = (12, Method::Composed, Some(4));
    };
    let mut f = testing::folder();
    [1, 3].into_iter().for_each(|i| fusion(&mut f.runs[i]));
    assert_eq!(check_all(&f), []);
    caught("without the rule", |r| {
        fusion(r);
        r.method = Method::Extrapolated;
    });
    caught("batch 0 and queries 1 must be positive", |r| r.batch = 0);
    let resumed = |n: u64| {
        let mut f = testing::folder();
        f.runs.truncate(2);
        f.phases.truncate(24);
        fusion(&mut f.runs[1]);
        (f.runs[1].method, f.runs[1].composed_from) = (Method::Measured, None);
        (f.runs[1].fusion_chunk, f.runs[1].resumed_inferences) = (Some(4), Some(n));
        let found = check_all(&f).into_iter().filter(|x| x.what.contains("resumed"));
        found.map(|x| (x.severity, x.what)).collect::<Vec<_>>()
    };
    let caution = (Caution, "resumed after 8 of 12 inferences: its measures do not count".to_owned());
    assert_eq!(resumed(8), [caution]);
    assert!(resumed(13).iter().any(|x| x.0 == Problem), "{:?}", resumed(13));
}

#[test]
fn outcomes() {
    caught("status timeout without a reason", |r| r.status = Status::Timeout);
    caught("status ok with an accused", |r| r.accused = "server".into());
    caught_as(Caution, "an honest server was accused", |r| {
        (r.status, r.reason, r.accused) = (Status::Abort, "copies differ".into(), "server".into());
    });
    caught_as(Caution, "make room", |r| (r.status, r.reason) = (Status::Disk, "no space left".into()));
    caught_as(Caution, "a bug", |r| (r.status, r.reason) = (Status::Wrong, "answer 3".into()));
    let cheats = |f: &mut Folder| [1, 3].into_iter().for_each(|i| f.runs[i].server = "cheat:flip-label:1".into());
    let mut f = testing::folder();
    cheats(&mut f);
    (f.runs[1].status, f.runs[1].reason) = (Status::Wrong, "answer 3".into());
    assert_eq!(check_all(&f), [], "it goes unnoticed");
    (f.runs[1].status, f.runs[1].accused) = (Status::Abort, "client".into());
    assert!(check_all(&f).iter().any(|x| x.what.contains("yet 'client' is accused")), "{:?}", check_all(&f));
    caught("write \"honest\" or", |r| r.server = "evil".into());
    caught("status abort without an accused", |r| (r.status, r.reason) = (Status::Abort, "copies differ".into()));
    let mut f = testing::folder();
    f.runs[1] = RunRow {
        status: Status::Error,
        reason: "the server closed the connection".into(),
        online_wall_ns: None,
        labels_checked: None,
        client_sent_bytes: None,
        ..f.runs[1].clone()
    };
    assert_eq!(check_all(&f), [], "a failed run needs no measures");
}

#[test]
fn answers_against_the_oracle() {
    caught("not compared", |r| r.labels_checked = None);
    caught("not compared", |r| r.tolerance_ulp = None);
    caught("0 answers compared", |r| {
        (r.labels_checked, r.labels_equal, r.correct_labels) = (Some(0), Some(0), Some(0));
    });
    caught("5 of 1 labels equal", |r| r.labels_equal = Some(5));
    caught("1 of 1 labels are not", |r| {
        (r.labels_equal, r.tolerance_ulp, r.max_score_error_ulp) = (Some(0), Some(0), Some(0));
    });
    caught("9 ulp off, 8 allowed", |r| r.max_score_error_ulp = Some(9));
    caught("scores revealed, yet not compared", |r| r.max_score_error_ulp = None);
    caught("2 of 1 labels correct", |r| r.correct_labels = Some(2));
}

#[test]
fn measures_that_cannot_be() {
    caught("ok, yet without rounds", |r| r.rounds = None);
    caught("took no time", |r| (r.run_wall_ns, r.online_wall_ns) = (Some(0), Some(0)));
    caught("ns in a run of", |r| r.online_wall_ns = Some(900_000_000));
    caught("do not explain", |r| r.run_wall_ns = Some(900_000_000));
    let mut f = testing::folder();
    f.runs[1].server_cpu_ns = Some(40_000_000_000);
    assert!(check_all(&f)[0].what.contains("ns of CPU in"));
    // Milliseconds written for nanoseconds.
    let mut f = testing::folder();
    f.runs[1].run_wall_ns = Some(102);
    assert!(check_all(&f).iter().any(|x| x.what.contains("ns in a run of 102")), "{:?}", check_all(&f));
    let mut f = testing::folder();
    f.runs[1].client_sent_bytes = Some(180_000_000);
    assert!(check_all(&f).iter().any(|x| x.what.contains("more than 3000000000 bit/s carry")));
}

#[test]
fn links() {
    caught("link_means is 'magic'", |r| r.link_means = "magic".into());
    caught("without rate and RTT", |r| (r.rtt_set_us, r.link_gate) = (None, LinkGate::None));
    caught("nothing is set for the link gate", |r| {
        (r.rate_set_bits_per_s, r.rtt_set_us, r.link_means) = (None, None, "none".into());
    });
    caught("shapes nothing", |r| r.link_means = "none".into());
    caught("not probed", |r| r.link_gate = LinkGate::None);
    caught("gate passed with RTT 900", |r| r.rtt_seen_p50_us = Some(900));
    caught("gate passed with 1000 for", |r| r.down_seen_bits_per_s = Some(1000));
    caught("without what the probe saw", |r| r.up_seen_bits_per_s = None);
    caught_as(Caution, "was not as set", |r| r.link_gate = LinkGate::Fail);
}

#[test]
fn provenance_is_needed() {
    caught("model_hash is ''", |r| r.model_hash.clear());
    caught("commit is 'unknown'", |r| r.commit = "unknown".into());
    caught("rustc is empty", |r| r.rustc.clear());
    caught("0 threads and 1 lanes", |r| r.threads = 0);
    caught("1 threads and 0 lanes", |r| r.lanes = 0);
}
