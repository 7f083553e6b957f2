//! Memory of the processes against the batch.

use std::collections::BTreeMap;

use super::canvas::Drawing;
use super::lines::{Line, Names, Panel, Point, figure, scaled};
use super::measured::distinct;
use crate::report::cells::{Cell, MIB, Metric};

/// Peaks of server and client for the cells of one model, of protocols that were run in several sizes of a batch. Memory does
/// not depend on the link: of several the first counts, which is the nearest. Nothing if there is no such protocol.
pub(crate) fn memory(cells: &[&Cell<'_>]) -> Option<Drawing> {
    let shown: Vec<_> = cells.iter().filter(|c| !c.is_fusion() && c.total(Metric::ServerPeak).is_some()).collect();
    let model = &shown.first()?.setting().model;
    let protocols = distinct(shown.iter().map(|c| c.setting().protocol.clone()));
    let panel = |heading: &str, metric: Metric| {
        let line = |protocol: &String| {
            let mut points = BTreeMap::new();
            for c in shown.iter().filter(|c| c.setting().protocol == *protocol) {
                if let Some(s) = c.total(metric) {
                    points.entry(c.setting().queries).or_insert(scaled(s, MIB));
                }
            }
            let point = |(queries, span): (u64, _)| Point { x: queries as f64, span, measured: true };
            (points.len() > 1)
                .then(|| Line { protocol: protocol.clone(), points: points.into_iter().map(point).collect() })
        };
        let lines: Vec<_> = protocols.iter().filter_map(line).collect();
        let (quantity, along) = ("MiB (log scale)", "queries in a batch");
        (!lines.is_empty()).then(|| Panel { heading: heading.into(), quantity, along, lines, ..Panel::default() })
    };
    let panels: Vec<_> =
        [panel("Server", Metric::ServerPeak), panel("Client", Metric::ClientPeak)].into_iter().flatten().collect();
    let notes = [
        "Greatest resident memory of a process, network and images included. Medians; whiskers: least and greatest repetition.",
        "Where a load was run on several links, the nearest is shown: memory does not depend on the link.",
    ];
    figure(&format!("Memory against the batch: {model}"), &notes, &Names::default(), &panels)
}
