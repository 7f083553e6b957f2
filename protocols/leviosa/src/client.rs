//! The client: inputs and masks go out encrypted, server by virtual server; what comes back is checked, and so is what the server proves.

use std::sync::Arc;

use ndarray::Array3;
use rand::{CryptoRng, Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Answer, Client, Error, Graph, Phase, Result};
use si_rlwe::field::Field;

use crate::bits;
use crate::checks::{self, CHALLENGE_BYTES, Masks, View};
use crate::code::Code;
use crate::columns::{Columns, Opened, Row, Set};
use crate::deviation::InsecureDeviation;
use crate::error::{abort, from_ole, own};
use crate::network::Step;
use crate::parameters::REPETITIONS;
use crate::party::{Party, label, labels};
use crate::session::{Link, MODEL_SETS, OleInput, OleOutput, Plan, commitment, purpose};
use crate::statement;

pub(crate) struct LeviOsaClient {
    pub(crate) party: Party,
    pub(crate) graph: Arc<Graph>,
}

/// The blocks behind the client's codewords.
struct Blocks {
    /// Masks of the inputs of all layers but the first: by layer, group, and query * width + input.
    masks: Vec<Vec<Vec<u64>>>,
    /// Pads of squares: by square, then group.
    pads: Vec<Vec<Vec<u64>>>,
    /// What the evaluations gave: by layer or square, then group.
    shares: Vec<Vec<Vec<u64>>>,
    square_shares: Vec<Vec<Vec<u64>>>,
}

impl Client for LeviOsaClient {
    fn offline(&mut self, n: usize) -> Result<()> {
        self.party.prepare(n)
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        let shape = self.graph.input_shape();
        if let Some((i, q)) = queries.iter().enumerate().find(|(_, q)| q.shape() != shape) {
            let graph = self.graph.name();
            return Err(Error::invalid(format!("query {i} has shape {:?}, {graph} takes {shape:?}", q.shape())));
        }
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let queries: Vec<Vec<i64>> = queries.iter().map(|q| q.iter().copied().collect()).collect();
        let answers = self.run(&queries)?;
        Ok(answers.into_iter().map(|scores| Answer { label: label(&scores), scores: Some(scores) }).collect())
    }
}

/// Codewords of what the client knows before anything is computed.
fn commit_inputs(party: &Party, plan: &Plan, queries: &[Vec<i64>], rng: &mut impl CryptoRng) -> (Columns, Blocks) {
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
                            Some(query) if l == 0 => field.signed(query[k]),
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
    if let Some(InsecureDeviation::InputCodeword(servers)) = party.deviation {
        columns.inputs[0][0][0][..servers].iter_mut().for_each(|x| *x = field.add(*x, 1));
    }
    for _ in 0..network.squares {
        let pads: Vec<Vec<u64>> =
            (0..geometry.groups).map(|_| (0..geometry.slots()).map(|_| field.random(rng)).collect()).collect();
        columns.pads.push(pads.iter().map(|pad| code.encode(pad, narrow, rng)).collect());
        blocks.pads.push(pads);
    }
    (columns, blocks)
}

impl LeviOsaClient {
    /// Scores of a batch.
    fn run(&mut self, queries: &[Vec<i64>]) -> Result<Vec<Vec<i64>>> {
        let prepared = self.party.take_prepared(queries.len())?;
        let party = &mut self.party;
        let plan = prepared.plan;
        let mut rng = ChaCha20Rng::from_rng(&mut party.rng);
        let meter = party.meter.clone();
        let mut channel =
            party.channel.take().ok_or_else(|| Error::invalid("the session ended with an earlier error"))?;
        let mut link = Link::new(&mut channel, party.peer, prepared.keys, prepared.watchlist);
        let mut opened = Opened::new(&party.setting.network);

        let (mut columns, mut blocks) = {
            let _scope = meter.enter(Phase::Online, labels::EVALUATIONS);
            let (mut columns, blocks) = commit_inputs(party, &plan, queries, &mut rng);
            columns.masks[0] = (0..REPETITIONS).map(|_| Masks::new(&plan.code, &mut rng)).collect();
            (columns, blocks)
        };
        let mut offsets_seed = [0; 32];
        rng.fill_bytes(&mut offsets_seed);
        {
            let _scope = meter.enter(Phase::Online, labels::EVALUATIONS);
            link.ch.send(&commitment(&offsets_seed))?;
            send_queries(party, &plan, &mut link, &columns)?;
            link.commit(&columns, &[Set::Masks(0)])?;
        }
        {
            let _scope = meter.enter(Phase::Verify, labels::INPUTS);
            answer_challenge(party, &plan, &mut link, &statement::client_inputs(&columns), &columns.masks[0])?;
        }
        let mut theirs = Columns::new(&party.setting.network);
        {
            let _scope = meter.enter(Phase::Online, labels::EVALUATIONS);
            receive_answers(party, &plan, &mut link, &mut columns, &mut theirs, &mut blocks)?;
            link.ch.send(&offsets_seed)?;
            opened.offsets = plan.offsets(&party.setting.network, &offsets_seed);
        }
        let (shares, due) = self.walk(&plan, &mut link, &mut columns, &mut theirs, &mut opened, &blocks, &mut rng)?;
        let party = &self.party;
        {
            let _scope = meter.enter(Phase::Verify, labels::VALUES);
            columns.masks[1] = (0..REPETITIONS).map(|_| Masks::new(&plan.code, &mut rng)).collect();
            link.commit(&columns, &[Set::Masks(1)])?;
            link.receive(&mut theirs, &due, &party.setting.network, &plan)?;
            let view = View { code: &plan.code, watched: None };
            let statement = statement::client(&view, &party.setting.network, &columns, &opened);
            answer_challenge(party, &plan, &mut link, &statement, &columns.masks[1])?;
        }
        {
            let _scope = meter.enter(Phase::Online, labels::ANSWER);
            opened.answer = link.receive_elements("shares of the answer", &plan, plan.geometry.groups)?;
        }
        {
            let _scope = meter.enter(Phase::Verify, labels::SERVER);
            link.receive(&mut theirs, &[Set::Masks(0)], &party.setting.network, &plan)?;
            check_server(party, &plan, &mut link, &theirs, &opened, &mut rng)?;
        }
        drop(link);
        self.party.channel = Some(channel);
        Ok(self.scores(&plan, &shares, &opened.answer))
    }

    /// The layers, on shares; what is left are the client's shares of the answer, and the commitments that the server has not made yet.
    #[expect(clippy::too_many_arguments, reason = "the state of a run, each of which is one thing")]
    fn walk(
        &self,
        plan: &Plan,
        link: &mut Link<'_>,
        columns: &mut Columns,
        theirs: &mut Columns,
        opened: &mut Opened,
        blocks: &Blocks,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<Vec<u64>>, Vec<Set>)> {
        let party = &self.party;
        let (network, geometry, field) = (&party.setting.network, &plan.geometry, plan.code.field());
        let groups = 0..geometry.groups;
        // Sets of the server's that are on their way.
        let mut due = Vec::new();
        let mut wide = vec![Vec::new(); geometry.groups];
        let mut narrow: Vec<Vec<u64>> = Vec::new();
        for (step, name) in &network.steps {
            let _scope = party.meter.enter(Phase::Online, name);
            match *step {
                Step::Fc(l) => {
                    if l > 0 {
                        opened.shifts[l] = (groups.clone())
                            .map(|g| sub_blocks(field, &narrow[g], &blocks.masks[l][g]))
                            .map(|shift| only_inputs(shift, geometry.width, network.layers[l].inputs))
                            .collect();
                        if party.deviates(InsecureDeviation::ChangedBetweenLayers) {
                            opened.shifts[l][0][0] = field.add(opened.shifts[l][0][0], 1);
                        }
                        link.send_elements(&opened.shifts[l])?;
                        due.push(Set::Inputs(l));
                    }
                    wide = blocks.shares[l].clone();
                }
                Step::Square(s) => {
                    opened.client[s] =
                        groups.clone().map(|g| sub_blocks(field, &narrow[g], &blocks.pads[s][g])).collect();
                    if party.deviates(InsecureDeviation::ChangedSquare) {
                        opened.client[s][0][0] = field.add(opened.client[s][0][0], 1);
                    }
                    link.send_elements(&opened.client[s])?;
                    if party.deviates(InsecureDeviation::EarlyAbort) {
                        return Err(Error::invalid("the client goes away"));
                    }
                    link.receive(theirs, &due, network, plan)?;
                    due.clear();
                    opened.server[s] = link.receive_elements("shares to be squared", plan, geometry.groups)?;
                    for g in groups.clone() {
                        let sum = add_blocks(field, &opened.client[s][g], &blocks.pads[s][g]);
                        let cross =
                            |i: usize| field.mul_add(blocks.square_shares[s][g][i], sum[i], opened.server[s][g][i]);
                        wide[g] = squared(field, &narrow[g], cross);
                    }
                }
                Step::Rescale(t) => {
                    narrow.clear();
                    for g in groups.clone() {
                        let (rows, high) = truncate(
                            &plan.code,
                            &add_blocks(field, &wide[g], &opened.offsets[t][g]),
                            network.rescales[t],
                            (t, g) == (0, 0),
                            party.deviation,
                            rng,
                        );
                        columns.bits[t].push(rows);
                        narrow.push(high);
                    }
                    link.commit(columns, &[Set::Bits(t)])?;
                    due.push(Set::Bits(t));
                }
            }
        }
        Ok((narrow, due))
    }

    fn scores(&self, plan: &Plan, ours: &[Vec<u64>], theirs: &[Vec<u64>]) -> Vec<Vec<i64>> {
        let (geometry, field) = (&plan.geometry, plan.code.field());
        (0..geometry.batch)
            .map(|i| {
                let (group, at) = (i / geometry.queries, i % geometry.queries * geometry.width);
                let sum = |j: usize| field.centred(field.add(ours[group][at + j], theirs[group][at + j]));
                (0..self.party.setting.network.classes).map(sum).collect()
            })
            .collect()
    }
}

/// Queries of all virtual servers, each sent as it is made.
fn send_queries(party: &Party, plan: &Plan, link: &mut Link<'_>, columns: &Columns) -> Result<()> {
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
        OleInput::Layer(l, group, k) => columns.inputs[l][group][k][server],
        OleInput::Square(s, group) => columns.pads[s][group][server],
    };
    plan.inputs(&party.setting.network, share, party.setting.ole.slots())
}

/// Receives a challenge and sends the proof.
fn answer_challenge(
    party: &Party,
    plan: &Plan,
    link: &mut Link<'_>,
    statement: &statement::Statement<'_>,
    masks: &[Masks],
) -> Result<()> {
    let challenge = link.receive_seed("challenge")?;
    let mut proof = checks::prove(&plan.code, &plan.geometry, statement, masks, &challenge);
    if party.deviates(InsecureDeviation::Proof) {
        proof[0] ^= 1;
    }
    link.ch.send(&proof)?;
    Ok(())
}

/// Receives the server's commitments and answers; decrypts all, repeats those of watched servers, and decodes.
fn receive_answers(
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
    for server in 0..plan.servers() {
        let answer = link.ch.recv_exact("answer of a virtual server", setting.ole.answer_bytes())?;
        let query_seed = link.keys.seed(server, purpose::QUERY);
        let received = setting.ole.finish(&query_seed, &answer).map_err(|e| from_ole(&e, link.peer, server))?;
        for (output, places) in plan.outputs(network) {
            let sum = received[places].iter().fold(0, |sum, &x| field.add(sum, x));
            match output {
                OleOutput::Layer(l, group) => columns.shares[l][group][server] = sum,
                OleOutput::Square(s, group) => columns.square_shares[s][group][server] = sum,
            }
        }
        let Some(place) = link.watchlist.place(server) else { continue };
        let query = setting.ole.query(&query_seed, &at_server(party, plan, columns, server)).map_err(own)?;
        let masks_seed = link.watchlist.seed(place, purpose::MASKS);
        let (factors, masks) = plan.factors(network, theirs, place, &masks_seed, slots);
        let again = setting.ole.answer(&link.watchlist.seed(place, purpose::ANSWER), &query, &factors, &masks);
        if again.map_err(own)? != answer {
            let check = format!("watchlist: its answer at virtual server {server} is not what its seed gives");
            return Err(abort(link.peer, check));
        }
    }
    let wide = plan.code.parameters().wide();
    let decode = |row: &Row| {
        plan.code
            .decode(row, wide)
            .ok_or_else(|| abort(link.peer, "degree: its shares of products are no codeword".to_owned()))
    };
    for (blocks, rows) in [(&mut blocks.shares, &columns.shares), (&mut blocks.square_shares, &columns.square_shares)] {
        for (blocks, rows) in blocks.iter_mut().zip(rows) {
            *blocks = rows.iter().map(decode).collect::<Result<_>>()?;
        }
    }
    Ok(())
}

fn check_server(
    party: &Party,
    plan: &Plan,
    link: &mut Link<'_>,
    theirs: &Columns,
    opened: &Opened,
    rng: &mut impl CryptoRng,
) -> Result<()> {
    let mut challenge = [0; CHALLENGE_BYTES];
    rng.fill_bytes(&mut challenge);
    link.ch.send(&challenge)?;
    let proof = link.ch.recv_exact("server's proof", checks::proof_bytes(&plan.code))?;
    let view = View { code: &plan.code, watched: Some(link.watchlist.servers()) };
    let statement = statement::server(&view, &party.setting.network, theirs, opened);
    checks::verify(&view, &plan.geometry, &statement, &theirs.masks[0], &challenge, &proof)
        .map_err(|why| abort(link.peer, why.to_string()))
}

/// Codewords of the bits of a block, and the block without its lowest `f` bits. The first block of a run is where cheats are.
pub(crate) fn truncate(
    code: &Code,
    block: &[u64],
    f: u32,
    first: bool,
    deviation: Option<InsecureDeviation>,
    rng: &mut impl CryptoRng,
) -> (Vec<Row>, Vec<u64>) {
    let (field, narrow) = (code.field(), code.parameters().threshold);
    let mut bits: Vec<[u64; bits::BITS]> = block.iter().map(|&x| bits::split(field, x)).collect();
    let weights = bits::high_weights(field, f);
    let high = |bits: &[u64; bits::BITS]| weights.iter().zip(bits).map(|(w, b)| w * b).sum::<u64>();
    let mut values: Vec<u64> = bits.iter().map(high).collect();
    if first {
        match deviation {
            Some(InsecureDeviation::NotABit) => {
                // The same number with 2 at the place of a bit and, if need be, -1 below it.
                bits[0][1] = field.add(bits[0][1], 1);
                bits[0][0] = field.sub(bits[0][0], 2);
            }
            Some(InsecureDeviation::OtherBits) => {
                bits[0][20] ^= 1;
                values[0] = high(&bits[0]);
            }
            _ => {}
        }
    }
    let mut rows: Vec<Row> =
        (0..bits::BITS).map(|i| code.encode(&bits.iter().map(|b| b[i]).collect::<Vec<_>>(), narrow, rng)).collect();
    if let (true, Some(InsecureDeviation::BitCodeword(servers))) = (first, deviation) {
        rows[0][..servers].iter_mut().for_each(|x| *x = field.add(*x, 1));
    }
    (rows, values)
}

pub(crate) fn add_blocks(field: Field, a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(&a, &b)| field.add(a, b)).collect()
}

pub(crate) fn sub_blocks(field: Field, a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(&a, &b)| field.sub(a, b)).collect()
}

/// z^2 + 2 cross.
pub(crate) fn squared(field: Field, z: &[u64], cross: impl Fn(usize) -> u64) -> Vec<u64> {
    let twice = |x| field.add(x, x);
    z.iter().enumerate().map(|(i, &z)| field.mul_add(twice(cross(i)), z, z)).collect()
}

/// Zeros in place of neurons that are no inputs of the layer: nothing masks those.
fn only_inputs(mut block: Vec<u64>, width: usize, inputs: usize) -> Vec<u64> {
    block.iter_mut().enumerate().filter(|(i, _)| i % width >= inputs).for_each(|(_, x)| *x = 0);
    block
}
