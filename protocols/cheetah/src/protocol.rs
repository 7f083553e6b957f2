//! The protocol: set-up, the two parties, the card.

use std::sync::Arc;

use si_api::{
    Adversary, Card, Client, Cost, CostLine, Error, Evaluator, Graph, Model, Offers, Options, Party, Phase, Protocol,
    Result, Role, Rounding, Server, Truncation,
};
use si_gadgets::{Engine, Tally};
use si_ot::{Extension, FerretParams, OtConfig};

use crate::cheatable::{InsecureExchangeable, InsecureOpened};
use crate::kernels::{CheetahKernels, side};
use crate::linear::Linear;
use crate::widths::Widths;
use crate::{cost, error};

/// Cheetah (Huang, Lu, Hong, Ding; USENIX Security 2022): linear layers by coefficient-packed RLWE encryption, others
/// by OT, silent unless another extension is chosen.
pub struct Cheetah {
    card: Card,
    /// Ferret with parameters for the network, if none is given.
    extension: Option<Extension>,
}

/// Correlated OTs in stock or on their way in each direction, 16 bytes each (agreement): the most that an operator takes at
/// once. 144 MiB a party for both directions, and at most as much again while the memory of a used stock waits for the
/// next.
const MOST_BUFFERED_OTS: usize = 9 << 19;

/// From this many OTs an inference in each direction on, a Ferret that sends half as much is worth its larger start and
/// 10 % more computation (agreement).
const MANY_OTS: u64 = 1 << 24;

/// The meter's label of everything that is done once a session.
const SETUP: &str = "keys and base OTs";

impl Cheetah {
    /// With the truncation that the experiment asks for, which decides the rounding on the card, and silent OT.
    #[must_use]
    pub fn new(truncation: Truncation) -> Self {
        Self { card: card(truncation, OtConfig::default().extension), extension: None }
    }

    /// With another OT extension, which the card's id and title name.
    #[must_use]
    pub fn with_ot(truncation: Truncation, extension: Extension) -> Self {
        Self { card: card(truncation, extension), extension: Some(extension) }
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
        let mut engine = self.engine(&mut me, peer, model.graph(), &widths)?;
        let linear = Linear::server(model, engine.channel(), &mut me.rng)?;
        Ok(CheetahKernels::new(engine, linear, widths, me.options, peer))
    }

    fn engine(&self, me: &mut Party, peer: Role, graph: &Graph, widths: &Widths) -> Result<Engine> {
        if rounding(me.options.truncation) != self.card.rounding {
            let what =
                format!("{:?} truncation: it was made for {:?} answers", me.options.truncation, self.card.rounding);
            return Err(Error::Unsupported { protocol: self.card.id.clone(), what });
        }
        let one = cost::online(graph, widths, 1, me.options)?;
        let ferret = || Extension::Ferret(ferret(one.client_ots.max(one.server_ots)));
        let extension = self.extension.unwrap_or_else(ferret);
        let config = OtConfig { max_buffered: MOST_BUFFERED_OTS, ..OtConfig::new(extension) };
        let channel = me.take_lane(peer, 0)?;
        let side = side(me.role);
        if me.lanes(peer) > 1 {
            let lane = me.take_lane(peer, 1)?;
            Engine::setup_on_lane(channel, lane, side, &mut me.rng, &config)
        } else {
            Engine::setup(channel, side, &mut me.rng, &config)
        }
        .map_err(|e| error::from_gadgets(e, peer))
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
            let mut engine = self.engine(&mut me, peer, &graph, &widths)?;
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

/// The parameters for a network whose inference takes so many OTs in a direction.
fn ferret(ots: u64) -> FerretParams {
    if ots < MANY_OTS { FerretParams::SMALL } else { FerretParams::MEDIUM }
}

fn rounding(truncation: Truncation) -> Rounding {
    match truncation {
        Truncation::Faithful => Rounding::Exact,
        Truncation::OneBit => Rounding::OneBit,
    }
}

/// What the id, the title and the assumptions of a card say of an OT extension. Cheetah's own, Ferret, needs no mention
/// in the id.
fn of_extension(extension: Extension) -> (&'static str, &'static str, Option<&'static str>) {
    let lpn = Some("LPN with regular noise for silent OT, at the parameters cited in si-ot");
    match extension {
        Extension::Ferret(_) => ("", "silent OT (Ferret)", lpn),
        Extension::FerretMalicious(_) => ("+ferret-malicious", "maliciously secure silent OT (Ferret)", lpn),
        Extension::Iknp => ("+iknp", "IKNP OT extension", None),
        Extension::Kos => ("+kos", "maliciously secure IKNP OT extension (KOS)", None),
        Extension::SoftSpoken => ("+softspoken", "SoftSpokenOT extension", None),
        Extension::SoftSpoken2 => ("+softspoken2", "SoftSpokenOT extension over fields of 4 elements", None),
    }
}

fn card(truncation: Truncation, extension: Extension) -> Card {
    let strings = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
    let (suffix, ot, of_ot) = of_extension(extension);
    let assumptions = [
        Some("RLWE with a ternary secret (Homomorphic Encryption Standard, 128 bits classical)"),
        of_ot,
        Some("fixed-key AES as a correlation-robust hash; computational Diffie-Hellman on ristretto for base OTs"),
        Some("statistical bits: what a flooded answer reveals of the weights, for each coefficient sent"),
    ];
    Card {
        id: format!("cheetah{suffix}"),
        title: format!("Coefficient-packed RLWE for linear layers, {ot} for the others"),
        paper: "Huang, Lu, Hong, Ding: Cheetah. USENIX Security 2022, eprint 2022/207".to_owned(),
        adversary: Adversary::SemiHonest,
        rounding: rounding(truncation),
        computational_bits: 128,
        statistical_bits: 40,
        assumptions: assumptions.into_iter().flatten().map(str::to_owned).collect(),
        leaks: strings(&["the graph: operators, shapes and fixed-point format are public"]),
        gaps: strings(&[
            "activations are shared over the truncated ring and extended before linear layers (truncate-and-reduce of \
             SIRNN); the paper keeps the full ring. Cheaper, same outputs up to the paper's own one-bit error",
            "OT extension has a thread and a lane of its own; more threads serve the server's weights and products alone, all \
             else is one thread that takes turns between operators and network",
            "no security at all against a server that deviates: that is what fusion(cheetah) is for",
        ]),
        offers: Offers::ALL,
        parallel: true,
    }
}
