//! The accuracy test: how often models of some accuracy pass, measured and computed.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use si_fusion::AccuracyTest;

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Fill, INK, PALETTE, Type};
use super::panel::{Frame, Key, MARGIN, horizontal_axis, legend, title, value_axis, whisker};
use crate::record::Samples;
use crate::report::judged::Judged;
use crate::stats::clopper_pearson;

/// Steps of a curve (local).
const STEPS: usize = 400;
/// Lines of models' names above the frame (local).
const NAME_LINES: usize = 3;

/// Accepted runs against the accuracy of the server's model: points for models, a curve for each number of public
/// samples. Nothing unless there are trials with labelled samples.
pub(crate) fn accuracy(judged: &[Judged<'_>]) -> Option<Drawing> {
    let of_model = |j: &&Judged<'_>| j.row.samples == Samples::Labelled && j.row.pool_right.is_some();
    let mut shown: Vec<&Judged<'_>> = judged.iter().filter(of_model).collect();
    let tests: BTreeSet<(u64, u64)> = shown.iter().map(|j| (j.row.fusion_public, j.row.fusion_tolerance)).collect();
    if tests.is_empty() {
        return None;
    }
    // The test depends on T and m alone: of the settings that differ in the rest, that with the most runs is drawn.
    shown.sort_by_key(|j| std::cmp::Reverse(j.row.trials));
    let of = |j: &Judged<'_>| j.row.pool_right.map_or(0.0, |right| right as f64 / j.row.pool.max(1) as f64);
    let tests: Vec<_> = tests.into_iter().take(PALETTE.len()).collect();
    let mut d = Drawing::new(900.0, 525.0);
    let notes = [
        "Points: a real model in the server's place, its accuracy on the pool; share of runs that Fusion accepts, with exact 99 % intervals.",
        "Lines: binomial chance of a model of that accuracy. At most m of T public samples may be wrong.",
    ];
    let top = title(&mut d, "The accuracy test: which models pass", &notes);
    let named = tests.iter().enumerate();
    let keys: Vec<_> = named.map(|(i, (t, m))| Key::of_series(i, &format!("T = {t}, m = {m}"))).collect();
    let right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, top + 8.0), right) + 12.0 + 15.0 * NAME_LINES as f64;
    let f = Frame { left: 92.0, top, right: d.width - 24.0, bottom: d.height - 54.0 };
    let least = shown.iter().map(|j| of(j)).fold(0.9, f64::min);
    let low = ((least * 20.0 - 0.5).floor() / 20.0).max(0.0);
    let x = Axis::exact(low, 1.0, Spacing::Linear, f.left, f.right - 8.0);
    let y = Axis::exact(0.0, 1.0, Spacing::Linear, f.bottom, f.top);
    value_axis(&mut d, f, &y, "share of runs accepted");
    horizontal_axis(&mut d, f, &x, &x.ticks(), "accuracy of the model that the server runs");
    for ((public, tolerance), key) in tests.iter().zip(&keys) {
        let (public, tolerance) = (*public as usize, *tolerance as usize);
        let test = AccuracyTest { public, threshold: public - tolerance };
        let at = |i: usize| low + (1.0 - low) * i as f64 / STEPS as f64;
        let curve: Vec<_> = (0..=STEPS).map(|i| (x.place(at(i)), y.place(test.pass_probability(at(i))))).collect();
        d.line(&curve, key.color, 2.0);
        let mut seen = BTreeSet::new();
        for j in
            shown.iter().filter(|j| (j.row.fusion_public, j.row.fusion_tolerance) == (public as u64, tolerance as u64))
        {
            if !seen.insert(&j.row.server) {
                continue;
            }
            let accepted = j.row.trials - j.row.caught;
            let i = clopper_pearson(accepted, j.row.trials);
            let place = (x.place(of(j)), y.place(accepted as f64 / j.row.trials.max(1) as f64));
            whisker(&mut d, place.0, (y.place(i.low), y.place(i.high)), INK);
            d.marker(key.marker(), place, key.color, Fill::Solid);
        }
    }
    names(&mut d, f, &x, &shown, of);
    Some(d)
}

/// The models' names above the frame, where there is room for them.
fn names(d: &mut Drawing, f: Frame, x: &Axis, shown: &[&Judged<'_>], of: impl Fn(&Judged<'_>) -> f64) {
    let short = |j: &Judged<'_>| match j.row.server.strip_prefix("cheat:other-model=") {
        Some(other) => other.trim_end_matches(":all").to_owned(),
        None => j.row.model.clone(),
    };
    let mut models: Vec<(f64, String)> = shown.iter().map(|j| (of(j), short(j))).collect();
    models.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    models.dedup();
    // In several lines, so that neighbours have room: (line, left, right of the text, its stroke).
    let mut placed: Vec<(usize, f64, f64, f64)> = Vec::new();
    for (accuracy, name) in models {
        let (half, stroke) = (super::canvas::text_width(&name, Type::SMALL) / 2.0 + 3.0, x.place(accuracy));
        let (left, right) = ((stroke - half).min(f.right - 2.0 * half), (stroke + half).min(f.right));
        // No text covers another, and no stroke runs through one.
        let fits = |line: usize| {
            placed.iter().all(|&(l, a, b, s)| match l.cmp(&line) {
                Ordering::Equal => right <= a || b <= left,
                Ordering::Less => stroke <= a || b <= stroke,
                Ordering::Greater => s <= left || right <= s,
            })
        };
        if let Some(line) = (0..NAME_LINES).find(|line| fits(*line)) {
            let up = f.top - 12.0 - 15.0 * line as f64;
            d.line(&[(stroke, up + 8.0), (stroke, f.top)], Type::SMALL.color, 1.0);
            d.text((f64::midpoint(left, right), up), &name, Type::SMALL, Align::Centre);
            placed.push((line, left, right, stroke));
        }
    }
}
