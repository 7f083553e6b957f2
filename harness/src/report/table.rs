//! The tables of what was measured: headline, amortised cost, links, provenance.

use std::collections::BTreeMap;
use std::fmt::Write;

use si_fusion::Plan;

use super::cells::{Cell, MIB, Metric, SECOND};
use super::markdown::{Table, number, spread};
use crate::record::{Folder, LinkGate, RunRow, Status};
use crate::stats::summary;

/// How much a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// The columns that fit on a page that people write.
    Short,
    Full,
}

/// One row per setting that was run in full; then the same for composed plans, apart; then what went wrong.
pub(crate) fn headline(cells: &[Cell<'_>], detail: Detail) -> String {
    let mut out = String::new();
    let (measured, composed): (Vec<&Cell<'_>>, Vec<&Cell<'_>>) = cells.iter().partition(|c| c.is_measured());
    if !measured.is_empty() {
        let _ = writeln!(out, "{}", totals(&measured, detail));
    }
    if !composed.is_empty() {
        let _ = writeln!(
            out,
            "Composed: a real batch of n inferences, scaled to the plan's number; not to be read beside rows measured in \
             full.\n\n{}",
            totals(&composed, detail)
        );
    }
    let _ = write!(out, "{}", failures(cells));
    out
}

fn totals(cells: &[&Cell<'_>], detail: Detail) -> Table {
    let full = detail == Detail::Full;
    let mut head = vec!["protocol", "secure against", "model", "link", "load", "time s", "link s"];
    head.extend(full.then_some("of which offline s"));
    head.extend(["CPU s", "MiB", "rounds", "peak MiB server / client", "answers right", "runs"]);
    head.extend(full.then_some("method"));
    let mut t = Table::new(5, &head);
    for c in cells {
        let r = c.setting();
        let mut row =
            vec![r.protocol.clone(), adversary(&r.adversary).to_owned(), r.model.clone(), r.link.clone(), c.load()];
        row.push(c.shown(Metric::Wall, SECOND));
        row.push(c.link_time(Cell::total));
        row.extend(full.then(|| c.middle(Metric::Offline, SECOND)));
        row.push(c.middle(Metric::Cpu, SECOND));
        row.push(c.middle(Metric::Bytes, MIB));
        row.extend([c.rounds(), c.peaks(), c.verified(), c.outcome()]);
        row.extend(full.then(|| c.method()));
        t.row(row);
    }
    t
}

/// For a reader: the nobody whom the reference protocol is secure against.
pub(crate) fn adversary(card: &str) -> &str {
    match card {
        "insecure" => "nobody (reference)",
        "semi-honest" => "semi-honest parties",
        "malicious-server" => "a malicious server",
        "malicious-client" => "a malicious client",
        "malicious" => "a malicious party",
        other => other,
    }
}

/// Why runs failed, one line a reason.
fn failures(cells: &[Cell<'_>]) -> String {
    let mut reasons: BTreeMap<(&str, Status, &str, &str), usize> = BTreeMap::new();
    for r in cells.iter().flat_map(|c| &c.rows).filter(|r| r.status != Status::Ok) {
        *reasons.entry((&r.cell, r.status, &r.reason, &r.accused)).or_default() += 1;
    }
    let mut out = String::new();
    for ((cell, status, reason, accused), n) in reasons {
        let accused = if accused.is_empty() { String::new() } else { format!(", accused: {accused}") };
        let _ = writeln!(out, "- {cell}: {n} × {status}{accused}: {reason}");
    }
    if out.is_empty() { out } else { format!("Runs without a counted answer:\n\n{out}\n") }
}

/// Cost of one query, against the size of the batch or of Fusion's plan.
pub(crate) fn amortised(cells: &[Cell<'_>]) -> String {
    let head = [
        "protocol",
        "model",
        "link",
        "load",
        "method",
        "inferences a query",
        "log2 Pr[cheat]",
        "time s",
        "link s",
        "CPU s",
        "MiB",
        "rounds of all",
    ];
    let mut t = Table::new(5, &head);
    for c in cells.iter().filter(|c| c.good().next().is_some()) {
        let r = c.setting();
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            r.link.clone(),
            c.load(),
            c.method(),
            number(r.inferences as f64 / r.queries.max(1) as f64),
            soundness(r).map_or_else(|| "no plan".into(), |b| format!("{b:.2}")),
            c.shown_per_query(Metric::Wall, SECOND),
            c.link_time(Cell::per_query),
            c.shown_per_query(Metric::Cpu, SECOND),
            c.middle_per_query(Metric::Bytes, MIB),
            c.rounds(),
        ]);
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// The bound on a cheating server's chances against a row's plan, if it has one.
pub(super) fn soundness(r: &RunRow) -> Option<f64> {
    let size = |x: u64| usize::try_from(x).ok();
    let (copies, public) = (size(r.fusion_copies?)?, size(r.fusion_public?)?);
    let plan = Plan::new(size(r.queries)?, copies, public, size(r.fusion_tolerance.unwrap_or(0))?).ok()?;
    Some(plan.bound().log2_probability)
}

/// What two parties pay once, before any query.
pub(crate) fn setup(cells: &[Cell<'_>]) -> String {
    let mut t = Table::new(3, &["protocol", "model", "link", "time s", "MiB"]);
    let mut seen = std::collections::BTreeSet::new();
    for c in cells.iter().filter(|c| c.good().next().is_some()) {
        let r = c.setting();
        if seen.insert((&r.protocol, &r.model, &r.link)) {
            t.row(vec![
                r.protocol.clone(),
                r.model.clone(),
                r.link.clone(),
                c.shown(Metric::SetupWall, SECOND),
                c.middle(Metric::SetupBytes, MIB),
            ]);
        }
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// What processes take, on the nearest link of each load: memory does not depend on the link.
pub(crate) fn memory(cells: &[Cell<'_>]) -> String {
    let mut t = Table::new(3, &["protocol", "model", "load", "server", "client"]);
    let mut seen = std::collections::BTreeSet::new();
    for c in cells.iter().filter(|c| c.good().next().is_some()) {
        let r = c.setting();
        if seen.insert((&r.protocol, &r.model, c.load(), c.method())) {
            let method = if c.is_measured() { String::new() } else { format!(", {}", c.method()) };
            t.row(vec![
                r.protocol.clone(),
                r.model.clone(),
                format!("{}{method}", c.load()),
                c.shown(Metric::ServerPeak, MIB),
                c.shown(Metric::ClientPeak, MIB),
            ]);
        }
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// Every link as set, and as the probes before the runs saw it.
pub(crate) fn links(cells: &[Cell<'_>]) -> String {
    let mut by_link: BTreeMap<(u64, &str, &str), Vec<&RunRow>> = BTreeMap::new();
    for r in cells.iter().flat_map(|c| &c.rows) {
        by_link.entry((r.rtt_set_us.unwrap_or(0), &r.link, &r.link_means)).or_default().push(r);
    }
    let head = [
        "link",
        "made by",
        "set: Mbit/s",
        "set: RTT ms",
        "slow start",
        "seen: RTT p50 ms",
        "seen: RTT p99 ms",
        "seen: up Mbit/s",
        "seen: down Mbit/s",
        "seen: both ways Mbit/s",
        "seen: fresh MB ms",
        "dropped, sent again",
        "as set",
    ];
    let mut t = Table::new(2, &head);
    for ((_, link, means), rows) in by_link {
        let seen = |of: fn(&RunRow) -> Option<u64>, unit: f64| {
            let values: Vec<f64> = rows.iter().filter_map(|r| of(r)).map(|x| x as f64).collect();
            summary(&values).map_or_else(|| "not probed".to_owned(), |s| spread(s, unit))
        };
        let set = |value: Option<u64>, unit: f64| value.map_or("not set".into(), |v| number(v as f64 / unit));
        let gated = rows.iter().filter(|r| r.link_gate != LinkGate::None).count();
        let passed = rows.iter().filter(|r| r.link_gate == LinkGate::Pass).count();
        t.row(vec![
            link.to_owned(),
            means.to_owned(),
            set(rows[0].rate_set_bits_per_s, 1e6),
            set(rows[0].rtt_set_us, 1e3),
            rows[0].tcp_slow_start_set.map_or("not set", |s| if s { "yes" } else { "no" }).to_owned(),
            seen(|r| r.rtt_seen_p50_us, 1e3),
            seen(|r| r.rtt_seen_p99_us, 1e3),
            seen(|r| r.up_seen_bits_per_s, 1e6),
            seen(|r| r.down_seen_bits_per_s, 1e6),
            seen(|r| r.duplex_seen_bits_per_s, 1e6),
            seen(|r| r.fresh_mb_seen_us, 1e3),
            lost(&rows),
            if gated == 0 { "not set".into() } else { format!("{passed} of {gated} runs") },
        ]);
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// Packets dropped and segments sent again, over all runs of a link that tells.
fn lost(rows: &[&RunRow]) -> String {
    let sum = |of: fn(&RunRow) -> Option<u64>| rows.iter().filter_map(|r| of(r)).reduce(u64::saturating_add);
    match (sum(|r| r.drops_seen), sum(|r| r.retransmits_seen)) {
        (Some(drops), Some(again)) => format!("{drops}, {again}"),
        _ => "not counted".into(),
    }
}

/// Where the numbers come from: a line for each machine and compiler, and below it the records.
pub(crate) fn provenance(folders: &[Folder], cells: &[Cell<'_>]) -> String {
    let mut by_machine: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for f in folders.iter().filter(|f| cells.iter().any(|c| c.folder.dir == f.dir)) {
        let m = &f.machine;
        let Some(first) = f.runs.first() else { continue };
        let machine = format!(
            "{} ({} cores, {} GiB, {}); {}; threads a party: {}",
            m.cpu,
            m.logical_cores,
            m.memory_bytes >> 30,
            first.target_features,
            first.rustc,
            first.threads,
        );
        let loads: Vec<f64> = f.runs.iter().filter_map(|r| r.load_avg_milli).map(|l| l as f64).collect();
        let commit: String = first.commit.chars().take(12).collect();
        let dirty = if f.runs.iter().any(|r| r.dirty) { " with uncommitted changes" } else { "" };
        by_machine.entry(machine).or_default().push(format!(
            "`{}` ({}, begun {}, commit {commit}{dirty}, load average {})",
            f.name(),
            first.experiment,
            first.started_utc,
            summary(&loads).map_or_else(|| "not known".to_owned(), |s| spread(s, 1e3)),
        ));
    }
    let line = |(machine, records): (&String, &Vec<String>)| format!("- {machine}. Records: {}.\n", records.join(", "));
    by_machine.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::record::samples;

    fn folders() -> Vec<Folder> {
        let mut f = samples::folder("a");
        for n in 1..=3 {
            samples::add(&mut f, samples::run("cheetah", "wan", n));
            samples::add(&mut f, samples::batch("cheetah", "wan", 8, n));
            samples::add(&mut f, samples::composed(n));
        }
        let (mut failed, _) = samples::run("plain", "wan", 1);
        (failed.status, failed.reason) = (Status::Abort, "copies of query 3 differ".into());
        failed.accused = "server".into();
        f.runs.push(failed);
        vec![f]
    }

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_headline_keeps_measured_and_composed_apart_and_names_failures() {
        let folders = folders();
        let text = squeezed(&headline(&cells(&folders), Detail::Full));
        let row = "| cheetah | semi-honest parties | mnist-cnn4 | wan | batch 1 | 0.102 [0.101..0.103] | ≤ 0.446 | 0 | 0.0800 | 0.288 | 11 | 40 / 30 | 3 | 3 ok | measured |";
        assert!(text.contains(row), "{text}");
        let (measured, composed) = text.split_once("Composed:").unwrap();
        assert!(!measured.contains("fusion") && composed.contains("composed (32 of 2,660)"), "{text}");
        assert!(text.contains("1 × abort, accused: server: copies of query 3 differ"), "{text}");
        assert!(text.contains("| 1 abort |"), "{text}");
        let short = squeezed(&headline(&cells(&folders), Detail::Short));
        assert!(
            short.contains("| batch 1 | 0.102 [0.101..0.103] | ≤ 0.446 | 0.0800 | 0.288 | 11 | 40 / 30 | 3 | 3 ok |"),
            "{short}"
        );
    }

    #[test]
    fn amortised_costs_are_of_one_query() {
        let folders = folders();
        let text = squeezed(&amortised(&cells(&folders)));
        assert!(text.contains("| cheetah | mnist-cnn4 | wan | batch 8 | measured | 1.00 | no plan | 0.100"), "{text}");
        assert!(text.contains("| composed (32 of 2,660) | 5.20 | -40.97 |"), "{text}");
        assert!(!text.contains("plain"), "a failed setting has no cost: {text}");
    }

    #[test]
    fn links_as_set_and_as_seen() {
        let mut folders = folders();
        let text = squeezed(&links(&cells(&folders)));
        let row = "| wan | model | 400 | 40.0 | no | 40.0 | 40.1 | 398 | 396 | not probed | not probed | not counted | 7 of 7 runs |";
        assert!(text.contains(row), "{text}");
        for r in &mut folders[0].runs {
            (r.duplex_seen_bits_per_s, r.fresh_mb_seen_us) = (Some(390_000_000), Some(61_000));
            (r.drops_seen, r.retransmits_seen) = (Some(0), Some(2));
        }
        let text = squeezed(&links(&cells(&folders)));
        assert!(text.contains("| 398 | 396 | 390 | 61.0 | 0, 14 | 7 of 7 runs |"), "{text}");
    }

    #[test]
    fn provenance_names_machine_and_commit() {
        let folders = folders();
        let text = provenance(&folders, &cells(&folders));
        assert!(text.starts_with("- Imaginary 9000 (2 cores, 8 GiB, avx2+aes); "), "{text}");
        assert!(text.contains(&format!("Records: `{}` (", folders[0].name())), "{text}");
        assert!(text.contains("commit 0123456789ab") && text.lines().count() == 1, "{text}");
    }
}
