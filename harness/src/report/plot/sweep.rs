//! Time against the link: a panel for each sweep of a model, a line for each protocol.

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Fill, INK, Marker, Type};
use super::measured::distinct;
use super::panel::{Frame, Key, MARGIN, curve, horizontal_axis, legend, title, value_axis, whisker};
use crate::report::cells::{Metric, SECOND};
use crate::report::sweep::{Along, Sweep, crossings};

/// All sweeps of one model. Nothing if there is none.
pub(crate) fn sweep(sweeps: &[&Sweep<'_, '_>]) -> Option<Drawing> {
    let model = &sweeps.first()?.model;
    let protocols = distinct(sweeps.iter().flat_map(|s| s.lines.iter().map(|l| l.protocol.clone())));
    let (columns, width, height) = (2, 440.0, 330.0);
    let mut d = Drawing::new(columns as f64 * width, 0.0);
    let notes = [
        "Time of one query: medians; whiskers: least and greatest repetition. Set-up excluded, offline included.",
        "Black rings: where one protocol overtakes another, interpolated. With a ring inside: composed.",
    ];
    let below = title(&mut d, &format!("Time against the link: {model}"), &notes);
    let keys: Vec<_> = protocols.iter().map(|p| Key::of_protocol(p)).collect();
    let right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, below + 8.0), right);
    d.height = top + height * sweeps.len().div_ceil(columns) as f64;
    for (i, s) in sweeps.iter().enumerate() {
        let (x0, y0) = ((i % columns) as f64 * width, top + (i / columns) as f64 * height);
        let frame = Frame { left: x0 + 92.0, top: y0 + 36.0, right: x0 + width - 22.0, bottom: y0 + height - 54.0 };
        panel(&mut d, frame, s, &keys);
    }
    Some(d)
}

fn panel(d: &mut Drawing, f: Frame, s: &Sweep<'_, '_>, keys: &[Key]) {
    let heading = match s.along {
        Along::Rtt => format!("Round-trip time varies, {}", s.fixed()),
        Along::Rate => format!("Rate varies, {}", s.fixed()),
    };
    d.text((f.left, f.top - 18.0), &heading, Type { bold: true, ..Type::LABEL }, Align::Left);
    let unit = s.along.unit();
    let mut xs = distinct(s.lines.iter().flat_map(|l| l.points.iter().map(|p| p.0 as f64 / unit)).filter(|x| *x > 0.0));
    xs.sort_by(f64::total_cmp);
    let (Some(low), Some(high)) = (xs.first(), xs.last()) else { return };
    let x = Axis::exact(low * 0.8, high * 1.25, Spacing::Log, f.left, f.right);
    let span = |c: &crate::report::cells::Cell<'_>| c.per_query(Metric::Wall);
    let ends = s.lines.iter().flat_map(|l| &l.points).filter_map(|p| span(p.1));
    let y = Axis::over(ends.flat_map(|s| [s.min / SECOND, s.max / SECOND]), Spacing::Log, f.bottom, f.top);
    value_axis(d, f, &y, "seconds (log scale)");
    horizontal_axis(d, f, &x, &xs, &format!("{} (log scale)", s.along.name()));
    for l in &s.lines {
        let Some(key) = keys.iter().find(|k| k.name == l.protocol) else { continue };
        let points: Vec<_> = l.points.iter().filter(|p| p.0 > 0).filter_map(|p| Some((p, span(p.1)?))).collect();
        let at = |(x_at, s): (u64, f64)| (x.place(x_at as f64 / unit), y.place(s / SECOND));
        curve(d, &points.iter().map(|(p, s)| at((p.0, s.median))).collect::<Vec<_>>(), key);
        for (p, s) in &points {
            let place = at((p.0, s.median));
            whisker(d, place.0, y.place(s.min / SECOND), y.place(s.max / SECOND));
            let fill = if p.1.is_measured() { Fill::Solid } else { Fill::Ringed };
            d.marker(key.marker.unwrap_or(Marker::Circle), place, key.color, fill);
        }
    }
    for (i, a) in s.lines.iter().enumerate() {
        for c in s.lines[i + 1..].iter().flat_map(|b| crossings(a, b)) {
            d.marker(Marker::Circle, (x.place(c.at / unit), y.place(c.seconds)), INK, Fill::Hollow);
        }
    }
}
