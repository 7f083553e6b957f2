//! Link sweeps: which protocol is the fastest on which link, and where one overtakes another. A sweep's points are links
//! whose names say what they are (`400mbit-40ms`); lines run along one quantity with the other one fixed.

use std::collections::{BTreeMap, BTreeSet};

use si_netem::Profile;

use super::cells::{Cell, Metric, SECOND};
use super::markdown::{Table, number, thousands};
use super::profile;
use crate::stats::{Ratio, ratio};

/// Points that make a line (local).
const LEAST: usize = 3;

/// The quantity that varies along a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Along {
    /// Round-trip time, in µs; the rate is fixed.
    Rtt,
    /// Rate each way, in bit/s; the round-trip time is fixed.
    Rate,
}

impl Along {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rtt => "RTT, ms",
            Self::Rate => "rate, Mbit/s",
        }
    }

    /// Our units in one of the name's.
    pub(crate) fn unit(self) -> f64 {
        match self {
            Self::Rtt => 1e3,
            Self::Rate => 1e6,
        }
    }

    /// What is fixed, in words.
    fn fixed(self, value: u64) -> String {
        match self {
            Self::Rtt => format!("{} Mbit/s", as_set(value as f64 / 1e6)),
            Self::Rate => format!("{} ms RTT", as_set(value as f64 / 1e3)),
        }
    }
}

/// What was set is exact: no digits are added.
fn as_set(x: f64) -> String {
    if x >= 1000.0 && x.fract() == 0.0 { thousands(x as i64) } else { x.to_string() }
}

/// Protocols on links of which one quantity varies.
pub(crate) struct Sweep<'c, 'a> {
    pub(crate) model: String,
    pub(crate) along: Along,
    /// The other quantity.
    fixed: u64,
    /// For each protocol and load, the cells by the varying quantity.
    pub(crate) lines: Vec<Line<'c, 'a>>,
}

pub(crate) struct Line<'c, 'a> {
    pub(crate) protocol: String,
    pub(crate) load: String,
    pub(crate) points: Vec<(u64, &'c Cell<'a>)>,
}

/// Whether repetitions bear out which of two times is the shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Clear {
    /// The interval of the ratio leaves 1 out.
    Yes,
    WithinNoise,
    /// One repetition on a side.
    NoiseNotKnown,
}

impl Clear {
    fn words(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::WithinNoise => "within noise",
            Self::NoiseNotKnown => "noise not known",
        }
    }
}

/// Two lines on one link: time of the first over that of the second.
struct Pair {
    x: u64,
    ratio: Ratio,
    /// Of the first.
    seconds: f64,
    clear: Clear,
}

/// Where two lines cross, between two points of the sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crossing {
    pub(crate) low: u64,
    pub(crate) high: u64,
    /// Interpolated: both quantities on log scales, straight between the points.
    pub(crate) at: f64,
    /// Seconds there.
    pub(crate) seconds: f64,
    /// Whether the noise at both points leaves no doubt.
    pub(crate) clear: Clear,
    /// Whether the first line is the faster one below.
    pub(crate) first_below: bool,
}

/// Whether a cell is a point of a sweep, and so in no table of the field's settings.
pub(crate) fn is_swept(c: &Cell<'_>) -> bool {
    Profile::is_inline(profile(&c.setting().link))
}

impl Sweep<'_, '_> {
    /// `at 400 Mbit/s`
    pub(crate) fn fixed(&self) -> String {
        self.along.fixed(self.fixed)
    }
}

/// Every line-up that the cells allow: model by model, RTT at each rate with enough points, rate at each RTT.
pub(crate) fn sweeps<'c, 'a>(cells: &'c [Cell<'a>]) -> Vec<Sweep<'c, 'a>> {
    type Points<'c, 'a> = BTreeMap<(String, String), BTreeMap<u64, &'c Cell<'a>>>;
    let mut found: BTreeMap<(String, Along, u64), Points<'c, 'a>> = BTreeMap::new();
    for c in cells.iter().filter(|c| is_swept(c)) {
        let r = c.setting();
        let (Some(rate), Some(rtt)) = (r.rate_set_bits_per_s, r.rtt_set_us) else { continue };
        let means = if r.link_means == "model" { String::new() } else { format!(", by {}", r.link_means) };
        let composed = if c.is_measured() { "" } else { ", composed" };
        let load = format!("{}{composed}{means}", c.load());
        for (along, fixed, x) in [(Along::Rtt, rate, rtt), (Along::Rate, rtt, rate)] {
            let lines = found.entry((r.model.clone(), along, fixed)).or_default();
            lines.entry((r.protocol.clone(), load.clone())).or_default().insert(x, c);
        }
    }
    let sweep = |((model, along, fixed), lines): ((String, Along, u64), Points<'c, 'a>)| {
        let lines: Vec<_> = (lines.into_iter())
            .filter(|(_, points)| points.values().filter(|c| c.per_query(Metric::Wall).is_some()).count() >= LEAST)
            .map(|((protocol, load), points)| Line { protocol, load, points: points.into_iter().collect() })
            .collect();
        (!lines.is_empty()).then_some(Sweep { model, along, fixed, lines })
    };
    found.into_iter().filter_map(sweep).collect()
}

/// Both lines at the links that both have.
fn pairs(a: &Line<'_, '_>, b: &Line<'_, '_>) -> Vec<Pair> {
    let at = |(x, c): &(u64, &Cell<'_>)| {
        let (_, other) = b.points.iter().find(|(y, _)| y == x)?;
        let [first, second] = [c, other].map(|c| c.values_per_query(Metric::Wall));
        let ratio = ratio(&first, &second)?;
        let clear = match (first.len().min(second.len()), ratio.low > 1.0 || ratio.high < 1.0) {
            (0 | 1, _) => Clear::NoiseNotKnown,
            (_, true) => Clear::Yes,
            (_, false) => Clear::WithinNoise,
        };
        Some(Pair { x: *x, ratio, seconds: c.per_query(Metric::Wall)?.median / SECOND, clear })
    };
    a.points.iter().filter_map(at).collect()
}

/// The crossings of two lines.
pub(crate) fn crossings(a: &Line<'_, '_>, b: &Line<'_, '_>) -> Vec<Crossing> {
    let between = |two: &[Pair]| {
        let [p, q] = two else { return None };
        let (from, to) = (p.ratio.ratio.ln(), q.ratio.ratio.ln());
        if (from < 0.0) == (to < 0.0) || p.x == 0 {
            return None;
        }
        let part = from / (from - to);
        let blend = |x: f64, y: f64| (x.ln() + part * (y.ln() - x.ln())).exp();
        Some(Crossing {
            low: p.x,
            high: q.x,
            at: blend(p.x as f64, q.x as f64),
            seconds: blend(p.seconds, q.seconds),
            clear: p.clear.max(q.clear),
            first_below: from < 0.0,
        })
    };
    pairs(a, b).windows(2).filter_map(between).collect()
}

/// For each sweep: seconds by protocol and link, then who overtakes whom. Empty if nothing was swept.
pub(crate) fn page(cells: &[Cell<'_>]) -> String {
    let mut out = String::new();
    for s in sweeps(cells) {
        let title = match s.along {
            Along::Rtt => "against the round-trip time",
            Along::Rate => "against the rate",
        };
        out += &format!("## {}, {title}, at {}\n\n{}\n", s.model, s.fixed(), times(&s));
        if s.lines.len() > 1 {
            out += &format!("{}\n", overtaking(&s));
        }
    }
    if out.is_empty() {
        return out;
    }
    format!(
        "Time of one query in seconds: median [least..greatest repetition]. A crossing is interpolated between two links of \
         the sweep, time and quantity on log scales. It is *clear* if at both links the interval of the ratio of the two \
         times (95 % of resamples) leaves 1 out; one repetition a side shows no noise.\n\n{out}"
    )
}

fn times(s: &Sweep<'_, '_>) -> Table {
    let xs: BTreeSet<u64> = s.lines.iter().flat_map(|l| l.points.iter().map(|p| p.0)).collect();
    let head: Vec<String> = ["protocol".to_owned(), "load".to_owned()]
        .into_iter()
        .chain(xs.iter().map(|x| {
            let value = as_set(*x as f64 / s.along.unit());
            match s.along {
                Along::Rtt => format!("{value} ms"),
                Along::Rate => format!("{value} Mbit/s"),
            }
        }))
        .collect();
    let mut t = Table::new(2, &head.iter().map(String::as_str).collect::<Vec<_>>());
    for l in &s.lines {
        let cell = |x: &u64| {
            let found = l.points.iter().find(|p| p.0 == *x);
            found.map_or_else(|| "not run".into(), |p| p.1.shown_per_query(Metric::Wall, SECOND))
        };
        t.row([l.protocol.clone(), l.load.clone()].into_iter().chain(xs.iter().map(cell)).collect());
    }
    t
}

fn overtaking(s: &Sweep<'_, '_>) -> Table {
    let head = ["first", "second", "faster below", "faster above", s.along.name(), "between links", "clear"];
    let mut t = Table::new(4, &head);
    let set = |x: u64| as_set(x as f64 / s.along.unit());
    let name = |l: &Line<'_, '_>| {
        let shared = s.lines.iter().filter(|o| o.protocol == l.protocol).count() > 1;
        if shared { format!("{}, {}", l.protocol, l.load) } else { l.protocol.clone() }
    };
    for (i, a) in s.lines.iter().enumerate() {
        for b in &s.lines[i + 1..] {
            let (first, second) = (name(a), name(b));
            let found = crossings(a, b);
            for c in &found {
                let (below, above) = if c.first_below { (&first, &second) } else { (&second, &first) };
                t.row(vec![
                    first.clone(),
                    second.clone(),
                    below.clone(),
                    above.clone(),
                    number(c.at / s.along.unit()),
                    format!("{} and {}", set(c.low), set(c.high)),
                    c.clear.words().into(),
                ]);
            }
            let all = pairs(a, b);
            if let (true, Some(p), Some(q)) = (found.is_empty(), all.first(), all.last()) {
                let faster = if p.ratio.ratio < 1.0 { &first } else { &second };
                let clear = all.iter().map(|p| p.clear).max().unwrap_or(Clear::NoiseNotKnown);
                let end = |p: &Pair| format!("{:.2} at {}", p.ratio.ratio, set(p.x));
                t.row(vec![
                    first.clone(),
                    second.clone(),
                    faster.clone(),
                    faster.clone(),
                    "no crossing".into(),
                    format!("first/second: {}, {}", end(p), end(q)),
                    clear.words().into(),
                ]);
            }
        }
    }
    t
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::record::{Folder, samples};

    /// `cheetah` takes 0.1 s and ten round trips, `iknp` 0.5 s and two: they cross at 50 ms.
    pub(crate) fn folder() -> Folder {
        let mut f = samples::folder("a");
        for (protocol, fixed_ns, rounds) in [("cheetah", 100_000_000, 10), ("cheetah+iknp", 500_000_000, 2)] {
            for rtt_ms in [1, 10, 40, 80] {
                for n in 1..=3 {
                    let (mut run, phases) = samples::run(protocol, "lan", n);
                    run.link = format!("400mbit-{rtt_ms}ms");
                    (run.cell, run.run_id) =
                        (format!("{protocol}/{}", run.link), format!("{protocol}/{}#{n}", run.link));
                    (run.rate_set_bits_per_s, run.rtt_set_us) = (Some(400_000_000), Some(rtt_ms * 1000));
                    run.run_wall_ns = Some(fixed_ns + rounds * rtt_ms * 1_000_000 + n);
                    samples::add(&mut f, (run, phases));
                }
            }
        }
        f
    }

    #[test]
    fn crossings_are_found_between_links() {
        let folders = [folder()];
        let all = cells(&folders);
        let [s] = sweeps(&all).try_into().ok().unwrap();
        assert_eq!((s.along, s.fixed.to_owned(), s.lines.len()), (Along::Rtt, 400_000_000, 2));
        let [c] = crossings(&s.lines[0], &s.lines[1]).try_into().ok().unwrap();
        assert!((c.low, c.high, c.clear, c.first_below) == (40_000, 80_000, Clear::Yes, true), "{c:?}");
        assert!((45_000.0..55_000.0).contains(&c.at) && (0.55..0.65).contains(&c.seconds), "{c:?}");
        let back = crossings(&s.lines[1], &s.lines[0]);
        assert!(back.len() == 1 && !back[0].first_below);
        let text = page(&all).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("## mnist-cnn4, against the round-trip time, at 400 Mbit/s"), "{text}");
        assert!(text.contains("| cheetah | cheetah+iknp | cheetah | cheetah+iknp |"), "{text}");
        assert!(text.contains("| 40 and 80 | yes |"), "{text}");
    }

    #[test]
    fn lines_that_never_cross_say_so_and_noise_is_named() {
        let mut f = folder();
        for r in f.runs.iter_mut().filter(|r| r.protocol == "cheetah") {
            r.run_wall_ns = r.run_wall_ns.map(|ns| ns / 100);
        }
        let folders = [f];
        let text = page(&cells(&folders)).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("| cheetah | cheetah | no crossing | first/second: 0.00 at 1,"), "{text}");
        let mut f = folder();
        // One repetition as slow as that: the intervals hold 1.
        f.runs.iter_mut().filter(|r| r.repetition == 2).for_each(|r| r.run_wall_ns = r.run_wall_ns.map(|ns| ns * 3));
        let folders = [f];
        assert!(page(&cells(&folders)).contains("within noise"));
        let mut f = folder();
        f.runs.retain(|r| r.repetition == 1);
        let folders = [f];
        assert!(page(&cells(&folders)).contains("noise not known"));
    }

    #[test]
    fn a_link_that_was_run_and_gives_no_time_says_why() {
        let mut f = folder();
        let off = |r: &&mut crate::record::RunRow| r.protocol == "cheetah" && r.rtt_set_us == Some(10_000);
        f.runs.iter_mut().filter(off).for_each(|r| r.link_gate = crate::record::LinkGate::Fail);
        let folders = [f];
        let all = cells(&folders);
        assert!(page(&all).contains("link off"));
        let [s] = sweeps(&all).try_into().ok().unwrap();
        assert_eq!(crossings(&s.lines[0], &s.lines[1]).len(), 1);
    }

    #[test]
    fn settings_of_the_field_and_single_links_are_no_sweep() {
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::run("cheetah", "lan", 1));
        samples::add(&mut f, samples::run("cheetah", "wan", 1));
        let folders = [f];
        assert_eq!(page(&cells(&folders)), "");
        let mut f = folder();
        f.runs.retain(|r| r.rtt_set_us < Some(40_000));
        let folders = [f];
        assert_eq!(page(&cells(&folders)), "");
    }
}
