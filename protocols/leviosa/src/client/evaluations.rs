//! What the client sends to the virtual servers and gets from them.

use rand::CryptoRng;
use si_api::{Error, Result};

use crate::columns::Columns;
use crate::deviation::InsecureDeviation;
use crate::error::{Verdict, abort, from_ole, own};
use crate::party::Party;
use crate::session::{Link, MODEL_SETS, OleInput, OleOutput, Plan, purpose};

/// The blocks behind the client's codewords.
pub(super) struct Blocks {
    /// Masks of the inputs of all layers but the first: by layer, group, and query * width + input.
    pub(super) masks: Vec<Vec<Vec<u64>>>,
    /// Pads of squares: by square, then group.
    pub(super) pads: Vec<Vec<Vec<u64>>>,
    /// What the evaluations gave: by layer or square, then group.
    pub(super) shares: Vec<Vec<Vec<u64>>>,
    pub(super) square_shares: Vec<Vec<Vec<u64>>>,
}

/// Codewords of what the client knows before anything is computed.
pub(super) fn commit_inputs(
    party: &Party,
    plan: &Plan,
    queries: &[Vec<i64>],
    rng: &mut impl CryptoRng,
) -> (Columns, Blocks) {
    let (network, geometry, code) = (&party.setting.network, &plan.geometry, &plan.code);
    let (field, narrow) = (code.field(), code.parameters().threshold);
    let mut columns = Columns::new(network);
    let mut blocks = Blocks {
        masks: vec![Vec::new(); network.layers.len()],
        pads: Vec::new(),
        shares: vec![Vec::new(); network.layers.len()],
        square_shares: vec![Vec::new(); network.squares],
    };
    for (l, layer) in network.layers.iter().enumerate() {
        for group in 0..geometry.groups {
            let mut elements = vec![0; geometry.slots()];
            let rows = (0..layer.inputs)
                .map(|k| {
                    let of_queries: Vec<u64> = (0..geometry.queries)
                        .map(|q| match queries.get(group * geometry.queries + q) {
                            Some(query) if l == 0 => {
                                let beyond =
                                    party.deviates(InsecureDeviation::OutOfRange) && (group, k, q) == (0, 0, 0);
                                field.add(field.signed(query[k]), u64::from(beyond) << network.query_bits)
                            }
                            None if l == 0 => 0,
                            _ => field.random(rng),
                        })
                        .collect();
                    if l > 0 {
                        of_queries.iter().enumerate().for_each(|(q, &x)| elements[q * geometry.width + k] = x);
                    }
                    let mut block = geometry.block(|_, q| of_queries[q]);
                    if party.deviates(InsecureDeviation::UnequalInput) && (l, group, k) == (0, 0, 0) {
                        block[1] = field.add(block[1], 1);
                    }
                    code.encode(&block, narrow, rng)
                })
                .collect();
            columns.inputs[l].push(rows);
            blocks.masks[l].push(elements);
        }
    }
    for group in 0..geometry.groups {
        let rows = (0..network.query_chunks()).flat_map(|chunk| {
            let element = |j: usize, q: usize| {
                let query = queries.get(group * geometry.queries + q);
                query
                    .and_then(|query| query.get(chunk * geometry.width + j).filter(|_| j < geometry.width))
                    .copied()
                    .unwrap_or(0)
            };
            let bits = (0..network.query_bits).map(move |bit| geometry.block(|j, q| (element(j, q) >> bit & 1) as u64));
            bits.collect::<Vec<_>>()
        });
        let rows = rows.map(|block| code.encode(&block, narrow, rng)).collect();
        columns.query_bits.push(rows);
    }
    for _ in 0..network.squares {
        let pads: Vec<Vec<u64>> =
            (0..geometry.groups).map(|_| (0..geometry.slots()).map(|_| field.random(rng)).collect()).collect();
        columns.pads.push(pads.iter().map(|pad| code.encode(pad, narrow, rng)).collect());
        blocks.pads.push(pads);
    }
    (columns, blocks)
}

/// Queries of all virtual servers, each sent as it is made.
pub(super) fn send_queries(party: &Party, plan: &Plan, link: &mut Link<'_>, columns: &Columns) -> Result<()> {
    let setting = &party.setting;
    for server in 0..plan.servers() {
        let inputs = at_server(party, plan, columns, server);
        let mut query = setting.ole.query(&link.keys.seed(server, purpose::QUERY), &inputs).map_err(own)?;
        if matches!(party.deviation, Some(InsecureDeviation::Query(servers)) if server < servers) {
            *query.last_mut().ok_or_else(|| Error::invalid("an empty query"))? ^= 1;
        }
        link.ch.send(&query)?;
    }
    Ok(())
}

fn at_server(party: &Party, plan: &Plan, columns: &Columns, server: usize) -> Vec<Vec<u64>> {
    let share = |input| match input {
        OleInput::Layer(l, group, k) => {
            let share = columns.inputs[l][group][k][server];
            let wrong = matches!(party.deviation, Some(InsecureDeviation::InputCodeword(servers)) if server < servers);
            share ^ u64::from(wrong && (l, group, k) == (0, 0, 0))
        }
        OleInput::Square(s, group) => columns.pads[s][group][server],
    };
    plan.inputs(&party.setting.network, share, party.setting.ole.slots())
}

/// Receives the server's commitments and answers; decrypts all, repeats those of watched servers, and decodes. All is done whatever
/// fails, and what is watched once all has arrived: neither the pace nor the end says which servers are watched, or failed.
pub(super) fn receive_answers(
    party: &Party,
    plan: &Plan,
    link: &mut Link<'_>,
    columns: &mut Columns,
    theirs: &mut Columns,
    blocks: &mut Blocks,
) -> Result<()> {
    let (setting, network, geometry) = (&party.setting, &party.setting.network, &plan.geometry);
    let (slots, field) = (setting.ole.slots(), plan.code.field());
    link.receive(theirs, &MODEL_SETS, network, plan)?;
    let empty = |count: usize| vec![vec![vec![0; plan.servers()]; geometry.groups]; count];
    columns.shares = empty(network.layers.len());
    columns.square_shares = empty(network.squares);
    let mut verdict = Verdict::default();
    let mut watched = Vec::with_capacity(plan.code.parameters().watched);
    for server in 0..plan.servers() {
        let answer = link.ch.recv_exact("answer of a virtual server", setting.ole.answer_bytes())?;
        let received = setting.ole.finish(&link.keys.seed(server, purpose::QUERY), &answer).unwrap_or_else(|e| {
            verdict.refuse(from_ole(&e, link.peer, server));
            vec![0; slots]
        });
        for (output, places) in plan.outputs(network) {
            let sum = received[places].iter().fold(0, |sum, &x| field.add(sum, x));
            match output {
                OleOutput::Layer(l, group) => columns.shares[l][group][server] = sum,
                OleOutput::Square(s, group) => columns.square_shares[s][group][server] = sum,
            }
        }
        if link.watchlist.place(server).is_some() {
            watched.push((server, answer));
        }
    }
    for (place, (server, answer)) in watched.into_iter().enumerate() {
        let inputs = at_server(party, plan, columns, server);
        let query = setting.ole.query(&link.keys.seed(server, purpose::QUERY), &inputs).map_err(own)?;
        let masks_seed = link.watchlist.seed(place, purpose::MASKS);
        let (factors, masks) = plan.factors(network, theirs, place, &masks_seed, slots);
        let again = setting.ole.answer(&link.watchlist.seed(place, purpose::ANSWER), &query, &factors, &masks);
        if again.map_err(own)? != answer {
            let check = format!("watchlist: its answer at virtual server {server} is not what its seed gives");
            verdict.refuse(abort(link.peer, check));
        }
    }
    let wide = plan.code.parameters().wide();
    for (blocks, rows) in [(&mut blocks.shares, &columns.shares), (&mut blocks.square_shares, &columns.square_shares)] {
        for (blocks, rows) in blocks.iter_mut().zip(rows) {
            for row in rows {
                blocks.push(plan.code.decode(row, wide).unwrap_or_else(|| {
                    let check = "degree: its shares of products are no codeword";
                    verdict.refuse(abort(link.peer, check));
                    Vec::new()
                }));
            }
        }
    }
    verdict.finish()
}
