//! Figures of what was measured: bytes by operator, amortised cost against batch.

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, Fill, INK, Marker, PALETTE, Type, text_width};
use super::panel::{Frame, Key, MARGIN, curve, horizontal_axis, legend, title, value_axis, whisker};
use crate::report::cells::{Cell, MIB, Metric, SECOND};
use crate::report::markdown::bytes as in_bytes;
use crate::report::operators::{grouped, lines};
use crate::stats::Summary;

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

/// Bytes and rounds of each operator of one cell. Nothing if nothing was sent.
pub(crate) fn bytes(cell: &Cell<'_>) -> Option<Drawing> {
    let mut rows = grouped(&cell.setting().model, lines(cell));
    rows.retain(|l| l.phase != "setup" && l.up_bytes + l.down_bytes > 0.0);
    let most = rows.iter().map(|l| l.up_bytes + l.down_bytes).fold(0.0, f64::max);
    if rows.is_empty() {
        return None;
    }
    let (unit, unit_name) = if most >= MIB { (MIB, "MiB") } else { (1024.0, "KiB") };
    let r = cell.setting();
    let row_height = 25.0;
    let mut d = Drawing::new(860.0, 168.0 + row_height * rows.len() as f64);
    let heading = format!("Communication by operator: {}, {}, {}", r.protocol, r.model, cell.load());
    let below = title(
        &mut d,
        &heading,
        &[
            "Payload and framing of the whole load, set-up excluded. A round: the client turns from sending to receiving.",
        ],
    );
    let key = |name: &str, color| Key { name: name.into(), color, marker: None };
    let keys = [key("client to server", PALETTE[0]), key("server to client", PALETTE[1])];
    let legend_right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, below + 8.0), legend_right) + 4.0;
    let name = |phase: &str, operator: &str| {
        if phase == "online" || phase == operator { operator.to_owned() } else { format!("{operator} ({phase})") }
    };
    let widest = rows.iter().map(|l| text_width(&name(&l.phase, &l.operator), Type::LABEL)).fold(0.0, f64::max);
    let frame = Frame {
        left: MARGIN + widest + 12.0,
        top,
        right: d.width - 140.0,
        bottom: top + row_height * rows.len() as f64 + 4.0,
    };
    let axis = Axis::exact(0.0, most / unit, Spacing::Linear, frame.left, frame.right);
    let ticks = axis.ticks();
    for tick in &ticks {
        let x = axis.place(*tick);
        d.line(&[(x, frame.top), (x, frame.bottom)], super::canvas::GRID, 1.0);
    }
    for (i, l) in rows.iter().enumerate() {
        let y = frame.top + 4.0 + row_height * (i as f64 + 0.5);
        d.text((frame.left - 8.0, y), &name(&l.phase, &l.operator), Type::LABEL, Align::Right);
        let (up, all) = (axis.place(l.up_bytes / unit), axis.place((l.up_bytes + l.down_bytes) / unit));
        d.rect((frame.left, y - 8.0), (up, y + 8.0), PALETTE[0]);
        d.rect((up, y - 8.0), (all, y + 8.0), PALETTE[1]);
        let rounds = if l.rounds == 1.0 { "1 round".into() } else { format!("{} rounds", l.rounds) };
        let label = format!("{}, {rounds}", in_bytes(l.up_bytes + l.down_bytes));
        d.text((all + 7.0, y), &label, Type { color: INK, ..Type::SMALL }, Align::Left);
    }
    d.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], INK, 1.0);
    horizontal_axis(&mut d, frame, &axis, &ticks, unit_name);
    Some(d)
}

/// A panel of the amortised figure: what it shows, of which cells.
struct Panel<'c, 'a> {
    heading: String,
    quantity: &'static str,
    metric: Metric,
    unit: f64,
    cells: Vec<&'c Cell<'a>>,
}

/// Cost of one query against the number of queries in a batch: CPU time and bytes on the nearest link, time on each.
/// Nothing unless some protocol was run with two sizes; only links where one was.
pub(crate) fn amortised(cells: &[&Cell<'_>]) -> Option<Drawing> {
    let mut shown: Vec<&Cell<'_>> = cells.iter().filter(|c| c.good().next().is_some()).copied().collect();
    // A link on which every protocol was run with one size has no curve.
    let place = |c: &Cell<'_>| (c.setting().protocol.clone(), c.setting().link.clone());
    let sizes = |at: (String, String)| {
        let of_protocol = cells.iter().filter(|c| place(c) == at && c.good().next().is_some());
        distinct(of_protocol.map(|c| c.setting().queries)).len()
    };
    let mut links = distinct(shown.iter().map(|c| c.setting().link.clone()));
    links.retain(|l| shown.iter().any(|c| c.setting().link == *l && sizes(place(c)) > 1));
    shown.retain(|c| links.contains(&c.setting().link));
    shown.sort_by_key(|c| c.strength());
    let protocols = distinct(shown.iter().map(|c| c.setting().protocol.clone()));
    let on = |link: &String| shown.iter().filter(|c| c.setting().link == *link).copied().collect::<Vec<_>>();
    let near = on(links.first()?);
    let panel = |heading: String, quantity, metric, unit, cells| Panel { heading, quantity, metric, unit, cells };
    let mut panels = vec![
        panel(
            format!("CPU time, all parties ({})", links[0]),
            "CPU seconds a query (log scale)",
            Metric::Cpu,
            SECOND,
            near.clone(),
        ),
        panel(format!("Communication, both ways ({})", links[0]), "MiB a query (log scale)", Metric::Bytes, MIB, near),
    ];
    panels.extend(
        links.iter().map(|l| panel(format!("Time ({l})"), "seconds a query (log scale)", Metric::Wall, SECOND, on(l))),
    );

    let (columns, width, height) = (2, 430.0, 300.0);
    let mut d = Drawing::new(columns as f64 * width, 110.0 + height * panels.len().div_ceil(columns) as f64);
    let model = &shown.first()?.setting().model;
    let note = "Medians; whiskers: least and greatest repetition. Fusion: copies and public samples are part of a query's cost, of several plans the cheapest; with a ring: composed.";
    let below = title(&mut d, &format!("Amortised cost of one query: {model}"), &[note]);
    let keys: Vec<_> = protocols.iter().map(|p| Key::of_protocol(p)).collect();
    let legend_right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, below + 8.0), legend_right);
    d.height = top + height * panels.len().div_ceil(columns) as f64;
    let all_sizes = shown.iter().map(|c| c.setting().queries as f64);
    let (low, high) = all_sizes.clone().fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
    let mut ticks = distinct(all_sizes);
    ticks.sort_by(f64::total_cmp);
    for (i, p) in panels.iter().enumerate() {
        let (x0, y0) = ((i % columns) as f64 * width, top + (i / columns) as f64 * height);
        let frame = Frame { left: x0 + 92.0, top: y0 + 34.0, right: x0 + width - 22.0, bottom: y0 + height - 54.0 };
        curves(&mut d, frame, p, (low * 0.85, high * 1.18), &ticks, &keys);
    }
    Some(d)
}

fn curves(d: &mut Drawing, frame: Frame, p: &Panel<'_, '_>, x_range: (f64, f64), ticks: &[f64], keys: &[Key]) {
    d.text((frame.left, frame.top - 16.0), &p.heading, Type { bold: true, ..Type::LABEL }, Align::Left);
    let spans: Vec<(&Cell<'_>, Summary)> = p.cells.iter().filter_map(|c| Some((*c, c.per_query(p.metric)?))).collect();
    let ends = spans.iter().flat_map(|(_, s)| [s.min / p.unit, s.max / p.unit]);
    let y = Axis::over(ends, Spacing::Log, frame.bottom, frame.top);
    let x = Axis::exact(x_range.0, x_range.1, Spacing::Log, frame.left, frame.right);
    value_axis(d, frame, &y, p.quantity);
    horizontal_axis(d, frame, &x, ticks, "queries in a batch or plan (log scale)");
    for key in keys {
        let mut points: Vec<(u64, bool, Summary)> = (spans.iter())
            .filter(|(c, _)| c.setting().protocol == key.name)
            .map(|(c, s)| (c.setting().queries, c.is_measured(), *s))
            .collect();
        points.sort_by(|a, b| (a.0, !a.1).cmp(&(b.0, !b.1)).then(a.2.median.total_cmp(&b.2.median)));
        // Of plans that differ in copies, public samples or batches, the cheapest.
        points.dedup_by_key(|p| (p.0, p.1));
        let at = |(queries, _, s): &(u64, bool, Summary)| (x.place(*queries as f64), y.place(s.median / p.unit));
        // Only like is joined with like.
        for pair in points.windows(2).filter(|p| p[0].1 == p[1].1) {
            curve(d, &[at(&pair[0]), at(&pair[1])], key);
        }
        for point in &points {
            whisker(d, at(point).0, y.place(point.2.min / p.unit), y.place(point.2.max / p.unit));
            d.marker(
                key.marker.unwrap_or(Marker::Circle),
                at(point),
                key.color,
                if point.1 { Fill::Solid } else { Fill::Ringed },
            );
        }
    }
}
