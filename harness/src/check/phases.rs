//! Rules of `phases.csv`, alone and beside `runs.csv`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, Findings};
use crate::record::{Folder, PHASES_CSV, PhaseRow, RunRow, Status};

/// CPU time is read at slightly different instants for a run and for its phases (local).
const CPU_SLACK_NS: u64 = 50_000_000;

pub(super) fn check(folder: &Folder, found: &mut Vec<Finding>) {
    let mut by_run: BTreeMap<&str, Vec<&PhaseRow>> = BTreeMap::new();
    for p in &folder.phases {
        by_run.entry(&p.run_id).or_default().push(p);
    }
    for row in &folder.runs {
        let phases = by_run.remove(row.run_id.as_str()).unwrap_or_default();
        let f = &mut Findings { place: &row.run_id, found };
        vocabulary(&phases, f);
        if row.status == Status::Ok {
            sums(row, &phases, f);
        }
    }
    for run in by_run.keys() {
        let f = &mut Findings { place: PHASES_CSV, found };
        f.require(false, || format!("phases of '{run}', which runs.csv does not have"));
    }
}

fn vocabulary(phases: &[&PhaseRow], f: &mut Findings<'_>) {
    let mut seen = BTreeSet::new();
    for p in phases {
        let place = format!("{} {} '{}'", p.party, p.phase, p.operator);
        f.require(seen.insert((&p.party, &p.phase, &p.operator)), || format!("{place} stands twice in {PHASES_CSV}"));
        let known = ["setup", "offline", "online", "verify"].contains(&p.phase.as_str());
        f.require(known, || format!("{place}: unknown phase"));
        f.require(is_role(&p.party), || format!("{place}: unknown party"));
        f.require((p.sent_bytes > 0) == (p.messages > 0), || {
            format!("{place}: {} bytes in {} messages", p.sent_bytes, p.messages)
        });
    }
}

fn is_role(name: &str) -> bool {
    name.parse::<si_wire::Role>().is_ok()
}

/// The columns of `runs.csv` that must be sums over `phases.csv`, for one side and one part of the run.
struct Side {
    name: &'static str,
    client: bool,
    setup: bool,
    sent: Option<u64>,
    recv: Option<u64>,
    cpu: Option<u64>,
    rounds: Option<u64>,
}

fn sums(r: &RunRow, phases: &[&PhaseRow], f: &mut Findings<'_>) {
    let parties: BTreeSet<_> = phases.iter().map(|p| p.party.as_str()).collect();
    if !parties.contains("client") || parties.len() < 2 {
        return f.require(false, || format!("ok, yet {PHASES_CSV} has only the parties {parties:?}"));
    }
    let side = |name, client, setup, sent, recv, cpu, rounds| Side { name, client, setup, sent, recv, cpu, rounds };
    let sides = [
        side("client", true, false, r.client_sent_bytes, r.client_recv_bytes, r.client_cpu_ns, r.rounds),
        side("server", false, false, r.server_sent_bytes, r.server_recv_bytes, r.server_cpu_ns, None),
        side(
            "client in set-up",
            true,
            true,
            r.client_setup_sent_bytes,
            r.client_setup_recv_bytes,
            r.client_setup_cpu_ns,
            r.setup_rounds,
        ),
        side(
            "server in set-up",
            false,
            true,
            r.server_setup_sent_bytes,
            r.server_setup_recv_bytes,
            r.server_setup_cpu_ns,
            None,
        ),
    ];
    for s in sides {
        let of_side = |p: &&&PhaseRow| (p.party == "client") == s.client && (p.phase == "setup") == s.setup;
        let sum = |of: fn(&PhaseRow) -> u64| phases.iter().filter(of_side).map(|p| of(p)).fold(0, u64::saturating_add);
        let exact = [
            ("sent_bytes", s.sent, sum(|p| p.sent_bytes)),
            ("recv_bytes", s.recv, sum(|p| p.recv_bytes)),
            ("rounds", s.rounds, sum(|p| p.rounds)),
        ];
        for (column, said, summed) in exact {
            let same = said.is_none_or(|said| said == summed);
            f.require(same, || format!("{}: {column} {} in runs.csv, {summed} in phases", s.name, said.unwrap_or(0)));
        }
        let cpu = sum(|p| p.cpu_ns);
        let near = s.cpu.is_none_or(|said| said.abs_diff(cpu) <= CPU_SLACK_NS + said / 10);
        f.require(near, || format!("{}: cpu_ns {} in runs.csv, {cpu} in phases", s.name, s.cpu.unwrap_or(0)));
    }
    if parties.len() == 2 {
        let total = |client: bool, of: fn(&PhaseRow) -> u64| {
            phases.iter().filter(|p| (p.party == "client") == client).map(|p| of(p)).fold(0, u64::saturating_add)
        };
        let ends = [
            (total(true, |p| p.sent_bytes), total(false, |p| p.recv_bytes)),
            (total(false, |p| p.sent_bytes), total(true, |p| p.recv_bytes)),
        ];
        for (sent, received) in ends {
            f.require(sent == received, || format!("{sent} bytes sent, {received} received at the other end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Problem;
    use super::super::{check as check_all, testing};
    use super::*;

    /// Spoils a phase of the second run: the client's, number `i` of its six.
    fn caught(expect: &str, i: usize, spoil: impl FnOnce(&mut PhaseRow)) {
        testing::caught(Problem, expect, |_| {}, |phases| spoil(&mut phases[12 + 2 * i]));
    }

    #[test]
    fn vocabulary_of_phases() {
        caught("unknown phase", 2, |p| p.phase = "warmup".into());
        caught("bytes in 0 messages", 2, |p| p.messages = 0);
        let mut f = testing::folder();
        f.phases[13].party = "serv".into();
        assert!(check_all(&f).iter().any(|x| x.what.contains("unknown party")));
        let mut f = testing::folder();
        f.phases.push(f.phases[12].clone());
        assert!(check_all(&f).iter().any(|x| x.what.contains("stands twice")));
        testing::caught(
            Problem,
            "which runs.csv does not have",
            |_| {},
            |phases| {
                let ghost = PhaseRow { run_id: "ghost#1".into(), ..phases[0].clone() };
                phases.push(ghost);
            },
        );
    }

    #[test]
    fn phases_sum_to_the_run() {
        caught("client: rounds 11 in runs.csv, 12 in phases", 2, |p| p.rounds += 1);
        caught("client: cpu_ns", 2, |p| p.cpu_ns += 900_000_000);
        let both = |i: usize, spoil: fn(&mut PhaseRow), expect: [&str; 2]| {
            let mut f = testing::folder();
            spoil(&mut f.phases[i]);
            let found = check_all(&f);
            assert!(found.len() == 2, "{found:?}");
            found.iter().zip(expect).for_each(|(x, e)| assert!(x.what.contains(e), "{found:?}"));
        };
        // What one end sends, the other receives: a changed end shows in its own sum and against the other end.
        both(
            12,
            |p| p.sent_bytes += 1,
            ["client in set-up: sent_bytes 9000 in runs.csv, 9001", "189001 bytes sent, 189000"],
        );
        both(17, |p| p.recv_bytes -= 1, ["server: recv_bytes", "received at the other end"]);
        both(17, |p| p.sent_bytes += 5, ["server: sent_bytes", "received at the other end"]);
    }

    #[test]
    fn an_ok_run_has_phases_of_both_ends() {
        let run = testing::folder().runs[1].run_id.clone();
        let keep = move |p: &PhaseRow| p.run_id != run || p.party == "client";
        testing::caught(Problem, "has only the parties", |_| {}, |phases| phases.retain(keep));
    }
}
