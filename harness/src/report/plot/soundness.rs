//! The price of Fusion's soundness, computed from the bound, not measured.

use si_fusion::Plan;
use si_fusion::soundness::search;

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Marker, PALETTE, Type};
use super::panel::{Frame, Key, horizontal_axis, legend, threshold, title, value_axis};

/// The statistical security that plans are compared at: a cheating server wins with probability at most 2^-40
/// (security; the level of *Fusion*'s field).
const BITS: f64 = 40.0;

/// One line of a panel.
struct Curve {
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// Left: inferences for one query that the smallest plan takes. Right: what errors tolerated in the public check cost.
pub(crate) fn figure() -> Drawing {
    let mut d = Drawing::new(860.0, 430.0);
    let note = "A server that corrupts any set of inferences is caught except with the probability shown: mix-and-check, all N inferences in random order.";
    let top = title(&mut d, "Fusion: soundness and its price (computed)", &[note]);
    let left = Frame { left: 92.0, top: top + 72.0, right: 416.0, bottom: 372.0 };
    let right = Frame { left: 524.0, right: 846.0, ..left };

    let curves = plans();
    let most = curves.iter().flat_map(|c| c.points.iter().map(|p| p.1));
    let y = Axis::over(most, Spacing::Log, left.bottom, left.top);
    let x = Axis::exact(0.85, 1200.0, Spacing::Log, left.left, left.right);
    d.text((left.left, top + 8.0), "Smallest plan for 2^−40", Type { bold: true, ..Type::LABEL }, Align::Left);
    value_axis(&mut d, left, &y, "inferences a query (log scale)");
    horizontal_axis(&mut d, left, &x, &[1.0, 4.0, 16.0, 64.0, 256.0, 1024.0], "queries R (log scale)");
    draw(&mut d, &curves, &x, &y, (left.left, top + 30.0), left.right);

    let curves = tolerances();
    let low = curves.iter().flat_map(|c| c.points.iter().map(|p| p.1)).fold(0.0, f64::min);
    let y = Axis::over([low, 0.0], Spacing::Linear, right.bottom, right.top);
    let x = Axis::over([200.0], Spacing::Linear, right.left, right.right);
    d.text(
        (right.left, top + 8.0),
        "R = 512, B = 5: wrong public samples accepted",
        Type { bold: true, ..Type::LABEL },
        Align::Left,
    );
    value_axis(&mut d, right, &y, "log2 of Pr[cheating wins]");
    let ticks = x.ticks();
    horizontal_axis(&mut d, right, &x, &ticks, "public samples T");
    threshold(&mut d, right, y.place(-BITS), "2^−40");
    draw(&mut d, &curves, &x, &y, (right.left, top + 30.0), right.right);
    d
}

/// The smallest plans for 2^-40, against R.
fn plans() -> Vec<Curve> {
    let curve = |name, tolerance, public: std::ops::RangeInclusive<usize>| {
        let of = |queries: usize| {
            let plan = search(queries, BITS, tolerance, public.clone()).ok()?;
            Some((queries as f64, plan.amortised()))
        };
        Curve { name, points: (0..=10).filter_map(|i| of(1 << i)).collect() }
    };
    vec![
        curve("any T, none wrong", 0, 1..=200),
        curve("T ≥ 100, none wrong", 0, 100..=200),
        curve("T ≥ 100, 2 wrong", 2, 100..=200),
    ]
}

/// The bound for R = 512 and B = 5, against T.
fn tolerances() -> Vec<Curve> {
    let curve = |name, tolerance: usize| {
        let of = |public: usize| {
            let plan = Plan::new(512, 5, public, tolerance).ok()?;
            Some((public as f64, plan.bound().log2_probability))
        };
        Curve { name, points: (tolerance + 1..=200).step_by(3).filter_map(of).collect() }
    };
    vec![curve("none", 0), curve("1", 1), curve("2", 2), curve("4", 4)]
}

fn draw(d: &mut Drawing, curves: &[Curve], x: &Axis, y: &Axis, at: (f64, f64), right: f64) {
    let keys: Vec<_> = (curves.iter().enumerate())
        .map(|(i, c)| Key {
            name: c.name.into(),
            color: PALETTE[i % PALETTE.len()],
            marker: Some(Marker::of(i)),
            hollow: false,
        })
        .collect();
    legend(d, &keys, at, right);
    for (c, key) in curves.iter().zip(&keys) {
        let points: Vec<_> = c.points.iter().map(|p| (x.place(p.0), y.place(p.1))).collect();
        d.line(&points, key.color, 2.0);
        let every = points.len().div_ceil(11).max(1);
        points.iter().step_by(every).for_each(|p| d.marker(key.marker.unwrap_or(Marker::Circle), *p, key.color, false));
    }
}
