//! The price of Fusion's soundness, computed from the bound, not measured.

use si_fusion::Plan;
use si_fusion::search;

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Marker, PALETTE, Type};
use super::panel::{Frame, Key, horizontal_axis, legend, threshold, title, value_axis};

/// The statistical security that plans are compared at: a cheating server wins with probability at most 2^-40
/// (security; what the field's protocols claim).
const BITS: f64 = 40.0;

/// Public samples that leave the test of the model's accuracy some power (local: a choice of what is drawn; 100 samples
/// tell 98 % from 90 % in four of five cases).
const PUBLIC: usize = 100;

/// One line of a panel.
struct Curve {
    name: String,
    points: Vec<(f64, f64)>,
}

/// Left: what the smallest plan costs. Middle: what copies buy. Right: why few public samples allow no errors.
pub(crate) fn figure() -> Drawing {
    let mut d = Drawing::new(1180.0, 430.0);
    let note = "Greatest chance of a server that corrupts any set of inferences: R queries, B copies of each and T public \
                samples in random order. Not measured: computed from the bound.";
    let top = title(&mut d, "Fusion: soundness and its price", &[note]);
    let frame = |i: usize| {
        let left = 86.0 + 396.0 * i as f64;
        Frame { left, top: top + 74.0, right: left + 290.0, bottom: 372.0 }
    };
    let heading = |d: &mut Drawing, i: usize, text: &str| {
        d.text((frame(i).left, top + 8.0), text, Type { bold: true, ..Type::LABEL }, Align::Left);
    };

    heading(&mut d, 0, "Cost of the smallest 40-bit plan");
    let (curves, f) = (plans(), frame(0));
    let y = Axis::over(curves.iter().flat_map(|c| c.points.iter().map(|p| p.1)), Spacing::Log, f.bottom, f.top);
    let x = Axis::exact(0.85, 1200.0, Spacing::Log, f.left, f.right);
    value_axis(&mut d, f, &y, "inferences a query (log scale)");
    horizontal_axis(&mut d, f, &x, &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0], "queries R (log scale)");
    draw(&mut d, &curves, &x, &y, f);

    heading(&mut d, 1, "What copies buy (T = 100)");
    probabilities(&mut d, frame(1), &copies(), &[1.0, 5.0, 10.0, 15.0, 20.0], "copies B");
    heading(&mut d, 2, "Up to m public samples wrong (R = 512, B = 5)");
    probabilities(&mut d, frame(2), &tolerances(), &[1.0, 5.0, 10.0, 15.0, 20.0], "public samples T");
    d
}

/// A panel of log2 of the server's chance, down to 2^-64.
fn probabilities(d: &mut Drawing, f: Frame, curves: &[Curve], ticks: &[f64], name: &str) {
    let y = Axis::exact(-60.0, 0.0, Spacing::Linear, f.bottom, f.top);
    let x = Axis::exact(0.5, 20.5, Spacing::Linear, f.left, f.right);
    value_axis(d, f, &y, "log2 of the server's chance");
    horizontal_axis(d, f, &x, ticks, name);
    threshold(d, f, y.place(-BITS), "40 bits");
    draw(d, curves, &x, &y, f);
}

/// Inferences for one query of the smallest plan, against R.
fn plans() -> Vec<Curve> {
    let curve = |name: &str, least: usize| {
        let of = |queries: usize| {
            let plan = search(queries, BITS, 0, least..=least + 100).ok()?;
            Some((queries as f64, plan.amortised()))
        };
        Curve { name: name.into(), points: (0..=10).filter_map(|i| of(1 << i)).collect() }
    };
    vec![curve("any T", 1), curve("T ≥ 100", PUBLIC)]
}

/// The bound against B.
fn copies() -> Vec<Curve> {
    let curve = |queries: usize| {
        let of = |b: usize| Some((b as f64, Plan::new(queries, b, PUBLIC, 0).ok()?.bound().log2_probability));
        Curve { name: format!("R = {queries}"), points: (1..=20).filter_map(of).filter(|p| p.1 >= -60.0).collect() }
    };
    [1, 16, 64, 512].map(curve).into()
}

/// The bound against T.
fn tolerances() -> Vec<Curve> {
    let curve = |tolerance: usize| {
        let of = |t: usize| Some((t as f64, Plan::new(512, 5, t, tolerance).ok()?.bound().log2_probability));
        Curve { name: format!("m = {tolerance}"), points: (1..=20).filter_map(of).collect() }
    };
    [0, 1, 2, 4].map(curve).into()
}

fn draw(d: &mut Drawing, curves: &[Curve], x: &Axis, y: &Axis, f: Frame) {
    let keys: Vec<_> = (curves.iter().enumerate())
        .map(|(i, c)| Key {
            name: c.name.clone(),
            color: PALETTE[i % PALETTE.len()],
            marker: Some(Marker::of(i)),
            hollow: false,
        })
        .collect();
    legend(d, &keys, (f.left, f.top - 44.0), f.right + 20.0);
    for (c, key) in curves.iter().zip(&keys) {
        let points: Vec<_> = c.points.iter().map(|p| (x.place(p.0), y.place(p.1))).collect();
        d.line(&points, key.color, 2.0);
        points.iter().for_each(|p| d.marker(key.marker.unwrap_or(Marker::Circle), *p, key.color, false));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_hold_the_known_plans() {
        let at = |curves: &[Curve], i: usize, x: f64| curves[i].points.iter().find(|p| p.0 == x).unwrap().1;
        let plans = plans();
        assert_eq!(at(&plans, 0, 1.0), 44.0);
        assert!((at(&plans, 0, 512.0) - 5.008).abs() < 1e-3);
        assert!((at(&plans, 1, 512.0) - 5.195).abs() < 1e-3);
        assert!((at(&copies(), 3, 5.0) + 40.97).abs() < 0.01);
        assert!((at(&tolerances(), 1, 4.0) + 29.39).abs() < 0.01);
    }
}
