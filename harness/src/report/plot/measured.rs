//! Amortised cost against the batch, and how cells become points.

use super::canvas::Drawing;
use super::lines::{Line, Names, Panel, Point, figure, scaled};
use crate::report::cells::{Cell, MIB, Metric, SECOND};

/// Distinct values in the order of their first appearance.
pub(crate) fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for v in values {
        if !seen.contains(&v) {
            seen.push(v);
        }
    }
    seen
}

/// `3,000 Mbit/s, 0.3 ms`
pub(crate) fn link_setting(cell: &Cell<'_>) -> String {
    let r = cell.setting();
    match (r.rate_set_bits_per_s, r.rtt_set_us) {
        (Some(rate), Some(rtt)) if rate >= 1_000_000_000 => {
            format!("{} Gbit/s, {} ms RTT", rate as f64 / 1e9, rtt as f64 / 1e3)
        }
        (Some(rate), Some(rtt)) => format!("{} Mbit/s, {} ms RTT", rate as f64 / 1e6, rtt as f64 / 1e3),
        _ => "not shaped".into(),
    }
}

/// One point for each x: of several what was measured in full, and of that the cheapest. In the order of x.
pub(crate) fn cheapest(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_by(|a, b| {
        a.x.total_cmp(&b.x).then(b.measured.cmp(&a.measured)).then(a.span.median.total_cmp(&b.span.median))
    });
    points.dedup_by_key(|p| p.x);
    points
}

/// The links of cells in their order, those that are not shaped only if there are no others.
pub(crate) fn shaped_links(cells: &[&Cell<'_>]) -> Vec<String> {
    let shaped = cells.iter().any(|c| c.setting().rtt_set_us.is_some());
    let counts = cells.iter().filter(|c| !shaped || c.setting().rtt_set_us.is_some());
    distinct(counts.map(|c| c.setting().link.clone()))
}

/// Cost of one query against the number of queries in a batch: CPU time and bytes on the nearest link, time on each.
/// Of protocols that were run with two sizes there, and Fusion. Nothing unless there is one.
pub(crate) fn amortised(cells: &[&Cell<'_>]) -> Option<Drawing> {
    let mut shown: Vec<&Cell<'_>> = cells.iter().filter(|c| c.good().next().is_some()).copied().collect();
    let place = |c: &Cell<'_>| (c.setting().protocol.clone(), c.setting().link.clone());
    let sizes =
        |at: (String, String)| distinct(shown.iter().filter(|c| place(c) == at).map(|c| c.setting().queries)).len();
    // A link on which every protocol was run with one size has no curve.
    let mut links = shaped_links(&shown);
    links.retain(|l| shown.iter().any(|c| c.setting().link == *l && sizes(place(c)) > 1));
    let curves: Vec<_> = shown.iter().map(|c| c.is_fusion() || sizes(place(c)) > 1).collect();
    let mut curves = curves.into_iter();
    shown.retain(|_| curves.next() == Some(true));
    shown.sort_by_key(|c| c.strength());
    let model = &shown.first()?.setting().model;
    let panel = |name: &str, link: &String, quantity, metric: Metric, unit: f64| {
        let here: Vec<_> = shown.iter().filter(|c| c.setting().link == *link).collect();
        let line = |protocol: String| {
            let point = |c: &&&Cell<'_>| {
                let span = scaled(c.per_query(metric)?, unit);
                Some(Point { x: c.setting().queries as f64, span, measured: c.is_measured() })
            };
            let own = here.iter().copied().filter(|c| c.setting().protocol == protocol).collect::<Vec<_>>();
            Line { points: cheapest(own.iter().filter_map(point).collect()), protocol }
        };
        Panel {
            heading: format!("{name} ({link})"),
            quantity,
            along: "queries in a batch or plan",
            lines: distinct(here.iter().map(|c| c.setting().protocol.clone())).into_iter().map(line).collect(),
            ..Panel::default()
        }
    };
    let near = links.first()?;
    let mut panels = vec![
        panel("CPU time, all parties", near, "CPU seconds a query (log scale)", Metric::Cpu, SECOND),
        panel("Communication, both ways", near, "MiB a query (log scale)", Metric::Bytes, MIB),
    ];
    panels.extend(links.iter().map(|l| panel("Time", l, "seconds a query (log scale)", Metric::Wall, SECOND)));
    let notes = [
        "Medians; whiskers: least and greatest repetition. Set-up excluded, offline included. Protocols that were run in one size are left out.",
        "Fusion: copies and public samples are part of a query's cost; of several plans the cheapest that was run in full.",
    ];
    figure(&format!("Amortised cost of one query: {model}"), &notes, &Names::default(), &panels)
}
