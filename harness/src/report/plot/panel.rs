//! The parts that figures share: frames with grids and labels, legends, titles.

use plotters::style::RGBColor;

use super::axis::{Axis, tick_label};
use super::canvas::{Align, Drawing, Fill, GREY, GRID, INK, Marker, PALETTE, Type, text_width};
use super::looks::look;

/// Left edge of titles and legends.
pub(crate) const MARGIN: f64 = 24.0;

/// Where a plot is: between left and right, top and bottom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frame {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

/// What a legend shows beside a name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sign {
    Bar,
    Points(Marker),
    Line,
    Dashes,
}

/// How a series is marked in the legend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) color: RGBColor,
    pub(crate) sign: Sign,
}

impl Key {
    /// The key of a protocol.
    pub(crate) fn of_protocol(name: &str) -> Self {
        let (color, marker) = look(name);
        Self { name: name.to_owned(), color, sign: Sign::Points(marker) }
    }

    /// The key of the i-th series that is no protocol.
    pub(crate) fn of_series(i: usize, name: &str) -> Self {
        let color = PALETTE[i % PALETTE.len()];
        Self { name: name.to_owned(), color, sign: Sign::Points(Marker::of(i)) }
    }

    /// A point of the series.
    pub(crate) fn marker(&self) -> Marker {
        if let Sign::Points(marker) = self.sign { marker } else { Marker::Circle }
    }
}

/// A line through a series' points; that of a variant of a protocol is broken, for the two share a colour.
pub(crate) fn curve(d: &mut Drawing, points: &[(f64, f64)], key: &Key) {
    if key.name.contains('+') {
        points.windows(2).for_each(|p| d.dashes(p[0], p[1], key.color, 2.0));
    } else {
        d.line(points, key.color, 2.0);
    }
}

/// Title and explanation at the top; returns where the next thing may begin.
pub(crate) fn title(d: &mut Drawing, title: &str, explanation: &[&str]) -> f64 {
    d.text((MARGIN, 24.0), title, Type::TITLE, Align::Left);
    let mut y = 46.0;
    for line in explanation {
        d.text((MARGIN, y), line, Type::SMALL, Align::Left);
        y += 17.0;
    }
    y + 4.0
}

/// A legend in lines from a point on, up to `right`; returns where the next thing may begin.
pub(crate) fn legend(d: &mut Drawing, keys: &[Key], (left, y): (f64, f64), right: f64) -> f64 {
    let (mut x, mut y) = (left, y);
    for k in keys {
        let width = 22.0 + text_width(&k.name, Type::LABEL);
        if x > left && x + width > right {
            (x, y) = (left, y + 21.0);
        }
        match k.sign {
            Sign::Points(m) => {
                curve(d, &[(x - 2.0, y), (x + 16.0, y)], k);
                d.marker(m, (x + 7.0, y), k.color, Fill::Solid);
            }
            Sign::Bar => d.rect((x, y - 6.0), (x + 14.0, y + 6.0), k.color),
            Sign::Line => d.line(&[(x - 2.0, y), (x + 16.0, y)], k.color, 1.5),
            Sign::Dashes => d.dashes((x - 2.0, y), (x + 16.0, y), k.color, 1.0),
        }
        d.text((x + 22.0, y), &k.name, Type::LABEL, Align::Left);
        x += width + 22.0;
    }
    y + 20.0
}

/// Horizontal grid lines with numbers at the left, and the quantity with its unit beside them.
pub(crate) fn value_axis(d: &mut Drawing, frame: Frame, axis: &Axis, quantity: &str) {
    let mut widest = 0.0f64;
    for tick in axis.ticks() {
        let (y, label) = (axis.place(tick), tick_label(tick));
        d.line(&[(frame.left, y), (frame.right, y)], GRID, 1.0);
        d.text((frame.left - 7.0, y), &label, Type::LABEL, Align::Right);
        widest = widest.max(text_width(&label, Type::LABEL));
    }
    d.upright((frame.left - widest - 23.0, f64::midpoint(frame.top, frame.bottom)), quantity, Type::LABEL);
}

/// The name of a panel, above its frame.
pub(crate) fn heading(d: &mut Drawing, frame: Frame, text: &str) {
    d.text((frame.left, frame.top - 18.0), text, Type { bold: true, ..Type::LABEL }, Align::Left);
}

/// The line at the bottom of a frame.
pub(crate) fn base_line(d: &mut Drawing, frame: Frame) {
    d.line(&[(frame.left, frame.bottom), (frame.right, frame.bottom)], INK, 1.0);
}

/// Ticks at given values of a horizontal axis, and its name below.
pub(crate) fn horizontal_axis(d: &mut Drawing, frame: Frame, axis: &Axis, ticks: &[f64], name: &str) {
    base_line(d, frame);
    let mut free_from = f64::NEG_INFINITY;
    for tick in ticks {
        let (x, label) = (axis.place(*tick), tick_label(*tick));
        d.line(&[(x, frame.bottom), (x, frame.bottom + 5.0)], INK, 1.0);
        let half = text_width(&label, Type::LABEL) / 2.0;
        if x - half > free_from {
            d.text((x, frame.bottom + 16.0), &label, Type::LABEL, Align::Centre);
            free_from = x + half + 4.0;
        }
    }
    d.text((f64::midpoint(frame.left, frame.right), frame.bottom + 36.0), name, Type::LABEL, Align::Centre);
}

/// A line from the least to the greatest value.
pub(crate) fn whisker(d: &mut Drawing, x: f64, (low, high): (f64, f64), color: RGBColor) {
    if (low - high).abs() < 1.0 {
        return;
    }
    d.line(&[(x, low), (x, high)], color, 1.0);
    for y in [low, high] {
        d.line(&[(x - 4.0, y), (x + 4.0, y)], color, 1.0);
    }
}

/// A horizontal mark across a frame.
pub(crate) fn threshold(d: &mut Drawing, frame: Frame, y: f64) {
    d.dashes((frame.left, y), (frame.right, y), GREY, 1.0);
}
