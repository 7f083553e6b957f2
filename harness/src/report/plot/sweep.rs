//! Time against the link: a panel for each sweep of a model, a line for each protocol.

use super::canvas::{Drawing, GREY, INK};
use super::lines::{Line, Names, Panel, Point, figure, scaled};
use crate::report::cells::{Metric, SECOND};
use crate::report::sweep::{Along, Clear, Sweep, crossings};

/// All sweeps of one model. Nothing if there is none.
pub(crate) fn sweep(sweeps: &[&Sweep<'_, '_>]) -> Option<Drawing> {
    let model = &sweeps.first()?.model;
    let panels: Vec<_> = sweeps.iter().map(|s| panel(s)).collect();
    let note =
        "Time of one query: medians; whiskers: least and greatest repetition. Set-up excluded, offline included.";
    let rings = "Rings: where one protocol overtakes another, interpolated; grey if the repetitions leave it in doubt.";
    let crossed = panels.iter().any(|p| !p.rings.is_empty()).then_some(rings);
    let notes: Vec<&str> = std::iter::once(note).chain(crossed).collect();
    figure(&format!("Time against the link: {model}"), &notes, &Names::default(), &panels)
}

fn panel(s: &Sweep<'_, '_>) -> Panel {
    let heading = match s.along {
        Along::Rtt => format!("Round-trip time varies, {}", s.fixed()),
        Along::Rate => format!("Rate varies, {}", s.fixed()),
    };
    let unit = s.along.unit();
    let line = |l: &crate::report::sweep::Line<'_, '_>| {
        // A log scale has no place for no delay.
        let timed = l.points.iter().filter(|p| p.0 > 0);
        let point = |(x, c): &(u64, &crate::report::cells::Cell<'_>)| {
            let span = scaled(c.per_query(Metric::Wall)?, SECOND);
            Some(Point { x: *x as f64 / unit, span, measured: c.is_measured() })
        };
        Line { protocol: l.protocol.clone(), points: timed.filter_map(point).collect() }
    };
    let pairs = s.lines.iter().enumerate().flat_map(|(i, a)| s.lines[i + 1..].iter().map(move |b| (a, b)));
    let rings = pairs.flat_map(|(a, b)| crossings(a, b)).map(|c| {
        let color = if c.clear == Clear::Yes { INK } else { GREY };
        (c.at / unit, c.seconds, color)
    });
    let (quantity, along) = ("seconds (log scale)", s.along.name());
    let rings = rings.collect();
    Panel { heading, quantity, along, lines: s.lines.iter().map(line).collect(), rings, ..Panel::default() }
}
