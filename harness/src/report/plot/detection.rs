//! Measured against computed: how often cheating servers are caught, and how often wrong answers are accepted.

use std::collections::BTreeSet;

use si_testing::chances::alike;

use super::axis::{Axis, Spacing};
use super::canvas::{Drawing, Fill, GREY, PALETTE};
use super::panel::{Frame, Key, MARGIN, heading, horizontal_axis, legend, title, value_axis, whisker};
use crate::record::{HONEST, Samples};
use crate::report::judged::{Judged, plan, sizes};

/// Least chance that is drawn (local): ten thousand runs see nothing below.
const LEAST: f64 = 1e-5;

/// Between the points of two plans with the same number of corrupted inferences (local).
const ASIDE: f64 = 4.0;

/// Left: caught, measured against theory, for every setting that has one. Right: wrong answers accepted against the
/// number of corrupted inferences, plan by plan, over the exact curve. Nothing unless there is such a setting.
pub(crate) fn detection(judged: &[Judged<'_>]) -> Option<Drawing> {
    let mut cheats: Vec<&Judged<'_>> = (judged.iter())
        .filter(|j| j.row.server != HONEST && j.row.samples == Samples::Sure && j.expected.is_some())
        .collect();
    if cheats.is_empty() {
        return None;
    }
    let mut d = Drawing::new(1060.0, 500.0);
    let notes = [
        "Points: measured, with exact 99 % intervals; filled: fusion(plain), hollow: over a protocol with shares. Of two that agree the one with more runs covers the other.",
        "Right: lines are exact chances by counting; points of one k stand side by side; on the lower edge: never seen in the runs, an interval says how rare it may be.",
    ];
    let top = title(&mut d, "Detection of cheating servers: measured and computed", &notes);
    // A colour for each plan, in both panels.
    let plans: BTreeSet<_> = cheats.iter().map(|j| (order(j), of_plan(j))).collect();
    let plans = plans.into_iter().take(PALETTE.len()).enumerate();
    let keys: Vec<_> = plans.map(|(i, (_, name))| Key::of_series(i, &name)).collect();
    // Few runs have long whiskers: they lie below.
    cheats.sort_by_key(|j| j.row.trials);
    let right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, top + 8.0), right) + 34.0;
    let frame = |left: f64, right: f64| Frame { left, top, right, bottom: 446.0 };
    heading(&mut d, frame(92.0, 490.0), "How often the server is caught");
    rates(&mut d, frame(92.0, 490.0), &cheats, &keys);
    heading(&mut d, frame(610.0, 1036.0), "How often wrong answers are accepted (copies wrong alike)");
    escapes(&mut d, frame(610.0, 1036.0), &cheats, &keys);
    Some(d)
}

fn of_plan(j: &Judged<'_>) -> String {
    plan(j.row).split(", in batches").next().unwrap_or_default().to_owned()
}

/// Plans in the order of their sizes.
fn order(j: &Judged<'_>) -> [u64; 4] {
    let r = j.row;
    [r.queries, r.fusion_copies, r.fusion_public, r.fusion_tolerance]
}

fn point(d: &mut Drawing, key: &Key, at: (f64, f64), ends: (f64, f64), j: &Judged<'_>) {
    whisker(d, at.0, ends, key.color);
    let fill = if j.row.protocol == "fusion(plain)" { Fill::Solid } else { Fill::Hollow };
    d.marker(key.marker(), at, key.color, fill);
}

fn rates(d: &mut Drawing, f: Frame, cheats: &[&Judged<'_>], keys: &[Key]) {
    let least = cheats.iter().map(|j| j.caught.low).fold(1.0, f64::min);
    let low = ((least * 10.0).floor() / 10.0).clamp(0.0, 0.9);
    let (x, y) = (
        Axis::exact(low, 1.0, Spacing::Linear, f.left, f.right - 8.0),
        Axis::exact(low, 1.0, Spacing::Linear, f.bottom, f.top),
    );
    value_axis(d, f, &y, "caught, measured");
    horizontal_axis(d, f, &x, &x.ticks(), "caught, computed");
    d.dashes((x.place(low), y.place(low)), (x.place(1.0), y.place(1.0)), GREY, 1.0);
    for j in cheats {
        let Some((key, e)) = keys.iter().find(|k| k.name == of_plan(j)).zip(j.expected) else { continue };
        let rate = j.row.caught as f64 / j.row.trials.max(1) as f64;
        let ends = (y.place(j.caught.low), y.place(j.caught.high));
        point(d, key, (x.place(e.caught), y.place(rate)), ends, j);
    }
}

fn escapes(d: &mut Drawing, f: Frame, cheats: &[&Judged<'_>], keys: &[Key]) {
    // Answers that are drawn at random follow another curve; the table has them.
    let alike_only: Vec<_> = cheats.iter().filter(|j| !j.row.server.contains("random")).collect();
    let most = alike_only.iter().filter_map(|j| j.row.corrupted).max().unwrap_or(1).max(4);
    let x = Axis::exact(0.8, most as f64 * 1.25, Spacing::Log, f.left, f.right);
    let y = Axis::exact(LEAST, 1.0, Spacing::Log, f.bottom, f.top);
    value_axis(d, f, &y, "accepted although wrong (log scale)");
    let ticks: Vec<f64> = (0..63).map(|i| 1u64 << i).take_while(|k| *k <= most).map(|k| k as f64).collect();
    horizontal_axis(d, f, &x, &ticks, "k, inferences that the server corrupts (log scale)");
    for (i, key) in keys.iter().enumerate() {
        let of_key: Vec<_> = alike_only.iter().filter(|j| of_plan(j) == key.name).collect();
        let Some(first) = of_key.first() else { continue };
        let s = sizes(first.row);
        let curve: Vec<_> = (1..=s.inferences().min(most as usize))
            .map(|k| (k, alike(s, k).fooled))
            .filter(|(_, p)| *p >= LEAST)
            .map(|(k, p)| (k, (x.place(k as f64), y.place(p))))
            .collect();
        // Chances between the whole copies of a query are less or none: a line leads from one number of them to the next.
        for pair in curve.windows(2).filter(|p| p[1].0 - p[0].0 <= s.copies) {
            d.line(&[pair[0].1, pair[1].1], key.color, 1.5);
        }
        for (_, at) in &curve {
            d.line(&[(at.0 - 4.0, at.1), (at.0 + 4.0, at.1)], key.color, 1.5);
        }
        let aside = ASIDE * (i as f64 - (keys.len() - 1) as f64 / 2.0);
        for j in of_key {
            let Some(k) = j.row.corrupted else { continue };
            let rate = j.row.fooled as f64 / j.row.trials.max(1) as f64;
            let ends = (y.place(j.fooled.low.max(LEAST)), y.place(j.fooled.high));
            point(d, key, (x.place(k as f64) + aside, y.place(rate.max(LEAST))), ends, j);
        }
    }
}
