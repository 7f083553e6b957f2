//! What the server commits to and answers at the virtual servers.

use rand::CryptoRng;
use si_api::Result;

use crate::columns::{Columns, Row};
use crate::deviation::InsecureDeviation;
use crate::error::{Verdict, abort, from_ole};
use crate::party::Party;
use crate::session::{Link, OleInput, Plan, purpose};

/// The blocks behind the server's codewords.
pub(super) struct Blocks {
    /// By layer or square, then group.
    pub(super) pads: Vec<Vec<Vec<u64>>>,
    pub(super) shares: Vec<Vec<Vec<u64>>>,
    pub(super) square_shares: Vec<Vec<Vec<u64>>>,
}

/// A layer's weights (out, in) and biases as elements.
pub(super) struct Elements {
    pub(super) weights: Vec<u64>,
    pub(super) bias: Vec<u64>,
}

/// Codewords of the model, of the masks of all evaluations, and of the pads of squares.
pub(super) fn commit_model(
    party: &Party,
    plan: &Plan,
    model: &[Elements],
    rng: &mut impl CryptoRng,
) -> (Columns, Blocks) {
    let (network, geometry, code) = (&party.setting.network, &plan.geometry, &plan.code);
    let (field, narrow, wide) = (code.field(), code.parameters().threshold, code.parameters().wide());
    let mut columns = Columns::new(network);
    for (l, (layer, elements)) in network.layers.iter().zip(model).enumerate() {
        let weights = (0..layer.inputs)
            .map(|k| {
                let weight = |j: usize| if j < layer.outputs { elements.weights[j * layer.inputs + k] } else { 0 };
                let mut block = geometry.block(|j, _| weight(j));
                if party.deviates(InsecureDeviation::UnequalWeight) && (l, k) == (0, 0) {
                    block[geometry.width * (geometry.queries - 1)] = field.add(block[0], 1);
                }
                code.encode(&block, narrow, rng)
            })
            .collect();
        columns.weights.push(weights);
        let bias = |j: usize| elements.bias.get(j).copied().unwrap_or(0);
        columns.bias.push(code.encode(&geometry.block(|j, _| bias(j)), narrow, rng));
    }
    let mut random = |count: usize, bound: usize| -> (Vec<Vec<Vec<u64>>>, Vec<Vec<Row>>) {
        (0..count)
            .map(|_| {
                (0..geometry.groups)
                    .map(|_| {
                        let block: Vec<u64> = (0..geometry.slots()).map(|_| field.random(rng)).collect();
                        let row = code.encode(&block, bound, rng);
                        (block, row)
                    })
                    .unzip()
            })
            .unzip()
    };
    let (shares, rows) = random(network.layers.len(), wide);
    columns.shares = rows;
    let (pads, rows) = random(network.squares, narrow);
    columns.pads = rows;
    let (square_shares, rows) = random(network.squares, wide);
    columns.square_shares = rows;
    if let Some(InsecureDeviation::ShareCodeword(servers)) = party.deviation {
        columns.shares[0][0][..servers].iter_mut().for_each(|x| *x = field.add(*x, 1));
    }
    (columns, Blocks { pads, shares, square_shares })
}

/// Receives the queries of all virtual servers and answers each, then repeats those watched, whatever fails: neither the pace nor the
/// end says which servers are watched, or failed. The answers wait until the inputs are proven.
pub(super) fn answer_queries(
    party: &Party,
    plan: &Plan,
    link: &mut Link<'_>,
    columns: &Columns,
    theirs: &mut Columns,
) -> Result<Vec<Vec<u8>>> {
    let (setting, network, geometry) = (&party.setting, &party.setting.network, &plan.geometry);
    let (ciphertexts, slots) = (plan.layout.ciphertexts, setting.ole.slots());
    for (l, layer) in network.layers.iter().enumerate() {
        theirs.inputs[l] = vec![vec![Vec::new(); layer.inputs]; geometry.groups];
    }
    theirs.pads = vec![vec![Vec::new(); geometry.groups]; network.squares];
    let shift = party.deviation.and_then(|deviation| deviation.shift(&plan.code));
    let mut answers = Vec::with_capacity(plan.servers());
    let mut watched = Vec::with_capacity(plan.code.parameters().watched);
    for server in 0..plan.servers() {
        let query = link.ch.recv_exact("query of a virtual server", setting.ole.query_bytes(ciphertexts))?;
        let masks_seed = link.keys.seed(server, purpose::MASKS);
        let (mut factors, mut masks) = plan.factors(network, columns, server, &masks_seed, slots);
        if matches!(party.deviation, Some(InsecureDeviation::EvaluationInput(servers)) if server < servers) {
            factors[0][0] = setting.field.add(factors[0][0], 1);
        }
        if let Some(shift) = &shift {
            masks[0] = setting.field.add(masks[0], shift[server]);
        }
        let answer = setting.ole.answer(&link.keys.seed(server, purpose::ANSWER), &query, &factors, &masks);
        let mut answer = answer.map_err(|e| from_ole(&e, link.peer, server))?;
        if matches!(party.deviation, Some(InsecureDeviation::Answer(servers)) if server < servers) {
            // The lowest bit of a coefficient: less than the noise.
            answer[16] ^= 1;
        }
        answers.push(answer);
        if link.watchlist.place(server).is_some() {
            watched.push((server, query));
        }
    }
    let mut verdict = Verdict::default();
    for (place, (server, query)) in watched.into_iter().enumerate() {
        let seed = link.watchlist.seed(place, purpose::QUERY);
        let vectors = setting.ole.open_query(&seed, &query, ciphertexts).unwrap_or_else(|e| {
            let check = format!("watchlist: its query at virtual server {server}: {e}");
            verdict.refuse(abort(link.peer, check));
            vec![vec![0; slots]; ciphertexts]
        });
        plan.each_input(network, |input, ciphertext, slot| {
            let share = vectors[ciphertext][slot];
            match input {
                OleInput::Layer(l, group, k) => theirs.inputs[l][group][k].push(share),
                OleInput::Square(s, group) => theirs.pads[s][group].push(share),
            }
        });
    }
    verdict.finish().map(|()| answers)
}

/// What the client received from its evaluations at the watched servers, from both parties' shares there.
pub(super) fn received_shares(plan: &Plan, party: &Party, watched: &[usize], columns: &Columns, theirs: &mut Columns) {
    let (network, field) = (&party.setting.network, plan.code.field());
    let groups = 0..plan.geometry.groups;
    let of = |own: &[u64], pairs: &[(&Row, &Row)]| -> Row {
        (watched.iter().enumerate())
            .map(|(place, &server)| {
                let sum = pairs.iter().map(|(x, w)| u128::from(x[place]) * u128::from(w[server])).sum::<u128>();
                field.reduce(sum + u128::from(own[server]))
            })
            .collect()
    };
    theirs.shares = (0..network.layers.len())
        .map(|l| {
            (groups.clone())
                .map(|g| {
                    let pairs: Vec<_> = theirs.inputs[l][g].iter().zip(&columns.weights[l]).collect();
                    of(&columns.shares[l][g], &pairs)
                })
                .collect()
        })
        .collect();
    theirs.square_shares = (0..network.squares)
        .map(|s| {
            let share = |g: usize| of(&columns.square_shares[s][g], &[(&theirs.pads[s][g], &columns.pads[s][g])]);
            groups.clone().map(share).collect()
        })
        .collect();
}
