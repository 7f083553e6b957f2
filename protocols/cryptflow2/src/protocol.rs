//! The protocol: set-up and the two parties.

use std::sync::Arc;

use si_api::{
    Card, Client, Cost, CostLine, Evaluator, Graph, HomomorphicWork, Kernels, Model, Options, Party, Phase, Protocol,
    Result, Role, Server,
};
use si_gadgets::{Engine, Tally};
use si_ot::{Extension, OtConfig};

use crate::card::card;
use crate::kernels::{CrypTFlow2Kernels, side};
use crate::linear::Linear;
use crate::linear_he::{self, LinearHe};
use crate::linear_ot::LinearOt;
use crate::numbers::Numbers;
use crate::{cost, error};

/// How linear layers are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinearLayers {
    /// By batched homomorphic encryption over a prime field (SCI_HE).
    He,
    /// By correlated OT over Z_2^l (SCI_OT).
    Ot,
}

/// Where the OTs of comparisons and of the OT variant's linear layers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// OT extension of Ishai, Kilian, Nissim, Petrank, as published; 1-of-16 OTs for leaves at the price of Kolesnikov and
    /// Kumaresan's, 256 bits, from SoftSpokenOT over fields of 4 elements.
    Iknp,
    /// Silent OT (Ferret), as Cheetah has it: to tell apart what it gains from what Cheetah's linear layers gain.
    Silent,
}

/// CrypTFlow2 (Rathee et al., CCS 2020): semi-honest, bit-exact.
pub struct CrypTFlow2 {
    card: Card,
    linear: LinearLayers,
    ot: OtConfig,
    /// For the leaves of comparisons, if not the same.
    leaves: Option<OtConfig>,
}

/// Bits that a correlated OT of IKNP takes, and one for leaves, see `si_ot`.
const IKNP_BITS: u64 = 127;
const LEAF_BITS: u64 = 63;

/// The meter's label of everything that is done once a session.
const SETUP: &str = "keys and base OTs";

impl CrypTFlow2 {
    /// A variant. Answers are exact, whatever truncation an experiment asks for.
    #[must_use]
    pub fn new(linear: LinearLayers, comparison: Comparison) -> Self {
        let (ot, leaves) = match comparison {
            Comparison::Iknp => (OtConfig::new(Extension::Iknp), Some(OtConfig::new(Extension::SoftSpoken2))),
            Comparison::Silent => (OtConfig::default(), None),
        };
        Self { card: card(linear, comparison), linear, ot, leaves }
    }

    /// **Insecure**: the server's operators by themselves, and what its shares of the scores are modulo, for servers that
    /// cheat from inside a run, in tests and in experiments on detection.
    ///
    /// # Errors
    /// As [`Protocol::server`].
    pub fn insecure_open_server(&self, me: Party, model: Arc<Model>) -> Result<(Box<dyn Kernels>, u128)> {
        let modulus = self.numbers(model.graph())?.modulus();
        Ok((Box::new(self.server_side(me, model)?), modulus))
    }

    fn server_side(&self, me: Party, model: Arc<Model>) -> Result<CrypTFlow2Kernels> {
        let graph = Arc::clone(model.graph());
        self.side(me, Role::Client, &graph, Some(model))
    }

    /// What values are shared over; refuses graphs that do not fit.
    fn numbers(&self, graph: &Graph) -> Result<Numbers> {
        let numbers = match self.linear {
            LinearLayers::Ot => Numbers::Ring(graph.ring()),
            LinearLayers::He => Numbers::Field(linear_he::field(&linear_he::params(graph)?)?),
        };
        numbers.check(graph)?;
        Ok(numbers)
    }

    fn side(&self, mut me: Party, peer: Role, graph: &Graph, model: Option<Arc<Model>>) -> Result<CrypTFlow2Kernels> {
        let _scope = me.meter.enter(Phase::Setup, SETUP);
        let numbers = self.numbers(graph)?;
        let channel = me.take_lane(peer, 0)?;
        let (side_, rng) = (side(me.role), &mut me.rng);
        let engine = match &self.leaves {
            Some(leaves) => Engine::setup_with_leaves(channel, side_, rng, &self.ot, leaves),
            None => Engine::setup(channel, side_, rng, &self.ot),
        };
        let mut engine = engine.map_err(|e| error::from_gadgets(e, peer))?;
        let linear = match (self.linear, model) {
            (LinearLayers::Ot, model) => Linear::Ot(LinearOt::new(graph.ring(), model)),
            (LinearLayers::He, None) => Linear::He(Box::new(LinearHe::client(graph, engine.channel(), &mut me.rng)?)),
            (LinearLayers::He, Some(model)) => {
                Linear::He(Box::new(LinearHe::server(model, engine.channel(), &mut me.rng)?))
            }
        };
        Ok(CrypTFlow2Kernels { engine, linear, numbers, options: me.options, peer })
    }
}

impl Protocol for CrypTFlow2 {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        let (meter, reveal) = (me.meter.clone(), me.options.reveal);
        let kernels = self.side(me, Role::Server(0), &graph, None)?;
        Ok(Box::new(Evaluator::new(graph, kernels, meter, reveal)))
    }

    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        let (graph, meter, reveal) = (Arc::clone(model.graph()), me.meter.clone(), me.options.reveal);
        Ok(Box::new(Evaluator::new(graph, self.server_side(me, model)?, meter, reveal)))
    }

    /// Declares the online phase. Set-up and OT extension are metered, not declared: how many extensions a batch takes
    /// depends on what is left in the buffers.
    fn cost(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        let online = cost::online(graph, self.numbers(graph)?, n, options)?;
        let line = |(label, t, homomorphic): (String, Tally, Option<HomomorphicWork>)| {
            let cost = Cost { up_bytes: t.up_bytes, down_bytes: t.down_bytes, rounds: t.rounds };
            CostLine { homomorphic, ..CostLine::new(Phase::Online, label, cost) }
        };
        Ok(online.lines.into_iter().map(line).collect())
    }

    /// The columns of the extensions, framing left out; what silent OT sends is small beside the operators.
    fn stock_estimate(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        let Some(of_leaves) = self.leaves else { return Ok(Vec::new()) };
        let t = cost::online(graph, self.numbers(graph)?, n, options)?.total;
        let line = |label, config: OtConfig, bits: u64, client: u64, server: u64| {
            let bytes = |ots: u64| ots * bits / 8;
            let fills = client.max(server).div_ceil(config.max_buffered as u64);
            // The receiver of OTs sends the columns: the server for those that the client sends.
            let cost = Cost { up_bytes: bytes(server), down_bytes: bytes(client), rounds: fills };
            CostLine::new(Phase::Offline, label, cost)
        };
        let others = [t.client_ots - t.client_leaf_ots, t.server_ots - t.server_leaf_ots];
        Ok(vec![
            line("OT extension (estimated)", self.ot, IKNP_BITS, others[0], others[1]),
            line("OT extension of leaves (estimated)", of_leaves, LEAF_BITS, t.client_leaf_ots, t.server_leaf_ots),
        ])
    }
}
