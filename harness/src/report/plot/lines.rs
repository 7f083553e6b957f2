//! Figures of lines: panels side by side, in each a line for each protocol over a quantity on a log scale.

use plotters::style::RGBColor;

use super::axis::{Axis, Spacing};
use super::canvas::{Drawing, Fill, GREY, INK, Marker};
use super::measured::distinct;
use super::panel::{
    Frame, Key, MARGIN, Sign, curve, heading, horizontal_axis, legend, threshold, title, value_axis, whisker,
};
use crate::stats::Summary;

/// One point of a line, in the panel's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) span: Summary,
    /// Whether it was measured in full, or composed.
    pub(crate) measured: bool,
}

/// One line: points in the order of x.
pub(crate) struct Line {
    pub(crate) protocol: String,
    pub(crate) points: Vec<Point>,
}

/// One panel. Those over the same quantity have the same range of it.
#[derive(Default)]
pub(crate) struct Panel {
    pub(crate) heading: String,
    /// What is shown, with its unit.
    pub(crate) quantity: &'static str,
    /// What it is shown over, with its unit.
    pub(crate) along: &'static str,
    pub(crate) lines: Vec<Line>,
    /// A grey line to compare with.
    pub(crate) guide: Vec<(f64, f64)>,
    /// A value that is marked from left to right.
    pub(crate) mark: Option<f64>,
    /// Rings where lines cross.
    pub(crate) rings: Vec<(f64, f64, RGBColor)>,
}

/// What a guide and a mark are, for the legend.
#[derive(Default)]
pub(crate) struct Names {
    pub(crate) guide: &'static str,
    pub(crate) mark: &'static str,
}

/// What a ring within a point means.
const RINGED: &str = "With a ring: composed from a real batch.";

/// Width and height of a panel (local).
const SIZE: (f64, f64) = (430.0, 300.0);

/// A summary in another unit.
pub(crate) fn scaled(s: Summary, unit: f64) -> Summary {
    Summary { n: s.n, median: s.median / unit, min: s.min / unit, max: s.max / unit }
}

/// The figure. Nothing if no line of any panel has two points.
pub(crate) fn figure(name: &str, notes: &[&str], names: &Names, panels: &[Panel]) -> Option<Drawing> {
    let mut lines = panels.iter().flat_map(|p| &p.lines);
    if !lines.any(|l| l.points.len() > 1) {
        return None;
    }
    let points = || panels.iter().flat_map(|p| &p.lines).flat_map(|l| &l.points);
    let ringed = points().any(|p| !p.measured).then_some(RINGED);
    let notes: Vec<&str> = notes.iter().copied().chain(ringed).collect();
    let (columns, (width, height)) = (2, SIZE);
    let mut d = Drawing::new(columns as f64 * width, 0.0);
    let below = title(&mut d, name, &notes);
    let protocols = distinct(panels.iter().flat_map(|p| p.lines.iter().map(|l| l.protocol.clone())));
    let keys: Vec<_> = protocols.iter().map(|p| Key::of_protocol(p)).collect();
    let grey = |name: &str, sign| Key { name: name.to_owned(), color: GREY, sign };
    let guide = panels.iter().any(|p| !p.guide.is_empty()).then(|| grey(names.guide, Sign::Line));
    let mark = panels.iter().any(|p| p.mark.is_some()).then(|| grey(names.mark, Sign::Dashes));
    let all: Vec<_> = keys.iter().cloned().chain(guide).chain(mark).collect();
    let right = d.width - 16.0;
    let top = legend(&mut d, &all, (MARGIN, below + 8.0), right);
    d.height = top + height * panels.len().div_ceil(columns) as f64;
    for (i, p) in panels.iter().enumerate() {
        let (x0, y0) = ((i % columns) as f64 * width, top + (i / columns) as f64 * height);
        let frame = Frame { left: x0 + 92.0, top: y0 + 36.0, right: x0 + width - 22.0, bottom: y0 + height - 54.0 };
        let alike = panels.iter().filter(|q| q.along == p.along).flat_map(|q| &q.lines).flat_map(|l| &l.points);
        let mut xs = distinct(alike.map(|q| q.x));
        xs.sort_by(f64::total_cmp);
        panel(&mut d, frame, p, &xs, &keys);
    }
    Some(d)
}

fn panel(d: &mut Drawing, frame: Frame, p: &Panel, xs: &[f64], keys: &[Key]) {
    heading(d, frame, &p.heading);
    let (Some(low), Some(high)) = (xs.first(), xs.last()) else { return };
    let x = Axis::exact(low * 0.85, high * 1.18, Spacing::Log, frame.left, frame.right);
    let ends = p.lines.iter().flat_map(|l| &l.points).flat_map(|q| [q.span.min, q.span.max]);
    let ends = ends.chain(p.guide.iter().map(|g| g.1)).chain(p.mark);
    let y = Axis::over(ends, Spacing::Log, frame.bottom, frame.top);
    value_axis(d, frame, &y, p.quantity);
    horizontal_axis(d, frame, &x, xs, &format!("{} (log scale)", p.along));
    if let Some(value) = p.mark {
        threshold(d, frame, y.place(value));
    }
    d.line(&p.guide.iter().map(|g| (x.place(g.0), y.place(g.1))).collect::<Vec<_>>(), GREY, 1.5);
    for l in &p.lines {
        let Some(key) = keys.iter().find(|k| k.name == l.protocol) else { continue };
        let at = |q: &Point| (x.place(q.x), y.place(q.span.median));
        // Only like is joined with like.
        for pair in l.points.windows(2).filter(|q| q[0].measured == q[1].measured) {
            curve(d, &[at(&pair[0]), at(&pair[1])], key);
        }
        for q in &l.points {
            whisker(d, at(q).0, (y.place(q.span.min), y.place(q.span.max)), INK);
            d.marker(key.marker(), at(q), key.color, if q.measured { Fill::Solid } else { Fill::Ringed });
        }
    }
    for (at, value, color) in &p.rings {
        d.marker(Marker::Circle, (x.place(*at), y.place(*value)), *color, Fill::Hollow);
    }
}
