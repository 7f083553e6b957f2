//! Rules of `runs.csv`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Findings};
use crate::behaviour::Behaviour;
use crate::record::{Folder, HONEST, LinkGate, Method, RunRow, Status};

/// What clocks of several processes may disagree by (local).
const CLOCK_SLACK_NS: u64 = 50_000_000;

pub(super) fn check(folder: &Folder, found: &mut Vec<Finding>) {
    let mut ids = BTreeSet::new();
    let mut cells: BTreeMap<&str, &RunRow> = BTreeMap::new();
    for row in &folder.runs {
        let f = &mut Findings { place: &row.run_id, found };
        f.require(ids.insert(&row.run_id), || "the run is recorded twice".into());
        let first = cells.entry(&row.cell).or_insert(row);
        f.require(setting(first) == setting(row), || {
            format!("is not the same setting as {}, though both are of cell '{}'", first.run_id, row.cell)
        });
        names(row, f);
        plan(row, f);
        outcome(row, f);
        link(row, f);
        if row.status == Status::Ok {
            answers(row, f);
            measures(row, f, folder.machine.logical_cores);
            provenance(row, f);
        }
    }
}

/// What repetitions of a cell share.
fn setting(r: &RunRow) -> impl PartialEq + '_ {
    let names = [&r.experiment, &r.protocol, &r.model, &r.dataset, &r.link, &r.server, &r.reveal, &r.truncation];
    let plan = (r.batch, r.queries, r.inferences, r.method, r.fusion_copies, r.fusion_public, r.fusion_tolerance);
    (
        names,
        plan,
        r.composed_from,
        r.fusion_chunk,
        (r.threads, r.lanes),
        (&r.link_means, r.rate_set_bits_per_s, r.rtt_set_us),
    )
}

fn one_of(f: &mut Findings<'_>, column: &str, value: &str, known: &[&str]) {
    f.require(known.contains(&value), || format!("{column} is '{value}', not one of {}", known.join(", ")));
}

fn names(r: &RunRow, f: &mut Findings<'_>) {
    f.require(r.run_id == format!("{}#{}", r.cell, r.repetition), || {
        format!("run_id is not cell '{}' and repetition {}", r.cell, r.repetition)
    });
    f.require(r.repetition > 0, || "repetitions count from 1".into());
    let shape = |c: char| if c.is_ascii_digit() { '0' } else { c };
    f.require(r.started_utc.chars().map(shape).eq("0000-00-00T00:00:00Z".chars()), || {
        format!("started_utc '{}' is not like 2025-01-31T23:59:59Z", r.started_utc)
    });
    for (column, value) in [("protocol", &r.protocol), ("model", &r.model), ("dataset", &r.dataset), ("link", &r.link)]
    {
        f.require(!value.is_empty(), || format!("{column} is empty"));
    }
    let adversaries = ["insecure", "semi-honest", "malicious-server", "malicious-client", "malicious"];
    one_of(f, "adversary", &r.adversary, &adversaries);
    one_of(f, "reveal", &r.reveal, &["scores", "label"]);
    one_of(f, "truncation", &r.truncation, &["faithful", "one-bit"]);
    if let Err(why) = Behaviour::try_from(r.server.clone()) {
        f.require(false, || why);
    }
}

fn plan(r: &RunRow, f: &mut Findings<'_>) {
    f.require(r.batch > 0 && r.queries > 0, || format!("batch {} and queries {} must be positive", r.batch, r.queries));
    f.require(r.batch <= r.inferences, || format!("a batch of {} in {} inferences", r.batch, r.inferences));
    let takes = match (r.fusion_copies, r.fusion_public, r.fusion_tolerance) {
        (None, None, None) => r.queries,
        (Some(b), Some(t), Some(_)) => r.queries.saturating_mul(b).saturating_add(t),
        _ => return f.require(false, || "fusion_copies, _public and _tolerance belong together".into()),
    };
    let chunked = r.fusion_chunk.is_none_or(|c| c > 0 && r.fusion_copies.is_some());
    f.require(chunked, || "fusion_chunk without a plan, or 0".into());
    if let Some(n) = r.resumed_inferences {
        let fits = r.fusion_chunk.is_some() && 0 < n && n <= r.inferences;
        f.require(fits, || format!("resumed after {n} of {} inferences of a plan in chunks", r.inferences));
        if r.status == Status::Ok {
            f.caution(format!("resumed after {n} of {} inferences: its measures do not count", r.inferences));
        }
    }
    f.require(r.inferences == takes, || format!("the plan takes {takes} inferences, the row says {}", r.inferences));
    match (r.method, r.composed_from) {
        (Method::Measured, n) => f.require(n.is_none(), || "measured, yet composed_from is given".into()),
        (m, None) => f.require(false, || format!("{m}, yet composed_from is empty")),
        (m, Some(n)) => {
            f.require(0 < n && n <= r.inferences, || format!("{m} from {n} of {} inferences", r.inferences))
        }
    }
}

fn outcome(r: &RunRow, f: &mut Findings<'_>) {
    let explained = r.status == Status::Ok || !r.reason.is_empty();
    f.require(explained, || format!("status {} without a reason", r.status));
    let ruled = r.method != Method::Extrapolated || !r.reason.is_empty();
    f.require(ruled, || "extrapolated without the rule as reason".into());
    let blames = !r.accused.is_empty();
    f.require(blames == (r.status == Status::Abort), || {
        format!("status {} {} an accused", r.status, if blames { "with" } else { "without" })
    });
    // To be caught and to pass off wrong answers is what a cheating server is run for.
    match (r.status, r.server == HONEST) {
        (Status::Abort, true) if blames => f.caution("an honest server was accused".into()),
        (Status::Disk, _) => f.caution("a disk was full: make room and go on with bench run --resume".into()),
        (Status::Wrong, true) => f.caution("wrong answers of an honest server: a bug".into()),
        (Status::Abort, false) => {
            f.require(r.accused == "server" || !blames, || format!("a server cheats, yet '{}' is accused", r.accused));
        }
        _ => {}
    }
}

fn link(r: &RunRow, f: &mut Findings<'_>) {
    one_of(f, "link_means", &r.link_means, &["none", "model", "netem", "tun"]);
    let (rate, rtt) = match (r.rate_set_bits_per_s, r.rtt_set_us) {
        (Some(rate), Some(rtt)) => (rate, rtt),
        set => {
            let nothing = set == (None, None) && r.link_means == "none";
            f.require(nothing, || format!("link by means '{}' without rate and RTT", r.link_means));
            return f.require(r.link_gate == LinkGate::None, || "nothing is set for the link gate to compare".into());
        }
    };
    f.require(r.link_means != "none", || "rate and RTT set on a link that shapes nothing".into());
    if r.status != Status::Ok {
        return;
    }
    match (r.link_gate, r.rtt_seen_p50_us, r.up_seen_bits_per_s, r.down_seen_bits_per_s) {
        (LinkGate::None, ..) => f.require(false, || "a shaped link was not probed".into()),
        (LinkGate::Fail, ..) => f.caution("the link was not as set: its times do not count".into()),
        (LinkGate::Pass, Some(seen), Some(up), Some(down)) => {
            // Wider than any profile's own tolerance: what passed the gate cannot be outside of this.
            f.require(seen.abs_diff(rtt) <= 200 + rtt / 20, || format!("gate passed with RTT {seen} for {rtt} us"));
            // A connection with a small window stays below the link's rate.
            let least = if r.tcp_slow_start_set == Some(true) { 0 } else { rate - rate / 5 };
            for seen in [up, down] {
                f.require((least..=rate + rate / 5).contains(&seen), || {
                    format!("gate passed with {seen} for {rate} bit/s")
                });
            }
        }
        (LinkGate::Pass, ..) => f.require(false, || "gate passed without what the probe saw".into()),
    }
}

/// A time counts only if the answers were compared with the oracle.
fn answers(r: &RunRow, f: &mut Findings<'_>) {
    let (Some(checked), Some(equal), Some(tolerance)) = (r.labels_checked, r.labels_equal, r.tolerance_ulp) else {
        return f.require(false, || "ok, yet the answers were not compared with the oracle".into());
    };
    let expected = if r.method == Method::Measured { r.queries..=r.queries } else { 1..=r.ran() };
    f.require(expected.contains(&checked), || format!("{checked} answers compared, of {} queries", r.queries));
    f.require(equal <= checked, || format!("{equal} of {checked} labels equal"));
    // Rounding can turn a near tie; it does not turn many.
    let turned = checked.saturating_sub(equal);
    let allowed = if tolerance == 0 { 0 } else { 1 + checked / 100 };
    f.require(turned <= allowed, || format!("ok, yet {turned} of {checked} labels are not the oracle's"));
    match r.max_score_error_ulp {
        Some(e) => f.require(e <= tolerance, || format!("ok, yet a score is {e} ulp off, {tolerance} allowed")),
        None => f.require(r.reveal == "label", || "scores revealed, yet not compared".into()),
    }
    let correct = r.correct_labels.unwrap_or(0);
    f.require(correct <= checked, || format!("{correct} of {checked} labels correct"));
}

fn measures(r: &RunRow, f: &mut Findings<'_>, cores: u64) {
    let all = [
        ("setup_wall_ns", r.setup_wall_ns),
        ("offline_wall_ns", r.offline_wall_ns),
        ("online_wall_ns", r.online_wall_ns),
        ("verify_wall_ns", r.verify_wall_ns),
        ("run_wall_ns", r.run_wall_ns),
        ("client_setup_cpu_ns", r.client_setup_cpu_ns),
        ("server_setup_cpu_ns", r.server_setup_cpu_ns),
        ("client_cpu_ns", r.client_cpu_ns),
        ("server_cpu_ns", r.server_cpu_ns),
        ("client_setup_sent_bytes", r.client_setup_sent_bytes),
        ("client_setup_recv_bytes", r.client_setup_recv_bytes),
        ("server_setup_sent_bytes", r.server_setup_sent_bytes),
        ("server_setup_recv_bytes", r.server_setup_recv_bytes),
        ("client_sent_bytes", r.client_sent_bytes),
        ("client_recv_bytes", r.client_recv_bytes),
        ("server_sent_bytes", r.server_sent_bytes),
        ("server_recv_bytes", r.server_recv_bytes),
        ("setup_rounds", r.setup_rounds),
        ("rounds", r.rounds),
        ("client_peak_rss_bytes", r.client_peak_rss_bytes),
        ("server_peak_rss_bytes", r.server_peak_rss_bytes),
    ];
    let missing: Vec<_> = all.iter().filter(|(_, v)| v.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return f.require(false, || format!("ok, yet without {}", missing.join(", ")));
    }
    let get = |v: Option<u64>| v.unwrap_or_default();
    let run = get(r.run_wall_ns);
    let phases = [get(r.offline_wall_ns), get(r.online_wall_ns), get(r.verify_wall_ns)];
    let slack = CLOCK_SLACK_NS + run / 10;
    f.require(run > 0, || "a run that took no time".into());
    f.require(phases.iter().all(|p| *p <= run + slack), || format!("a phase of {phases:?} ns in a run of {run} ns"));
    f.require(phases.iter().sum::<u64>() + slack >= run, || {
        format!("phases of {phases:?} ns do not explain a run of {run} ns")
    });
    for (party, cpu) in [("client", get(r.client_cpu_ns)), ("server", get(r.server_cpu_ns))] {
        f.require(cpu <= (run + slack).saturating_mul(cores.max(1)), || {
            format!("{party}: {cpu} ns of CPU in {run} ns on {cores} cores")
        });
    }
    if let Some(rate) = r.rate_set_bits_per_s {
        for bytes in [get(r.client_sent_bytes), get(r.client_recv_bytes)] {
            let least_ns = u128::from(bytes) * 8_000_000_000 / u128::from(rate.max(1));
            f.require(least_ns <= u128::from(run + slack), || {
                format!("{bytes} bytes in {run} ns are more than {rate} bit/s carry")
            });
        }
    }
}

fn provenance(r: &RunRow, f: &mut Findings<'_>) {
    let hex = |s: &str| s.len() >= 7 && s.bytes().all(|b| b.is_ascii_hexdigit());
    let hashes = [
        ("model_hash", &r.model_hash),
        ("data_hash", &r.data_hash),
        ("options_hash", &r.options_hash),
        ("commit", &r.commit),
    ];
    for (column, value) in hashes {
        f.require(hex(value), || format!("{column} is '{value}', not a hexadecimal digest"));
    }
    for (column, value) in [("rustc", &r.rustc), ("target_features", &r.target_features), ("placement", &r.placement)] {
        f.require(!value.is_empty(), || format!("{column} is empty"));
    }
    f.require(r.threads > 0 && r.lanes > 0, || format!("{} threads and {} lanes", r.threads, r.lanes));
}

#[cfg(test)]
mod tests;
