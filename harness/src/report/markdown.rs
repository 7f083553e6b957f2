//! Markdown tables and the numbers in them.

use crate::stats::Summary;

/// A table whose cells are padded, so that the source is legible too.
pub(crate) struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
    text_columns: usize,
}

impl Table {
    /// A table of which the first `text_columns` columns are text, aligned to the left; the others to the right.
    pub(crate) fn new(text_columns: usize, head: &[&str]) -> Self {
        Self { head: head.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new(), text_columns }
    }

    /// Adds a row. Every cell says something: a number, why there is none, or "not run".
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.head.len());
        debug_assert!(cells.iter().all(|c| !["", "–", "-"].contains(&c.trim())), "a cell is empty: {cells:?}");
        self.rows.push(cells.into_iter().map(|c| c.replace('|', "\\|")).collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let len = |s: &String| s.chars().count();
        let width = |i: usize| self.rows.iter().chain([&self.head]).map(|r| len(&r[i])).max().unwrap_or(0).max(3);
        let widths: Vec<_> = (0..self.head.len()).map(width).collect();
        let line = |f: &mut std::fmt::Formatter<'_>, cells: &[String]| -> std::fmt::Result {
            for (i, (c, w)) in cells.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(w - len(c));
                if i < self.text_columns { write!(f, "| {c}{pad} ")? } else { write!(f, "| {pad}{c} ")? }
            }
            writeln!(f, "|")
        };
        line(f, &self.head)?;
        for (i, w) in widths.iter().enumerate() {
            let right = i >= self.text_columns;
            write!(f, "|{}{}", "-".repeat(w + 1), if right { ":" } else { "-" })?;
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|r| line(f, r))
    }
}

/// Three significant digits: enough for a reader, no more than repeated runs support.
pub(crate) fn number(x: f64) -> String {
    if !x.is_finite() {
        return "not finite".to_owned();
    }
    if x == 0.0 {
        return "0".to_owned();
    }
    // Rounded first: 9.996 has two digits before the point.
    let digits = format!("{:.2e}", x.abs()).split('e').nth(1).and_then(|e| e.parse::<i32>().ok()).unwrap_or(0);
    let decimals = usize::try_from(2 - digits).unwrap_or(0);
    let rounded = format!("{x:.decimals$}");
    if digits < 3 { rounded } else { thousands(x.round() as i64) }
}

/// At most three significant digits and three decimals: for columns whose small entries do not matter.
pub(crate) fn short(x: f64) -> String {
    if x != 0.0 && x.abs() < 0.1 { format!("{x:.3}") } else { number(x) }
}

/// A whole number with commas.
pub(crate) fn thousands(x: i64) -> String {
    let digits = x.unsigned_abs().to_string();
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    if x < 0 { format!("-{out}") } else { out }
}

/// Bytes in the unit that suits their number.
pub(crate) fn bytes(x: f64) -> String {
    let (unit, name) = match x {
        x if x >= 1_073_741_824.0 => (1_073_741_824.0, "GiB"),
        x if x >= 1_048_576.0 => (1_048_576.0, "MiB"),
        x if x >= 1024.0 => (1024.0, "KiB"),
        _ => return format!("{} B", thousands(x.round() as i64)),
    };
    format!("{} {name}", number(x / unit))
}

/// A time in the unit that suits it.
pub(crate) fn duration(ns: f64) -> String {
    let (unit, name) = match ns {
        x if x >= 1e8 => (1e9, "s"),
        x if x >= 1e6 => (1e6, "ms"),
        _ => (1e3, "µs"),
    };
    format!("{} {name}", number(ns / unit))
}

/// `median [min..max]`, the range left out where there is none, in units of `unit`.
pub(crate) fn spread(s: Summary, unit: f64) -> String {
    let (median, min, max) = (number(s.median / unit), number(s.min / unit), number(s.max / unit));
    if s.n < 2 || (min == median && max == median) { median } else { format!("{median} [{min}..{max}]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (x, text) in [
            (0.0, "0"),
            (0.001_234, "0.00123"),
            (0.5, "0.500"),
            (1.0, "1.00"),
            (9.996, "10.0"),
            (12.34, "12.3"),
            (999.7, "1,000"),
            (123.4, "123"),
            (5_579.4, "5,579"),
            (1_234_567.0, "1,234,567"),
            (-2.5, "-2.50"),
            (f64::NAN, "not finite"),
        ] {
            assert_eq!(number(x), text);
        }
        assert_eq!([0.0, 0.00002, 0.0519, 0.519, 51.9].map(short), ["0", "0.000", "0.052", "0.519", "51.9"]);
        assert_eq!((thousands(100), thousands(-1000)), ("100".into(), "-1,000".into()));
    }

    #[test]
    fn units_suit_the_size() {
        let of = [80.0, 2048.0, 5_000_000.0, 3e9].map(bytes);
        assert_eq!(of, ["80 B", "2.00 KiB", "4.77 MiB", "2.79 GiB"]);
        assert_eq!([500_000.0, 31_900_000.0, 2.08e8, 1.7e9].map(duration), ["500 µs", "31.9 ms", "0.208 s", "1.70 s"]);
    }

    #[test]
    fn spreads_show_ranges_only_where_there_are_any() {
        let s = |n, median, min, max| Summary { n, median, min, max };
        assert_eq!(spread(s(3, 2e9, 1e9, 4e9), 1e9), "2.00 [1.00..4.00]");
        assert_eq!(spread(s(1, 2e9, 2e9, 2e9), 1e9), "2.00");
        assert_eq!(spread(s(3, 2.0, 2.0, 2.001), 1.0), "2.00");
    }

    #[test]
    fn tables_are_aligned() {
        let mut t = Table::new(1, &["a", "value"]);
        t.row(vec!["x|y".into(), "1".into()]);
        t.row(vec!["z".into(), "10.0".into()]);
        let lines = ["| a    | value |", "|------|------:|", "| x\\|y |     1 |", "| z    |  10.0 |", ""];
        assert_eq!(t.to_string(), lines.join("\n"));
    }
}
