//! Time against the threads of each party.

use std::collections::BTreeMap;

use super::canvas::Drawing;
use super::lines::{Line, Panel, figure, scaled};
use crate::report::cells::{Metric, SECOND};
use crate::report::threads::Series;

/// The series of one model, a panel for each link and load. Nothing if none has two times.
pub(crate) fn threads(series: &[&Series<'_>]) -> Option<Drawing> {
    let model = &series.first()?.model;
    let mut panels: BTreeMap<(&str, &str), Vec<Line>> = BTreeMap::new();
    for s in series {
        let timed = s.cells.iter().filter_map(|(n, c)| Some((*n as f64, scaled(c.per_query(Metric::Wall)?, SECOND))));
        let points: Vec<_> = timed.collect();
        if points.len() > 1 {
            let line = Line { protocol: s.protocol.clone(), points };
            panels.entry((&s.link, &s.load)).or_default().push(line);
        }
    }
    let quantity = "seconds a query (log scale)";
    let panel = |((link, load), lines)| Panel { heading: format!("{link}, {load}"), quantity, lines };
    let panels: Vec<_> = panels.into_iter().map(panel).collect();
    let note = "Both parties on one machine. Medians; whiskers: least and greatest repetition. Set-up excluded, offline included.";
    figure(&format!("Time against threads: {model}"), note, "threads of each party", &panels)
}
