//! Fusion's price: a query's cost in inferences that stand alone, against the plan and against the batch.

use std::collections::BTreeSet;

use super::canvas::Drawing;
use super::lines::{Line, Names, Panel, Point, figure};
use super::measured::{cheapest, distinct};
use crate::report::fusion_cost::Price;
use crate::stats::Summary;

/// R, B and T of a plan.
type Plan = (u64, u64, u64);

/// Panels of time on each link and of bytes, against R; beside each the same against the batch for the plan that was run
/// with the most batch sizes. Nothing if there is nothing to compare.
pub(crate) fn fusion_cost(prices: &[&Price<'_, '_>]) -> Option<Drawing> {
    let known: Vec<&Price<'_, '_>> = prices.iter().filter(|p| p.time.is_some() || p.bytes.is_some()).copied().collect();
    let links = distinct(known.iter().map(|p| p.cell.setting().link.clone()));
    let model = &known.first()?.cell.setting().model;
    let swept = swept(&known);
    let mut panels = Vec::new();
    let mut add = |name: &str, link: &str, value: fn(&Price<'_, '_>) -> Option<f64>| {
        let here: Vec<_> = known.iter().filter(|p| p.cell.setting().link == link).copied().collect();
        panels.push(Panel {
            heading: format!("{name} ({link})"),
            along: "queries R",
            lines: lines(&here, value, |p| p.cell.setting().queries),
            guide: ratios(&here),
            ..blank()
        });
        if let Some(plan) = swept {
            let of_plan: Vec<_> = here.into_iter().filter(|p| p.cell.is_measured() && of(p) == Some(plan)).collect();
            let (r, b, t) = plan;
            panels.push(Panel {
                heading: format!("{name} ({link}), R = {r}, B = {b}, T = {t}"),
                along: "inferences in a batch",
                lines: lines(&of_plan, value, chunk),
                ..blank()
            });
        }
    };
    links.iter().for_each(|l| add("Time", l, |p| p.time));
    add("Communication", links.first()?, |p| p.bytes);
    let notes = [
        "A query's share of a plan over one inference of the inner protocol alone, on the same link.",
        "Of plans with the same R, the cheapest that was run in full.",
    ];
    let names = Names { guide: "r: inferences run for a query", mark: "one inference" };
    figure(&format!("The price of Fusion: {model}"), &notes, &names, &panels)
}

fn blank() -> Panel {
    Panel { quantity: "× one inference (log scale)", mark: Some(1.0), ..Panel::default() }
}

fn of(p: &Price<'_, '_>) -> Option<Plan> {
    let r = p.cell.setting();
    Some((r.queries, r.fusion_copies?, r.fusion_public?))
}

/// The plan that was measured with the most sizes of batches, if that are several.
fn swept(known: &[&Price<'_, '_>]) -> Option<Plan> {
    let chunks = |plan: Plan| {
        let same = known.iter().filter(|p| of(p) == Some(plan) && p.cell.is_measured());
        same.map(|p| chunk(p)).collect::<BTreeSet<_>>().len()
    };
    let best = known.iter().filter_map(|p| of(p)).max_by_key(|plan| (chunks(*plan), plan.0))?;
    (chunks(best) > 1).then_some(best)
}

/// Inferences of one batch.
fn chunk(p: &Price<'_, '_>) -> u64 {
    let r = p.cell.setting();
    r.fusion_chunk.unwrap_or(r.ran()).min(r.ran())
}

/// A line for each protocol.
fn lines(
    prices: &[&Price<'_, '_>],
    value: fn(&Price<'_, '_>) -> Option<f64>,
    place: fn(&Price<'_, '_>) -> u64,
) -> Vec<Line> {
    let line = |protocol: String| {
        let own = prices.iter().filter(|p| p.cell.setting().protocol == protocol);
        let point = |p: &&Price<'_, '_>| {
            let v = value(p)?;
            let span = Summary { n: 1, median: v, min: v, max: v };
            Some(Point { x: place(p) as f64, span, measured: p.cell.is_measured() })
        };
        Line { points: cheapest(own.filter_map(point).collect()), protocol }
    };
    distinct(prices.iter().map(|p| p.cell.setting().protocol.clone())).into_iter().map(line).collect()
}

/// Inferences that the smallest plan of each R runs for a query.
fn ratios(prices: &[&Price<'_, '_>]) -> Vec<(f64, f64)> {
    let place = |p: &&Price<'_, '_>| (p.cell.setting().queries as f64, p.inferences_a_query());
    let mut ratios: Vec<(f64, f64)> = prices.iter().map(place).collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    ratios.dedup_by(|b, a| a.0 == b.0);
    ratios
}
