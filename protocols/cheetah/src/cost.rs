//! Declared communication of a batch, operator by operator.

use si_api::{Graph, HomomorphicWork, Op, Options, Result, Reveal, Truncation};
use si_gadgets::Tally;
use si_ring::Ring;

use crate::linear;
use crate::widths::Widths;

/// One line for each operator, in the order in which it runs, and the sum of the OTs.
pub(crate) struct Online {
    pub(crate) lines: Vec<(String, Tally, Option<HomomorphicWork>)>,
    pub(crate) client_ots: u64,
    pub(crate) server_ots: u64,
}

/// Everything from the input to the answer for a batch of `n`.
pub(crate) fn online(graph: &Graph, widths: &Widths, n: usize, options: Options) -> Result<Online> {
    let mut all = Tally::default();
    let mut lines = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let count = |value| n * graph.shape(value).iter().product::<usize>();
        let value = node.inputs[0];
        let (ring, bits) = (widths.ring(value).bits(), graph.signed_bits(value));
        let before = all;
        let mut homomorphic = None;
        let extend_to = |all: &mut Tally, value, ring: Ring| {
            let from = widths.ring(value);
            if from != ring {
                all.extend(count(value), from.bits(), ring.bits(), graph.signed_bits(value));
            }
        };
        let extend = |all: &mut Tally, value| extend_to(all, value, widths.full());
        match &node.op {
            Op::Conv { .. } | Op::Fc { .. } => {
                extend(&mut all, value);
                homomorphic = Some(linear::declare(graph, i, n, &mut all)?);
            }
            Op::AvgPool { .. } => extend(&mut all, value),
            Op::Rescale { bits } => match options.truncation {
                Truncation::OneBit => {}
                Truncation::Faithful => all.truncate_reduce(count(value), ring, *bits),
            },
            Op::Relu => all.relu(count(value), ring, bits),
            Op::Square => {
                extend(&mut all, value);
                all.square(count(value), widths.full());
            }
            Op::MaxPool { window } => all.max(count(i + 1), window.kernel.iter().product(), ring, bits),
            Op::Add | Op::Concat => node.inputs.iter().for_each(|v| extend_to(&mut all, *v, widths.ring(i + 1))),
            Op::Flatten => {}
        }
        lines.push((node.name.clone(), all.since(&before), homomorphic));
    }
    let value = graph.nodes().len();
    let ring = widths.ring(value).bits();
    let before = all;
    match options.reveal {
        Reveal::Scores => all.open_to_client(n * graph.classes(), ring),
        Reveal::Label => all.argmax(n, graph.classes(), ring, graph.signed_bits(value)),
    }
    lines.push(("answer".to_owned(), all.since(&before), None));
    Ok(Online { lines, client_ots: all.client_ots, server_ots: all.server_ots })
}
