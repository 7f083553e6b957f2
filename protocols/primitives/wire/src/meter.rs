//! Where bytes, messages, rounds and time go: counters under (phase, label).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use cpu_time::ProcessTime;

/// The part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Once per pair of parties: keys, base OTs.
    Setup,
    /// Before the input is known: correlated randomness.
    Offline,
    /// From the input to the answer.
    Online,
    /// Checks that the protocol itself makes of the answers.
    Verify,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Setup => "setup",
            Self::Offline => "offline",
            Self::Online => "online",
            Self::Verify => "verify",
        })
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        [Self::Setup, Self::Offline, Self::Online, Self::Verify]
            .into_iter()
            .find(|p| p.to_string() == s)
            .ok_or_else(|| format!("unknown phase '{s}'"))
    }
}

/// Counters of one (phase, label). Time is exclusive: what a scope inside takes is not counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How often the scope was entered.
    pub calls: u64,
    /// Elapsed time.
    pub wall_ns: u64,
    /// CPU time of the whole process, all threads.
    pub cpu_ns: u64,
    /// Bytes handed to the transport, framing included.
    pub sent_bytes: u64,
    /// Bytes taken from the transport, framing included.
    pub recv_bytes: u64,
    /// Messages sent.
    pub sent_messages: u64,
    /// Switches from sending to receiving.
    pub rounds: u64,
}

impl Totals {
    /// Adds another set of counters to this one.
    pub fn add(&mut self, o: &Self) {
        self.calls += o.calls;
        self.wall_ns += o.wall_ns;
        self.cpu_ns += o.cpu_ns;
        self.sent_bytes += o.sent_bytes;
        self.recv_bytes += o.recv_bytes;
        self.sent_messages += o.sent_messages;
        self.rounds += o.rounds;
    }
}

/// One line of a meter's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The part of the run.
    pub phase: Phase,
    /// The operator, such as `conv 3`.
    pub label: String,
    /// What it took.
    pub totals: Totals,
}

/// A party's counters. Clones share them; channels hold a clone.
///
/// One thread of a party opens scopes; traffic of its other threads counts under the scope open at the time.
#[derive(Clone)]
pub struct Meter(Arc<Mutex<Inner>>);

struct Inner {
    entries: BTreeMap<(Phase, String), Totals>,
    stack: Vec<(Phase, String)>,
    since: (Instant, ProcessTime),
}

impl Default for Meter {
    fn default() -> Self {
        let inner = Inner {
            entries: BTreeMap::new(),
            stack: vec![(Phase::Setup, "other".to_owned())],
            since: (Instant::now(), ProcessTime::now()),
        };
        Self(Arc::new(Mutex::new(inner)))
    }
}

impl Meter {
    /// New counters, in phase setup under the label `other`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts under (phase, label) until the guard is dropped. Scopes nest; the innermost counts.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn enter(&self, phase: Phase, label: &str) -> Scope {
        let mut m = self.lock();
        m.settle();
        m.stack.push((phase, label.to_owned()));
        m.top().calls += 1;
        Scope(self.clone())
    }

    /// As [`Self::enter`], in the phase of the scope that is open now.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn enter_label(&self, label: &str) -> Scope {
        let phase = self.lock().stack.last().map_or(Phase::Setup, |s| s.0);
        self.enter(phase, label)
    }

    /// All counters so far, in the order of phase and label.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut m = self.lock();
        m.settle();
        let line = |((phase, label), totals): (&(Phase, String), &Totals)| Entry {
            phase: *phase,
            label: label.clone(),
            totals: *totals,
        };
        m.entries.iter().map(line).collect()
    }

    /// Sum over the labels of a phase.
    #[must_use]
    pub fn phase_totals(&self, phase: Phase) -> Totals {
        let mut sum = Totals::default();
        self.entries().iter().filter(|e| e.phase == phase).for_each(|e| sum.add(&e.totals));
        sum
    }

    /// Sum over everything.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        self.entries().iter().for_each(|e| sum.add(&e.totals));
        sum
    }

    pub(crate) fn sent(&self, bytes: usize) {
        let mut m = self.lock();
        let t = m.top();
        t.sent_bytes += bytes as u64;
        t.sent_messages += 1;
    }

    pub(crate) fn received(&self, bytes: usize, new_round: bool) {
        let mut m = self.lock();
        let t = m.top();
        t.recv_bytes += bytes as u64;
        t.rounds += u64::from(new_round);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn top(&mut self) -> &mut Totals {
        let key = self.stack.last().cloned().unwrap_or((Phase::Setup, "other".to_owned()));
        self.entries.entry(key).or_default()
    }

    /// Books the time since the last change of scope under the scope that was open.
    fn settle(&mut self) {
        let now = (Instant::now(), ProcessTime::now());
        let wall = now.0.duration_since(self.since.0);
        let cpu = now.1.duration_since(self.since.1);
        self.since = now;
        let t = self.top();
        t.wall_ns += wall.as_nanos() as u64;
        t.cpu_ns += cpu.as_nanos() as u64;
    }
}

/// Ends the scope when dropped.
pub struct Scope(Meter);

impl Drop for Scope {
    fn drop(&mut self) {
        let mut m = self.0.lock();
        m.settle();
        m.stack.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_scope_counts_and_time_is_exclusive() {
        let m = Meter::new();
        {
            let _outer = m.enter(Phase::Online, "outer");
            m.sent(10);
            {
                let _inner = m.enter_label("inner");
                m.sent(5);
                m.received(3, true);
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            m.received(2, false);
        }
        let get = |l: &str| m.entries().into_iter().find(|e| e.label == l).unwrap().totals;
        let (outer, inner) = (get("outer"), get("inner"));
        assert_eq!((outer.sent_bytes, outer.recv_bytes, outer.rounds, outer.calls), (10, 2, 0, 1));
        assert_eq!((inner.sent_bytes, inner.recv_bytes, inner.rounds, inner.sent_messages), (5, 3, 1, 1));
        assert!(inner.wall_ns >= 20_000_000 && outer.wall_ns < inner.wall_ns);
        assert_eq!(m.phase_totals(Phase::Online).sent_bytes, 15);
        assert_eq!(m.phase_totals(Phase::Offline), Totals::default());
    }
}
