//! Values side by side: a row for each protocol and load, a panel for each link, one axis for all. Ours are filled, what
//! papers print is hollow.

use plotters::style::RGBColor;

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Fill, GREY, GRID, INK, Marker, Type, text_width};
use super::looks::look;
use super::measured::{link_setting, shaped_links};
use super::panel::{Frame, MARGIN, horizontal_axis, title};
use crate::report::cells::{Cell, MIB, Metric, SECOND, smallest_loads};
use crate::report::compare::figure;
use crate::report::markdown::{bytes, duration};
use crate::report::paper::{Comparison, Others, Quantity};
use crate::report::profile;
use crate::stats::Summary;

/// One value in a panel.
pub(super) struct Point {
    pub(super) panel: usize,
    pub(super) low: f64,
    pub(super) middle: f64,
    pub(super) high: f64,
    pub(super) label: String,
}

pub(super) struct Row {
    /// By its registry name.
    pub(super) protocol: String,
    pub(super) name: String,
    pub(super) fill: Fill,
    pub(super) points: Vec<Point>,
    /// Panels without a value, and why.
    pub(super) gaps: Vec<(usize, String)>,
}

impl Row {
    fn look(&self) -> (RGBColor, Marker) {
        look(&self.protocol)
    }
}

/// A figure before it is laid out. Values are in the unit of the axis.
pub(super) struct Dots<'t> {
    pub(super) title: String,
    pub(super) notes: &'t [&'t str],
    /// Heading and what stands below it.
    pub(super) panels: Vec<(String, String)>,
    pub(super) axis: &'t str,
    pub(super) spacing: Spacing,
    /// A value that is marked from top to bottom.
    pub(super) mark: Option<f64>,
    pub(super) rows: Vec<Row>,
}

/// Height of a row, and width of a panel (local).
const ROW: f64 = 25.0;
const PANEL: f64 = 300.0;

const NOTE: &str = "Median of the repetitions; whiskers: least and greatest. Set-up excluded, offline included.";

/// `fusion(cheetah), R=512, B=5, T=100`
fn name(c: &Cell<'_>) -> String {
    format!("{}, {}", c.setting().protocol, c.load())
}

fn fill(c: &Cell<'_>) -> Fill {
    if c.is_measured() { Fill::Solid } else { Fill::Ringed }
}

fn rows_of<'c>(shown: &[&'c Cell<'_>], point: impl Fn(&'c Cell<'_>) -> Option<Point>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for c in shown {
        let Some(p) = point(c) else { continue };
        let (name, fill) = (name(c), fill(c));
        match rows.iter_mut().find(|r| r.name == name && r.fill == fill) {
            Some(row) => row.points.push(p),
            None => {
                rows.push(Row {
                    protocol: c.setting().protocol.clone(),
                    name,
                    fill,
                    points: vec![p],
                    gaps: Vec::new(),
                });
            }
        }
    }
    rows
}

fn measured(panel: usize, s: Summary, unit: f64, label: String) -> Point {
    Point { panel, low: s.min / unit, middle: s.median / unit, high: s.max / unit, label }
}

/// Adds what papers print of a quantity on this model, in its panel: one row for each figure, below ours of the protocol.
fn add_printed(
    rows: &mut Vec<Row>,
    others: &Others,
    model: &str,
    quantity: Quantity,
    unit: f64,
    panel: impl Fn(&str) -> Option<usize>,
) {
    let of_model = |p: &&crate::report::paper::Published| p.metric == quantity && p.model == model && p.over.is_empty();
    let row = |p: &crate::report::paper::Published| {
        let factor = quantity.unit(&p.unit)? / unit;
        let middle = if p.comparison == Comparison::AtMost { p.high } else { f64::midpoint(p.low, p.high) };
        let (low, middle, high) = (p.low * factor, middle * factor, p.high * factor);
        let points = vec![Point { panel: panel(&p.link)?, low, middle, high, label: figure(p) }];
        let name = format!("{}, printed", p.system);
        Some(Row { protocol: p.protocol.clone(), name, fill: Fill::Hollow, points, gaps: Vec::new() })
    };
    for row in others.published.iter().filter(of_model).filter_map(row) {
        let at = rows.iter().rposition(|r| r.protocol == row.protocol).map_or(rows.len(), |i| i + 1);
        rows.insert(at, row);
    }
}

/// The order of rows: weakest adversary first, and each protocol's loads together.
fn ordered<'c, 'a>(cells: &[&'c Cell<'a>], metric: Metric) -> Vec<&'c Cell<'a>> {
    let mut shown = smallest_loads(cells);
    shown.retain(|c| c.per_query(metric).is_some());
    shown.sort_by_key(|c| (c.strength(), c.setting().reveal == "label"));
    shown
}

/// Time of one query on each link that is shaped, or on the others if none is. Nothing if fewer than two were timed.
pub(crate) fn time(cells: &[&Cell<'_>], others: &Others) -> Option<Drawing> {
    let mut shown = ordered(cells, Metric::Wall);
    let mut by_distance = shown.clone();
    by_distance.sort_by_key(|c| c.setting().rtt_set_us.unwrap_or(0));
    let links = shaped_links(&by_distance);
    shown.retain(|c| links.contains(&c.setting().link));
    let model = &shown.first()?.setting().model;
    let place = |link: &str| links.iter().position(|l| l == link);
    let place_of_profile = |link: &str| links.iter().position(|l| profile(l) == link);
    let mut rows = rows_of(&shown, |c| {
        let s = c.per_query(Metric::Wall)?;
        Some(measured(place(&c.setting().link)?, s, SECOND, duration(s.median)))
    });
    // Where a row has no time, it says why.
    for row in &mut rows {
        let of_row = |c: &&&Cell<'_>| name(c) == row.name && fill(c) == row.fill;
        for (i, link) in links.iter().enumerate().filter(|(i, _)| row.points.iter().all(|p| p.panel != *i)) {
            let cell = cells.iter().filter(of_row).find(|c| c.setting().link == *link);
            let why = cell.map_or_else(|| "not run".into(), |c| c.shown_per_query(Metric::Wall, SECOND));
            row.gaps.push((i, why));
        }
    }
    add_printed(&mut rows, others, model, Quantity::Seconds, SECOND, place_of_profile);
    let setting = |link: &String| {
        by_distance.iter().find(|c| c.setting().link == *link).map_or_else(String::new, |c| link_setting(c))
    };
    Dots {
        title: format!("Time of one query: {model}"),
        notes: &[NOTE],
        panels: links.iter().map(|l| (l.clone(), setting(l))).collect(),
        axis: "seconds (log scale)",
        spacing: Spacing::Log,
        mark: None,
        rows,
    }
    .draw()
}

/// Communication of one query: on the nearest link, as bytes do not depend on it. Nothing if fewer than two sent any.
pub(crate) fn communication(cells: &[&Cell<'_>], others: &Others) -> Option<Drawing> {
    let mut shown = ordered(cells, Metric::Bytes);
    shown.sort_by_key(|c| (c.strength(), c.setting().reveal == "label", c.setting().rtt_set_us.unwrap_or(0)));
    let mut seen = Vec::new();
    shown.retain(|c| {
        let key = (name(c), fill(c));
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
    let model = &shown.first()?.setting().model;
    let mut rows = rows_of(&shown, |c| {
        let s = c.per_query(Metric::Bytes)?;
        Some(measured(0, s, MIB, bytes(s.median)))
    });
    add_printed(&mut rows, others, model, Quantity::Bytes, MIB, |_| Some(0));
    Dots {
        title: format!("Communication of one query: {model}"),
        notes: &["Payload and framing of all parties, set-up excluded, offline included."],
        panels: vec![(String::new(), String::new())],
        axis: "MiB (log scale)",
        spacing: Spacing::Log,
        mark: None,
        rows,
    }
    .draw()
}

impl Dots<'_> {
    /// Nothing unless there are two rows to compare.
    pub(super) fn draw(&self) -> Option<Drawing> {
        if self.rows.len() < 2 {
            return None;
        }
        let names = self.rows.iter().map(|r| text_width(&r.name, Type::LABEL));
        let left = MARGIN + names.fold(0.0, f64::max) + 14.0;
        let panel = if self.panels.len() == 1 { PANEL * 1.6 } else { PANEL };
        let mut d = Drawing::new((left + panel * self.panels.len() as f64 + 12.0).max(640.0), 0.0);
        let fills = self.fills();
        let notes: Vec<&str> =
            self.notes.iter().copied().chain((!fills.is_empty()).then_some(fills.as_str())).collect();
        let below = title(&mut d, &self.title, &notes);
        let headed = self.panels.iter().any(|p| !p.0.is_empty());
        let top = below + if headed { 46.0 } else { 12.0 };
        let bottom = top + ROW * self.rows.len() as f64;
        d.height = bottom + 54.0;
        let ends = self.rows.iter().flat_map(|r| &r.points).flat_map(|p| [p.low, p.high]);
        let ends: Vec<f64> = ends.chain(self.mark).collect();
        for (i, row) in self.rows.iter().enumerate() {
            let y = top + ROW * (i as f64 + 0.5);
            d.text((left - 10.0, y), &row.name, Type::LABEL, Align::Right);
        }
        for (i, (heading, setting)) in self.panels.iter().enumerate() {
            let x0 = left + panel * i as f64;
            let f = Frame { left: x0, top, right: x0 + panel - 26.0, bottom };
            let axis = Axis::over(ends.iter().copied(), self.spacing, f.left, f.right);
            if headed {
                d.text((f.left, top - 32.0), heading, Type { bold: true, ..Type::LABEL }, Align::Left);
                d.text((f.left, top - 14.0), setting, Type::SMALL, Align::Left);
            }
            for tick in axis.ticks() {
                d.line(&[(axis.place(tick), f.top), (axis.place(tick), f.bottom)], GRID, 1.0);
            }
            if let Some(value) = self.mark {
                d.dashes((axis.place(value), f.top), (axis.place(value), f.bottom), GREY, 1.0);
            }
            d.line(&[(f.left, f.top), (f.left, f.bottom)], INK, 1.0);
            horizontal_axis(&mut d, f, &axis, &axis.ticks(), self.axis);
            for (j, row) in self.rows.iter().enumerate() {
                let y = top + ROW * (j as f64 + 0.5);
                d.line(&[(f.left, y), (f.right, y)], GRID, 1.0);
                for (_, why) in row.gaps.iter().filter(|g| g.0 == i) {
                    d.value((f.left + 8.0, y), why, GREY);
                }
                for p in row.points.iter().filter(|p| p.panel == i) {
                    point(&mut d, f, &axis, y, row, p);
                }
            }
        }
        Some(d)
    }

    /// What kinds of points there are, if not all are filled.
    fn fills(&self) -> String {
        let has = |fill| self.rows.iter().any(|r| r.fill == fill);
        let kinds = [
            (Fill::Solid, "Filled: measured here."),
            (Fill::Ringed, "With a ring: composed from a real batch."),
            (Fill::Hollow, "Hollow: printed by a paper, on another machine."),
        ];
        let there: Vec<&str> = kinds.into_iter().filter(|k| has(k.0)).map(|k| k.1).collect();
        if there.len() > 1 { there.join(" ") } else { String::new() }
    }
}

/// A marker with its whisker, and its value where there is room for it.
fn point(d: &mut Drawing, f: Frame, axis: &Axis, y: f64, row: &Row, p: &Point) {
    let (low, x, high) = (axis.place(p.low), axis.place(p.middle), axis.place(p.high));
    if high - low >= 1.0 {
        d.line(&[(low, y), (high, y)], INK, 1.0);
        for end in [low, high] {
            d.line(&[(end, y - 4.0), (end, y + 4.0)], INK, 1.0);
        }
    }
    let (color, marker) = row.look();
    d.marker(marker, (x, y), color, row.fill);
    let width = text_width(&p.label, Type::SMALL);
    let right = high.max(x) + 10.0;
    let left = if right + width <= f.right { right } else { low.min(x) - 10.0 - width };
    d.value((left, y), &p.label, INK);
}
