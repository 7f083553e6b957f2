//! The papers' claims, and whether our records bear them out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::cells::Cell;
use super::compare::{Ours, any, figure, interval, ours};
use super::markdown::{Table, number};
use super::paper::{Comparison, Others, Published, Quantity};

/// How far a figure of ours may be from the paper's and still count as the same (local: other machines, networks of
/// other layer sizes, later code; stated above the table).
const TOLERANCE: f64 = 1.25;

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Reproduced,
    NotReproduced,
    NotRun,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::NotRun => "not run",
        })
    }
}

/// Whether our figure bears the claim out, and if not, how it differs.
fn judge(p: &Published, o: &Ours) -> (Verdict, &'static str) {
    let (least, most) = (p.low / TOLERANCE, p.high * TOLERANCE);
    if p.over.is_empty() {
        // A cost: less than the paper's is no failure.
        let most = if p.comparison == Comparison::AtMost { p.high } else { most };
        return if o.value <= most { (Verdict::Reproduced, "") } else { (Verdict::NotReproduced, "costs more") };
    }
    if o.high >= least && (o.low <= most || p.comparison == Comparison::UpTo) {
        (Verdict::Reproduced, "")
    } else if o.low > most {
        (Verdict::NotReproduced, "same direction, larger")
    } else if o.low > 1.0 {
        (Verdict::NotReproduced, "same direction, smaller")
    } else if o.high < 1.0 {
        (Verdict::NotReproduced, "opposite direction")
    } else {
        (Verdict::NotReproduced, "no difference seen")
    }
}

/// `3 reproduced, 2 not reproduced, 20 not run`, a row for each claim that was run, and the names of the others.
pub(crate) fn summary(others: &Others, cells: &[Cell<'_>]) -> String {
    let mut t = Table::new(2, &["claim", "of", "paper", "ours", "verdict"]);
    let mut absent: BTreeMap<&str, usize> = BTreeMap::new();
    for p in claims(others) {
        let found = ours(p, cells);
        if found.is_empty() {
            *absent.entry(&p.system).or_default() += 1;
        } else {
            let [of, ours, verdict] = all_settings(p, &found);
            t.row(vec![format!("{}: {} ({})", p.system, p.statement, p.metric.name()), of, figure(p), ours, verdict]);
        }
    }
    let mut out = format!("{}.\n", counts(others, cells));
    if !t.is_empty() {
        let _ = writeln!(out, "\n{t}");
    }
    if !absent.is_empty() {
        let names: Vec<_> = absent.iter().map(|(system, n)| format!("{n} of {system}")).collect();
        let _ = writeln!(out, "Not run: {}.", names.join(", "));
    }
    out
}

/// What a claim was tried on, our figures' range, and the verdict: of the one setting, or the worst of several and how many of
/// them reproduce it.
fn all_settings(p: &Published, found: &[Ours]) -> [String; 3] {
    let distinct = |of: fn(&Ours) -> &String| found.iter().map(of).collect::<BTreeSet<_>>();
    let join = |of| distinct(of).into_iter().cloned().collect::<Vec<_>>().join(", ");
    let place = format!("{}, {}", join(|o| &o.model), join(|o| &o.link));
    let of = match distinct(|o| &o.method).len() {
        1 => format!("{place}, {}", found[0].method),
        _ => format!("{place}, {} settings", found.len()),
    };
    let by_value = |a: &&Ours, b: &&Ours| a.value.total_cmp(&b.value);
    let ours = match (found.iter().min_by(by_value), found.iter().max_by(by_value)) {
        (Some(least), Some(most)) if least.value < most.value => {
            format!("{} to {} {}", number(least.value), number(most.value), p.unit)
        }
        _ => in_unit(p, &found[0]),
    };
    let verdicts: BTreeSet<_> = found.iter().map(|o| verdict(p, o)).collect();
    let reproduced = found.iter().filter(|o| judge(p, o).0 == Verdict::Reproduced).count();
    let verdict = match verdicts.first() {
        Some(only) if verdicts.len() == 1 => only.clone(),
        _ => format!("{}: only in {reproduced} of {}", Verdict::NotReproduced, found.len()),
    };
    [of, ours, verdict]
}

/// What is a claim: absolute seconds are of a machine and none.
fn claims(others: &Others) -> impl Iterator<Item = &Published> {
    others.published.iter().filter(|p| !(p.over.is_empty() && p.metric == Quantity::Seconds))
}

/// A claim counts once, by the worst of its settings.
fn counts(others: &Others, cells: &[Cell<'_>]) -> String {
    let mut counts = [0usize; 3];
    for p in claims(others) {
        let worst = ours(p, cells).iter().map(|o| judge(p, o).0).max();
        counts[worst.unwrap_or(Verdict::NotRun) as usize] += 1;
    }
    format!("{} reproduced, {} not reproduced, {} not run", counts[0], counts[1], counts[2])
}

/// Ours in the paper's unit.
fn in_unit(p: &Published, o: &Ours) -> String {
    format!("{} {}", interval(o), p.unit)
}

fn verdict(p: &Published, o: &Ours) -> String {
    let (verdict, how) = judge(p, o);
    if how.is_empty() { verdict.to_string() } else { format!("{verdict} ({how})") }
}

/// The page: a count, the rule, and one row for each claim and setting. Absolute seconds are of a machine and no claim.
pub(crate) fn page(others: &Others, cells: &[Cell<'_>]) -> String {
    let head = ["claim", "source", "model", "link", "method", "paper", "ours", "verdict"];
    let mut t = Table::new(5, &head);
    for p in claims(others) {
        let found = ours(p, cells);
        let claim = format!("{}: {}", p.system, p.statement);
        let mut line = |model: &str, link: &str, method: &str, ours: String, verdict: String| {
            let cells = [&claim, &p.source, model, link, method].map(str::to_owned);
            t.row(cells.into_iter().chain([figure(p), ours, verdict]).collect());
        };
        for o in &found {
            line(&o.model, &o.link, &o.method, in_unit(p, o), verdict(p, o));
        }
        if found.is_empty() {
            let why = p.not_run();
            line(&any(&p.model), &any(&p.link), why, why.into(), Verdict::NotRun.to_string());
        }
    }
    let mut out = String::from("# Claims of the papers\n\n");
    let _ = writeln!(out, "{}.\n", counts(others, cells));
    let _ = writeln!(
        out,
        "A ratio is reproduced if our interval (95 % of resamples) reaches the paper's figure within a factor of {TOLERANCE} \
         either way; \"up to\" needs the lower bound only. Communication, rounds and OLEs are reproduced if ours are at most \
         {TOLERANCE} times the paper's. Each row names how our figure came about; a claim that was tried in several settings \
         counts by the worst.\n\n{t}"
    );
    out
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::paper::tests::real;
    use super::*;
    use crate::record::samples;

    fn claim(id: &str) -> Published {
        real().published.into_iter().find(|p| p.id == id).unwrap()
    }

    fn measured(value: f64, low: f64, high: f64) -> Ours {
        let text = String::new();
        let (model, link, method, machine) = (text.clone(), text.clone(), text.clone(), text);
        Ours { model, link, value, low, high, method, machine }
    }

    #[test]
    fn ratios_are_judged_by_their_interval() {
        let p = claim("fusion-time-leviosa"); // 48.06
        let verdict = |value, low, high| judge(&p, &measured(value, low, high));
        assert_eq!(verdict(45.0, 40.0, 50.0), (Verdict::Reproduced, ""));
        assert_eq!(verdict(30.0, 20.0, 39.0), (Verdict::Reproduced, ""), "38.4 is within a factor of 1.25");
        assert_eq!(verdict(30.0, 20.0, 38.0), (Verdict::NotReproduced, "same direction, smaller"));
        assert_eq!(verdict(90.0, 61.0, 99.0), (Verdict::NotReproduced, "same direction, larger"));
        assert_eq!(verdict(0.5, 0.4, 0.6), (Verdict::NotReproduced, "opposite direction"));
        assert_eq!(verdict(1.0, 0.9, 1.1), (Verdict::NotReproduced, "no difference seen"));
        let range = claim("simc-bytes-muse"); // 23 to 29
        assert_eq!(judge(&range, &measured(36.0, 36.0, 36.0)).0, Verdict::Reproduced);
        assert_eq!(judge(&range, &measured(37.0, 37.0, 37.0)).0, Verdict::NotReproduced);
        let up_to = claim("simc-time-muse"); // 11.4
        assert_eq!(judge(&up_to, &measured(30.0, 29.0, 31.0)).0, Verdict::Reproduced);
        assert_eq!(judge(&up_to, &measured(5.0, 4.0, 6.0)).0, Verdict::NotReproduced);
    }

    #[test]
    fn a_claim_of_several_settings_is_one_row_by_its_worst() {
        let p = claim("fusion-time-leviosa"); // 48.06
        let setting = |link: &str, batch: u32, value: f64| Ours {
            model: "m".into(),
            link: link.into(),
            method: format!("batch {batch}"),
            ..measured(value, value, value)
        };
        let one = [setting("lan", 7, 41.0)];
        assert_eq!(all_settings(&p, &one), ["m, lan, batch 7", "41.0 x", "reproduced"]);
        let some = [setting("lan", 7, 41.0), setting("lan", 1, 243.0), setting("wan", 1, 98.0)];
        let expect = ["m, lan, wan, 3 settings", "41.0 to 243 x", "not reproduced: only in 1 of 3"];
        assert_eq!(all_settings(&p, &some), expect);
        let all = [setting("lan", 1, 2.0), setting("wan", 1, 2.0)];
        assert_eq!(all_settings(&p, &all)[1..], ["2.00 x", "not reproduced (same direction, smaller)"]);
    }

    #[test]
    fn costs_may_be_lower_than_the_papers() {
        let p = claim("cheetah-resnet50-bytes"); // 2.3 GB
        assert_eq!(judge(&p, &measured(1.0, 1.0, 1.0)).0, Verdict::Reproduced);
        assert_eq!(judge(&p, &measured(2.8, 2.8, 2.8)).0, Verdict::Reproduced);
        assert_eq!(judge(&p, &measured(2.9, 2.9, 2.9)), (Verdict::NotReproduced, "costs more"));
    }

    /// ResNet50 over the WAN: CrypTFlow2 inference by inference, Fusion's plan composed from a batch of Cheetah.
    #[test]
    fn fusion_against_cryptflow2_is_computed_from_rows_of_both() {
        let resnet50 = |link: &str, cryptflow2_bytes: u64, cryptflow2_ns: u64| {
            let mut f = samples::folder("a");
            for n in 1..=3 {
                let (mut fusion, phases) = samples::composed(n);
                (fusion.model, fusion.link, fusion.cell) = ("resnet50".into(), "wan".into(), "f".into());
                fusion.run_id = format!("f#{n}");
                samples::add(&mut f, (fusion, phases));
                let (mut inner, phases) = samples::batch("cryptflow2", link, 1, n);
                (inner.model, inner.cell, inner.run_id) = ("resnet50".into(), "c".into(), format!("c#{n}"));
                inner.run_wall_ns = Some(cryptflow2_ns + n * 1_000_000);
                inner.client_sent_bytes = Some(cryptflow2_bytes / 2);
                inner.client_recv_bytes = Some(cryptflow2_bytes - cryptflow2_bytes / 2);
                (inner.server_sent_bytes, inner.server_recv_bytes) = (inner.client_recv_bytes, inner.client_sent_bytes);
                samples::add(&mut f, (inner, phases));
            }
            [f]
        };
        // 2,660 / 512 inferences a query, of 302,080 B and 100 ms each.
        let (bytes, ns) = (302_080 * 2_660 / 512, 100_000_000 * 2_660 / 512);
        let judged = |folders: &[crate::record::Folder]| {
            let all = cells(folders);
            ["fusion-time-cryptflow2", "fusion-bytes-cryptflow2"].map(|id| {
                let p = claim(id);
                ours(&p, &all).iter().map(|o| (o.clone(), judge(&p, o))).collect::<Vec<_>>()
            })
        };
        let [time, traffic] = judged(&resnet50("wan", bytes * 264 / 100, ns * 118 / 100));
        let ([(t, time)], [(b, traffic)]) = (&time[..], &traffic[..]) else { panic!("one figure each") };
        assert_eq!((*time, *traffic), ((Verdict::Reproduced, ""), (Verdict::Reproduced, "")));
        assert!((t.value - 1.18).abs() < 0.01 && t.low <= t.value && t.value <= t.high && t.low < t.high, "{t:?}");
        assert!((b.value - 2.64).abs() < 0.001 && b.low == b.high, "{b:?}");
        assert!(
            t.method.contains("composed (32 of 2,660)") && (t.model.as_str(), t.link.as_str()) == ("resnet50", "wan")
        );

        let [time, traffic] = judged(&resnet50("wan", bytes * 5, ns / 2));
        assert_eq!(time[0].1, (Verdict::NotReproduced, "opposite direction"));
        assert_eq!(traffic[0].1, (Verdict::NotReproduced, "same direction, larger"));
        // Another link is no ground for a verdict.
        assert!(judged(&resnet50("lan", bytes, ns)).iter().all(Vec::is_empty));
        let page = page(&real(), &cells(&resnet50("wan", bytes * 264 / 100, ns * 118 / 100)));
        assert!(page.contains("less communication than semi-honest CrypTFlow2 on ResNet50"), "{page}");
    }

    #[test]
    fn every_claim_is_counted_once_and_seconds_are_none() {
        let others = real();
        let claims = others.published.iter().filter(|p| !(p.over.is_empty() && p.metric == Quantity::Seconds)).count();
        let text = page(&others, &[]);
        assert!(text.contains(&format!("0 reproduced, 0 not reproduced, {claims} not run.")), "{text}");
        let mut f = samples::folder("a");
        for n in 1..=3 {
            samples::add(&mut f, samples::batch("leviosa", "lan", 1, n));
            samples::add(&mut f, samples::batch("leviosa", "wan", 1, n));
            let (fusion, phases) = samples::run("fusion(cheetah)", "lan", n);
            samples::add(&mut f, (fusion, phases));
        }
        let folders = [f];
        let text = page(&others, &cells(&folders));
        let expect = format!("0 reproduced, 2 not reproduced, {} not run.", claims - 2);
        assert!(text.contains(&expect) && text.contains("no difference seen"), "{text}");
    }
}
