//! How long a run will take, before it begins: from earlier records of this machine, or else from the bytes and rounds
//! that a protocol declares.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use si_netem::{Means, Profile};

use crate::experiment::{Cell, FusionPlan, Load, MOST_BATCH};
use crate::progress::shown;
use crate::record::{Folder, Method, RUNS_CSV, Status};
use crate::{cost, machine, registry};

/// Starting two processes, loading, connecting and probing (local).
const START: Duration = Duration::from_secs(2);

/// Computing takes about as long as this for each declared byte: both parties of Cheetah at work on 2 cores, from
/// records of its MNIST network (local: an estimate only).
const COMPUTING_NS_PER_BYTE: f64 = 40.0;

/// Longest list of rows that a cell's duration is the median of (local).
const ROWS: usize = 9;

/// What an estimate rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Basis {
    /// Earlier rows of the same cell on the same machine.
    Records,
    /// Declared bytes and rounds over the link.
    DeclaredCost,
    /// Nothing: only the start of the processes is counted.
    Unknown,
}

/// Durations of the cells of earlier records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Estimator {
    seen: BTreeMap<String, Vec<Duration>>,
    /// What a repetition takes in a record, of any machine; 0 if there are none.
    row_bytes: u64,
}

/// Of a list of repetitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expectation {
    pub(crate) total: Duration,
    /// Of records.
    disk_bytes: u64,
    counts: BTreeMap<Basis, usize>,
}

impl Estimator {
    /// From the record folders in `records`. What cannot be read gives no estimate, which is no error.
    pub(crate) fn of_records(records: &Path) -> Self {
        let entries = std::fs::read_dir(records).into_iter().flatten().flatten().map(|e| e.path());
        let folders = entries.filter(|p| p.join(RUNS_CSV).is_file()).filter_map(|p| Folder::read(&p).ok());
        let all: Vec<Folder> = folders.collect();
        let rows: usize = all.iter().map(|f| f.runs.len()).sum();
        let bytes: u64 =
            all.iter().flat_map(|f| std::fs::read_dir(&f.dir).into_iter().flatten().flatten()).map(size).sum();
        let here = machine::describe().name;
        let own = Self::of_folders(all.into_iter().filter(|f| f.machine.name == here).collect());
        Self { row_bytes: bytes / rows.max(1) as u64, ..own }
    }

    fn of_folders(mut folders: Vec<Folder>) -> Self {
        folders.sort_by_key(|f| f.runs.first().map(|r| r.started_utc.clone()));
        let mut seen: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
        for r in folders.iter().flat_map(|f| &f.runs).filter(|r| r.status == Status::Ok) {
            let ns = [r.setup_wall_ns, r.run_wall_ns].into_iter().flatten().sum();
            let durations = seen.entry(r.cell.clone()).or_default();
            durations.push(START + Duration::from_nanos(ns));
            if durations.len() > ROWS {
                durations.remove(0); // the oldest
            }
        }
        seen.values_mut().for_each(|d| d.sort());
        Self { seen, row_bytes: 0 }
    }

    /// How long one repetition of a cell takes, and how that is known.
    pub(crate) fn repetition(&self, cell: &Cell) -> (Duration, Basis) {
        if let Some(durations) = self.seen.get(&cell.name()) {
            return (durations[durations.len() / 2], Basis::Records);
        }
        declared(cell).map_or((START, Basis::Unknown), |t| (START + t, Basis::DeclaredCost))
    }

    /// How long these repetitions take.
    pub(crate) fn of<'c>(&self, repetitions: impl IntoIterator<Item = &'c Cell>) -> Expectation {
        let mut sum = Expectation::default();
        let mut known: BTreeMap<String, (Duration, Basis)> = BTreeMap::new();
        for cell in repetitions {
            let (duration, basis) = *known.entry(cell.name()).or_insert_with(|| self.repetition(cell));
            sum.total += duration;
            sum.disk_bytes += self.row_bytes;
            *sum.counts.entry(basis).or_default() += 1;
        }
        sum
    }
}

fn size(file: std::fs::DirEntry) -> u64 {
    file.metadata().map_or(0, |m| m.len())
}

/// What the declared bytes and rounds take over the cell's link, with the computing that usually goes with them.
fn declared(cell: &Cell) -> Option<Duration> {
    let (protocol, batch, batches) = match &cell.load {
        Load::Batch(n) => (cell.protocol.as_str(), *n, 1),
        Load::Plan(p) => {
            let all = cell.run_inferences();
            let one = match p {
                FusionPlan { method: Method::Measured, chunk: Some(chunk), .. } => (*chunk).min(all),
                _ => all,
            };
            (registry::inner(&cell.protocol).ok()?, one, all.div_ceil(one.max(1)))
        }
    };
    if batch > MOST_BATCH {
        return None; // its job will be refused
    }
    let cost = cost::declared(protocol, &cell.model, batch, cell.options).ok()?.total;
    let link = Profile::named(&cell.link).ok()?;
    let bytes = (cost.up_bytes + cost.down_bytes) as f64;
    let mut ns = bytes * COMPUTING_NS_PER_BYTE;
    if link.means != Means::None {
        ns += bytes * 8e9 / link.rate_bits_per_s.max(1) as f64 + cost.rounds as f64 * link.rtt_us as f64 * 1e3;
    }
    Some(Duration::from_nanos(ns as u64) * u32::try_from(batches).ok()?)
}

impl Expectation {
    /// Both together.
    pub(crate) fn plus(mut self, other: &Self) -> Self {
        self.total += other.total;
        self.disk_bytes += other.disk_bytes;
        other.counts.iter().for_each(|(basis, n)| *self.counts.entry(*basis).or_default() += n);
        self
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |basis| match basis {
            Basis::Records => "by earlier records of this machine",
            Basis::DeclaredCost => "by declared bytes and rounds",
            Basis::Unknown => "unknown, counted as nothing",
        };
        let parts: Vec<_> = self.counts.iter().map(|(basis, n)| format!("{n} {}", word(*basis))).collect();
        let parts = if parts.is_empty() { "nothing to do".to_owned() } else { parts.join(", ") };
        write!(f, "about {} (repetitions: {parts})", shown(self.total))?;
        // Less than this is no news.
        if self.disk_bytes < 1_000_000 {
            return Ok(());
        }
        write!(f, ", {} MB of records", self.disk_bytes.div_ceil(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::record::samples;

    #[test]
    fn records_come_before_declared_cost() {
        let mut cells = Experiment::find("mnist-wan").unwrap().cells();
        let of = |protocol: &str, cells: &[Cell]| cells.iter().find(|c| c.protocol == protocol).unwrap().clone();
        let (cheetah, plain) = (of("cheetah", &cells), of("plain", &cells));
        let (time, basis) = Estimator::default().repetition(&cheetah);
        // 1.6 MB in 58 rounds of 40 ms: about 2.4 s.
        assert!(basis == Basis::DeclaredCost && (3.5..6.0).contains(&time.as_secs_f64()), "{time:?}");
        let plain = Cell { model: "no such model".to_owned(), ..plain };
        assert_eq!(Estimator::default().repetition(&plain), (START, Basis::Unknown));

        let mut f = samples::folder("a");
        for (i, seconds) in [9, 1, 5].into_iter().enumerate() {
            samples::add(&mut f, samples::run("cheetah", "wan", i as u64 + 1));
            (f.runs[i].cell, f.runs[i].run_wall_ns) = (cheetah.name(), Some(seconds * 1_000_000_000));
            f.runs[i].setup_wall_ns = Some(0);
        }
        (f.runs[0].status, f.runs[0].run_wall_ns) = (Status::Timeout, Some(u64::MAX));
        let estimator = Estimator::of_folders(vec![f]);
        assert_eq!(estimator.repetition(&cheetah), (START + Duration::from_secs(5), Basis::Records));
        let sum = estimator.of([&cheetah, &cheetah, &plain]);
        assert_eq!(sum.total, 3 * START + Duration::from_secs(10));
        let text = sum.to_string();
        assert!(
            text.starts_with("about 16 s (") && text.contains("2 by earlier records") && text.contains("1 unknown"),
            "{text}"
        );
        assert_eq!(sum.clone().plus(&sum).total, 2 * sum.total);

        // A plan in batches takes as many times as long as one of them.
        cells.retain(|c| c.plan().is_some_and(|p| p.chunk == Some(32)));
        let chunked = Estimator::default().repetition(&cells[0]).0 - START;
        let batch = Cell { load: Load::Batch(32), protocol: "cheetah".to_owned(), ..cells[0].clone() };
        assert_eq!(chunked, (Estimator::default().repetition(&batch).0 - START) * 15);
    }
}
