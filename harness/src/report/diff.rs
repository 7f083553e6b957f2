//! `bench diff OLD NEW`: two records cell by cell. A ratio means little without the noise beside it, and nothing between
//! two machines or links: such quantities are named, not compared.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::cells::{Cell, MIB, Metric, SECOND, cells, key};
use super::markdown::{Table, number, spread};
use super::{choose, profile, sound, table};
use crate::record::Folder;
use crate::stats::{Ratio, Summary, ratio};

/// A quantity of the comparison.
struct Compared {
    name: &'static str,
    metric: Metric,
    unit: f64,
    /// Whether the machine decides it.
    is_time: bool,
}

const QUANTITIES: [Compared; 4] = [
    Compared { name: "time s", metric: Metric::Wall, unit: SECOND, is_time: true },
    Compared { name: "CPU s", metric: Metric::Cpu, unit: SECOND, is_time: true },
    Compared { name: "MiB", metric: Metric::Bytes, unit: MIB, is_time: false },
    Compared { name: "rounds", metric: Metric::Rounds, unit: 1.0, is_time: false },
];

/// What a comparison says of one quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    More,
    Less,
    /// No difference beyond the noise.
    Same,
    /// Different, with one repetition on a side: the noise is not known.
    Unclear,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::More => "**more**",
            Self::Less => "**less**",
            Self::Same => "same within noise",
            Self::Unclear => "noise not known",
        }
    }
}

/// The comparison, as Markdown.
///
/// # Errors
/// If a record cannot be read or is unsound, or has no rows of honest servers.
pub(crate) fn diff(old: &Path, new: &Path) -> Result<String> {
    let read = |path: &Path| -> Result<Vec<Folder>> {
        let mut folders = choose(&[PathBuf::from(path)])?;
        sound(&folders)?;
        // The same link by other means is to be named, not overlooked.
        for r in folders.iter_mut().flat_map(|f| &mut f.runs) {
            r.link = profile(&r.link).to_owned();
        }
        Ok(folders)
    };
    let (old_folders, new_folders) = (read(old)?, read(new)?);
    let (old_cells, new_cells) = (cells(&old_folders), cells(&new_folders));
    for (cells, path) in [(&old_cells, old), (&new_cells, new)] {
        ensure!(!cells.is_empty(), "{} has no runs with an honest server: there is nothing to compare", path.display());
    }
    let mut out = format!("# {} → {}\n\n", old.display(), new.display());
    for (name, folders, cells) in [("Old", &old_folders, &old_cells), ("New", &new_folders, &new_cells)] {
        let _ = writeln!(out, "{name}:\n\n{}", table::provenance(folders, cells));
    }
    out += &compare(&old_cells, &new_cells);
    Ok(out)
}

fn compare(old: &[Cell<'_>], new: &[Cell<'_>]) -> String {
    let head = ["cell", "quantity", "old", "new", "new/old [95 %]", "noise old, new", "verdict"];
    let mut t = Table::new(2, &head);
    let mut apart: Vec<String> = Vec::new();
    let mut counts = [0usize; 4];
    for a in old {
        let mut alike: Vec<_> = new.iter().filter(|b| key(a.setting()) == key(b.setting())).collect();
        alike.sort_by_key(|b| a.setting().link_means != b.setting().link_means);
        let Some(b) = alike.first() else { continue };
        let name = &a.setting().cell;
        if let Some(why) = unlike(a, b) {
            apart.push(format!("{name}: {why}"));
            continue;
        }
        let elsewhere = other_machine(a, b);
        let other_link = other_link(a, b);
        let reasons = [elsewhere.map(|w| format!("time and CPU time: {w}")), other_link.map(|w| format!("time: {w}"))];
        apart.extend(reasons.iter().flatten().map(|why| format!("{name}: {why}")));
        let is_compared = |q: &&Compared| match q.metric {
            Metric::Wall => reasons.iter().all(Option::is_none),
            _ => !q.is_time || reasons[0].is_none(),
        };
        for q in QUANTITIES.iter().filter(is_compared) {
            let (before, after) = (a.values(q.metric), b.values(q.metric));
            let summaries = a.total(q.metric).zip(b.total(q.metric));
            let Some(((s, u), r)) = summaries.zip(ratio(&after, &before)) else {
                apart.push(format!("{name}, {}: old {}, new {}", q.name, a.outcome(), b.outcome()));
                continue;
            };
            let verdict = judge(q, (&s, &u), r);
            counts[verdict as usize] += 1;
            t.row(vec![
                name.clone(),
                q.name.into(),
                spread(s, q.unit),
                spread(u, q.unit),
                interval(r),
                format!("{}, {}", noise(&s), noise(&u)),
                verdict.words().into(),
            ]);
        }
    }
    let mut out = String::new();
    let [more, less, same, unclear] = counts;
    let _ = writeln!(
        out,
        "{} quantities compared: {more} more, {less} less, {same} the same within noise, {unclear} different with noise not \
         known.\n",
        counts.iter().sum::<usize>()
    );
    if !t.is_empty() {
        let _ = writeln!(out, "{LEGEND}\n\n{t}");
    }
    let lone = |these: &[Cell<'_>], those: &[Cell<'_>]| -> Vec<String> {
        let alone = these.iter().filter(|c| !those.iter().any(|d| key(c.setting()) == key(d.setting())));
        alone.map(|c| c.setting().cell.clone()).collect()
    };
    for (title, list) in [
        ("Not comparable", apart),
        ("Only in the old record", lone(old, new)),
        ("Only in the new record", lone(new, old)),
    ] {
        if !list.is_empty() {
            let _ = writeln!(out, "{title}:\n\n- {}\n", list.join("\n- "));
        }
    }
    out
}

const LEGEND: &str = "Medians [least..greatest repetition] of a whole load; the ratio of medians with the interval that holds \
    it in 95 % of resamples. Noise: from the least to the greatest repetition, in percent of the median. *More* or *less*: \
    the interval leaves 1 out; with three repetitions a side it is the whole range of ratios, which leaves 1 out by chance \
    once in ten comparisons of equal things. Bytes and rounds with one repetition a side: any difference.";

fn judge(q: &Compared, (old, new): (&Summary, &Summary), r: Ratio) -> Verdict {
    let single = old.n < 2 || new.n < 2;
    match (r.low > 1.0, r.high < 1.0) {
        (false, false) => Verdict::Same,
        // Time is never twice the same; bytes and rounds nearly always are.
        _ if single && q.is_time => Verdict::Unclear,
        (true, _) => Verdict::More,
        (_, true) => Verdict::Less,
    }
}

fn interval(r: Ratio) -> String {
    let [ratio, low, high] = [r.ratio, r.low, r.high].map(|x| format!("{x:.3}"));
    if low == high { ratio } else { format!("{ratio} [{low}..{high}]") }
}

fn noise(s: &Summary) -> String {
    if s.n < 2 { "one run".into() } else { format!("{} %", number(100.0 * (s.max - s.min) / s.median)) }
}

/// Why nothing of two cells can be compared.
fn unlike(a: &Cell<'_>, b: &Cell<'_>) -> Option<String> {
    let (r, s) = (a.setting(), b.setting());
    let known = |x: &str, y: &str| !x.is_empty() && !y.is_empty() && x != y;
    known(&r.model_hash, &s.model_hash).then(|| "another network or other weights under the same name".to_owned())
}

/// Why times and CPU times cannot.
fn other_machine(a: &Cell<'_>, b: &Cell<'_>) -> Option<String> {
    let (m, n) = (&a.folder.machine, &b.folder.machine);
    let same = (&m.name, &m.cpu, m.logical_cores) == (&n.name, &n.cpu, n.logical_cores);
    (!same).then(|| {
        format!("another machine ({} with {} cores, {} with {})", m.cpu, m.logical_cores, n.cpu, n.logical_cores)
    })
}

/// Why times cannot.
fn other_link(a: &Cell<'_>, b: &Cell<'_>) -> Option<String> {
    let (r, s) = (a.setting(), b.setting());
    if r.link_means != s.link_means {
        return Some(format!("the link is made by other means ({}, {})", r.link_means, s.link_means));
    }
    let set = |r: &crate::record::RunRow| (r.rate_set_bits_per_s, r.rtt_set_us, r.tcp_slow_start_set);
    if set(r) != set(s) {
        return Some("the link of this name is set otherwise".into());
    }
    (r.placement != s.placement).then(|| format!("the parties ran elsewhere ({}, {})", r.placement, s.placement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn folder(dir: &str) -> Folder {
        let mut f = samples::folder(dir);
        for n in 1..=3 {
            samples::add(&mut f, samples::run("cheetah", "lan", n));
            samples::add(&mut f, samples::run("plain", "lan", n));
        }
        f
    }

    fn text(old: Folder, new: Folder) -> String {
        let (old, new) = ([old], [new]);
        compare(&cells(&old), &cells(&new)).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn of_cheetah(f: &mut Folder, change: impl Fn(&mut crate::record::RunRow)) {
        f.runs.iter_mut().filter(|r| r.protocol == "cheetah").for_each(change);
    }

    #[test]
    fn equal_records_have_no_difference() {
        let t = text(folder("a"), folder("b"));
        assert!(t.starts_with("8 quantities compared: 0 more, 0 less, 8 the same within noise"), "{t}");
    }

    #[test]
    fn differences_are_told_from_noise() {
        let mut new = folder("b");
        of_cheetah(&mut new, |r| {
            r.run_wall_ns = r.run_wall_ns.map(|ns| ns / 2);
            r.client_sent_bytes = r.client_sent_bytes.map(|b| b + 1_000_000);
        });
        // One slow repetition is noise.
        new.runs[1].run_wall_ns = new.runs[1].run_wall_ns.map(|ns| ns * 3);
        let t = text(folder("a"), new);
        assert!(t.starts_with("8 quantities compared: 1 more, 1 less, 6 the same within noise"), "{t}");
        assert!(t.contains("| lan/mnist-cnn4/cheetah/b1 | time s | 0.102 [0.101..0.103] | 0.0510 "), "{t}");
        assert!(t.contains("| 0.500 [0.490..0.510] | 1.96 %, 1.96 % | **less** |"), "{t}");
        assert!(t.contains("195 % | same within noise |"), "{t}");
    }

    #[test]
    fn one_repetition_shows_no_noise() {
        let one = |ns: u64| {
            let mut f = samples::folder("a");
            samples::add(&mut f, samples::run("cheetah", "lan", 1));
            f.runs[0].run_wall_ns = Some(ns);
            f
        };
        let t = text(one(1_000_000_000), one(2_000_000_000));
        assert!(t.contains("3 the same within noise, 1 different with noise not known"), "{t}");
        assert!(t.contains("| 2.000 | one run, one run | noise not known |"), "{t}");
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let mut new = folder("b");
        new.machine.cpu = "Other".into();
        let t = text(folder("a"), new);
        assert!(t.starts_with("4 quantities compared") && !t.contains("| time s |"), "{t}");
        assert!(t.contains("time and CPU time: another machine (Imaginary 9000 with 2 cores, Other with 2)"), "{t}");

        let mut new = folder("b");
        of_cheetah(&mut new, |r| r.link_means = "tun".into());
        let t = text(folder("a"), new);
        assert!(t.starts_with("7 quantities compared"), "CPU time does not depend on the link: {t}");
        assert!(t.contains("time: the link is made by other means (model, tun)"), "{t}");

        let mut new = folder("b");
        of_cheetah(&mut new, |r| r.model_hash = "dd".repeat(32));
        let t = text(folder("a"), new);
        assert!(t.starts_with("4 quantities") && t.contains("another network or other weights"), "{t}");

        let mut new = folder("b");
        new.runs.retain(|r| r.protocol != "plain");
        new.runs[0].status = crate::record::Status::Timeout;
        let t = text(folder("a"), new);
        assert!(t.contains("Only in the old record: - lan/mnist-cnn4/plain/b1"), "{t}");
        let mut new = folder("b");
        of_cheetah(&mut new, |r| r.status = crate::record::Status::Timeout);
        let t = text(folder("a"), new);
        assert!(t.contains("cheetah/b1, time s: old 3 ok, new 3 timeout"), "{t}");
    }
}
