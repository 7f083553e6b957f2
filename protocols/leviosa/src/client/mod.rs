//! The client: inputs and masks go out encrypted, server by virtual server; what comes back is checked, and so is what the server proves.

use std::sync::Arc;

use ndarray::Array3;
use rand::{CryptoRng, Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Answer, Client, Error, Graph, Phase, Result, check_shapes};

use crate::blocks::{add_blocks, only_inputs, squared, sub_blocks, truncate};
use crate::checks::{Masks, View};
use crate::columns::{Columns, Opened, Set};
use crate::deviation::InsecureDeviation;
use crate::network::Step;
use crate::parameters::REPETITIONS;
use crate::party::{Party, ended, label, labels};
use crate::session::{Link, Plan, commitment};
use crate::statement;

mod evaluations;

use evaluations::{Blocks, commit_inputs, receive_answers, send_queries};

pub(crate) struct LeviOsaClient {
    pub(crate) party: Party,
    pub(crate) graph: Arc<Graph>,
}

impl Client for LeviOsaClient {
    fn offline(&mut self, n: usize) -> Result<()> {
        self.party.prepare(n)
    }

    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>> {
        check_shapes(&self.graph, queries)?;
        if queries.is_empty() {
            return Ok(Vec::new());
        }
        let network = &self.party.setting.network;
        if let Some((i, x)) =
            queries.iter().enumerate().find_map(|(i, q)| Some((i, q.iter().find(|x| !network.accepts(**x))?)))
        {
            let most = 1i64 << (network.query_bits - 1);
            return Err(Error::invalid(format!(
                "query {i} has an element {x}: they must be in [-{most}, {most}), which is proven"
            )));
        }
        let queries: Vec<Vec<i64>> = queries.iter().map(|q| q.iter().copied().collect()).collect();
        let answers = self.run(&queries)?;
        Ok(answers.into_iter().map(|scores| Answer { label: label(&scores), scores: Some(scores) }).collect())
    }
}

impl LeviOsaClient {
    /// Scores of a batch.
    fn run(&mut self, queries: &[Vec<i64>]) -> Result<Vec<Vec<i64>>> {
        let prepared = self.party.take_prepared(queries.len())?;
        let party = &mut self.party;
        let plan = prepared.plan;
        let mut rng = ChaCha20Rng::from_rng(&mut party.rng);
        let meter = party.meter.clone();
        let mut channel = party.channel.take().ok_or_else(ended)?;
        let mut link = Link::new(&mut channel, party.peer, (prepared.keys, prepared.watchlist), party.deviation);
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
            link.commit(&columns, &[Set::QueryBits, Set::Masks(0)])?;
        }
        {
            let _scope = meter.enter(Phase::Verify, labels::INPUTS);
            let view = View { code: &plan.code, watched: None };
            let statement = statement::client_inputs(&view, &party.setting.network, &columns);
            party.prove(&plan, &mut link, &statement, &columns.masks[0])?;
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
            party.prove(&plan, &mut link, &statement, &columns.masks[1])?;
        }
        {
            let _scope = meter.enter(Phase::Online, labels::ANSWER);
            opened.answer = link.receive_elements("shares of the answer", &plan, plan.geometry.groups)?;
        }
        {
            let _scope = meter.enter(Phase::Verify, labels::SERVER);
            link.receive(&mut theirs, &[Set::Masks(0)], &party.setting.network, &plan)?;
            let statement = |view: &View<'_>| statement::server(view, &party.setting.network, &theirs, &opened);
            party.verify(&plan, &mut link, statement, &theirs.masks[0], &mut rng)?;
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
                        if party.deviation.is_some_and(InsecureDeviation::changes_between_layers) {
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
                    if party.deviation.is_some_and(InsecureDeviation::changes_square) {
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
