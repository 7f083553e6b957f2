//! Servers that deviate, as wrappers around honest protocols.
//!
//! [`cheating_server`] turns a protocol and a [`Cheat`] into a protocol whose *server* deviates; its client is the
//! honest one. Four mechanisms cover all cheats:
//!
//! - **another model throughout**: the honest server runs with weights it should not have ([`Substitute`] makes some).
//!   Works with every protocol.
//! - **offsets on the server's share of the scores**, at chosen positions of the session. Adding d to the server's
//!   share of a class adds d to the score that the client learns: an attack on any protocol with additive shares, and
//!   on one whose server holds the values themselves. For this, the protocol's crate opens its server's kernels
//!   ([`Opened`]).
//! - **another model for some batches**, where the opened kernels take one ([`NextModel`]).
//! - **bytes changed on the wire**, in messages of chosen operators ([`WrongMessages`]).
//!
//! What the second can model: forcing a class ([`Cheat::FlipLabel`]: the label is wrong unless that class was right),
//! answers that have nothing to do with the query ([`Cheat::RandomAnswer`]), an earlier message sent again
//! ([`Cheat::Replay`]), and, exactly, a model that differs in the bias of its last layer ([`Cheat::OtherBias`]). A wholly
//! different model at *some* positions ([`Cheat::OtherModelAt`]) works within a batch where the server has the values,
//! and by whole batches, which may be of one, where it has shares. What none can model: attacks that depend on the
//! query.

mod kernels;
mod name;
mod positions;
mod substitute;
mod wire;

use std::sync::{Arc, Mutex};

use si_api::{
    Card, Client, CostLine, Error, Evaluator, Graph, Kernels, Model, Options, Party, Protocol, Result, Server,
};

use kernels::CheatKernels;
pub use name::{CheatName, HowMany};
pub use positions::Positions;
pub use substitute::Substitute;
pub use wire::WrongMessages;

/// What a cheating server does.
#[derive(Clone)]
pub enum Cheat {
    /// Answers everything from another model of the same graph.
    OtherModel(Arc<Model>),
    /// Answers from another model at some positions. Only where the server's share is the value itself, or for whole
    /// batches where the kernels take another model.
    OtherModelAt(Arc<Model>, Positions),
    /// Answers, at some positions, from the same model with another bias in its last layer: these numbers, one a class,
    /// are added to the scores.
    OtherBias(Vec<i64>, Positions),
    /// Forces a class at some positions.
    FlipLabel {
        /// The class.
        class: usize,
        /// Where.
        at: Positions,
    },
    /// Forces a class drawn at random for each of some positions.
    RandomAnswer(Positions),
    /// Sends, at some positions, the share of the scores that it sent at the position before, if there is one.
    Replay(Positions),
    /// Changes bytes of its own messages.
    Wire(WrongMessages),
}

/// A place for a model that the kernels take with the next batch they prepare.
pub type NextModel = Arc<Mutex<Option<Arc<Model>>>>;

/// A server's kernels, opened for cheating.
pub struct Opened {
    /// The honest kernels.
    pub kernels: Box<dyn Kernels>,
    /// What shares of the scores are modulo: 2^l for a ring of l bits (at most 64), or a prime.
    pub modulus: u128,
    /// Whether the server's share of a value is the value itself.
    pub in_the_clear: bool,
    /// How to give the kernels another model, if they take one.
    pub next_model: Option<NextModel>,
}

/// Makes the honest server's kernels.
pub type OpenServer = Arc<dyn Fn(Party, Arc<Model>) -> Result<Opened> + Send + Sync>;

/// The protocol with a server that deviates; the client is the honest one. `open` is not needed for
/// [`Cheat::OtherModel`]; without it, other cheats are refused when the server starts. Random choices are made from
/// `seed`.
#[must_use]
pub fn cheating_server(
    honest: Arc<dyn Protocol>,
    open: Option<OpenServer>,
    cheat: Cheat,
    seed: u64,
) -> Arc<dyn Protocol> {
    let mut card = honest.card().clone();
    card.title = format!("INSECURE: {} with a cheating server", card.id);
    card.id = format!("cheating({})", card.id);
    Arc::new(CheatingServer { honest, open, cheat, seed, card })
}

struct CheatingServer {
    honest: Arc<dyn Protocol>,
    open: Option<OpenServer>,
    cheat: Cheat,
    seed: u64,
    card: Card,
}

impl Protocol for CheatingServer {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        self.honest.client(me, graph)
    }

    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        let graph = Arc::clone(model.graph());
        if let Cheat::OtherModel(other) | Cheat::OtherModelAt(other, _) = &self.cheat
            && (other.graph().input_shape(), other.graph().nodes()) != (graph.input_shape(), graph.nodes())
        {
            return Err(Error::invalid(format!("'{}' cannot pass for '{}'", other.graph().name(), graph.name())));
        }
        if let Cheat::OtherModel(other) = &self.cheat {
            return self.honest.server(me, Arc::clone(other));
        }
        let refuse = |what: &str| Error::Unsupported { protocol: self.card.id.clone(), what: what.to_owned() };
        let open = self.open.as_ref().ok_or_else(|| refuse("cheating inside its operators"))?;
        let (meter, reveal) = (me.meter.clone(), me.options.reveal);
        let switch = match self.cheat {
            Cheat::Wire(wrong) => Some(Arc::new(wire::Switch::new(wrong, self.seed))),
            _ => None,
        };
        let me = match &switch {
            Some(switch) => wire::tampered(me, switch)?,
            None => me,
        };
        let opened = open(me, Arc::clone(&model))?;
        if matches!(self.cheat, Cheat::OtherModelAt(..)) && !opened.in_the_clear && opened.next_model.is_none() {
            return Err(refuse("another model at some positions, for its server holds shares: use another bias"));
        }
        let kernels = CheatKernels::new(opened, model, switch, self.cheat.clone(), self.seed);
        Ok(Box::new(Evaluator::new(graph, kernels, meter, reveal)))
    }

    fn cost(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        self.honest.cost(graph, n, options)
    }
}
