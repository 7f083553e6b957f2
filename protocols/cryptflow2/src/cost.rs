//! Declared communication of a batch, operator by operator.

use si_api::{Graph, HomomorphicWork, Op, Options, Result, Reveal};
use si_gadgets::{Known, Tally};

use crate::numbers::Numbers;
use crate::{late, linear};

/// One line for each operator, in the order in which it runs, and their sum.
pub(crate) struct Online {
    pub(crate) lines: Vec<(String, Tally, Option<HomomorphicWork>)>,
    pub(crate) total: Tally,
}

/// Everything from the input to the answer for a batch of `n`.
pub(crate) fn online(graph: &Graph, numbers: Numbers, n: usize, options: Options) -> Result<Online> {
    let mut all = Tally::default();
    let mut lines = Vec::new();
    for (i, node) in graph.nodes().iter().enumerate() {
        let count = n * node.shape.iter().product::<usize>();
        let before = all;
        let mut homomorphic = None;
        match &node.op {
            Op::Conv { .. } | Op::Fc { .. } => homomorphic = linear::declare(numbers, graph, i, n, &mut all)?,
            Op::Rescale { bits } => {
                if late::waits(graph, i).is_none() {
                    numbers.declare_truncate(&mut all, count, *bits, Known::Nothing);
                }
            }
            Op::Relu => {
                numbers.declare_relu(&mut all, count);
                if let Some(bits) = late::waiting(graph, i) {
                    numbers.declare_truncate(&mut all, count, bits, Known::NonNegative);
                }
            }
            Op::MaxPool { window } => numbers.declare_max(&mut all, count, window.kernel.iter().product()),
            // Refused when it runs.
            Op::Square | Op::AvgPool { .. } | Op::Add | Op::Concat | Op::Flatten => {}
        }
        lines.push((node.name.clone(), all.since(&before), homomorphic));
    }
    let before = all;
    match options.reveal {
        Reveal::Scores => numbers.declare_open(&mut all, n * graph.classes()),
        Reveal::Label => numbers.declare_argmax(&mut all, n, graph.classes()),
    }
    lines.push(("answer".to_owned(), all.since(&before), None));
    Ok(Online { lines, total: all })
}
