//! Rows become cells: the repetitions of one setting, and what is derived from them.

use std::collections::BTreeMap;

pub(crate) use super::metric::Metric;

use super::markdown::{number, spread, thousands};
use crate::record::{Folder, HONEST, LinkGate, Method, RunRow, Status};
use crate::stats::{Summary, summary};

/// Bytes in a MiB.
pub(crate) const MIB: f64 = 1_048_576.0;
/// Nanoseconds in a second.
pub(crate) const SECOND: f64 = 1e9;

/// All repetitions of one setting.
#[derive(Clone)]
pub(crate) struct Cell<'a> {
    pub(crate) folder: &'a Folder,
    pub(crate) rows: Vec<&'a RunRow>,
}

impl<'a> Cell<'a> {
    /// A row that stands for the setting.
    pub(crate) fn setting(&self) -> &'a RunRow {
        self.rows[0]
    }

    /// Repetitions with the oracle's answers.
    pub(crate) fn good(&self) -> impl Iterator<Item = &'a RunRow> + '_ {
        self.rows.iter().copied().filter(|r| r.status == Status::Ok)
    }

    /// Values of all repetitions that count for this metric, of the whole plan.
    pub(crate) fn values(&self, metric: Metric) -> Vec<f64> {
        let counts =
            |r: &&RunRow| r.resumed_inferences.is_none() && !(metric.is_time() && r.link_gate == LinkGate::Fail);
        self.good().filter(counts).filter_map(|r| metric.of(r)).collect()
    }

    /// The same for one query.
    pub(crate) fn values_per_query(&self, metric: Metric) -> Vec<f64> {
        let queries = self.setting().queries.max(1) as f64;
        self.values(metric).into_iter().map(|v| v / queries).collect()
    }

    pub(crate) fn total(&self, metric: Metric) -> Option<Summary> {
        summary(&self.values(metric))
    }

    pub(crate) fn per_query(&self, metric: Metric) -> Option<Summary> {
        summary(&self.values_per_query(metric))
    }

    /// The link's time by arithmetic, for a reader; of one query or of all. Rows that do not tell
    /// which rounds had to be waited for give a bound.
    pub(crate) fn link_time(&self, of: fn(&Self, Metric) -> Option<Summary>) -> String {
        let r = self.setting();
        let bound = if r.one_way_trips.is_none() { "≤ " } else { "" };
        match of(self, Metric::LinkTime) {
            Some(s) => format!("{bound}{}", number(s.median / SECOND)),
            None if r.link_means == "none" => "no link set".into(),
            None => self.absence(Metric::LinkTime),
        }
    }

    /// Median and range of the whole load in `unit`, or why there is none.
    pub(crate) fn shown(&self, metric: Metric, unit: f64) -> String {
        self.total(metric).map_or_else(|| self.absence(metric), |s| spread(s, unit))
    }

    /// The same for one query.
    pub(crate) fn shown_per_query(&self, metric: Metric, unit: f64) -> String {
        self.per_query(metric).map_or_else(|| self.absence(metric), |s| spread(s, unit))
    }

    /// The median alone.
    pub(crate) fn middle(&self, metric: Metric, unit: f64) -> String {
        self.total(metric).map_or_else(|| self.absence(metric), |s| number(s.median / unit))
    }

    /// The median of one query alone.
    pub(crate) fn middle_per_query(&self, metric: Metric, unit: f64) -> String {
        self.per_query(metric).map_or_else(|| self.absence(metric), |s| number(s.median / unit))
    }

    /// The client's rounds of the whole load.
    pub(crate) fn rounds(&self) -> String {
        let metric = Metric::Rounds;
        self.total(metric).map_or_else(|| self.absence(metric), |s| thousands(s.median.round() as i64))
    }

    /// Greatest memory of server and client in MiB: `1,300 / 600`.
    pub(crate) fn peaks(&self) -> String {
        let peak = |metric| self.total(metric).map(|s| thousands((s.max / MIB).round() as i64));
        match (peak(Metric::ServerPeak), peak(Metric::ClientPeak)) {
            (Some(server), Some(client)) => format!("{server} / {client}"),
            _ => self.absence(Metric::ServerPeak),
        }
    }

    /// Why a metric has no value.
    fn absence(&self, metric: Metric) -> String {
        let good: Vec<&RunRow> = self.good().collect();
        if self.rows.iter().all(|r| r.status == Status::Skipped) {
            "not run".into()
        } else if good.is_empty() {
            self.outcome()
        } else if good.iter().all(|r| r.resumed_inferences.is_some()) {
            "resumed".into()
        } else if metric.is_time() && good.iter().any(|r| r.link_gate == LinkGate::Fail) {
            "link off".into()
        } else {
            "not measured".into()
        }
    }

    /// `batch 8`, or Fusion's plan; whether the client learns no more than the label; how many threads, if not one.
    pub(crate) fn load(&self) -> String {
        let threads = self.setting().threads;
        let threads = if threads == 1 { String::new() } else { format!(", {threads} threads") };
        format!("{}{threads}", self.load_of_any_threads())
    }

    /// [`Self::load`] without the threads.
    pub(crate) fn load_of_any_threads(&self) -> String {
        let label = if self.setting().reveal == "label" { ", label only" } else { "" };
        format!("{}{label}", self.size())
    }

    fn size(&self) -> String {
        let r = self.setting();
        match (r.fusion_copies, r.fusion_public, r.fusion_tolerance) {
            (Some(b), Some(t), m) => {
                let tolerance = m.filter(|m| *m > 0).map_or_else(String::new, |m| format!(", m={m}"));
                let chunk = r.fusion_chunk.map_or_else(String::new, |c| format!(", in batches of {c}"));
                format!("R={}, B={b}, T={t}{tolerance}{chunk}", r.queries)
            }
            _ if r.queries != r.batch => format!("{} queries, batch {}", r.queries, r.batch),
            _ => format!("batch {}", r.batch),
        }
    }

    /// `measured`, or `composed (64 of 2,660)`.
    pub(crate) fn method(&self) -> String {
        let r = self.setting();
        match r.composed_from {
            Some(n) => {
                let [n, of] = [n, r.inferences].map(|x| thousands(x as i64));
                format!("{} ({n} of {of})", r.method)
            }
            None => r.method.to_string(),
        }
    }

    pub(crate) fn is_measured(&self) -> bool {
        self.setting().method == Method::Measured
    }

    pub(crate) fn is_fusion(&self) -> bool {
        self.setting().fusion_copies.is_some()
    }

    /// `3 ok`, or `2 ok, 1 timeout`.
    pub(crate) fn outcome(&self) -> String {
        let mut counts = BTreeMap::new();
        self.rows.iter().for_each(|r| *counts.entry(r.status).or_insert(0) += 1);
        let mut text: Vec<_> = counts.iter().map(|(s, n)| format!("{n} {s}")).collect();
        if self.good().any(|r| r.link_gate == LinkGate::Fail) {
            text.push("link off".into());
        }
        if self.good().any(|r| r.resumed_inferences.is_some()) {
            text.push("resumed".into());
        }
        text.join(", ")
    }

    /// `480 of 480 answers`, over the repetitions that count.
    pub(crate) fn verified(&self) -> String {
        let sum = |of: fn(&RunRow) -> Option<u64>| self.good().filter_map(of).fold(0, u64::saturating_add);
        let [equal, checked] = [sum(|r| r.labels_equal), sum(|r| r.labels_checked)].map(|x| thousands(x as i64));
        if equal == checked { equal } else { format!("{equal} of {checked}") }
    }

    /// The order of tables: model, link (nearest first), then [`Self::strength`].
    fn rank(&self) -> impl Ord + use<'a> {
        let r = self.setting();
        ((r.model.as_str(), r.rtt_set_us.unwrap_or(0), r.link.as_str()), self.strength())
    }

    /// The order of protocols: measured before composed, adversary (weakest first), protocol, size.
    pub(crate) fn strength(&self) -> impl Ord + use<'a> {
        let r = self.setting();
        let adversaries = ["insecure", "semi-honest", "malicious-client", "malicious-server", "malicious"];
        let adversary = adversaries.iter().position(|a| *a == r.adversary);
        ((r.method, adversary, r.protocol.as_str()), (r.queries, r.inferences, r.fusion_tolerance))
    }
}

impl Cell<'_> {
    /// Which plan of Fusion stands for others: one that has an answer, the most queries, enough repetitions, the least time
    /// of a query; then the largest real batch, to leave no tie.
    pub(crate) fn plan_rank(&self) -> impl Ord {
        let r = self.setting();
        let ns = self.per_query(Metric::Wall).map(|s| std::cmp::Reverse(s.median as u64));
        let good = self.good().count();
        (good > 0, r.queries, good.min(ENOUGH), ns, r.ran(), std::cmp::Reverse(r.cell.clone()))
    }
}

/// Repetitions that are enough for a median with a range (local).
const ENOUGH: usize = 3;

/// What makes two rows repetitions of one setting: everything that is chosen, nothing that is found.
pub(crate) fn key(row: &RunRow) -> impl Ord + use<'_> {
    let names = [&row.protocol, &row.model, &row.dataset, &row.link, &row.reveal, &row.truncation];
    let size = (row.batch, row.queries, row.inferences, row.composed_from);
    let plan = (row.fusion_copies, row.fusion_tolerance, row.fusion_chunk);
    (names, size, plan, (row.threads, row.lanes))
}

/// The cells of several folders, in the order of tables. A setting that several folders have is taken from the latest
/// with enough good repetitions; if none has, from the one with the most: samples of different days are never mixed.
pub(crate) fn cells(folders: &[Folder]) -> Vec<Cell<'_>> {
    let mut chosen: BTreeMap<_, Cell<'_>> = BTreeMap::new();
    for folder in folders {
        let mut own: BTreeMap<_, Cell<'_>> = BTreeMap::new();
        // What a cheating server costs is no cost of the protocol.
        for row in folder.runs.iter().filter(|r| r.server == HONEST) {
            let key = (key(row), &row.link_means, &folder.machine.name);
            own.entry(key).or_insert_with(|| Cell { folder, rows: Vec::new() }).rows.push(row);
        }
        for (key, cell) in own {
            // The single-threaded end of a series over threads belongs to that series: it stands here only for want of another.
            let weight = |c: &Cell<'_>| {
                let alone = c.folder.runs.iter().all(|r| r.threads == 1);
                (alone, c.good().count().min(ENOUGH), c.rows.iter().map(|r| r.started_utc.clone()).max())
            };
            if chosen.get(&key).is_none_or(|c| weight(c) < weight(&cell)) {
                chosen.insert(key, cell);
            }
        }
    }
    let mut cells: Vec<_> = chosen.into_values().collect();
    cells.sort_by_key(Cell::rank);
    cells
}

/// What a reader wants to see first: of each protocol, model and link the smallest batch; of Fusion's plans the one with the
/// most queries, measured and composed, in the batches that are quickest. Plans over the insecure reference are left out.
pub(crate) fn smallest_loads<'c, 'a>(cells: &[&'c Cell<'a>]) -> Vec<&'c Cell<'a>> {
    let place = |c: &Cell<'a>| (&c.setting().protocol, &c.setting().model, &c.setting().link);
    let first = |c: &&&Cell<'a>| {
        let mut same = cells.iter().filter(|o| place(o) == place(c));
        if c.is_fusion() {
            let mut plans = same.filter(|o| o.is_measured() == c.is_measured());
            return c.setting().adversary != "insecure" && plans.all(|o| o.plan_rank() <= c.plan_rank());
        }
        same.all(|o| o.setting().queries >= c.setting().queries)
    };
    cells.iter().filter(first).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn folder(dir: &str, protocols: &[&str], repetitions: u64) -> Folder {
        let mut f = samples::folder(dir);
        for p in protocols {
            for n in 1..=repetitions {
                samples::add(&mut f, samples::run(p, "lan", n));
            }
        }
        f
    }

    #[test]
    fn rows_of_a_setting_become_one_cell() {
        let mut f = folder("a", &["cheetah"], 3);
        (f.runs[2].status, f.runs[2].reason) = (Status::Timeout, "no answer".into());
        let folders = [f];
        let cells = cells(&folders);
        let [c] = cells.as_slice() else { panic!("{} cells", cells.len()) };
        assert_eq!(
            (c.outcome().as_str(), c.load().as_str(), c.method().as_str()),
            ("2 ok, 1 timeout", "batch 1", "measured")
        );
        assert_eq!(
            c.total(Metric::Wall),
            Some(Summary { n: 2, median: 101_501_000.0, min: 101_001_000.0, max: 102_001_000.0 })
        );
        assert_eq!(c.total(Metric::Bytes).unwrap().median, 302_080.0);
        assert_eq!(c.total(Metric::Rounds).unwrap().median, 11.0);
        assert_eq!(c.verified(), "2");
    }

    #[test]
    fn a_link_that_was_not_as_set_spoils_times_only() {
        let mut f = folder("a", &["cheetah"], 2);
        f.runs.iter_mut().for_each(|r| r.link_gate = LinkGate::Fail);
        let folders = [f];
        let c = &cells(&folders)[0];
        assert_eq!((c.total(Metric::Wall), c.outcome().as_str()), (None, "2 ok, link off"));
        assert!(c.total(Metric::Bytes).is_some() && c.total(Metric::Cpu).is_some());
    }

    #[test]
    fn a_resumed_run_has_answers_and_no_measures() {
        let mut f = folder("a", &["cheetah"], 2);
        f.runs[0].resumed_inferences = Some(1);
        let folders = [f];
        let c = &cells(&folders)[0];
        assert_eq!((c.outcome().as_str(), c.verified().as_str()), ("2 ok, resumed", "2"));
        assert_eq!(c.total(Metric::Wall).map(|s| (s.n, s.median)), Some((1, 102_001_000.0)));
        assert_eq!(c.total(Metric::Bytes).map(|s| s.n), Some(1));
    }

    #[test]
    fn composed_rows_are_scaled_to_the_plan() {
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::composed(1));
        let folders = [f];
        let c = &cells(&folders)[0];
        let r = c.setting();
        assert_eq!((r.inferences, r.ran(), r.queries), (2660, 32, 512));
        let raw = 32.0 * 302_080.0;
        assert_eq!(c.total(Metric::Bytes).unwrap().median, raw * 2660.0 / 32.0);
        assert_eq!(c.per_query(Metric::Bytes).unwrap().median, raw * 2660.0 / 32.0 / 512.0);
        assert_eq!(c.total(Metric::SetupBytes).unwrap().median, 10_000.0, "set-up happens once");
        assert_eq!((c.load().as_str(), c.method().as_str()), ("R=512, B=5, T=100", "composed (32 of 2,660)"));
    }

    #[test]
    fn larger_batches_come_second_and_plans_do_not() {
        let mut f = folder("a", &["cheetah", "plain"], 1);
        samples::add(&mut f, samples::batch("cheetah", "lan", 8, 1));
        samples::add(&mut f, samples::batch("cheetah", "wan", 8, 1));
        samples::add(&mut f, samples::composed(1));
        let folders = [f];
        let all = cells(&folders);
        let loads: Vec<_> = smallest_loads(&all.iter().collect::<Vec<_>>()).iter().map(|c| c.load()).collect();
        assert_eq!(loads, ["batch 1", "batch 1", "R=512, B=5, T=100", "batch 8"]);
    }

    #[test]
    fn of_many_plans_the_largest_in_its_quickest_batches_comes_first() {
        let mut f = samples::folder("a");
        let plan = |name: &str, queries: u64, chunk: u64, ns: u64| {
            let (mut run, mut phases) = samples::composed(1);
            (run.cell, run.run_id) = (name.into(), format!("{name}#1"));
            phases.iter_mut().for_each(|p| p.run_id = run.run_id.clone());
            (run.method, run.composed_from, run.fusion_chunk) = (Method::Measured, None, Some(chunk));
            (run.queries, run.inferences, run.run_wall_ns) = (queries, 5 * queries + 100, Some(ns));
            (run, phases)
        };
        for (name, queries, chunk, ns) in [("a", 512, 32, 900), ("b", 512, 128, 500), ("c", 64, 32, 1)] {
            samples::add(&mut f, plan(name, queries, chunk, ns));
        }
        samples::add(&mut f, samples::composed(1));
        let (mut insecure, phases) = plan("d", 512, 32, 1);
        (insecure.protocol, insecure.adversary) = ("fusion(plain)".into(), "insecure".into());
        samples::add(&mut f, (insecure, phases));
        let folders = [f];
        let all = cells(&folders);
        let first = smallest_loads(&all.iter().collect::<Vec<_>>());
        let names: Vec<_> = first.iter().map(|c| c.setting().cell.as_str()).collect();
        assert_eq!(names, ["b", "lan/mnist-cnn4/fusion(cheetah)/b32"]);
    }

    #[test]
    fn of_two_folders_the_better_repeated_one_counts_and_nothing_is_mixed() {
        let many = folder("many", &["cheetah", "plain"], 3);
        let mut later = folder("later", &["cheetah"], 1);
        later.runs[0].started_utc = "2030-01-01T00:00:00Z".into();
        let folders = [many.clone(), later.clone()];
        let all = cells(&folders);
        assert!(all.len() == 2 && all.iter().all(|c| c.folder.dir == many.dir && c.rows.len() == 3));
        let folders = [folder("once", &["cheetah"], 1), later];
        assert_eq!(cells(&folders)[0].folder.dir.to_str(), Some("later"));
        let mut enough = folder("enough", &["cheetah"], 3);
        enough.runs.iter_mut().for_each(|r| r.started_utc = "2030-01-01T00:00:00Z".into());
        let folders = [folder("many", &["cheetah"], 9), enough];
        assert_eq!(cells(&folders)[0].folder.dir.to_str(), Some("enough"));
    }
}
