//! What cheating servers did: as processes, cheat by cheat, and in trials, beside what theory says of each adversary.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::judged::{Judged, binomial, judged, plan, urn};
use super::markdown::{Table, thousands};
use crate::record::{Folder, HONEST, RunRow, Samples, Status};
use crate::stats::{Interval, clopper_pearson};

/// A probability, with its small end legible.
fn chance(p: f64) -> String {
    if p > 0.0 && p < 0.001 { format!("{p:.1e}") } else { format!("{p:.4}") }
}

fn rate(hits: u64, trials: u64, i: Interval) -> String {
    format!("{} [{}..{}]", chance(hits as f64 / trials.max(1) as f64), chance(i.low), chance(i.high))
}

fn count(x: u64) -> String {
    thousands(i64::try_from(x).unwrap_or(i64::MAX))
}

/// Everything on cheating servers; empty if there are no records of any.
pub(crate) fn page(folders: &[Folder]) -> String {
    let mut out = String::new();
    let processes = processes(folders);
    if !processes.is_empty() {
        let _ = writeln!(
            out,
            "## What each cheat does\n\nThe server is a process of its own that deviates. Alone, a semi-honest protocol \
             accepts what it is given: the answers are wrong, and nobody notices. *Harmless* means that the answers \
             happened to be right.\n\n{processes}"
        );
    }
    let judged = judged(folders);
    let of = |keep: &dyn Fn(&Judged<'_>) -> bool| judged.iter().filter(|j| keep(j)).collect::<Vec<_>>();
    let honest = of(&|j| j.row.server == HONEST);
    let cheats = of(&|j| j.row.server != HONEST && j.row.samples == Samples::Sure);
    let models = of(&|j| j.row.samples == Samples::Labelled);
    if !cheats.is_empty() {
        let inside = cheats.iter().filter(|j| j.agrees() == Some(true)).count();
        let with_theory = cheats.iter().filter(|j| j.agrees().is_some()).count();
        let _ = writeln!(
            out,
            "## Detection, measured and computed\n\nMany runs of one plan, both parties as threads of one process. \
             Measured rates with their exact 99 % interval (Clopper and Pearson); *theory*: the exact chance of this \
             adversary, by counting. k: inferences that the server corrupts; with k = B it takes its best chance to hit all \
             copies of one query. Theory lies in the interval in {inside} of {with_theory} settings.\n\n{}",
            detection(&cheats)
        );
    }
    if !models.is_empty() {
        let _ = writeln!(
            out,
            "## The accuracy test\n\nThe server runs one other model throughout: its copies agree, so that only the public \
             samples can tell. Any images, with the data set's labels; m follows from an honest accuracy at which an \
             honest server is refused once in a thousand runs. *Urn*: the exact chance for this pool of images; \
             *binomial*: for independent samples.\n\n{}",
            accuracy(&models)
        );
    }
    if !honest.is_empty() {
        let _ = writeln!(
            out,
            "## Honest servers refused\n\nWhere truncation may be off by a bit, honest copies can differ. *At most*: upper \
             end of the 99 % interval.\n\n{}",
            refusals(&honest)
        );
    }
    out
}

/// Rows of processes: one line for each model, cheat and protocol, the protocol alone beside Fusion over it.
fn processes(folders: &[Folder]) -> String {
    let inner = |p: &str| p.strip_prefix("fusion(").and_then(|p| p.strip_suffix(')')).unwrap_or(p).to_owned();
    let mut groups: BTreeMap<_, Vec<&RunRow>> = BTreeMap::new();
    for r in folders.iter().flat_map(|f| &f.runs).filter(|r| r.server != HONEST) {
        let key = (&r.model, inner(&r.protocol), &r.server, &r.protocol, (r.queries, r.fusion_copies, r.fusion_public));
        groups.entry(key).or_default().push(r);
    }
    let mut t = Table::new(7, &["model", "server", "protocol", "load", "outcome", "accused", "check", "runs"]);
    for ((model, _, server, protocol, _), rows) in groups {
        let r = rows[0];
        let load = match (r.fusion_copies, r.fusion_public, r.fusion_tolerance) {
            (Some(b), Some(public), m) => format!("R={}, B={b}, T={public}, m={}", r.queries, m.unwrap_or(0)),
            _ => format!("batch {}", r.batch),
        };
        let accused: BTreeSet<_> = rows.iter().filter(|r| !r.accused.is_empty()).map(|r| r.accused.as_str()).collect();
        let why =
            rows.iter().find(|r| r.status == Status::Abort).or_else(|| rows.iter().find(|r| !r.reason.is_empty()));
        let why =
            why.filter(|r| r.status != Status::Wrong).map_or_else(|| "none failed".to_owned(), |r| check(&r.reason));
        t.row(vec![
            model.clone(),
            server.strip_prefix("cheat:").unwrap_or(server).to_owned(),
            protocol.clone(),
            load,
            outcome(&rows),
            if accused.is_empty() { "nobody".to_owned() } else { accused.into_iter().collect::<Vec<_>>().join(", ") },
            why,
            rows.len().to_string(),
        ]);
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// The part of an abort's message that says what the check saw.
fn check(reason: &str) -> String {
    let text = reason.split_once("by the check '").map_or(reason, |(_, rest)| rest.trim_end_matches('\''));
    text.split_once("): ").map_or(text, |(_, seen)| seen).to_owned()
}

fn outcome(rows: &[&RunRow]) -> String {
    let mut parts = Vec::new();
    let mut part = |status: Status, what: &dyn Fn(&[&&RunRow]) -> String| {
        let of: Vec<_> = rows.iter().filter(|r| r.status == status).collect();
        if !of.is_empty() {
            let times = if of.len() == rows.len() { String::new() } else { format!("{} × ", of.len()) };
            parts.push(format!("{times}{}", what(&of)));
        }
    };
    part(Status::Abort, &|_| "**caught**: abort".into());
    part(Status::Wrong, &|of| {
        let sum = |f: fn(&RunRow) -> Option<u64>| of.iter().filter_map(|r| f(r)).fold(0, u64::saturating_add);
        let (checked, equal) = (sum(|r| r.labels_checked), sum(|r| r.labels_equal));
        let what = if equal < checked {
            format!("{} of {checked} labels wrong", checked - equal)
        } else {
            "scores wrong, labels right".to_owned()
        };
        format!("**unnoticed**: {what}")
    });
    part(Status::Ok, &|_| "harmless".into());
    part(Status::Error, &|_| "run broken".into());
    part(Status::Skipped, &|_| "not possible".into());
    part(Status::Timeout, &|_| "timeout".into());
    part(Status::Memory, &|_| "out of memory".into());
    parts.join(", ")
}

fn detection(all: &[&Judged<'_>]) -> Table {
    let head = [
        "protocol",
        "model",
        "plan",
        "server",
        "k",
        "runs",
        "caught",
        "theory",
        "by copies",
        "by public",
        "wrong accepted",
        "theory",
        "in the interval",
    ];
    let mut t = Table::new(4, &head);
    for j in all {
        let (r, e) = (j.row, j.expected);
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            plan(r),
            r.server.trim_start_matches("cheat:").to_owned(),
            r.corrupted.map_or("not counted".into(), count),
            count(r.trials),
            rate(r.caught, r.trials, j.caught),
            e.map_or("no theory".into(), |e| chance(e.caught)),
            count(r.caught_by_copies),
            count(r.caught_by_public),
            rate(r.fooled, r.trials, j.fooled),
            e.and_then(|e| e.fooled).map_or("no theory".into(), chance),
            j.agreement(),
        ]);
    }
    t
}

fn accuracy(all: &[&Judged<'_>]) -> Table {
    let head = [
        "protocol",
        "promised",
        "server",
        "its accuracy",
        "T",
        "m",
        "runs",
        "accepted",
        "urn",
        "binomial",
        "copies differed",
        "in the interval",
    ];
    let mut t = Table::new(3, &head);
    for j in all {
        let r = j.row;
        let accuracy = r.pool_right.map(|right| right as f64 / r.pool.max(1) as f64);
        let accepted = clopper_pearson(r.trials - r.caught, r.trials);
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            r.server.trim_start_matches("cheat:").to_owned(),
            accuracy.map_or("several models".into(), |a| format!("{a:.4}")),
            count(r.fusion_public),
            count(r.fusion_tolerance),
            count(r.trials),
            rate(r.trials - r.caught, r.trials, accepted),
            urn(r).map_or("no theory".into(), chance),
            accuracy.map_or("no theory".into(), |a| chance(binomial(r, a))),
            count(r.caught_by_copies),
            j.agreement(),
        ]);
    }
    t
}

fn refusals(all: &[&Judged<'_>]) -> Table {
    let head =
        ["protocol", "model", "truncation", "revealed", "plan", "samples", "runs", "refused", "by copies", "at most"];
    let mut t = Table::new(6, &head);
    for j in all {
        let r = j.row;
        let samples = if r.samples == Samples::Sure { "sure" } else { "labelled" };
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            r.truncation.clone(),
            r.reveal.clone(),
            plan(r),
            samples.to_owned(),
            count(r.trials),
            count(r.caught),
            count(r.caught_by_copies),
            chance(j.caught.high),
        ]);
    }
    t
}

#[cfg(test)]
mod tests {
    use super::super::judged::tests::row;
    use super::*;
    use crate::record::samples;

    #[test]
    fn the_page_names_what_each_cheat_did() {
        let mut f = samples::folder("a");
        let mut add = |protocol: &str, status: Status, reason: &str, accused: &str| {
            let (mut run, _) = samples::batch(protocol, "lan", 8, 1);
            run.server = "cheat:flip-label:1".into();
            (run.status, run.reason, run.accused, run.labels_equal) = (status, reason.into(), accused.into(), Some(7));
            f.runs.push(run);
        };
        add("cheetah", Status::Wrong, "answer 2 is label 1, the oracle says 3", "");
        let why = "abort: server is accused by the check 'mix and check (R=8): the copies of 1 queries differ'";
        add("fusion(cheetah)", Status::Abort, why, "server");
        f.trials.push(row("cheat:flip-label:2", Some(2), 974, 26));
        let text = page(&[f]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("| cheetah | batch 8 | **unnoticed**: 1 of 8 labels wrong | nobody | none failed | 1 |"),
            "{text}"
        );
        assert!(text.contains("| **caught**: abort | server | the copies of 1 queries differ | 1 |"), "{text}");
        assert!(text.contains("in the interval in 1 of 1 settings") && text.contains("| 0.9746 |"), "{text}");
        assert_eq!(page(&[samples::folder("b")]), "");
    }
}
