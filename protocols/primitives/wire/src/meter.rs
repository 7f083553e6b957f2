//! Where bytes, messages, rounds and time go: counters under (phase, label).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cpu_time::{ProcessTime, ThreadTime};

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
    /// CPU time of the whole process, all threads, less that of threads with a meter of their own ([`Meter::background`]).
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
/// One thread of a party opens scopes; traffic and CPU time of its other threads count under the scope open at the time,
/// unless they have scopes of their own: see [`Meter::background`].
#[derive(Clone)]
pub struct Meter {
    book: Arc<Mutex<Book>>,
    /// Whose scopes: an index into [`Book::threads`].
    thread: usize,
}

type Key = (Phase, String);

struct Book {
    entries: BTreeMap<Key, Totals>,
    /// The party's main thread, then those in the background.
    threads: Vec<Thread>,
    /// CPU time that was booked for threads in the background and is not yet taken off the main thread's.
    background_cpu: Duration,
}

struct Thread {
    stack: Vec<Key>,
    since: Clock,
}

/// The time of the last change of scope.
enum Clock {
    Main(Instant, ProcessTime),
    /// CPU time of the thread itself, once it has opened a scope.
    Background(Option<Duration>),
}

impl Default for Meter {
    fn default() -> Self {
        let main = Thread { stack: vec![other()], since: Clock::Main(Instant::now(), ProcessTime::now()) };
        let book = Book { entries: BTreeMap::new(), threads: vec![main], background_cpu: Duration::ZERO };
        Self { book: Arc::new(Mutex::new(book)), thread: 0 }
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
        m.settle(self.thread);
        m.threads[self.thread].stack.push((phase, label.to_owned()));
        m.top(self.thread).calls += 1;
        Scope(self.clone())
    }

    /// As [`Self::enter`], in the phase of the scope that is open now.
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn enter_label(&self, label: &str) -> Scope {
        self.enter(self.phase(), label)
    }

    /// The phase of the scope that is open now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.lock().threads[self.thread].stack.last().map_or(Phase::Setup, |s| s.0)
    }

    /// For one thread in the background that opens scopes of its own beside the main thread's: same counters. Its CPU
    /// time and the traffic of channels that hold this meter count under its own scopes, and its CPU time under no scope
    /// of the main thread's; it has no `wall_ns`, for it overlaps. A scope of the main thread that is open during the
    /// work is charged at most the CPU time since the last message of the thread, and is given it back later.
    #[must_use]
    pub fn background(&self) -> Self {
        let mut m = self.lock();
        m.threads.push(Thread { stack: Vec::new(), since: Clock::Background(None) });
        Self { book: Arc::clone(&self.book), thread: m.threads.len() - 1 }
    }

    /// All counters so far, in the order of phase and label.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut m = self.lock();
        m.settle(self.thread);
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
        m.settle_background(self.thread);
        let t = m.top(self.thread);
        t.sent_bytes += bytes as u64;
        t.sent_messages += 1;
    }

    pub(crate) fn received(&self, bytes: usize, new_round: bool) {
        let mut m = self.lock();
        m.settle_background(self.thread);
        let t = m.top(self.thread);
        t.recv_bytes += bytes as u64;
        t.rounds += u64::from(new_round);
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where counts that belong to no scope.
fn other() -> Key {
    (Phase::Setup, "other".to_owned())
}

impl Book {
    fn top(&mut self, thread: usize) -> &mut Totals {
        let key = self.threads[thread].stack.last().cloned().unwrap_or_else(other);
        self.entries.entry(key).or_default()
    }

    /// Books the time since the last change of scope of a thread under the scope that was open. The main thread's CPU
    /// time is that of the process without what the others have booked.
    fn settle(&mut self, thread: usize) {
        if let Clock::Main(wall_since, cpu_since) = &mut self.threads[thread].since {
            let now = (Instant::now(), ProcessTime::now());
            let wall = now.0.duration_since(*wall_since);
            let all = now.1.duration_since(*cpu_since);
            (*wall_since, *cpu_since) = now;
            // What exceeds the time of this scope was charged to an earlier one and is given back by the next.
            let others = self.background_cpu.min(all);
            self.background_cpu -= others;
            let t = self.top(thread);
            t.wall_ns += wall.as_nanos() as u64;
            t.cpu_ns += (all - others).as_nanos() as u64;
        } else {
            self.settle_background(thread);
        }
    }

    /// As [`Self::settle`] for a thread in the background, which must be the caller; nothing for the main thread.
    fn settle_background(&mut self, thread: usize) {
        let Thread { stack, since: Clock::Background(since) } = &mut self.threads[thread] else { return };
        let now = ThreadTime::now().as_duration();
        let spent = since.replace(now).map_or(Duration::ZERO, |since| now.saturating_sub(since));
        if !stack.is_empty() {
            self.background_cpu += spent;
            self.top(thread).cpu_ns += spent.as_nanos() as u64;
        }
    }
}

/// Ends the scope when dropped.
pub struct Scope(Meter);

impl Drop for Scope {
    fn drop(&mut self) {
        let mut m = self.0.lock();
        m.settle(self.0.thread);
        m.threads[self.0.thread].stack.pop();
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

    fn spin(cpu: Duration) {
        let start = ThreadTime::now();
        while start.elapsed() < cpu {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn a_thread_in_the_background_has_scopes_of_its_own() {
        let m = Meter::new();
        let process = ProcessTime::now();
        let main = m.enter(Phase::Online, "main");
        assert_eq!(m.phase(), Phase::Online);
        let lane = m.background();
        std::thread::scope(|s| {
            s.spawn(move || {
                spin(Duration::from_millis(5)); // outside of its scopes: counts as any other thread's
                let _scope = lane.enter(Phase::Offline, "lane");
                spin(Duration::from_millis(40));
                lane.sent(7);
            });
        });
        m.sent(3);
        drop(main);
        let entries = m.entries();
        let get = |l: &str| entries.iter().find(|e| e.label == l).unwrap();
        let (main, lane) = (get("main").totals, get("lane").totals);
        assert_eq!((get("lane").phase, lane.sent_bytes, lane.wall_ns, lane.calls), (Phase::Offline, 7, 0, 1));
        assert_eq!(main.sent_bytes, 3);
        assert!(lane.cpu_ns >= 40_000_000, "{lane:?}");
        let (all, process) = (m.totals().cpu_ns, process.elapsed().as_nanos() as u64);
        // Nothing is lost and nothing counts twice; other tests of this process only add to the main thread's.
        assert!(
            all <= process && all >= 45_000_000 && main.cpu_ns <= process - lane.cpu_ns,
            "{main:?} {lane:?} {process}"
        );
    }
}
