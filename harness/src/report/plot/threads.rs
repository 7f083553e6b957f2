//! What more threads gain: time with several over time with one.

use super::axis::Spacing;
use super::canvas::{Drawing, Fill};
use super::dots::{Dots, Point, Row};
use super::measured::distinct;
use crate::report::threads::{Series, beside_one};

/// The series of one model, a panel for each link. Nothing unless two rows have a ratio.
pub(crate) fn threads(series: &[&Series<'_>]) -> Option<Drawing> {
    let model = &series.first()?.model;
    let ratios = series.iter().flat_map(|s| s.cells.keys().map(move |n| (*s, *n)));
    let ratios: Vec<_> = ratios.filter_map(|(s, n)| Some((s, n, beside_one(s, n)?))).collect();
    let links = distinct(ratios.iter().map(|(s, ..)| s.link.clone()));
    let mut rows: Vec<Row> = Vec::new();
    for (s, n, r) in ratios {
        let panel = links.iter().position(|l| *l == s.link).unwrap_or_default();
        let label = format!("{:.2}", r.ratio);
        let point = Point { panel, low: r.low, middle: r.ratio, high: r.high, label };
        let name = format!("{}, {}, {n} threads", s.protocol, s.load);
        match rows.iter_mut().find(|r| r.name == name) {
            Some(row) => row.points.push(point),
            None => {
                let (protocol, points) = (s.protocol.clone(), vec![point]);
                rows.push(Row { protocol, name, fill: Fill::Solid, points, gaps: Vec::new() });
            }
        }
    }
    Dots {
        title: format!("Time with more threads: {model}"),
        notes: &[
            "Both parties on one machine, whose cores they share. Medians, over that of one thread in the same record;",
            "whiskers: the interval that holds the ratio in 95 % of resamples. Dashed: no gain.",
        ],
        panels: links.into_iter().map(|l| (l, String::new())).collect(),
        axis: "time over one thread's",
        spacing: Spacing::Linear,
        mark: Some(1.0),
        rows,
    }
    .draw()
}
