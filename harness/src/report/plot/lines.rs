//! Figures of lines: panels side by side, in each a line for each protocol over a quantity on a log scale.

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Fill, Marker, Type};
use super::measured::distinct;
use super::panel::{Frame, Key, MARGIN, curve, horizontal_axis, legend, title, value_axis, whisker};
use crate::stats::Summary;

/// One line.
pub(crate) struct Line {
    pub(crate) protocol: String,
    /// In the order of x, in the panel's unit.
    pub(crate) points: Vec<(f64, Summary)>,
}

/// One panel.
pub(crate) struct Panel {
    pub(crate) heading: String,
    /// With its unit.
    pub(crate) quantity: &'static str,
    pub(crate) lines: Vec<Line>,
}

/// A summary in another unit.
pub(crate) fn scaled(s: Summary, unit: f64) -> Summary {
    Summary { n: s.n, median: s.median / unit, min: s.min / unit, max: s.max / unit }
}

/// The figure, `along` a quantity. Nothing without a panel.
pub(crate) fn figure(heading: &str, note: &str, along: &str, panels: &[Panel]) -> Option<Drawing> {
    if panels.is_empty() {
        return None;
    }
    let (columns, width, height) = (2, 430.0, 300.0);
    let mut d = Drawing::new(columns as f64 * width, 0.0);
    let below = title(&mut d, heading, &[note]);
    let protocols = distinct(panels.iter().flat_map(|p| p.lines.iter().map(|l| l.protocol.clone())));
    let keys: Vec<_> = protocols.iter().map(|p| Key::of_protocol(p)).collect();
    let right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, below + 8.0), right);
    d.height = top + height * panels.len().div_ceil(columns) as f64;
    for (i, p) in panels.iter().enumerate() {
        let (x0, y0) = ((i % columns) as f64 * width, top + (i / columns) as f64 * height);
        let frame = Frame { left: x0 + 92.0, top: y0 + 34.0, right: x0 + width - 22.0, bottom: y0 + height - 54.0 };
        panel(&mut d, frame, p, along, &keys);
    }
    Some(d)
}

fn panel(d: &mut Drawing, frame: Frame, p: &Panel, along: &str, keys: &[Key]) {
    d.text((frame.left, frame.top - 16.0), &p.heading, Type { bold: true, ..Type::LABEL }, Align::Left);
    let mut xs = distinct(p.lines.iter().flat_map(|l| l.points.iter().map(|p| p.0)));
    xs.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (xs.first(), xs.last()) else { return };
    let x = Axis::exact(low * 0.85, high * 1.18, Spacing::Log, frame.left, frame.right);
    let ends = p.lines.iter().flat_map(|l| l.points.iter().flat_map(|(_, s)| [s.min, s.max]));
    let y = Axis::over(ends, Spacing::Log, frame.bottom, frame.top);
    value_axis(d, frame, &y, p.quantity);
    horizontal_axis(d, frame, &x, &xs, &format!("{along} (log scale)"));
    for l in &p.lines {
        let Some(key) = keys.iter().find(|k| k.name == l.protocol) else { continue };
        let at = |(value, s): &(f64, Summary)| (x.place(*value), y.place(s.median));
        curve(d, &l.points.iter().map(at).collect::<Vec<_>>(), key);
        for point in &l.points {
            whisker(d, at(point).0, y.place(point.1.min), y.place(point.1.max));
            d.marker(key.marker.unwrap_or(Marker::Circle), at(point), key.color, Fill::Solid);
        }
    }
}
