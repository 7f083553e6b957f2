//! From what is known of a repetition to its rows.

use si_api::Card;
use si_netem::{Means, Profile};

use crate::behaviour::Behaviour;
use crate::experiment::{Cell, FusionPlan};
use crate::job::PartyReport;
use crate::machine;
use crate::record::{AnswerRow, HONEST, LinkGate, Method, PhaseRow, RunRow, Status};
use crate::stage::End;
use crate::trips::one_way_trips;

/// What is known of a repetition before it is run.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) run_id: String,
    pub(crate) experiment: String,
    pub(crate) cell: Cell,
    pub(crate) repetition: u64,
    pub(crate) card: Card,
    pub(crate) profile: Profile,
    pub(crate) seed: u64,
    pub(crate) model_hash: String,
    pub(crate) data_hash: String,
    pub(crate) started_utc: String,
    pub(crate) load_avg_milli: Option<u64>,
    /// Inferences that were done before the run was resumed.
    pub(crate) resumed: Option<u64>,
    /// Where the parties' processes ran.
    pub(crate) placement: String,
}

/// The row of a repetition that was run, and its phases.
pub(crate) fn of(facts: &Facts, end: &End) -> (RunRow, Vec<PhaseRow>) {
    let mut row = before(facts);
    let outcome = &end.outcome;
    (row.status, row.reason, row.accused) = (outcome.status, outcome.reason.clone(), outcome.accused.clone());
    if let Some(v) = &end.verdict {
        row.labels_checked = Some(v.checked);
        row.labels_equal = Some(v.equal);
        row.max_score_error_ulp = v.max_error_ulp;
        row.tolerance_ulp = Some(v.tolerance_ulp);
        row.correct_labels = v.correct;
        if let Some(wrong) = &v.wrong {
            (row.status, row.reason) = (Status::Wrong, wrong.clone());
        }
    }
    let client: Vec<_> = outcome.reports.iter().filter(|r| r.role == "client").collect();
    let servers: Vec<_> = outcome.reports.iter().filter(|r| r.role != "client").collect();
    if let Some(report) = outcome.reports.first() {
        row.options_hash.clone_from(&report.agreement);
    }
    if !client.is_empty() && !servers.is_empty() {
        times(&mut row, &client, &servers);
        traffic(&mut row, &client, &servers);
    }
    link(&mut row, facts, end, &client);
    tcp(&mut row, &outcome.reports);
    let phases = outcome.reports.iter().flat_map(|r| phases(&facts.run_id, r)).collect();
    (row, phases)
}

/// The rows of a repetition's answers.
pub(crate) fn answers(facts: &Facts, end: &End) -> Vec<AnswerRow> {
    let compared = end.verdict.iter().flat_map(|v| &v.answers);
    compared.map(|a| AnswerRow { run_id: facts.run_id.clone(), ..a.clone() }).collect()
}

fn times(row: &mut RunRow, client: &[&PartyReport], servers: &[&PartyReport]) {
    let all = || client.iter().chain(servers);
    let verify = |r: &PartyReport| sum(&[r], |p| p == "verify", |e| e.wall_ns).unwrap_or(0);
    row.setup_wall_ns = all().map(|r| r.setup_wall_ns).max();
    row.offline_wall_ns = all().map(|r| r.offline_wall_ns).max();
    row.online_wall_ns = all().map(|r| r.online_wall_ns.saturating_sub(verify(r))).max();
    row.verify_wall_ns = all().map(|r| verify(r)).max();
    row.run_wall_ns = all().map(|r| r.run_wall_ns).max();
    row.client_peak_rss_bytes = client.iter().filter_map(|r| r.peak_rss_bytes).max();
    row.server_peak_rss_bytes = servers.iter().filter_map(|r| r.peak_rss_bytes).max();
}

fn traffic(row: &mut RunRow, client: &[&PartyReport], servers: &[&PartyReport]) {
    let setup = |p: &str| p == "setup";
    let run = |p: &str| p != "setup";
    row.client_setup_cpu_ns = sum(client, setup, |e| e.cpu_ns);
    row.server_setup_cpu_ns = sum(servers, setup, |e| e.cpu_ns);
    row.client_cpu_ns = sum(client, run, |e| e.cpu_ns);
    row.server_cpu_ns = sum(servers, run, |e| e.cpu_ns);
    row.client_setup_sent_bytes = sum(client, setup, |e| e.sent_bytes);
    row.client_setup_recv_bytes = sum(client, setup, |e| e.recv_bytes);
    row.server_setup_sent_bytes = sum(servers, setup, |e| e.sent_bytes);
    row.server_setup_recv_bytes = sum(servers, setup, |e| e.recv_bytes);
    row.client_sent_bytes = sum(client, run, |e| e.sent_bytes);
    row.client_recv_bytes = sum(client, run, |e| e.recv_bytes);
    row.server_sent_bytes = sum(servers, run, |e| e.sent_bytes);
    row.server_recv_bytes = sum(servers, run, |e| e.recv_bytes);
    row.setup_rounds = sum(client, setup, |e| e.rounds);
    row.rounds = sum(client, run, |e| e.rounds);
    if let ([client], [server]) = (client, servers) {
        row.one_way_trips = one_way_trips(&client.turns, &server.turns);
    }
}

fn sum(
    reports: &[&PartyReport],
    phase: impl Fn(&str) -> bool,
    of: impl Fn(&crate::job::EntryLine) -> u64,
) -> Option<u64> {
    Some(reports.iter().flat_map(|r| &r.entries).filter(|e| phase(&e.phase)).map(of).fold(0, u64::saturating_add))
}

/// The parties are set alike, so the first one speaks for all; what was sent again is of all.
fn tcp(row: &mut RunRow, reports: &[PartyReport]) {
    let Some(first) = reports.first() else { return };
    row.tcp_congestion.clone_from(&first.tcp.congestion);
    row.tcp_restarts_after_idle = first.tcp.restarts_after_idle;
    row.tcp_buffer_bytes = first.tcp.buffer_bytes;
    row.retransmits_seen = reports.iter().try_fold(0u64, |sum, r| Some(sum.saturating_add(r.retransmits?)));
}

fn link(row: &mut RunRow, facts: &Facts, end: &End, client: &[&PartyReport]) {
    let Some(seen) = client.iter().find_map(|r| r.link_seen.as_ref()) else { return };
    row.rtt_seen_p50_us = Some(seen.rtt_p50_us);
    row.rtt_seen_p99_us = Some(seen.rtt_p99_us);
    row.up_seen_bits_per_s = Some(seen.up_bits_per_s);
    row.down_seen_bits_per_s = Some(seen.down_bits_per_s);
    row.rtt_1kb_seen_p50_us = Some(seen.rtt_1kb_p50_us);
    row.duplex_seen_bits_per_s = Some(seen.duplex_bits_per_s);
    row.fresh_mb_seen_us = Some(seen.fresh_mb_us);
    row.drops_seen = end.drops;
    let as_set = seen.complaints.is_empty() && end.drops.unwrap_or(0) == 0;
    row.link_gate = match (facts.profile.means, as_set) {
        (Means::None, _) => LinkGate::None,
        (_, true) => LinkGate::Pass,
        (_, false) => LinkGate::Fail,
    };
}

fn phases(run_id: &str, report: &PartyReport) -> Vec<PhaseRow> {
    let row = |e: &crate::job::EntryLine| PhaseRow {
        run_id: run_id.to_owned(),
        party: report.role.clone(),
        phase: e.phase.clone(),
        operator: e.operator.clone(),
        calls: e.calls,
        wall_ns: e.wall_ns,
        cpu_ns: e.cpu_ns,
        sent_bytes: e.sent_bytes,
        recv_bytes: e.recv_bytes,
        messages: e.messages,
        rounds: e.rounds,
    };
    report.entries.iter().map(row).collect()
}

/// A row with everything that does not depend on how the run ends.
fn before(facts: &Facts) -> RunRow {
    let Facts { cell, card, profile, .. } = facts;
    let plan = cell.plan();
    let of_plan = |f: fn(&FusionPlan) -> usize| plan.map(|p| f(p) as u64);
    let set = |value: u64| (profile.means != Means::None).then_some(value);
    let (commit, dirty) = machine::commit();
    RunRow {
        run_id: facts.run_id.clone(),
        started_utc: facts.started_utc.clone(),
        experiment: facts.experiment.clone(),
        cell: cell.name(),
        repetition: facts.repetition,
        protocol: card.id.clone(),
        adversary: word(&card.adversary),
        model: cell.model.clone(),
        dataset: cell.dataset.clone(),
        link: cell.link.clone(),
        server: cell.server.to_string(),
        batch: cell.queries() as u64,
        queries: cell.queries() as u64,
        inferences: cell.inferences() as u64,
        method: cell.method(),
        composed_from: (cell.method() == Method::Composed).then(|| cell.run_inferences() as u64),
        fusion_copies: of_plan(|p| p.copies),
        fusion_public: of_plan(|p| p.public),
        fusion_tolerance: of_plan(|p| p.tolerance),
        fusion_chunk: plan.and_then(|p| p.chunk).map(|c| c as u64),
        resumed_inferences: facts.resumed,
        reveal: word(&cell.options.reveal),
        truncation: word(&cell.options.truncation),
        link_means: profile.means.to_string(),
        rate_set_bits_per_s: set(profile.rate_bits_per_s),
        rtt_set_us: set(profile.rtt_us),
        tcp_slow_start_set: (profile.means != Means::None).then_some(profile.tcp_slow_start),
        seed: facts.seed,
        model_hash: facts.model_hash.clone(),
        data_hash: facts.data_hash.clone(),
        commit: commit.to_owned(),
        dirty,
        rustc: machine::RUSTC.to_owned(),
        target_features: machine::features_in_use(),
        threads: u64::from(cell.threads),
        lanes: u64::from(cell.lanes),
        placement: facts.placement.clone(),
        load_avg_milli: facts.load_avg_milli,
        ..RunRow::default()
    }
}

/// Whether a repetition did not do what it was for. A cheating server is run to see what comes of it: to be caught, to
/// pass off wrong answers and, where it changes messages, to break the run are findings.
pub(crate) fn is_failure(row: &RunRow, server: &Behaviour) -> bool {
    match row.status {
        Status::Ok | Status::Skipped => false,
        Status::Wrong => server.is_honest(),
        Status::Abort => server.is_honest() || row.accused != SERVER,
        Status::Error => !server.breaks_messages(),
        Status::Timeout | Status::Memory | Status::Disk => true,
    }
}

/// The role that mix-and-check accuses.
const SERVER: &str = "server";

/// The one word that a value of an enumeration is written as.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(s)) => s,
        other => format!("{other:?}"),
    }
}

/// One line for people.
pub(crate) fn describe(row: &RunRow) -> String {
    let seconds = |ns: Option<u64>| ns.map_or("?".to_owned(), |n| format!("{:.3} s", n as f64 / 1e9));
    let mut line = format!("{}  {}", row.run_id, row.status);
    if row.status != Status::Ok {
        let fooled = row.status == Status::Wrong && row.server != HONEST;
        let unnoticed = if fooled { " and unnoticed" } else { "" };
        return format!("{line}{unnoticed}: {}", row.reason);
    }
    let bytes = row.client_sent_bytes.unwrap_or(0) + row.client_recv_bytes.unwrap_or(0);
    line += &format!(
        "  {} run, {} set-up, {:.3} MB, {} rounds, {}/{} labels as the oracle's",
        seconds(row.run_wall_ns),
        seconds(row.setup_wall_ns),
        bytes as f64 / 1e6,
        row.rounds.unwrap_or(0),
        row.labels_equal.unwrap_or(0),
        row.labels_checked.unwrap_or(0),
    );
    if let Some(n) = row.composed_from {
        line += &format!("  ({n} of {} inferences)", row.inferences);
    }
    if let Some(n) = row.resumed_inferences {
        line += &format!("  RESUMED after {n} of {} inferences: no measurement", row.inferences);
    }
    if row.link_gate == LinkGate::Fail {
        line += "  LINK NOT AS SET";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::job::{EntryLine, LinkSeen, TcpLine};
    use crate::spawn::Outcome;
    use crate::verify::Verdict;

    fn facts(protocol: &str, link: &str) -> Facts {
        let experiment = Experiment::find("smoke").unwrap();
        let mut cell = experiment.cells().into_iter().find(|c| c.protocol == protocol).unwrap();
        cell.link = link.to_owned();
        Facts {
            run_id: format!("{}#1", cell.name()),
            experiment: "smoke".to_owned(),
            card: crate::registry::card(protocol, cell.options, cell.plan()).unwrap(),
            cell,
            repetition: 1,
            profile: Profile::named(link).unwrap().by(Means::Model),
            seed: 7,
            model_hash: "aa".to_owned(),
            data_hash: "bb".to_owned(),
            started_utc: "2025-01-31T12:00:00Z".to_owned(),
            load_avg_milli: None,
            resumed: None,
            placement: "same-host".to_owned(),
        }
    }

    fn report(role: &str, phase_bytes: &[(&str, u64)]) -> PartyReport {
        let entry = |(phase, bytes): &(&str, u64)| EntryLine {
            phase: (*phase).to_owned(),
            operator: "x".to_owned(),
            calls: 1,
            wall_ns: 5,
            cpu_ns: 3,
            sent_bytes: *bytes,
            recv_bytes: 1,
            messages: 1,
            rounds: 2,
        };
        PartyReport {
            role: role.to_owned(),
            agreement: "cc".to_owned(),
            setup_wall_ns: 10,
            offline_wall_ns: 20,
            online_wall_ns: 30,
            run_wall_ns: 55,
            entries: phase_bytes.iter().map(entry).collect(),
            ..PartyReport::default()
        }
    }

    fn end(reports: Vec<PartyReport>, verdict: Verdict) -> End {
        let (reason, accused, stderr) = (String::new(), String::new(), String::new());
        let outcome = Outcome { status: Status::Ok, reason, accused, reports, stderr };
        End { outcome, verdict: Some(verdict), drops: None }
    }

    #[test]
    fn times_are_maxima_and_traffic_is_by_part_of_the_run() {
        let phases = [("setup", 100), ("offline", 7), ("online", 8), ("verify", 9)];
        let server = PartyReport { online_wall_ns: 40, ..report("server", &phases[..3]) };
        let (row, rows) =
            of(&facts("plain", "loopback"), &end(vec![server, report("client", &phases)], Verdict::default()));
        assert_eq!((row.setup_wall_ns, row.offline_wall_ns, row.run_wall_ns), (Some(10), Some(20), Some(55)));
        // The client's 30 contain 5 of checks.
        assert_eq!((row.online_wall_ns, row.verify_wall_ns), (Some(40), Some(5)));
        assert_eq!(
            (row.client_setup_sent_bytes, row.client_sent_bytes, row.server_sent_bytes),
            (Some(100), Some(24), Some(15))
        );
        assert_eq!(
            (row.setup_rounds, row.rounds, row.client_cpu_ns, row.server_cpu_ns),
            (Some(2), Some(6), Some(9), Some(6))
        );
        assert_eq!((rows.len(), row.options_hash.as_str()), (7, "cc"));
        assert!(rows.iter().all(|p| p.run_id == row.run_id));
    }

    #[test]
    fn wrong_answers_and_missing_parties_do_not_pass_as_good_rows() {
        let both = || vec![report("server", &[]), report("client", &[])];
        let wrong = Verdict { checked: 2, wrong: Some("answer 1".to_owned()), ..Verdict::default() };
        let (row, _) = of(&facts("plain", "loopback"), &end(both(), wrong));
        assert_eq!((row.status, row.reason.as_str(), row.labels_checked), (Status::Wrong, "answer 1", Some(2)));
        let (row, _) = of(&facts("plain", "loopback"), &end(vec![report("server", &[])], Verdict::default()));
        assert_eq!((row.run_wall_ns, row.server_sent_bytes), (None, None), "half a run has no figures");
    }

    #[test]
    fn the_gate_speaks_of_shaped_links_only() {
        let gate = |link: &str, complaints: &[&str]| {
            let complaints = complaints.iter().map(ToString::to_string).collect();
            let seen = LinkSeen { rtt_p50_us: 300, complaints, ..LinkSeen::default() };
            let client = PartyReport { link_seen: Some(seen), ..report("client", &[]) };
            of(&facts("plain", link), &end(vec![client], Verdict::default())).0
        };
        assert_eq!(gate("lan", &[]).link_gate, LinkGate::Pass);
        assert_eq!(gate("lan", &["slow"]).link_gate, LinkGate::Fail);
        let seen = LinkSeen { rtt_p50_us: 300, fresh_mb_us: 5, ..LinkSeen::default() };
        let tcp = TcpLine { congestion: "cubic".to_owned(), restarts_after_idle: Some(false), buffer_bytes: Some(9) };
        let client = PartyReport { link_seen: Some(seen), tcp, retransmits: Some(2), ..report("client", &[]) };
        let server = PartyReport { retransmits: Some(3), ..report("server", &[]) };
        let dropped = End { drops: Some(1), ..end(vec![client, server], Verdict::default()) };
        let row = of(&facts("plain", "lan"), &dropped).0;
        assert_eq!((row.link_gate, row.drops_seen, row.retransmits_seen), (LinkGate::Fail, Some(1), Some(5)));
        assert_eq!(
            (row.tcp_congestion.as_str(), row.tcp_buffer_bytes, row.fresh_mb_seen_us),
            ("cubic", Some(9), Some(5))
        );
        let loopback = gate("loopback", &[]);
        assert_eq!(
            (loopback.link_gate, loopback.rtt_set_us, loopback.rtt_seen_p50_us),
            (LinkGate::None, None, Some(300))
        );
    }

    #[test]
    fn plans_have_their_columns() {
        let (row, _) = of(&facts("fusion(cheetah)", "wan"), &end(Vec::new(), Verdict::default()));
        assert_eq!((row.queries, row.inferences, row.composed_from), (16, 152, None));
        assert_eq!((row.fusion_copies, row.fusion_public, row.fusion_tolerance), (Some(9), Some(8), Some(0)));
        assert_eq!(
            (row.adversary.as_str(), row.reveal.as_str(), row.truncation.as_str()),
            ("malicious-server", "scores", "one-bit")
        );
        assert_eq!(
            (row.rate_set_bits_per_s, row.rtt_set_us, row.link_means.as_str()),
            (Some(400_000_000), Some(40_000), "model")
        );
    }
}
