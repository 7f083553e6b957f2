//! The protocol: the two parties, the card, the declared cost.

use std::sync::Arc;

use si_api::{
    Adversary, Card, Client, Cost, CostLine, Evaluator, Graph, Kernels, Model, Offers, Options, Party, Phase, Protocol,
    Result, Reveal, Role, Rounding, Server,
};
use si_ring::packed_len;

use crate::client::PlainClient;
use crate::server::PlainServer;

/// Bytes that the channel's framing adds to a message (agreement with `si_wire`; the conformance test compares the
/// declared cost with the meter).
const FRAME_BYTES: u64 = 4;

/// Bytes of a label on the wire: a little-endian u32 (agreement).
pub(crate) const LABEL_BYTES: usize = 4;

/// Inference without any protection: queries and answers travel in the clear.
///
/// Cost for a batch of n: up n messages, each a query of packed ring elements; down n messages, each the packed scores
/// or a label; one round. [`Options::truncation`] makes no difference, for there are no shares to truncate.
pub struct PlainInsecure {
    card: Card,
}

impl PlainInsecure {
    /// The protocol.
    #[must_use]
    pub fn new() -> Self {
        Self { card: card() }
    }

    /// The server's operators by themselves, for tests that wrap them to cheat from inside a run.
    ///
    /// # Errors
    /// If there is no lane to the client.
    pub fn server_kernels(&self, mut me: Party, model: Arc<Model>) -> Result<Box<dyn Kernels>> {
        Ok(Box::new(PlainServer::new(me.take_lane(Role::Client, 0)?, model)))
    }
}

impl Default for PlainInsecure {
    fn default() -> Self {
        Self::new()
    }
}

impl Protocol for PlainInsecure {
    fn card(&self) -> &Card {
        &self.card
    }

    fn client(&self, mut me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>> {
        let kernels = PlainClient::new(me.take_lane(Role::Server(0), 0)?);
        Ok(Box::new(Evaluator::new(graph, kernels, me.meter, me.options.reveal)))
    }

    fn server(&self, mut me: Party, model: Arc<Model>) -> Result<Box<dyn Server>> {
        let graph = Arc::clone(model.graph());
        let kernels = PlainServer::new(me.take_lane(Role::Client, 0)?, model);
        Ok(Box::new(Evaluator::new(graph, kernels, me.meter, me.options.reveal)))
    }

    /// Everything: a batch sends nothing but queries and answers.
    fn cost(&self, graph: &Graph, n: usize, options: Options) -> Result<Vec<CostLine>> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let l = graph.ring().bits();
        let query = packed_len(graph.input_shape().iter().product(), l);
        let answer = match options.reveal {
            Reveal::Scores => packed_len(graph.classes(), l),
            Reveal::Label => LABEL_BYTES,
        };
        let messages = |bytes: usize| n as u64 * (FRAME_BYTES + bytes as u64);
        let line = |label: &str, cost| CostLine::new(Phase::Online, label, cost);
        Ok(vec![
            line("input", Cost { up_bytes: messages(query), down_bytes: 0, rounds: 0 }),
            line("answer", Cost { up_bytes: 0, down_bytes: messages(answer), rounds: 1 }),
        ])
    }
}

fn card() -> Card {
    let strings = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
    Card {
        id: "plain".to_owned(),
        title: "INSECURE reference: the client sends its queries in the clear".to_owned(),
        paper: "none: a baseline of cost and correctness".to_owned(),
        adversary: Adversary::Insecure,
        rounding: Rounding::Exact,
        computational_bits: 0,
        statistical_bits: 0,
        assumptions: strings(&["the client trusts the server with its queries and with the answers"]),
        leaks: strings(&["every query, to the server", "the scores or the label, to whoever reads the wire"]),
        gaps: Vec::new(),
        // Equal queries are equal on the wire, and the server reads them.
        offers: Offers { hides_input: false, fresh_randomness: false, positions_alike: true, answers_apart: true },
        parallel: true,
    }
}
