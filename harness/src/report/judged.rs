//! Trials beside what theory says of their adversary.

use std::collections::BTreeMap;

use si_fusion::AccuracyTest;
use si_testing::chances::{alike, everywhere_passes, random_classes};
use si_testing::cheats::CheatName;
use si_testing::mix_and_check::Sizes;

use crate::behaviour::Behaviour;
use crate::record::{Folder, Samples, TrialRow};
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

    /// For a table.
    pub(crate) fn agreement(&self) -> String {
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
pub(crate) fn urn(r: &TrialRow) -> Option<f64> {
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

/// The chance that a model of this accuracy passes a row's public samples, if they are independent.
pub(crate) fn binomial(r: &TrialRow, accuracy: f64) -> f64 {
    let s = sizes(r);
    AccuracyTest { public: s.public, threshold: s.public - s.tolerance }.pass_probability(accuracy)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Trials of one server, so many of 1,000 caught and fooled.
    pub(crate) fn row(server: &str, k: Option<u64>, caught: u64, fooled: u64) -> TrialRow {
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
}
