//! What a user sees of a run: one line a repetition, and on a terminal a bar with an estimate of the time left.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// A repetition, as far as an estimate of its time goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Task {
    /// Protocol that does the work, model and link: what makes the time of an inference.
    pub(crate) kind: String,
    /// Inferences.
    pub(crate) inferences: usize,
    /// Its cell.
    pub(crate) cell: String,
    /// What it takes by earlier records or declared cost.
    pub(crate) expected: Option<Duration>,
}

/// Progress of a list of repetitions.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    done: usize,
    total: usize,
    /// Durations of finished repetitions.
    seen: BTreeMap<Task, Vec<Duration>>,
    /// Repetitions still to do.
    left: VecDeque<Task>,
    begun: Instant,
}

impl Progress {
    /// Progress over these repetitions, in order.
    pub(crate) fn new(tasks: Vec<Task>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(tasks.len() as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let total = tasks.len();
        Self { bar, done: 0, total, seen: BTreeMap::new(), left: tasks.into(), begun: Instant::now() }
    }

    /// The next repetition begins.
    pub(crate) fn begin(&mut self, run_id: &str) {
        self.begun = Instant::now();
        if let Some(bar) = &self.bar {
            let left = self.time_left().map_or(String::new(), |t| format!(", about {} left", shown(t)));
            bar.set_message(format!("{run_id}{left}"));
        }
    }

    /// It has ended, with this to say.
    pub(crate) fn end(&mut self, line: &str) {
        if let Some(task) = self.left.pop_front() {
            self.seen.entry(task).or_default().push(self.begun.elapsed());
        }
        self.done += 1;
        let left = match self.time_left() {
            Some(t) if !self.left.is_empty() && self.bar.is_none() => format!("  (about {} left)", shown(t)),
            _ => String::new(),
        };
        self.say(&format!("[{}/{}] {line}{left}", self.done, self.total));
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
        }
    }

    /// A line above the bar.
    pub(crate) fn say(&self, line: &str) {
        let print = || {
            // A reader that has gone away is no reason to lose a run.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        };
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn time_left(&self) -> Option<Duration> {
        self.left.iter().map(|t| self.estimate(t)).sum()
    }

    /// The median of the task's cell; else what was expected of it; else that of the largest task of its kind, in
    /// proportion; else that of all. What the quickest task of all takes is start-up, which does not grow.
    fn estimate(&self, task: &Task) -> Option<Duration> {
        let of = |durations: &Vec<Duration>| median(durations.iter().copied());
        if let Some(own) = self.seen.get(task) {
            return of(own);
        }
        if task.expected.is_some() {
            return task.expected;
        }
        let medians = || self.seen.values().filter_map(of);
        let start_up = medians().min()?;
        match self.seen.iter().filter(|(t, _)| t.kind == task.kind).max_by_key(|(t, _)| t.inferences) {
            Some((t, d)) => {
                let times = task.inferences as f64 / t.inferences.max(1) as f64;
                of(d).map(|d| start_up + d.saturating_sub(start_up).mul_f64(times))
            }
            None => median(medians()),
        }
    }
}

fn median(durations: impl IntoIterator<Item = Duration>) -> Option<Duration> {
    let mut sorted: Vec<_> = durations.into_iter().collect();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied()
}

/// `99 s`, `3 min`, `2.0 h`.
pub(crate) fn shown(t: Duration) -> String {
    match t.as_secs() {
        s @ 0..=99 => format!("{s} s"),
        s @ 100..=5999 => format!("{} min", s.div_ceil(60)),
        s => format!("{:.1} h", s as f64 / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_goes_by_the_cell_then_by_the_kind_then_by_all() {
        let task = |cell: &str, kind: &str, inferences| Task {
            kind: kind.to_owned(),
            inferences,
            cell: cell.to_owned(),
            expected: None,
        };
        let tasks = vec![task("a", "k", 1), task("b", "k", 10), task("c", "other", 5)];
        let mut p = Progress::new(tasks);
        p.bar = None;
        assert_eq!(p.time_left(), None);
        let of = |s| vec![Duration::from_secs(s)];
        p.seen.insert(task("quick", "quick", 1), of(1));
        p.seen.insert(task("a", "k", 1), of(3));
        // Its own 3; 1 + 2 * 10 in proportion; the (upper) median of 1 and 3.
        assert_eq!(p.time_left(), Some(Duration::from_secs(3 + 21 + 3)));
        p.seen.insert(task("b", "k", 10), of(9));
        assert_eq!(p.time_left(), Some(Duration::from_secs(3 + 9 + 3)));
        p.left[2].expected = Some(Duration::from_secs(60));
        assert_eq!(p.time_left(), Some(Duration::from_secs(3 + 9 + 60)));
        p.end("done");
        assert_eq!((p.done, p.left.len(), p.seen[&task("a", "k", 1)].len()), (1, 2, 2));
        assert_eq!([99, 120, 5400 * 2].map(|s| shown(Duration::from_secs(s))), ["99 s", "2 min", "3.0 h"]);
    }
}
