//! What Fusion costs beside one inference of its inner protocol that stands alone, plan by plan.

use super::cells::{Cell, MIB, Metric, SECOND};
use super::markdown::{Table, number};
use super::table::soundness;
use crate::record::{HONEST, RunRow};
use crate::stats::median;

/// A plan's cost beside the inner protocol's.
pub(crate) struct Price<'c, 'a> {
    pub(crate) cell: &'c Cell<'a>,
    /// Amortised time of a query over the time of one inference alone on the same link.
    pub(crate) time: Option<f64>,
    cpu: Option<f64>,
    pub(crate) bytes: Option<f64>,
}

impl Price<'_, '_> {
    /// r = (R B + T) / R.
    pub(crate) fn inferences_a_query(&self) -> f64 {
        let r = self.cell.setting();
        r.inferences as f64 / r.queries.max(1) as f64
    }
}

/// The inner protocol's inference that stands alone: the smallest batch, if that is one, on the same model, link (made
/// by the same means) and machine, with the same options. From the plan's own record if it has one: the machine is not as fast at all hours.
fn alone<'a>(cells: &[Cell<'a>], fusion: &Cell<'a>) -> Option<Cell<'a>> {
    let f = fusion.setting();
    let inner = f.protocol.strip_prefix("fusion(")?.strip_suffix(')')?;
    let stands_alone = |r: &RunRow| {
        let link = (&r.link, &r.link_means) == (&f.link, &f.link_means);
        let options = (&r.reveal, &r.truncation, r.threads, r.lanes) == (&f.reveal, &f.truncation, f.threads, f.lanes);
        r.protocol == inner && r.batch == 1 && r.model == f.model && link && options && r.server == HONEST
    };
    let folder = fusion.folder;
    let own = Cell { folder, rows: folder.runs.iter().filter(|r| stands_alone(r)).collect() };
    if own.good().next().is_some() {
        return Some(own);
    }
    let same_machine = |c: &&Cell<'_>| c.folder.machine.name == folder.machine.name;
    cells.iter().filter(same_machine).find(|c| stands_alone(c.setting())).cloned()
}

/// Every plan that was run, in the order of tables.
pub(crate) fn prices<'c, 'a>(cells: &'c [Cell<'a>]) -> Vec<Price<'c, 'a>> {
    let counted = cells.iter().filter(|c| c.is_fusion() && c.good().next().is_some());
    let price = |cell: &'c Cell<'a>| {
        let times = |metric| {
            let own = cell.per_query(metric)?.median;
            let one = alone(cells, cell)?.per_query(metric)?.median;
            Some(own / one)
        };
        Price { cell, time: times(Metric::Wall), cpu: times(Metric::Cpu), bytes: times(Metric::Bytes) }
    };
    counted.map(price).collect()
}

/// Part of the client's time that mixing, checking and keeping the journal take: everything that Fusion adds itself.
fn bookkeeping(cell: &Cell<'_>) -> Option<f64> {
    let own = ["mix", "check", "journal"];
    let part = |run: &crate::record::RunRow| {
        let phases = cell.folder.phases.iter().filter(|p| p.run_id == run.run_id && p.party == "client");
        let ns: f64 = phases.filter(|p| own.contains(&p.operator.as_str())).map(|p| p.wall_ns as f64).sum();
        Some(ns / run.run_wall_ns? as f64)
    };
    if !cell.is_measured() {
        return None;
    }
    median(&cell.good().filter_map(part).collect::<Vec<_>>())
}

/// The table; empty if no plan was run.
pub(crate) fn page(cells: &[Cell<'_>]) -> String {
    let head = [
        "protocol",
        "model",
        "link",
        "plan",
        "method",
        "log2 Pr[cheat]",
        "r",
        "time a query s",
        "× one inference",
        "CPU × one inference",
        "MiB a query",
        "× one inference",
        "mixing and checks",
    ];
    let mut t = Table::new(5, &head);
    let times = |x: Option<f64>| x.map_or("inner not run".into(), |x| format!("{}×", number(x)));
    for p in prices(cells) {
        let r = p.cell.setting();
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            r.link.clone(),
            p.cell.load(),
            p.cell.method(),
            soundness(r).map_or("no plan".into(), |b| format!("{b:.2}")),
            format!("{:.3}", p.inferences_a_query()),
            p.cell.shown_per_query(Metric::Wall, SECOND),
            times(p.time),
            times(p.cpu),
            p.cell.shown_per_query(Metric::Bytes, MIB),
            times(p.bytes),
            bookkeeping(p.cell).map_or("not run".into(), |x| format!("{} %", number(100.0 * x))),
        ]);
    }
    if t.is_empty() {
        return String::new();
    }
    format!(
        "A query's share of a plan, beside **one inference of the inner protocol alone** on the same link and machine, of the \
         same record where that has one. r = (R B + T) / R inferences are run for a query; where it takes less than r times the \
         time or the bytes, that is the batch's doing: its inferences share rounds, weight transforms and OT extension. Where it \
         takes more time, the batch shared less than the runs differ by. *Mixing and checks*: what Fusion itself adds, as a part \
         of the client's time.\n\n{t}"
    )
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::record::samples;

    #[test]
    fn an_inference_of_the_same_record_is_the_price_before_a_newer_one() {
        let [mut old, mut new] = ["a", "b"].map(samples::folder);
        for (folder, ns, day) in [(&mut old, 1_000_000_000, "1"), (&mut new, 2_000_000_000, "2")] {
            let (mut run, phases) = samples::run("cheetah", "lan", 1);
            (run.run_wall_ns, run.started_utc) = (Some(ns), format!("2030-01-0{day}T00:00:00Z"));
            samples::add(folder, (run, phases));
        }
        samples::add(&mut old, samples::composed(1));
        let folders = [old, new];
        let all = cells(&folders);
        let [with_own] = prices(&all).try_into().ok().unwrap();
        let mut without = folders.clone();
        without[0].runs.retain(|r| r.protocol != "cheetah");
        let all = cells(&without);
        let [with_other] = prices(&all).try_into().ok().unwrap();
        assert!((with_own.time.unwrap() / with_other.time.unwrap() - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_plan_is_priced_in_inferences_that_stand_alone() {
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::run("cheetah", "lan", 1));
        samples::add(&mut f, samples::composed(1));
        let folders = [f];
        let all = cells(&folders);
        let [p] = prices(&all).try_into().ok().unwrap();
        assert!((p.inferences_a_query() - 5.195).abs() < 1e-3);
        // The samples' bytes grow with the batch: a batch saves nothing, so r is the price.
        assert!((p.bytes.unwrap() - p.inferences_a_query()).abs() < 1e-9, "{:?}", p.bytes);
        let text = page(&all).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("| composed (32 of 2,660) | -40.97 | 5.195 |") && text.contains("| 5.20× |"), "{text}");
        assert_eq!(page(&[]), "");
    }
}
