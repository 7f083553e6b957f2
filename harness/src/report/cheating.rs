//! What cheating servers did: as processes, cheat by cheat, and in trials, beside what theory says of each adversary.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use si_fusion::AccuracyTest;
use si_testing::chances::{alike, everywhere_passes, random_classes};
use si_testing::cheats::CheatName;
use si_testing::mix_and_check::Sizes;

use super::markdown::{Table, thousands};
use crate::behaviour::Behaviour;
use crate::record::{Folder, HONEST, RunRow, Samples, Status, TrialRow};
use crate::stats::{Interval, clopper_pearson};

/// What theory says of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) caught: f64,
    /// Empty where it depends on the queries.
    pub(crate) fooled: Option<f64>,
}

/// A setting of trials beside theory.
pub(crate) struct Judged<'a> {
    pub(crate) row: &'a TrialRow,
    pub(crate) caught: Interval,
    pub(crate) fooled: Interval,
    pub(crate) expected: Option<Expected>,
}

impl<'a> Judged<'a> {
    pub(crate) fn new(row: &'a TrialRow) -> Self {
        let interval = |hits| clopper_pearson(hits, row.trials);
        Self { row, caught: interval(row.caught), fooled: interval(row.fooled), expected: expected(row) }
    }

    /// Whether theory lies in the intervals of what was measured, if there is a theory.
    pub(crate) fn agrees(&self) -> Option<bool> {
        let e = self.expected?;
        Some(self.caught.holds(e.caught) && e.fooled.is_none_or(|f| self.fooled.holds(f)))
    }

    fn agreement(&self) -> String {
        self.agrees().map_or("no theory", |inside| if inside { "yes" } else { "NO" }).to_owned()
    }
}

/// Sizes of a row's plan.
pub(crate) fn sizes(r: &TrialRow) -> Sizes {
    let size = |x: u64| usize::try_from(x).unwrap_or(usize::MAX);
    Sizes {
        queries: size(r.queries),
        copies: size(r.fusion_copies),
        public: size(r.fusion_public),
        tolerance: size(r.fusion_tolerance),
    }
}

/// `R=16, B=2, T=4, m=0`
pub(crate) fn plan(r: &TrialRow) -> String {
    let Sizes { queries, copies, public, tolerance } = sizes(r);
    let chunk = r.fusion_chunk.map_or_else(String::new, |c| format!(", in batches of {c}"));
    format!("R={queries}, B={copies}, T={public}, m={tolerance}{chunk}")
}

/// The exact chances of a row's adversary, if its attack is one that counting covers.
pub(crate) fn expected(r: &TrialRow) -> Option<Expected> {
    let sizes = sizes(r);
    let server = Behaviour::try_from(r.server.clone()).ok()?;
    if let Some(accepted) = urn(r) {
        // One model throughout: copies agree, the public samples decide. Except where rounding turns near ties, for which
        // there is no theory here.
        let turns = r.samples == Samples::Labelled && r.protocol != "fusion(plain)" && r.truncation == "one-bit";
        let fooled = server.is_honest().then_some(0.0);
        return (!turns).then_some(Expected { caught: 1.0 - accepted, fooled });
    }
    let k = usize::try_from(r.corrupted?).ok()?;
    let chances = match server {
        Behaviour::Cheat(CheatName::RandomAnswer(_)) if r.reveal == "label" => {
            random_classes(sizes, k, usize::try_from(r.classes).ok()?)
        }
        Behaviour::Cheat(
            CheatName::FlipLabel(_) | CheatName::Slowest(_) | CheatName::OtherBias(_) | CheatName::OtherModel(..),
        ) if r.samples == Samples::Sure => alike(sizes, k),
        _ => return None,
    };
    Some(Expected { caught: chances.caught, fooled: Some(chances.fooled) })
}

/// The chance that the public samples accept a row's server, if it runs one model throughout.
fn urn(r: &TrialRow) -> Option<f64> {
    let size = |x: u64| usize::try_from(x).ok();
    Some(everywhere_passes(sizes(r), size(r.pool)?, size(r.pool_right?)?))
}

/// The latest trials of each setting.
pub(crate) fn judged(folders: &[Folder]) -> Vec<Judged<'_>> {
    let mut latest: BTreeMap<(&str, &str), &TrialRow> = BTreeMap::new();
    for (f, t) in folders.iter().flat_map(|f| f.trials.iter().map(move |t| (f, t))) {
        let kept = latest.entry((&f.machine.name, &t.setting)).or_insert(t);
        // The same setting in a short and in a full form: the one with more runs counts.
        if (t.trials, &t.started_utc) > (kept.trials, &kept.started_utc) {
            *kept = t;
        }
    }
    let mut latest: Vec<_> = latest.into_values().collect();
    latest.sort_by_key(|t| {
        let plan = (t.queries, t.fusion_copies, t.fusion_public, t.fusion_tolerance, t.fusion_chunk);
        (&t.protocol, &t.model, plan, std::cmp::Reverse(t.pool_right), t.corrupted, &t.server)
    });
    latest.into_iter().map(Judged::new).collect()
}

/// A probability, with its small end legible.
fn chance(p: f64) -> String {
    if p > 0.0 && p < 0.001 { format!("{p:.1e}") } else { format!("{p:.4}") }
}

fn rate(hits: u64, trials: u64, i: Interval) -> String {
    format!("{} [{}..{}]", chance(hits as f64 / trials.max(1) as f64), chance(i.low), chance(i.high))
}

fn count(x: u64) -> String {
    thousands(i64::try_from(x).unwrap_or(i64::MAX))
}

/// Everything on cheating servers; empty if there are no records of any.
pub(crate) fn page(folders: &[Folder]) -> String {
    let mut out = String::new();
    let processes = processes(folders);
    if !processes.is_empty() {
        let _ = writeln!(
            out,
            "## What each cheat does\n\nThe server is a process of its own that deviates. Alone, a semi-honest protocol \
             accepts what it is given: the answers are wrong, and nobody notices. *Harmless* means that the answers \
             happened to be right.\n\n{processes}"
        );
    }
    let judged = judged(folders);
    let of = |keep: &dyn Fn(&Judged<'_>) -> bool| judged.iter().filter(|j| keep(j)).collect::<Vec<_>>();
    let honest = of(&|j| j.row.server == HONEST);
    let cheats = of(&|j| j.row.server != HONEST && j.row.samples == Samples::Sure);
    let models = of(&|j| j.row.samples == Samples::Labelled);
    if !cheats.is_empty() {
        let inside = cheats.iter().filter(|j| j.agrees() == Some(true)).count();
        let with_theory = cheats.iter().filter(|j| j.agrees().is_some()).count();
        let _ = writeln!(
            out,
            "## Detection, measured and computed\n\nMany runs of one plan, both parties as threads of one process. \
             Measured rates with their exact 99 % interval (Clopper and Pearson); *theory*: the exact chance of this \
             adversary, by counting. k: inferences that the server corrupts; with k = B it takes its best chance to hit all \
             copies of one query. Theory lies in the interval in {inside} of {with_theory} settings.\n\n{}",
            detection(&cheats)
        );
    }
    if !models.is_empty() {
        let _ = writeln!(
            out,
            "## The accuracy test\n\nThe server runs one other model throughout: its copies agree, so that only the public \
             samples can tell. Any images, with the data set's labels; m follows from an honest accuracy at which an \
             honest server is refused once in a thousand runs. *Urn*: the exact chance for this pool of images; \
             *binomial*: for independent samples.\n\n{}",
            accuracy(&models)
        );
    }
    if !honest.is_empty() {
        let _ = writeln!(
            out,
            "## Honest servers refused\n\nWhere truncation may be off by a bit, honest copies can differ. *At most*: upper \
             end of the 99 % interval.\n\n{}",
            refusals(&honest)
        );
    }
    out
}

/// Rows of processes: one line for each model, cheat and protocol, the protocol alone beside Fusion over it.
fn processes(folders: &[Folder]) -> String {
    let inner = |p: &str| p.strip_prefix("fusion(").and_then(|p| p.strip_suffix(')')).unwrap_or(p).to_owned();
    let mut groups: BTreeMap<_, Vec<&RunRow>> = BTreeMap::new();
    for r in folders.iter().flat_map(|f| &f.runs).filter(|r| r.server != HONEST) {
        let key = (&r.model, inner(&r.protocol), &r.server, &r.protocol, (r.queries, r.fusion_copies, r.fusion_public));
        groups.entry(key).or_default().push(r);
    }
    let mut t = Table::new(7, &["model", "server", "protocol", "load", "outcome", "accused", "check", "runs"]);
    for ((model, _, server, protocol, _), rows) in groups {
        let r = rows[0];
        let load = match (r.fusion_copies, r.fusion_public, r.fusion_tolerance) {
            (Some(b), Some(public), m) => format!("R={}, B={b}, T={public}, m={}", r.queries, m.unwrap_or(0)),
            _ => format!("batch {}", r.batch),
        };
        let accused: BTreeSet<_> = rows.iter().filter(|r| !r.accused.is_empty()).map(|r| r.accused.as_str()).collect();
        let why =
            rows.iter().find(|r| r.status == Status::Abort).or_else(|| rows.iter().find(|r| !r.reason.is_empty()));
        let why =
            why.filter(|r| r.status != Status::Wrong).map_or_else(|| "none failed".to_owned(), |r| check(&r.reason));
        t.row(vec![
            model.clone(),
            server.strip_prefix("cheat:").unwrap_or(server).to_owned(),
            protocol.clone(),
            load,
            outcome(&rows),
            if accused.is_empty() { "nobody".to_owned() } else { accused.into_iter().collect::<Vec<_>>().join(", ") },
            why,
            rows.len().to_string(),
        ]);
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// The part of an abort's message that says what the check saw.
fn check(reason: &str) -> String {
    let text = reason.split_once("by the check '").map_or(reason, |(_, rest)| rest.trim_end_matches('\''));
    text.split_once("): ").map_or(text, |(_, seen)| seen).to_owned()
}

fn outcome(rows: &[&RunRow]) -> String {
    let mut parts = Vec::new();
    let mut part = |status: Status, what: &dyn Fn(&[&&RunRow]) -> String| {
        let of: Vec<_> = rows.iter().filter(|r| r.status == status).collect();
        if !of.is_empty() {
            let times = if of.len() == rows.len() { String::new() } else { format!("{} × ", of.len()) };
            parts.push(format!("{times}{}", what(&of)));
        }
    };
    part(Status::Abort, &|_| "**caught**: abort".into());
    part(Status::Wrong, &|of| {
        let sum = |f: fn(&RunRow) -> Option<u64>| of.iter().filter_map(|r| f(r)).sum::<u64>();
        let (checked, equal) = (sum(|r| r.labels_checked), sum(|r| r.labels_equal));
        let what = if equal < checked {
            format!("{} of {checked} labels wrong", checked - equal)
        } else {
            "scores wrong, labels right".to_owned()
        };
        format!("**unnoticed**: {what}")
    });
    part(Status::Ok, &|_| "harmless".into());
    part(Status::Error, &|_| "run broken".into());
    part(Status::Skipped, &|_| "not possible".into());
    part(Status::Timeout, &|_| "timeout".into());
    part(Status::Memory, &|_| "out of memory".into());
    parts.join(", ")
}

fn detection(all: &[&Judged<'_>]) -> Table {
    let head = [
        "protocol",
        "model",
        "plan",
        "server",
        "k",
        "runs",
        "caught",
        "theory",
        "by copies",
        "by public",
        "wrong accepted",
        "theory",
        "in the interval",
    ];
    let mut t = Table::new(4, &head);
    for j in all {
        let (r, e) = (j.row, j.expected);
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            plan(r),
            r.server.trim_start_matches("cheat:").to_owned(),
            r.corrupted.map_or("not counted".into(), count),
            count(r.trials),
            rate(r.caught, r.trials, j.caught),
            e.map_or("no theory".into(), |e| chance(e.caught)),
            count(r.caught_by_copies),
            count(r.caught_by_public),
            rate(r.fooled, r.trials, j.fooled),
            e.and_then(|e| e.fooled).map_or("no theory".into(), chance),
            j.agreement(),
        ]);
    }
    t
}

fn accuracy(all: &[&Judged<'_>]) -> Table {
    let head = [
        "protocol",
        "promised",
        "server",
        "its accuracy",
        "T",
        "m",
        "runs",
        "accepted",
        "urn",
        "binomial",
        "copies differed",
        "in the interval",
    ];
    let mut t = Table::new(3, &head);
    for j in all {
        let r = j.row;
        let accuracy = r.pool_right.map(|right| right as f64 / r.pool.max(1) as f64);
        let accepted = clopper_pearson(r.trials - r.caught, r.trials);
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            r.server.trim_start_matches("cheat:").to_owned(),
            accuracy.map_or("several models".into(), |a| format!("{a:.4}")),
            count(r.fusion_public),
            count(r.fusion_tolerance),
            count(r.trials),
            rate(r.trials - r.caught, r.trials, accepted),
            urn(r).map_or("no theory".into(), chance),
            accuracy.map_or("no theory".into(), |a| chance(binomial(r, a))),
            count(r.caught_by_copies),
            j.agreement(),
        ]);
    }
    t
}

/// The chance that a model of this accuracy passes a row's public samples, if they are independent.
pub(crate) fn binomial(r: &TrialRow, accuracy: f64) -> f64 {
    let s = sizes(r);
    AccuracyTest { public: s.public, threshold: s.public - s.tolerance }.pass_probability(accuracy)
}

fn refusals(all: &[&Judged<'_>]) -> Table {
    let head =
        ["protocol", "model", "truncation", "revealed", "plan", "samples", "runs", "refused", "by copies", "at most"];
    let mut t = Table::new(6, &head);
    for j in all {
        let r = j.row;
        let samples = if r.samples == Samples::Sure { "sure" } else { "labelled" };
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            r.truncation.clone(),
            r.reveal.clone(),
            plan(r),
            samples.to_owned(),
            count(r.trials),
            count(r.caught),
            count(r.caught_by_copies),
            chance(j.caught.high),
        ]);
    }
    t
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::samples;

    fn row(server: &str, k: Option<u64>, caught: u64, fooled: u64) -> TrialRow {
        TrialRow {
            setting: server.to_owned(),
            protocol: "fusion(plain)".into(),
            model: "mnist-cnn4".into(),
            truncation: "one-bit".into(),
            server: server.to_owned(),
            queries: 16,
            fusion_copies: 2,
            fusion_public: 4,
            reveal: "label".into(),
            corrupted: k,
            classes: 10,
            trials: 1000,
            caught,
            fooled,
            unharmed: 1000 - caught - fooled,
            ..TrialRow::default()
        }
    }

    #[test]
    fn trials_are_judged_by_the_theory_of_their_adversary() {
        let agrees = |r: &TrialRow| Judged::new(r).agrees();
        // 16 groups among the 630 pairs of positions.
        assert_eq!(agrees(&row("cheat:flip-label:2", Some(2), 974, 26)), Some(true));
        assert_eq!(agrees(&row("cheat:flip-label:2", Some(2), 900, 100)), Some(false));
        assert_eq!(agrees(&row("cheat:flip-label:1", Some(1), 1000, 0)), Some(true));
        assert_eq!(agrees(&row("cheat:replay:2", Some(2), 900, 100)), None);
        let model = TrialRow {
            pool: 700,
            pool_right: Some(571),
            samples: Samples::Labelled,
            fusion_public: 100,
            fusion_tolerance: 7,
            ..row("cheat:other-model=mnist-cnn4-low:all", None, 1000, 0)
        };
        assert_eq!(agrees(&model), Some(true));
        assert!(binomial(&model, 0.8) < 4e-4 && binomial(&model, 0.95) > 0.8);
        let honest = TrialRow { pool: 700, pool_right: Some(700), ..row("honest", None, 0, 0) };
        assert_eq!(agrees(&honest), Some(true));
    }

    #[test]
    fn the_page_names_what_each_cheat_did() {
        let mut f = samples::folder("a");
        let mut add = |protocol: &str, status: Status, reason: &str, accused: &str| {
            let (mut run, _) = samples::batch(protocol, "lan", 8, 1);
            run.server = "cheat:flip-label:1".into();
            (run.status, run.reason, run.accused, run.labels_equal) = (status, reason.into(), accused.into(), Some(7));
            f.runs.push(run);
        };
        add("cheetah", Status::Wrong, "answer 2 is label 1, the oracle says 3", "");
        let why = "abort: server is accused by the check 'mix and check (R=8): the copies of 1 queries differ'";
        add("fusion(cheetah)", Status::Abort, why, "server");
        f.trials.push(row("cheat:flip-label:2", Some(2), 974, 26));
        let text = page(&[f]).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("| cheetah | batch 8 | **unnoticed**: 1 of 8 labels wrong | nobody | none failed | 1 |"),
            "{text}"
        );
        assert!(text.contains("| **caught**: abort | server | the copies of 1 queries differ | 1 |"), "{text}");
        assert!(text.contains("in the interval in 1 of 1 settings") && text.contains("| 0.9746 |"), "{text}");
        assert_eq!(page(&[samples::folder("b")]), "");
    }
}
