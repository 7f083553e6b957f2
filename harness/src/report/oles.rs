//! Passive oblivious linear evaluations for one product, as a protocol notes them in a record's log before its runs.

use std::collections::BTreeSet;

use super::cells::Cell;
use super::compare::Ours;

/// What stands between evaluations and products in a note: `fc1: 1152 passive OLEs for 100 products, 11.52 a product`.
const BETWEEN: &str = " passive OLEs for ";

/// Evaluations and products of a note, if it is one of them.
fn counts(note: &str) -> Option<(f64, f64)> {
    let (before, after) = note.split_once(BETWEEN)?;
    let evaluations = before.rsplit(' ').next()?.parse().ok()?;
    let products = after.split(' ').next()?.parse().ok()?;
    Some((evaluations, products))
}

/// Evaluations for one product of the network, over all its operators. Nothing if the log does not tell.
fn a_product(cell: &Cell<'_>) -> Option<f64> {
    // A line: the time, the cell, the note. A run that was resumed repeats its notes: the ratio is the same.
    let name = format!(" {}: ", cell.setting().cell);
    let notes = cell.folder.log.lines().filter_map(|l| l.split_once(name.as_str())).filter_map(|l| counts(l.1));
    let (evaluations, products) = notes.fold((0.0, 0.0), |sum, n| (sum.0 + n.0, sum.1 + n.1));
    (products > 0.0).then(|| evaluations / products)
}

/// One figure for each network and load of a protocol: evaluations do not depend on the link.
pub(crate) fn ours(cells: &[Cell<'_>], protocol: &str) -> Vec<Ours> {
    let mut seen = BTreeSet::new();
    let figure = |c: &Cell<'_>| {
        let (r, value) = (c.setting(), a_product(c)?);
        let (model, link, machine) = (r.model.clone(), "any".to_owned(), c.folder.machine.cpu.clone());
        let method = format!("{}, noted in the record", c.load());
        seen.insert((r.model.clone(), c.load())).then_some(Ours {
            model,
            link,
            value,
            low: value,
            high: value,
            method,
            machine,
        })
    };
    let run = |c: &&Cell<'_>| c.setting().protocol == protocol && c.good().next().is_some();
    cells.iter().filter(run).filter_map(figure).collect()
}

#[cfg(test)]
mod tests {
    use si_api::Options;

    use super::super::cells::cells;
    use super::*;
    use crate::cost;
    use crate::record::samples;

    #[test]
    fn the_protocols_notes_are_understood() {
        let Ok(declared) = cost::declared("leviosa", "mnist-dnn4-square", 1, Options::default()) else {
            panic!("LevioSA declares its cost")
        };
        let found: Vec<_> = declared.notes.iter().filter_map(|n| counts(n)).collect();
        // Four layers and three squares; the first has 784 x 100 weights.
        assert_eq!((found.len(), found[0].1), (7, 78_400.0), "{:?}", declared.notes);
    }

    #[test]
    fn a_cells_own_notes_count_once_for_all_links() {
        let mut f = samples::folder("a");
        for link in ["lan", "wan"] {
            samples::add(&mut f, samples::batch("leviosa", link, 1, 1));
            let cell = f.runs.last().unwrap().cell.clone();
            f.log += &format!(
                "2025-01-01T00:00:00Z {cell}: n = 9\n2025-01-01T00:00:00Z {cell}: fc1: 90 passive OLEs for 20 products, 4.50 a product\n"
            );
            f.log += &format!("2025-01-01T00:00:00Z {cell}: fc2: 60 passive OLEs for 10 products, 6.00 a product\n");
            f.log += &format!("2025-01-01T00:00:00Z {cell}0: fc1: 9 passive OLEs for 1 products, 9.00 a product\n");
        }
        let folders = [f];
        let [o] = ours(&cells(&folders), "leviosa").try_into().ok().unwrap();
        assert_eq!((o.value, o.link.as_str(), o.method.as_str()), (5.0, "any", "batch 1, noted in the record"));
        assert!(ours(&cells(&[samples::folder("b")]), "leviosa").is_empty());
    }
}
