//! The server: commits to its model and masks, answers at each virtual server, and proves that all it does follows from that.

use std::sync::Arc;

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Error, Model, Phase, Result, Server};

use crate::checks::{self, CHALLENGE_BYTES, Masks, View};
use crate::client::{add_blocks, squared, sub_blocks, truncate};
use crate::columns::{Columns, Opened, Row, Set};
use crate::deviation::InsecureDeviation;
use crate::error::{abort, from_ole};
use crate::network::Step;
use crate::parameters::REPETITIONS;
use crate::party::{Party, ended, labels};
use crate::session::{Link, MODEL_SETS, OleInput, Plan, commitment, purpose};
use crate::statement::{self, Statement};

pub(crate) struct LeviOsaServer {
    pub(crate) party: Party,
    pub(crate) model: Arc<Model>,
}

/// The blocks behind the server's codewords.
struct Blocks {
    /// By layer or square, then group.
    pads: Vec<Vec<Vec<u64>>>,
    shares: Vec<Vec<Vec<u64>>>,
    square_shares: Vec<Vec<Vec<u64>>>,
}

/// A layer's weights (out, in) and biases as elements.
struct Elements {
    weights: Vec<u64>,
    bias: Vec<u64>,
}

impl Server for LeviOsaServer {
    fn offline(&mut self, n: usize) -> Result<()> {
        self.party.prepare(n)
    }

    fn online(&mut self, n: usize) -> Result<()> {
        if n == 0 { Ok(()) } else { self.run(n) }
    }
}

impl LeviOsaServer {
    fn elements(&self) -> Result<Vec<Elements>> {
        let field = self.party.setting.field;
        let of = |values: &[i64]| values.iter().map(|&v| field.signed(v)).collect();
        (self.party.setting.network.layers.iter())
            .map(|layer| match self.model.fixed(layer.node) {
                Some(fixed) => Ok(Elements { weights: of(&fixed.weights), bias: of(&fixed.bias) }),
                None => Err(Error::invalid(format!("no weights for node {}", layer.node))),
            })
            .collect()
    }

    fn run(&mut self, n: usize) -> Result<()> {
        let prepared = self.party.take_prepared(n)?;
        let model = self.elements()?;
        let plan = prepared.plan;
        let mut rng = ChaCha20Rng::from_rng(&mut self.party.rng);
        let mut channel = self.party.channel.take().ok_or_else(ended)?;
        let party = &self.party;
        let (network, meter) = (&party.setting.network, &party.meter);
        let mut link = Link::new(&mut channel, party.peer, prepared.keys, prepared.watchlist);
        let mut opened = Opened::new(network);
        let mut theirs = Columns::new(network);
        let (mut columns, blocks, committed, answers);
        {
            let _scope = meter.enter(Phase::Online, labels::EVALUATIONS);
            (columns, blocks) = commit_model(party, &plan, &model, &mut rng);
            committed = link.receive_seed("commitment to the offsets")?;
            answers = answer_queries(party, &plan, &mut link, &columns, &mut theirs)?;
            link.receive(&mut theirs, &[Set::Masks(0)], network, &plan)?;
        }
        {
            // Nothing of ours leaves before the inputs are known to be codewords.
            let _scope = meter.enter(Phase::Verify, labels::INPUTS);
            let statement = statement::client_inputs(&theirs);
            challenge(party, &plan, &mut link, &statement, &theirs.masks[0], &mut rng)?;
        }
        {
            let _scope = meter.enter(Phase::Online, labels::EVALUATIONS);
            link.commit(&columns, &MODEL_SETS)?;
            for answer in answers {
                link.ch.send(&answer)?;
            }
            let seed = link.receive_seed("offsets")?;
            if commitment(&seed) != committed {
                return Err(abort(party.peer, "commitment: it has changed the offsets".to_owned()));
            }
            opened.offsets = plan.offsets(network, &seed);
        }
        let shares =
            walk(party, &plan, &mut link, &mut columns, &mut theirs, &mut opened, (&model, &blocks), &mut rng)?;
        {
            let _scope = meter.enter(Phase::Verify, labels::VALUES);
            link.receive(&mut theirs, &[Set::Masks(1)], network, &plan)?;
            received_shares(&plan, party, link.watchlist.servers(), &columns, &mut theirs);
            let servers = link.watchlist.servers().to_vec();
            let view = View { code: &plan.code, watched: Some(&servers) };
            let statement = statement::client(&view, network, &theirs, &opened);
            challenge(party, &plan, &mut link, &statement, &theirs.masks[1], &mut rng)?;
        }
        {
            // The client's part is proven: it may have the answer.
            let _scope = meter.enter(Phase::Online, labels::ANSWER);
            opened.answer = shares;
            if party.deviates(InsecureDeviation::OtherAnswer) {
                opened.answer[0][0] = party.setting.field.add(opened.answer[0][0], 1);
            }
            link.send_elements(&opened.answer)?;
        }
        {
            let _scope = meter.enter(Phase::Verify, labels::SERVER);
            columns.masks[0] = (0..REPETITIONS).map(|_| Masks::new(&plan.code, &mut rng)).collect();
            link.commit(&columns, &[Set::Masks(0)])?;
            let seed = link.receive_seed("challenge")?;
            let view = View { code: &plan.code, watched: None };
            let statement = statement::server(&view, network, &columns, &opened);
            let mut proof = checks::prove(&plan.code, &plan.geometry, &statement, &columns.masks[0], &seed);
            if party.deviates(InsecureDeviation::Proof) {
                proof[0] ^= 1;
            }
            link.ch.send(&proof)?;
            link.ch.flush()?;
        }
        drop(link);
        self.party.channel = Some(channel);
        Ok(())
    }
}

/// Codewords of the model, of the masks of all evaluations, and of the pads of squares.
fn commit_model(party: &Party, plan: &Plan, model: &[Elements], rng: &mut impl CryptoRng) -> (Columns, Blocks) {
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
    if let Some(InsecureDeviation::WeightCodeword(servers)) = party.deviation {
        columns.weights[0][0][..servers].iter_mut().for_each(|x| *x = field.add(*x, 1));
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

/// Receives the queries of all virtual servers, repeats those watched, and answers each. The answers wait until the inputs are proven.
fn answer_queries(
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
    let mut answers = Vec::with_capacity(plan.servers());
    for server in 0..plan.servers() {
        let query = link.ch.recv_exact("query of a virtual server", setting.ole.query_bytes(ciphertexts))?;
        if let Some(place) = link.watchlist.place(server) {
            let seed = link.watchlist.seed(place, purpose::QUERY);
            let vectors = setting
                .ole
                .open_query(&seed, &query, ciphertexts)
                .map_err(|e| abort(link.peer, format!("watchlist: its query at virtual server {server}: {e}")))?;
            plan.each_input(network, |input, ciphertext, slot| {
                let share = vectors[ciphertext][slot];
                match input {
                    OleInput::Layer(l, group, k) => theirs.inputs[l][group][k].push(share),
                    OleInput::Square(s, group) => theirs.pads[s][group].push(share),
                }
            });
        }
        let masks_seed = link.keys.seed(server, purpose::MASKS);
        let (mut factors, masks) = plan.factors(network, columns, server, &masks_seed, slots);
        if matches!(party.deviation, Some(InsecureDeviation::EvaluationInput(servers)) if server < servers) {
            factors[0][0] = setting.field.add(factors[0][0], 1);
        }
        let answer = setting.ole.answer(&link.keys.seed(server, purpose::ANSWER), &query, &factors, &masks);
        let mut answer = answer.map_err(|e| from_ole(&e, link.peer, server))?;
        if matches!(party.deviation, Some(InsecureDeviation::Answer(servers)) if server < servers) {
            // The lowest bit of a coefficient: less than the noise.
            answer[16] ^= 1;
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// What the client received from its evaluations at the watched servers, from both parties' shares there.
fn received_shares(plan: &Plan, party: &Party, watched: &[usize], columns: &Columns, theirs: &mut Columns) {
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

/// Challenges the client and checks its proof.
fn challenge(
    party: &Party,
    plan: &Plan,
    link: &mut Link<'_>,
    statement: &Statement<'_>,
    masks: &[Masks],
    rng: &mut impl CryptoRng,
) -> Result<()> {
    let mut challenge = [0; CHALLENGE_BYTES];
    rng.fill_bytes(&mut challenge);
    link.ch.send(&challenge)?;
    let proof = link.ch.recv_exact("client's proof", checks::proof_bytes(&plan.code))?;
    let view = View { code: &plan.code, watched: Some(link.watchlist.servers()) };
    checks::verify(&view, &plan.geometry, statement, masks, &challenge, &proof)
        .map_err(|why| abort(party.peer, why.to_string()))
}

/// The layers, on shares; what is left are the server's shares of the answer.
#[expect(clippy::too_many_arguments, reason = "the state of a run, each of which is one thing")]
fn walk(
    party: &Party,
    plan: &Plan,
    link: &mut Link<'_>,
    columns: &mut Columns,
    theirs: &mut Columns,
    opened: &mut Opened,
    (model, blocks): (&[Elements], &Blocks),
    rng: &mut impl CryptoRng,
) -> Result<Vec<Vec<u64>>> {
    let (network, geometry, code) = (&party.setting.network, &plan.geometry, &plan.code);
    let (field, narrow_bound) = (code.field(), code.parameters().threshold);
    let groups = 0..geometry.groups;
    let (mut wide, mut narrow) = (vec![Vec::new(); geometry.groups], vec![Vec::new(); geometry.groups]);
    for (step, name) in &network.steps {
        let _scope = party.meter.enter(Phase::Online, name);
        match *step {
            Step::Fc(l) => {
                let layer = &network.layers[l];
                let bias = geometry.block(|j, _| model[l].bias.get(j).copied().unwrap_or(0));
                for g in groups.clone() {
                    wide[g] = sub_blocks(field, &bias, &blocks.shares[l][g]);
                }
                if l == 0 {
                    continue;
                }
                opened.shifts[l] = link.receive_elements("shares of a layer's input", plan, geometry.groups)?;
                for g in groups.clone() {
                    let mut inputs = add_blocks(field, &narrow[g], &opened.shifts[l][g]);
                    if party.deviates(InsecureDeviation::ChangedBetweenLayers) && (l, g) == (1, 0) {
                        inputs[0] = field.add(inputs[0], 1);
                    }
                    let at = |k: usize, q: usize| inputs[q * geometry.width + k];
                    let rows =
                        (0..layer.inputs).map(|k| code.encode(&geometry.block(|_, q| at(k, q)), narrow_bound, rng));
                    columns.inputs[l].push(rows.collect());
                    let products = geometry.block(|j, q| {
                        let row = model[l].weights.chunks_exact(layer.inputs).nth(j).unwrap_or_default();
                        field.reduce(row.iter().enumerate().map(|(k, &w)| u128::from(w) * u128::from(at(k, q))).sum())
                    });
                    wide[g] = add_blocks(field, &wide[g], &products);
                }
                link.commit(columns, &[Set::Inputs(l)])?;
            }
            Step::Square(s) => {
                opened.client[s] = link.receive_elements("shares to be squared", plan, geometry.groups)?;
                opened.server[s] = groups.clone().map(|g| sub_blocks(field, &narrow[g], &blocks.pads[s][g])).collect();
                if party.deviates(InsecureDeviation::ChangedSquare) {
                    opened.server[s][0][0] = field.add(opened.server[s][0][0], 1);
                }
                link.send_elements(&opened.server[s])?;
                if party.deviates(InsecureDeviation::EarlyAbort) {
                    return Err(Error::invalid("the server goes away"));
                }
                for g in groups.clone() {
                    let (pad, share) = (&blocks.pads[s][g], &blocks.square_shares[s][g]);
                    let cross = |i: usize| field.sub(field.mul(opened.client[s][g][i], pad[i]), share[i]);
                    wide[g] = squared(field, &narrow[g], cross);
                }
            }
            Step::Rescale(t) => {
                let f = network.rescales[t];
                for g in groups.clone() {
                    let shifted = sub_blocks(field, &wide[g], &opened.offsets[t][g]);
                    let flipped: Vec<u64> = shifted.iter().map(|&y| field.sub((1 << f) - 1, y)).collect();
                    let (rows, high) = truncate(code, &flipped, f, (t, g) == (0, 0), party.deviation, rng);
                    columns.bits[t].push(rows);
                    narrow[g] = high.iter().map(|&h| field.neg(h)).collect();
                }
                link.commit(columns, &[Set::Bits(t)])?;
                link.receive(theirs, &[Set::Bits(t)], network, plan)?;
            }
        }
    }
    Ok(narrow)
}
