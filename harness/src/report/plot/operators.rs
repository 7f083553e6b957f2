//! Bytes and rounds of each operator of one cell.

use plotters::style::RGBColor;

use super::axis::{Axis, Spacing};
use super::canvas::{Align, Drawing, GRID, INK, Type, text_width};
use super::looks::look;
use super::panel::{Frame, Key, MARGIN, Sign, horizontal_axis, legend, title};
use crate::report::cells::{Cell, MIB};
use crate::report::markdown::bytes as in_bytes;
use crate::report::operators::{Line, grouped, lines};

/// Operators with less than this part of all bytes are shown as one (local).
const LEAST: f64 = 1e-3;
/// Fewer operators than this say what a table says as well (local).
const FEWEST: usize = 3;
/// Height of a row (local).
const ROW: f64 = 25.0;

struct Row {
    name: String,
    up: f64,
    down: f64,
    rounds: f64,
}

impl Row {
    fn new(l: &Line) -> Self {
        let online = l.phase == "online" || l.phase == l.operator;
        let name = if online { l.operator.clone() } else { format!("{} ({})", l.operator, l.phase) };
        Self { name, up: l.up_bytes, down: l.down_bytes, rounds: l.rounds }
    }

    fn bytes(&self) -> f64 {
        self.up + self.down
    }
}

/// The figure. Nothing if fewer than [`FEWEST`] operators sent anything.
pub(crate) fn bytes(cell: &Cell<'_>) -> Option<Drawing> {
    let r = cell.setting();
    let mut sent = grouped(&r.model, lines(cell));
    sent.retain(|l| l.phase != "setup" && l.up_bytes + l.down_bytes > 0.0);
    if sent.len() < FEWEST {
        return None;
    }
    let rows = summed(sent.iter().map(Row::new).collect());
    let most = rows.iter().map(Row::bytes).fold(0.0, f64::max);
    let units = [(1024.0 * MIB, "GiB"), (MIB, "MiB"), (1024.0, "KiB")];
    let (unit, unit_name) = units.into_iter().find(|(unit, _)| most >= *unit).unwrap_or((1.0, "B"));
    let mut d = Drawing::new(860.0, 0.0);
    let heading = format!("Communication by operator: {}, {}, {}", r.protocol, r.model, cell.load());
    let note = format!(
        "Payload and framing of the whole load, set-up excluded. A round: the client turns from sending to receiving. Operators with \
         less than {} % of the bytes are summed up.",
        100.0 * LEAST
    );
    let (first, second) = note.split_at(note.find("Operators").unwrap_or(note.len()));
    let below = title(&mut d, &heading, &[first.trim_end(), second]);
    // The protocol's own colour, and a light tone of it.
    let dark = look(&r.protocol).0;
    let tone = |c: u8| c + (f64::from(255 - c) * 0.6) as u8;
    let light = RGBColor(tone(dark.0), tone(dark.1), tone(dark.2));
    let key = |name: &str, color| Key { name: name.into(), color, sign: Sign::Bar };
    let keys = [key("client to server", dark), key("server to client", light)];
    let right = d.width - 16.0;
    let top = legend(&mut d, &keys, (MARGIN, below + 8.0), right) + 4.0;
    let widest = rows.iter().map(|l| text_width(&l.name, Type::LABEL)).fold(0.0, f64::max);
    let bottom = top + ROW * rows.len() as f64 + 4.0;
    let frame = Frame { left: MARGIN + widest + 12.0, top, right: d.width - 140.0, bottom };
    d.height = bottom + 54.0;
    let axis = Axis::exact(0.0, most / unit, Spacing::Linear, frame.left, frame.right);
    let ticks = axis.ticks();
    for tick in &ticks {
        let x = axis.place(*tick);
        d.line(&[(x, frame.top), (x, frame.bottom)], GRID, 1.0);
    }
    for (i, l) in rows.iter().enumerate() {
        let y = frame.top + 4.0 + ROW * (i as f64 + 0.5);
        d.text((frame.left - 8.0, y), &l.name, Type::LABEL, Align::Right);
        let (up, all) = (axis.place(l.up / unit), axis.place(l.bytes() / unit));
        d.rect((frame.left, y - 8.0), (up, y + 8.0), dark);
        d.rect((up, y - 8.0), (all, y + 8.0), light);
        let rounds = if l.rounds == 1.0 { "1 round".into() } else { format!("{} rounds", l.rounds) };
        d.value((all + 7.0, y), &format!("{}, {rounds}", in_bytes(l.bytes())), INK);
    }
    d.line(&[(frame.left, frame.top), (frame.left, frame.bottom)], INK, 1.0);
    horizontal_axis(&mut d, frame, &axis, &ticks, unit_name);
    Some(d)
}

/// The small rows as one, if they are several.
fn summed(rows: Vec<Row>) -> Vec<Row> {
    let all: f64 = rows.iter().map(Row::bytes).sum();
    let is_small = |l: &Row| l.bytes() < LEAST * all;
    if rows.iter().filter(|l| is_small(l)).count() < 2 {
        return rows;
    }
    let (small, mut shown): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_small);
    let sum = |of: fn(&Row) -> f64| small.iter().map(of).sum::<f64>();
    let name = format!("{} others", small.len());
    shown.push(Row { name, up: sum(|l| l.up), down: sum(|l| l.down), rounds: sum(|l| l.rounds) });
    shown
}
