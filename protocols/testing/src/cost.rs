//! Declared cost against the meter.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use si_api::{Cost, Entry, Graph, Model, Options, Phase, Protocol};

use crate::graphs::random_queries;
use crate::pair::{PairRun, Seeds, run_pair};
use crate::{Failure, Verdict};

/// Compares what a protocol declares for some batches with what the client's meter counted in the run of these
/// batches: for each phase that the protocol declares anything for, label by label, and exactly. A label without a
/// declared cost must have none. The server's meter must mirror the client's.
///
/// # Errors
/// If the protocol declares nothing, or anything differs.
pub fn declared_cost_matches(
    protocol: &dyn Protocol,
    graph: &Graph,
    batches: &[usize],
    options: Options,
    run: &PairRun,
) -> Verdict {
    let mut declared: BTreeMap<(Phase, String), Cost> = BTreeMap::new();
    for n in batches {
        for line in protocol.cost(graph, *n, options)? {
            let sum = declared.entry((line.phase, line.label)).or_default();
            *sum = sum.plus(line.cost);
        }
    }
    let phases: BTreeSet<Phase> = declared.keys().map(|(phase, _)| *phase).collect();
    if phases.is_empty() {
        return Err(Failure::new("no cost is declared"));
    }
    let mut metered: BTreeMap<(Phase, String), Cost> = BTreeMap::new();
    for e in run.client_entries.iter().filter(|e| phases.contains(&e.phase)) {
        let cost = Cost { up_bytes: e.totals.sent_bytes, down_bytes: e.totals.recv_bytes, rounds: e.totals.rounds };
        metered.insert((e.phase, e.label.clone()), cost);
    }
    let all: BTreeSet<_> = declared.keys().chain(metered.keys()).collect();
    let differences: Vec<String> = (all.into_iter())
        .filter_map(|key| {
            let (d, m) =
                (declared.get(key).copied().unwrap_or_default(), metered.get(key).copied().unwrap_or_default());
            (d != m).then(|| format!("{} '{}': declared {d:?}, metered {m:?}", key.0, key.1))
        })
        .collect();
    if !differences.is_empty() {
        return Err(Failure::new(format!("declared cost of batches {batches:?}: {}", differences.join("; "))));
    }
    let sent = |entries: &[Entry]| entries.iter().map(|e| e.totals.sent_bytes).sum::<u64>();
    let received = |entries: &[Entry]| entries.iter().map(|e| e.totals.recv_bytes).sum::<u64>();
    let client = (sent(&run.client_entries), received(&run.client_entries));
    let server = (received(&run.server_entries), sent(&run.server_entries));
    if client != server {
        return Err(Failure::new(format!("(up, down) bytes: {client:?} at the client, {server:?} at the server")));
    }
    Ok(())
}

/// Checks that the online phase of a batch of `n` takes as many rounds as that of a single inference.
///
/// # Errors
/// If it does not, or a run fails.
pub fn rounds_do_not_grow(protocol: &Arc<dyn Protocol>, model: &Arc<Model>, n: usize, options: Options) -> Verdict {
    let rounds = |n| -> Verdict<u64> {
        let queries = random_queries(model.graph(), n, 1);
        let run = run_pair(protocol, model, &queries, options, Seeds::from_number(1))?;
        Ok((run.client_entries.iter()).filter(|e| e.phase == Phase::Online).map(|e| e.totals.rounds).sum())
    };
    let (one, many) = (rounds(1)?, rounds(n)?);
    if one == many { Ok(()) } else { Err(Failure::new(format!("{one} rounds for one inference, {many} for {n}"))) }
}
