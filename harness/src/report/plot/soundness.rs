//! The price of Fusion's soundness and of its test of accuracy: computed from the bound and the binomial, not measured.

use si_fusion::{AccuracyTest, Plan, search};

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Fill, Type};
use super::panel::{Frame, Key, horizontal_axis, legend, threshold, title, value_axis};
use crate::report::soundness::{AT, REFUSAL, SECURITY_BITS, TESTS, TOLERANCES, goal};
use crate::soundness::MOST_PUBLIC;

/// The statistical security that the field's protocols claim: a cheating server wins with probability at most 2^-40.
const BITS: f64 = 40.0;

/// Probabilities below this are not drawn (local).
const LEAST: f64 = 1e-4;

/// One line of a panel.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Where the two panels of a figure are, below their headings and so many lines of legend.
fn frames(top: f64, legend_lines: usize) -> [Frame; 2] {
    [0.0, 1.0].map(|i| {
        let left = 92.0 + 480.0 * i;
        Frame { left, top: top + 34.0 + 21.0 * legend_lines as f64, right: left + 370.0, bottom: 392.0 }
    })
}

/// The name of a panel, and the curves in it; both stand above its frame.
fn head(d: &mut Drawing, top: f64, frame: Frame, text: &str, curves: &[Curve]) {
    d.text((frame.left, top + 10.0), text, Type { bold: true, ..Type::LABEL }, Align::Left);
    legend(d, &keys(curves), (frame.left, top + 34.0), frame.right + 20.0);
}

fn keys(curves: &[Curve]) -> Vec<Key> {
    curves.iter().enumerate().map(|(i, c)| Key::of_series(i, &c.name)).collect()
}

/// Left: what soundness costs. Right: why few public samples allow no errors.
pub(crate) fn soundness() -> Drawing {
    let mut d = Drawing::new(980.0, 450.0);
    let note = "A server that corrupts any set of inferences: R queries, B copies of each, T public samples in random \
                order. Not measured: computed from the bound.";
    let top = title(&mut d, "Fusion: soundness and its price", &[note]);
    let [left, right] = frames(top, 1);

    let curves = plans();
    head(&mut d, top, left, "Cost of the smallest plan (m = 0) by the server's chance", &curves);
    let x = Axis::exact(0.85, 4800.0, Spacing::Log, left.left, left.right);
    let y = Axis::exact(2.0, 60.0, Spacing::Log, left.bottom, left.top);
    value_axis(&mut d, left, &y, "inferences a query, r (log scale)");
    horizontal_axis(&mut d, left, &x, &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0], "queries R (log scale)");
    draw(&mut d, &curves, &x, &y, true);

    let curves = tolerances();
    head(&mut d, top, right, &format!("Up to m public samples wrong (R = {}, B = {})", AT.0, AT.1), &curves);
    let x = Axis::exact(0.5, 24.5, Spacing::Linear, right.left, right.right);
    let y = Axis::exact(-50.0, 0.0, Spacing::Linear, right.bottom, right.top);
    value_axis(&mut d, right, &y, "log2 of the server's chance");
    horizontal_axis(&mut d, right, &x, &[1.0, 4.0, 8.0, 12.0, 16.0, 20.0, 24.0], "public samples T");
    threshold(&mut d, right, y.place(-BITS));
    d.text((right.left + 4.0, y.place(-BITS) + 17.0), "2^-40", Type::SMALL, Align::Left);
    draw(&mut d, &curves, &x, &y, true);
    d
}

/// Left: what a test tells of a model. Right: how many samples it takes.
pub(crate) fn accuracy_test() -> Drawing {
    let mut d = Drawing::new(980.0, 450.0);
    let note = format!(
        "Accepted if at least c of T public samples are right; c is the greatest that refuses an honest model with \
         probability at most {REFUSAL}. Not measured: binomial tails."
    );
    let top = title(&mut d, "Fusion: the public samples as a test of accuracy", &[&note]);
    let [left, right] = frames(top, 2);

    let curves = powers();
    head(&mut d, top, left, "Chance that a model passes, by the test", &curves);
    let x = Axis::exact(50.0, 100.0, Spacing::Linear, left.left, left.right);
    let y = Axis::exact(LEAST, 1.5, Spacing::Log, left.bottom, left.top);
    value_axis(&mut d, left, &y, "probability (log scale)");
    horizontal_axis(&mut d, left, &x, &[50.0, 60.0, 70.0, 80.0, 90.0, 100.0], "the model's accuracy, %");
    draw(&mut d, &curves, &x, &y, false);

    let curves = samples();
    head(&mut d, top, right, "Samples to catch a worse model (honest: 98 %)", &curves);
    let x = Axis::exact(0.0, 30.5, Spacing::Linear, right.left, right.right);
    let y = Axis::exact(10.0, 5000.0, Spacing::Log, right.bottom, right.top);
    value_axis(&mut d, right, &y, "public samples T (log scale)");
    horizontal_axis(&mut d, right, &x, &[0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0], "accuracy lost, percentage points");
    draw(&mut d, &curves, &x, &y, true);
    d
}

/// Inferences for one query of the smallest plan, against R.
fn plans() -> Vec<Curve> {
    let curve = |bits: f64| {
        let of = |queries: usize| Some((queries as f64, search(queries, bits, 0, 0..=MOST_PUBLIC).ok()?.amortised()));
        Curve { name: format!("≤ 2^-{bits}"), points: (0..=12).filter_map(|i| of(1 << i)).collect() }
    };
    SECURITY_BITS.map(curve).into()
}

/// The bound against T.
fn tolerances() -> Vec<Curve> {
    let curve = |tolerance: usize| {
        let of = |t: usize| Some((t as f64, Plan::new(AT.0, AT.1, t, tolerance).ok()?.bound().log2_probability));
        Curve { name: format!("m = {tolerance}"), points: (1..=24).filter_map(of).collect() }
    };
    TOLERANCES.map(curve).into()
}

/// The chance to pass against the accuracy in percent.
fn powers() -> Vec<Curve> {
    let curve = |(honest, public): (f64, usize)| {
        let test = AccuracyTest::for_honest(public, honest, REFUSAL).ok()?;
        let of = |tenth: usize| (tenth as f64 / 10.0, test.pass_probability(tenth as f64 / 1000.0));
        let points = (500..=1000).map(of).filter(|p| p.1 >= LEAST).collect();
        Some(Curve { name: format!("honest {} %: c = {}, T = {public}", 100.0 * honest, test.threshold), points })
    };
    TESTS.into_iter().filter_map(curve).collect()
}

/// The smallest T against the accuracy that a worse model loses, in percentage points.
fn samples() -> Vec<Curve> {
    let curve = |(name, pass): (&str, f64)| {
        let of = |points: usize| {
            let test = goal(0.98, points as f64 / 100.0, pass).smallest_test(MOST_PUBLIC).ok()?;
            Some((points as f64, test.public as f64))
        };
        Curve { name: format!("caught with {name}"), points: (1..=30).filter_map(of).collect() }
    };
    [("90 %", 0.1), ("99 %", 0.01), ("99.9 %", 0.001)].map(curve).into()
}

fn draw(d: &mut Drawing, curves: &[Curve], x: &Axis, y: &Axis, marked: bool) {
    for (c, key) in curves.iter().zip(&keys(curves)) {
        let points: Vec<_> = c.points.iter().map(|p| (x.place(p.0), y.place(p.1))).collect();
        d.line(&points, key.color, 2.0);
        // A line of many points is marked now and then, so that it differs without colour too.
        let every = if marked { 1 } else { 40 };
        let marks = points.iter().step_by(every);
        marks.for_each(|p| d.marker(key.marker(), *p, key.color, Fill::Solid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_hold_the_known_numbers() {
        let at = |curves: &[Curve], i: usize, x: f64| curves[i].points.iter().find(|p| p.0 == x).unwrap().1;
        let plans = plans();
        assert_eq!(at(&plans, 2, 1.0), 44.0);
        assert!((at(&plans, 2, 512.0) - 5.008).abs() < 1e-3);
        assert!((0..2).all(|i| plans[i].points.iter().zip(&plans[i + 1].points).all(|(a, b)| a.1 < b.1)));
        assert!((at(&tolerances(), 1, 4.0) + 29.39).abs() < 0.01);
        assert!((at(&tolerances(), 0, 4.0) + 40.71).abs() < 0.01);
        let powers = powers();
        assert!((at(&powers, 0, 90.0) - 0.21).abs() < 0.01 && (at(&powers, 1, 95.0) - 0.24).abs() < 0.01);
        assert!((at(&powers, 3, 70.0) - 0.11).abs() < 0.01);
        let samples = samples();
        assert!(at(&samples, 0, 8.0) < at(&samples, 1, 8.0) && at(&samples, 1, 20.0) < at(&samples, 1, 8.0));
    }
}
