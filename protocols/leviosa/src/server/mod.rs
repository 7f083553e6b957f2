//! The server: commits to its model and masks, answers at each virtual server, and proves that all it does follows from that.

use std::sync::Arc;

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Error, Model, Phase, Result, Server};

use crate::blocks::{add_blocks, squared, sub_blocks, truncate};
use crate::checks::{Masks, View};
use crate::columns::{Columns, Opened, Set};
use crate::deviation::InsecureDeviation;
use crate::error::abort;
use crate::network::Step;
use crate::parameters::REPETITIONS;
use crate::party::{Party, ended, labels};
use crate::session::{Link, MODEL_SETS, Plan, commitment};
use crate::statement;

mod evaluations;

use evaluations::{Blocks, Elements, answer_queries, commit_model, received_shares};

pub(crate) struct LeviOsaServer {
    pub(crate) party: Party,
    pub(crate) model: Arc<Model>,
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
        let mut link = Link::new(&mut channel, party.peer, (prepared.keys, prepared.watchlist), party.deviation);
        let mut opened = Opened::new(network);
        let mut theirs = Columns::new(network);
        let (mut columns, blocks, committed, answers);
        {
            let _scope = meter.enter(Phase::Online, labels::EVALUATIONS);
            (columns, blocks) = commit_model(party, &plan, &model, &mut rng);
            committed = link.receive_seed("commitment to the offsets")?;
            answers = answer_queries(party, &plan, &mut link, &columns, &mut theirs)?;
            link.receive(&mut theirs, &[Set::QueryBits, Set::Masks(0)], network, &plan)?;
        }
        {
            // Nothing of ours leaves before the inputs are known to be codewords.
            let _scope = meter.enter(Phase::Verify, labels::INPUTS);
            let statement = |view: &View<'_>| statement::client_inputs(view, network, &theirs);
            party.verify(&plan, &mut link, statement, &theirs.masks[0], &mut rng)?;
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
            let statement = |view: &View<'_>| statement::client(view, network, &theirs, &opened);
            party.verify(&plan, &mut link, statement, &theirs.masks[1], &mut rng)?;
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
            let view = View { code: &plan.code, watched: None };
            let statement = statement::server(&view, network, &columns, &opened);
            party.prove(&plan, &mut link, &statement, &columns.masks[0])?;
            link.ch.flush()?;
        }
        drop(link);
        self.party.channel = Some(channel);
        Ok(())
    }
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
                    let changes = party.deviation.is_some_and(InsecureDeviation::changes_between_layers);
                    if changes && (l, g) == (1, 0) {
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
                if party.deviation.is_some_and(InsecureDeviation::changes_square) {
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
