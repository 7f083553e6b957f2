//! The protocol: set-up, the two parties, the card.

use std::sync::Arc;

use si_api::{
    Adversary, Card, Client, Cost, CostLine, Error, Evaluator, Graph, Model, Offers, Options, Party, Phase, Protocol,
    Result, Role, Rounding, Server, Truncation,
};
use si_gadgets::{Engine, Tally};
use si_ot::OtConfig;

use crate::cheatable::{InsecureExchangeable, InsecureOpened};
use crate::kernels::{CheetahKernels, side};
use crate::linear::Linear;
use crate::widths::Widths;
use crate::{cost, error};

/// Cheetah (Huang, Lu, Hong, Ding; USENIX Security 2022): linear layers by coefficient-packed RLWE encryption, others
/// by silent OT.
pub struct Cheetah {
    card: Card,
    ot: OtConfig,
}

/// The meter's label of everything that is done once a session.
const SETUP: &str = "keys and base OTs";

impl Cheetah {
    /// With the truncation that the experiment asks for, which decides the rounding on the card.
    #[must_use]
    pub fn new(truncation: Truncation) -> Self {
        Self { card: card(truncation), ot: OtConfig::default() }
    }

    /// **Insecure**: the server's operators by themselves, for servers that cheat from inside a run, in tests and in
    /// experiments on detection.
    ///
    /// # Errors
    /// As [`Protocol::server`].
    pub fn insecure_open_server(&self, me: Party, model: Arc<Model>) -> Result<InsecureOpened> {
        let graph = Arc::clone(model.graph());
        Ok(InsecureExchangeable::open(self.server_side(me, model)?, &graph))
    }

    fn server_side(&self, mut me: Party, model: Arc<Model>) -> Result<CheetahKernels> {
        let peer = Role::Client;
        let _scope = me.meter.enter(Phase::Setup, SETUP);
        let widths = Widths::new(model.graph())?;
        let mut engine = self.engine(&mut me, peer)?;
        let linear = Linear::server(model, engine.channel(), &mut me.rng)?;
        Ok(CheetahKernels::new(engine, linear, widths, me.options, peer))
    }

    fn engine(&self, me: &mut Party, peer: Role) -> Result<Engine> {
        if rounding(me.options.truncation) != self.card.rounding {
            let what =
                format!("{:?} truncation: it was made for {:?} answers", me.options.truncation, self.card.rounding);
            return Err(Error::Unsupported { protocol: self.card.id.clone(), what });
        }
        let channel = me.take_lane(peer, 0)?;
        Engine::setup(channel, side(me.role), &mut me.rng, &self.ot).map_err(|e| error::from_gadgets(e, peer))
    }
}

impl Default for Cheetah {
    fn default() -> Self {
        Self::new(Truncation::default())
    }
}

impl Protocol for Cheetah {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, mut me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        let peer = Role::Server(0);
        let kernels = {
            let _scope = me.meter.enter(Phase::Setup, SETUP);
            let widths = Widths::new(&graph)?;
            let mut engine = self.engine(&mut me, peer)?;
            let linear = Linear::client(&graph, engine.channel(), &mut me.rng)?;
            CheetahKernels::new(engine, linear, widths, me.options, peer)
        };
        Ok(Box::new(Evaluator::new(graph, kernels, me.meter.clone(), me.options.reveal)))
    }

    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        let (graph, meter, reveal) = (Arc::clone(model.graph()), me.meter.clone(), me.options.reveal);
        Ok(Box::new(Evaluator::new(graph, self.server_side(me, model)?, meter, reveal)))
    }

    /// Declares the online phase. Set-up and OT extension are metered, not declared: how many extensions a batch takes
    /// depends on what is left in the buffers.
    fn cost(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        let online = cost::online(graph, &Widths::new(graph)?, n, options)?;
        let line = |(label, t, homomorphic): (String, Tally, _)| {
            let cost = Cost { up_bytes: t.up_bytes, down_bytes: t.down_bytes, rounds: t.rounds };
            CostLine { homomorphic, ..CostLine::new(Phase::Online, label, cost) }
        };
        Ok(online.lines.into_iter().map(line).collect())
    }
}

fn rounding(truncation: Truncation) -> Rounding {
    match truncation {
        Truncation::Faithful => Rounding::Exact,
        Truncation::OneBit => Rounding::OneBit,
    }
}

fn card(truncation: Truncation) -> Card {
    let strings = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
    Card {
        id: "cheetah".to_owned(),
        title: "Coefficient-packed RLWE for linear layers, silent OT for the others".to_owned(),
        paper: "Huang, Lu, Hong, Ding: Cheetah. USENIX Security 2022, eprint 2022/207".to_owned(),
        adversary: Adversary::SemiHonest,
        rounding: rounding(truncation),
        computational_bits: 128,
        statistical_bits: 40,
        assumptions: strings(&[
            "RLWE with a ternary secret (Homomorphic Encryption Standard, 128 bits classical)",
            "LPN with regular noise for silent OT, at the parameters cited in si-ot",
            "fixed-key AES as a correlation-robust hash; computational Diffie-Hellman on ristretto for base OTs",
            "statistical bits: what a flooded answer reveals of the weights, for each coefficient sent",
        ]),
        leaks: strings(&["the graph: operators, shapes and fixed-point format are public"]),
        gaps: strings(&[
            "activations are shared over the truncated ring and extended before linear layers (truncate-and-reduce of \
             SIRNN); the paper keeps the full ring. Cheaper, same outputs up to the paper's own one-bit error",
            "one lane, one thread a party: OT extension and weight transforms do not yet overlap the network",
            "no security at all against a server that deviates: that is what fusion(cheetah) is for",
        ]),
        offers: Offers::ALL,
    }
}
