//! Rows as CSV: written in one order of columns, read back with errors that name file, line and column.

use std::fs::{self, OpenOptions};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Columns that were added after records had been made, and have a default (agreement with [`super::RunRow`]).
pub(super) const LATER: [&str; 11] = [
    "one_way_trips",
    "server",
    "resumed_inferences",
    "tcp_congestion",
    "tcp_restarts_after_idle",
    "tcp_buffer_bytes",
    "rtt_1kb_seen_p50_us",
    "duplex_seen_bits_per_s",
    "fresh_mb_seen_us",
    "retransmits_seen",
    "drops_seen",
];

/// The greatest number in a record but for seeds and distances of scores (agreement): reports compute with doubles, which
/// hold whole numbers up to here, and sums of thousands of such numbers still fit into 64 bits.
const MOST: u64 = 1 << 53;

/// Digits of [`MOST`].
const MOST_DIGITS: usize = 16;

/// Refuses a row with a number that no measurement gives.
///
/// # Errors
/// With the column's name and the number.
pub(super) fn ensure_measurable(row: &impl Serialize) -> Result<()> {
    let row = serde_json::to_value(row)?;
    let free = |column: &str| column == "seed" || column.ends_with("_ulp");
    let mut numbers = row.as_object().into_iter().flatten().filter(|(column, _)| !free(column));
    match numbers.find_map(|(column, value)| Some((column, value.as_u64().filter(|n| *n > MOST)?))) {
        Some((column, n)) => bail!("column '{column}': {n} is above {MOST}, which no measurement is"),
        None => Ok(()),
    }
}

/// Names of the columns of a row, in order.
pub(crate) fn columns<T: Default + Serialize>() -> Result<Vec<String>> {
    let mut w = csv::Writer::from_writer(Vec::new());
    w.serialize(T::default())?;
    let bytes = w.into_inner().map_err(|e| anyhow!("{e}"))?;
    let mut r = csv::Reader::from_reader(bytes.as_slice());
    Ok(r.headers()?.iter().map(str::to_owned).collect())
}

pub(super) fn header<T: Default + Serialize>() -> Result<Vec<u8>> {
    Ok(format!("{}\n", columns::<T>()?.join(",")).into_bytes())
}

pub(super) fn lines<T: Serialize>(rows: &[T]) -> Result<Vec<u8>> {
    let mut w = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    for row in rows {
        w.serialize(row)?;
    }
    w.into_inner().map_err(|e| anyhow!("{e}"))
}

pub(super) fn read_rows<T: Default + Serialize + DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let shown = path.display();
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {shown}"))?;
    let headers = reader.headers().with_context(|| format!("{shown}:1"))?.clone();
    let (found, want): (Vec<_>, _) = (headers.iter().map(str::to_owned).collect(), columns::<T>()?);
    if let Some(c) = want.iter().find(|c| !found.contains(c) && !LATER.contains(&c.as_str())) {
        bail!("{shown}:1: column '{c}' is missing; see results/SCHEMA.md");
    }
    if let Some(c) = found.iter().find(|c| !want.contains(c)) {
        bail!("{shown}:1: unknown column '{c}'; see results/SCHEMA.md");
    }
    if let Some((_, c)) = found.iter().enumerate().find(|(i, c)| found[..*i].contains(c)) {
        bail!("{shown}:1: column '{c}' stands twice");
    }
    let mut rows = Vec::new();
    let mut record = csv::StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => return Ok(rows),
            Ok(true) => {
                let row = record.deserialize(Some(&headers)).map_err(|e| explain(path, &headers, &record, &e))?;
                if record.iter().any(|field| field.len() >= MOST_DIGITS && field.bytes().all(|b| b.is_ascii_digit())) {
                    let line = record.position().map_or(0, csv::Position::line);
                    ensure_measurable(&row).with_context(|| format!("{shown}:{line}"))?;
                }
                rows.push(row);
            }
            Err(e) => return Err(explain(path, &headers, &record, &e)),
        }
    }
}

/// `file:line: column 'c': why (value)`.
fn explain(path: &Path, headers: &csv::StringRecord, record: &csv::StringRecord, e: &csv::Error) -> anyhow::Error {
    let shown = path.display();
    match e.kind() {
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
            let line = pos.as_ref().map_or(0, csv::Position::line);
            anyhow!("{shown}:{line}: {len} fields, the header has {expected_len}")
        }
        csv::ErrorKind::Deserialize { err, .. } => {
            let line = record.position().map_or(0, csv::Position::line);
            // An unknown variant comes without its field, but between backticks.
            let variant = err.kind().to_string().split('`').nth(1).map(str::to_owned);
            let by_value = || record.iter().position(|v| Some(v) == variant.as_deref());
            let field = err.field().and_then(|f| usize::try_from(f).ok()).or_else(by_value);
            let column = field.and_then(|f| headers.get(f)).unwrap_or("?");
            let value = field.and_then(|f| record.get(f)).unwrap_or("");
            anyhow!("{shown}:{line}: column '{column}': {} (value '{value}')", err.kind())
        }
        _ => anyhow!("{shown}: {e}"),
    }
}

/// Cuts off a last line without its end, which a kill leaves.
pub(super) fn cut_unfinished_line(path: &Path) -> Result<()> {
    let named = || format!("cannot read {}", path.display());
    let bytes = fs::read(path).with_context(named)?;
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    if whole < bytes.len() {
        truncate(path, whole as u64)?;
    }
    Ok(())
}

/// Cuts rows that are not to be kept from the end of the file; elsewhere they are left for `bench check` to report.
pub(super) fn cut_rows(path: &Path, keep: impl Iterator<Item = bool>) -> Result<()> {
    let keep: Vec<bool> = keep.collect();
    let kept = keep.iter().rposition(|k| *k).map_or(0, |i| i + 1);
    if kept == keep.len() {
        return Ok(());
    }
    let mut reader = csv::Reader::from_path(path)?;
    let first_cut = reader.records().nth(kept).transpose()?;
    match first_cut.as_ref().and_then(csv::StringRecord::position) {
        Some(p) => truncate(path, p.byte()),
        None => Ok(()),
    }
}

fn truncate(path: &Path, len: u64) -> Result<()> {
    let named = || format!("cannot cut the end of {}", path.display());
    OpenOptions::new().write(true).open(path).and_then(|f| f.set_len(len)).with_context(named)
}
