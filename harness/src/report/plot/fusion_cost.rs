//! Fusion's price: a query's cost in inferences that stand alone, against the plan and against the batch.

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Fill, GREY, Marker, Type};
use super::panel::{Frame, Key, MARGIN, horizontal_axis, legend, threshold, title, value_axis};
use crate::report::fusion_cost::Price;

type Values<'p> = Box<dyn Fn(&Price<'_, '_>) -> Option<f64> + 'p>;

/// One panel: a quantity on a link.
struct Panel<'p> {
    heading: String,
    link: String,
    value: Values<'p>,
    by_chunk: bool,
}

/// Panels of time on each link and of bytes, against R; then time against the batch for the plan that was run with the
/// most batch sizes. Nothing if there is nothing to compare.
pub(crate) fn fusion_cost(prices: &[&Price<'_, '_>]) -> Option<Drawing> {
    let known: Vec<&Price<'_, '_>> = prices.iter().filter(|p| p.time.is_some() || p.bytes.is_some()).copied().collect();
    let distinct = |of: &dyn Fn(&Price<'_, '_>) -> String| {
        let mut seen: Vec<String> = Vec::new();
        known.iter().for_each(|p| {
            if !seen.contains(&of(p)) {
                seen.push(of(p));
            }
        });
        seen
    };
    let links = distinct(&|p| p.cell.setting().link.clone());
    let protocols = distinct(&|p| p.cell.setting().protocol.clone());
    let model = &known.first()?.cell.setting().model;
    let swept = swept(&known);
    let mut panels = Vec::new();
    for link in &links {
        let (link, time) = (link.clone(), || -> Values<'_> { Box::new(|p| p.time) });
        panels.push(Panel { heading: format!("Time ({link})"), link: link.clone(), value: time(), by_chunk: false });
        if swept.is_some() {
            panels.push(Panel {
                heading: format!("Time against the batch ({link})"),
                link,
                value: time(),
                by_chunk: true,
            });
        }
    }
    let first = links.first()?.clone();
    panels.push(Panel {
        heading: format!("Communication ({first})"),
        link: first,
        value: Box::new(|p| p.bytes),
        by_chunk: false,
    });

    let (width, height) = (430.0, 310.0);
    let mut d = Drawing::new(2.0 * width, 120.0);
    let notes = [
        "A query's share of a plan over one inference of the inner protocol alone, same link. Grey: r, the inferences run for a query.",
        "Against R, plans of 40 bits with the batch that is quickest; with a ring: composed from a real batch of n.",
    ];
    let below = title(&mut d, &format!("The price of a malicious server: {model}"), &notes);
    let keys: Vec<_> = protocols.iter().map(|p| Key::of_protocol(p)).collect();
    let right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, below + 8.0), right);
    d.height = top + height * panels.len().div_ceil(2) as f64;
    for (i, panel) in panels.iter().enumerate() {
        let (x0, y0) = ((i % 2) as f64 * width, top + (i / 2) as f64 * height);
        let frame = Frame { left: x0 + 92.0, top: y0 + 36.0, right: x0 + width - 22.0, bottom: y0 + height - 54.0 };
        draw(&mut d, frame, panel, &known, &keys, swept);
    }
    Some(d)
}

/// The plan (R, B, T) that was measured with the most sizes of batches, if that are several.
fn swept(known: &[&Price<'_, '_>]) -> Option<(u64, u64, u64)> {
    let of = |p: &Price<'_, '_>| {
        let r = p.cell.setting();
        Some((r.queries, r.fusion_copies?, r.fusion_public?))
    };
    let chunks = |plan: (u64, u64, u64)| {
        let same = known.iter().filter(|p| of(p) == Some(plan) && p.cell.is_measured());
        same.map(|p| chunk(p)).collect::<std::collections::BTreeSet<_>>().len()
    };
    let best = known.iter().filter_map(|p| of(p)).max_by_key(|plan| (chunks(*plan), plan.0))?;
    (chunks(best) > 1).then_some(best)
}

/// Inferences of one batch.
fn chunk(p: &Price<'_, '_>) -> u64 {
    let r = p.cell.setting();
    r.fusion_chunk.unwrap_or(r.ran()).min(r.ran())
}

fn draw(
    d: &mut Drawing,
    f: Frame,
    panel: &Panel<'_>,
    known: &[&Price<'_, '_>],
    keys: &[Key],
    swept: Option<(u64, u64, u64)>,
) {
    d.text((f.left, f.top - 18.0), &panel.heading, Type { bold: true, ..Type::LABEL }, Align::Left);
    let here: Vec<_> = known.iter().filter(|p| p.cell.setting().link == panel.link).copied().collect();
    let place = |p: &Price<'_, '_>| if panel.by_chunk { chunk(p) } else { p.cell.setting().queries } as f64;
    // (series, x, value, measured)
    let mut points: Vec<(usize, f64, f64, bool)> = Vec::new();
    for (i, key) in keys.iter().enumerate() {
        for p in here.iter().filter(|p| p.cell.setting().protocol == key.name) {
            let r = p.cell.setting();
            let plan = Some((r.queries, r.fusion_copies.unwrap_or(0), r.fusion_public.unwrap_or(0)));
            let Some(value) = (panel.value)(p).filter(|_| !panel.by_chunk || (plan == swept && p.cell.is_measured()))
            else {
                continue;
            };
            let same = |q: &&mut (usize, f64, f64, bool)| (q.0, q.1, q.3) == (i, place(p), p.cell.is_measured());
            match points.iter_mut().find(same) {
                Some(q) => q.2 = q.2.min(value),
                None => points.push((i, place(p), value, p.cell.is_measured())),
            }
        }
    }
    let mut ratios: Vec<(f64, f64)> = here.iter().map(|p| (place(p), p.inferences_a_query())).collect();
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    ratios.dedup_by(|b, a| a.0 == b.0);
    let mut ticks: Vec<f64> = points.iter().map(|p| p.1).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let (low, high) = (ticks.first().copied().unwrap_or(1.0), ticks.last().copied().unwrap_or(10.0));
    let x = Axis::exact(low * 0.8, high * 1.25, Spacing::Log, f.left, f.right);
    ratios.retain(|r| (low..=high).contains(&r.0));
    let known_r = ratios.iter().filter(|_| !panel.by_chunk).map(|r| r.1);
    let values = points.iter().map(|p| p.2).chain(known_r).chain([1.0]);
    let y = Axis::over(values, Spacing::Log, f.bottom, f.top);
    value_axis(d, f, &y, "× one inference (log scale)");
    let name = if panel.by_chunk { "inferences in a batch (log scale)" } else { "queries R (log scale)" };
    horizontal_axis(d, f, &x, &ticks, name);
    threshold(d, f, y.place(1.0), "the price of one inference");
    if panel.by_chunk {
        let plan = swept.map_or_else(String::new, |(r, b, t)| format!("R = {r}, B = {b}, T = {t}"));
        d.text((f.right - 2.0, f.top + 8.0), &plan, Type::SMALL, Align::Right);
    } else {
        let line: Vec<_> = ratios.iter().map(|r| (x.place(r.0), y.place(r.1))).collect();
        d.line(&line, GREY, 1.5);
    }
    for (i, key) in keys.iter().enumerate() {
        let mut of_key: Vec<_> = points.iter().filter(|p| p.0 == i).collect();
        of_key.sort_by(|a, b| a.1.total_cmp(&b.1));
        let at = |p: &(usize, f64, f64, bool)| (x.place(p.1), y.place(p.2));
        let measured: Vec<_> = of_key.iter().filter(|p| p.3).map(|p| at(p)).collect();
        d.line(&measured, key.color, 2.0);
        for p in of_key {
            d.marker(
                key.marker.unwrap_or(Marker::Circle),
                at(p),
                key.color,
                if p.3 { Fill::Solid } else { Fill::Ringed },
            );
        }
    }
}
