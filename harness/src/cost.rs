//! `bench cost`: what a protocol declares for a network, operator by operator, without running anything.

use anyhow::Result;
use serde_json::json;
use si_api::{Cost, CostLine, HomomorphicWork, Options};

use crate::cli::CostArgs;
use crate::commands::{merge, print};
use crate::experiment::{Cell, Load, MOST_BATCH, ensure_within};
use crate::registry;

/// What a protocol declares for a batch of a model.
pub(crate) struct Declared {
    /// Operators, then what making OTs takes.
    pub(crate) lines: Vec<CostLine>,
    pub(crate) total: Cost,
    /// Whether making OTs, the only thing that protocols may leave out, is priced.
    pub(crate) is_whole: bool,
    /// What the protocol says besides.
    pub(crate) notes: Vec<String>,
}

/// Nothing is run.
///
/// # Errors
/// If a name is unknown, or the protocol declares no cost.
pub(crate) fn declared(protocol: &str, model: &str, batch: usize, options: Options) -> Result<Declared> {
    let graph = si_models::zoo::graph(model)?;
    let protocol = registry::standalone(protocol, options)?;
    let mut lines = protocol.cost(&graph, batch, options)?;
    let stock = protocol.stock_estimate(&graph, batch, options)?;
    let is_whole = !stock.is_empty();
    lines.extend(stock);
    let total = lines.iter().fold(Cost::default(), |sum, l| sum.plus(l.cost));
    let notes = protocol.notes(&graph, batch, options)?;
    Ok(Declared { lines, total, is_whole, notes })
}

/// What a protocol says about the batch of a cell, if it can run that at all: why not is told when it is run.
pub(crate) fn notes(cell: &Cell) -> Vec<String> {
    let Load::Batch(batch) = cell.load else { return Vec::new() };
    let notes = || -> Result<Vec<String>> {
        let graph = si_models::zoo::graph(&cell.model)?;
        Ok(registry::standalone(&cell.protocol, cell.options)?.notes(&graph, batch, cell.options)?)
    };
    notes().unwrap_or_default()
}

/// `bench cost`.
///
/// # Errors
/// If a name is unknown, or the protocol declares no cost.
pub(crate) fn cost(args: &CostArgs) -> Result<()> {
    ensure_within("--batch", args.batch as u64, MOST_BATCH as u64)?;
    let Declared { lines, total, notes, .. } = declared(&args.protocol, &args.model, args.batch, Options::default())?;
    if args.json {
        let line = |l: &CostLine| {
            let mut v = json!({ "phase": l.phase.to_string(), "operator": l.label });
            merge(&mut v, serde_json::to_value(l.cost).unwrap_or_default());
            if let Some(work) = &l.homomorphic {
                merge(&mut v, json!({ "homomorphic": work }));
            }
            v
        };
        let answer = json!({
            "protocol": args.protocol,
            "model": args.model,
            "batch": args.batch,
            "lines": lines.iter().map(line).collect::<Vec<_>>(),
            "total": total,
            "notes": notes,
        });
        return print(&serde_json::to_string_pretty(&answer)?);
    }
    let operators = lines.iter().map(|l| (l.phase.to_string(), l.label.as_str(), l.cost, l.homomorphic.as_ref()));
    let works: Vec<_> = lines.iter().filter_map(|l| l.homomorphic.as_ref()).collect();
    let sum = HomomorphicWork {
        packing: String::new(),
        ciphertexts_up: works.iter().map(|w| w.ciphertexts_up).sum(),
        ciphertexts_down: works.iter().map(|w| w.ciphertexts_down).sum(),
        products: works.iter().map(|w| w.products).sum(),
        weight_transforms: works.iter().map(|w| w.weight_transforms).sum(),
        rotations: works.iter().map(|w| w.rotations).sum(),
    };
    let all = ("all".to_owned(), "", total, (!works.is_empty()).then_some(&sum));
    let width = lines.iter().map(|l| l.label.len()).max().unwrap_or(0).max(8);
    let line = |[phase, operator, up, down, rounds]: [&str; 5]| {
        format!("{phase:8} {operator:width$} {up:>14} {down:>14} {rounds:>8}")
    };
    let more = |[up, down, products, weights, rotations, packing]: [&str; 6]| {
        format!("  {up:>8} {down:>8} {products:>9} {weights:>9} {rotations:>9}  {packing}").trim_end().to_owned()
    };
    let mut head = line(["phase", "operator", "up_bytes", "down_bytes", "rounds"]);
    if !works.is_empty() {
        head += &more(["ct_up", "ct_down", "products", "weights", "rotations", "packing"]);
    }
    print(&head)?;
    for (phase, operator, cost, work) in operators.chain([all]) {
        let text = [cost.up_bytes, cost.down_bytes, cost.rounds].map(|x| x.to_string());
        let mut row = line([&phase, operator, &text[0], &text[1], &text[2]]);
        if let Some(w) = work {
            let text = [w.ciphertexts_up, w.ciphertexts_down, w.products, w.weight_transforms, w.rotations]
                .map(|x| x.to_string());
            row += &more([&text[0], &text[1], &text[2], &text[3], &text[4], &w.packing]);
        }
        print(&row)?;
    }
    notes.iter().try_for_each(|note| print(note))
}
