//! More threads: what each protocol gains by a pool of several. Each series is from one record, its single-threaded cell
//! included: times of two days are not compared.

use std::collections::BTreeMap;

use super::cells::{Cell, Metric, SECOND, cells};
use super::markdown::{Table, number};
use crate::record::{Folder, Status};
use crate::stats::{Ratio, ratio};

/// Whether a cell has more threads a party than others, and so stands in no other table.
pub(crate) fn is_threaded(c: &Cell<'_>) -> bool {
    c.setting().threads > 1
}

/// Cells that differ in threads alone.
pub(crate) struct Series<'a> {
    pub(crate) protocol: String,
    pub(crate) model: String,
    pub(crate) link: String,
    pub(crate) load: String,
    /// By threads of each party.
    pub(crate) cells: BTreeMap<u64, Cell<'a>>,
}

/// The series of all records that have more than one number of threads; of two records with the same one, the later.
pub(crate) fn series(folders: &[Folder]) -> Vec<Series<'_>> {
    let mut by_age: Vec<&Folder> = folders.iter().filter(|f| f.runs.iter().any(|r| r.threads > 1)).collect();
    by_age.sort_by_key(|f| f.begun_utc());
    let mut all: BTreeMap<[String; 4], BTreeMap<u64, Cell<'_>>> = BTreeMap::new();
    for folder in by_age {
        let mut own: BTreeMap<_, BTreeMap<u64, Cell<'_>>> = BTreeMap::new();
        for c in cells(std::slice::from_ref(folder)) {
            let r = c.setting();
            let name = [r.model.clone(), r.link.clone(), r.protocol.clone(), c.load_of_any_threads()];
            own.entry(name).or_default().insert(r.threads, c);
        }
        all.extend(own.into_iter().filter(|(_, cells)| cells.len() > 1));
    }
    let of = |([model, link, protocol, load], cells): ([String; 4], _)| Series { protocol, model, link, load, cells };
    all.into_iter().map(of).collect()
}

/// One row per series and number of threads. Empty if none has several.
pub(crate) fn page(folders: &[Folder]) -> String {
    let head =
        ["protocol", "model", "link", "load", "threads a party", "time s", "CPU s", "time / one thread's", "runs"];
    let mut t = Table::new(4, &head);
    for s in series(folders) {
        for (threads, c) in &s.cells {
            // Why a protocol was not run with so many, in short, is worth more than that it was not.
            let skipped = c.rows.iter().all(|r| r.status == Status::Skipped);
            let short = c.setting().reason.split(':').next().unwrap_or_default().to_owned();
            let reason = |text: String| if skipped { short } else { text };
            t.row(vec![
                s.protocol.clone(),
                s.model.clone(),
                s.link.clone(),
                s.load.clone(),
                threads.to_string(),
                reason(c.shown_per_query(Metric::Wall, SECOND)),
                c.shown_per_query(Metric::Cpu, SECOND),
                shown_beside_one(&s, *threads),
                c.outcome(),
            ]);
        }
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// Time with so many threads over time with one, if that says something and both are known.
pub(crate) fn beside_one(s: &Series<'_>, threads: u64) -> Option<Ratio> {
    let values = |threads| s.cells.get(&threads).map(|c| c.values_per_query(Metric::Wall));
    if threads == 1 { None } else { ratio(&values(threads)?, &values(1)?) }
}

/// The ratio of times with its interval, or why there is none.
fn shown_beside_one(s: &Series<'_>, threads: u64) -> String {
    let repetitions = |threads| s.cells.get(&threads).map_or(0, |c| c.values_per_query(Metric::Wall).len());
    match beside_one(s, threads) {
        _ if threads == 1 => "by definition 1".into(),
        Some(r) if repetitions(threads).min(repetitions(1)) > 1 => {
            format!("{} [{}..{}]", number(r.ratio), number(r.low), number(r.high))
        }
        Some(r) => format!("{}, noise not known", number(r.ratio)),
        None if s.cells.contains_key(&1) => "not measured".into(),
        None => "one thread was not run".into(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::record::samples;

    /// With two threads `plain` takes a quarter less; `cryptflow2` cannot use them.
    pub(crate) fn folder() -> Folder {
        let mut f = samples::folder("a");
        for protocol in ["plain", "cheetah", "cryptflow2"] {
            for threads in [1, 2] {
                for n in 1..=3 {
                    let (mut run, mut phases) = samples::run(protocol, "lan", n);
                    run.threads = threads;
                    (run.cell, run.run_id) = (format!("{}/{threads}", run.cell), format!("{}/{threads}#{n}", run.cell));
                    phases.iter_mut().for_each(|p| p.run_id.clone_from(&run.run_id));
                    run.run_wall_ns = run.run_wall_ns.map(|ns| if threads == 2 { ns * 3 / 4 } else { ns });
                    if protocol == "cryptflow2" && threads == 2 {
                        (run.status, run.reason) = (Status::Skipped, "one thread a party: no use for more".into());
                    }
                    samples::add(&mut f, (run, phases));
                }
            }
        }
        f
    }

    #[test]
    fn gains_and_reasons() {
        let text = page(&[folder()]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("| plain | mnist-cnn4 | lan | batch 1 | 1 | 0.102 [0.101..0.103]"), "{text}");
        assert!(text.contains("| 2 | 0.0765 [0.0758..0.0773] | 0.0800 | 0.750 [0.735..0.765] | 3 ok |"), "{text}");
        assert!(text.contains("| 2 | one thread a party | not run | not measured | 3 skipped |"), "{text}");
    }

    #[test]
    fn a_record_with_one_number_of_threads_has_no_series() {
        let mut f = folder();
        f.runs.retain(|r| r.threads == 2);
        assert_eq!(page(&[f]), "");
        let mut f = folder();
        f.runs.retain(|r| r.threads == 1);
        assert_eq!(page(&[f]), "");
    }
}
