//! What a user sees of a run: one line a repetition, and on a terminal a bar with an estimate of the time left.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress of a list of repetitions.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    done: usize,
    total: usize,
    /// Durations of finished repetitions, by cell.
    seen: BTreeMap<String, Vec<Duration>>,
    /// Cells of repetitions still to do.
    left: Vec<String>,
    begun: Instant,
}

impl Progress {
    /// Progress over repetitions of these cells, in order.
    pub(crate) fn new(cells: Vec<String>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(cells.len() as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed_precise}  {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let total = cells.len();
        Self { bar, done: 0, total, seen: BTreeMap::new(), left: cells, begun: Instant::now() }
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
        if !self.left.is_empty() {
            let cell = self.left.remove(0);
            self.seen.entry(cell).or_default().push(self.begun.elapsed());
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

    /// Each repetition left takes the median of its cell, or of all cells where none of its own is done yet.
    fn time_left(&self) -> Option<Duration> {
        let all = median(self.seen.values().filter_map(|d| median(d.iter().copied())))?;
        Some(self.left.iter().map(|c| self.seen.get(c).and_then(|d| median(d.iter().copied())).unwrap_or(all)).sum())
    }
}

fn median(durations: impl IntoIterator<Item = Duration>) -> Option<Duration> {
    let mut sorted: Vec<_> = durations.into_iter().collect();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied()
}

fn shown(t: Duration) -> String {
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
    fn the_estimate_goes_by_the_cell_and_else_by_all() {
        let cells = ["a", "b", "a", "b", "c"].map(str::to_owned).to_vec();
        let mut p = Progress {
            bar: None,
            done: 2,
            total: 5,
            seen: BTreeMap::new(),
            left: cells[2..].to_vec(),
            begun: Instant::now(),
        };
        assert_eq!(p.time_left(), None);
        p.seen.insert("a".to_owned(), vec![Duration::from_secs(1)]);
        p.seen.insert("b".to_owned(), vec![Duration::from_secs(10)]);
        assert_eq!(p.time_left(), Some(Duration::from_secs(21)));
        assert_eq!(
            [shown(Duration::from_secs(99)), shown(Duration::from_secs(120)), shown(Duration::from_secs(5400 * 2))],
            ["99 s", "2 min", "3.0 h"]
        );
    }
}
