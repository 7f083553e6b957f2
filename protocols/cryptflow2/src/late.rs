//! Truncations that wait for a ReLU.
//!
//! relu(floor(x / 2^f)) = floor(relu(x) / 2^f), and after the ReLU the value is known not to be negative, which makes
//! its truncation cheap (CrypTFlow2, section 5: truncation of values whose sign is known). So a rescale that only a ReLU
//! reads is done by the ReLU.

use si_api::{Graph, Op};

/// The bits that the rescale at `index` would drop, if it waits for the ReLU that alone reads its output.
pub(crate) fn waits(graph: &Graph, index: usize) -> Option<u32> {
    let Op::Rescale { bits } = graph.nodes().get(index)?.op else { return None };
    let value = index + 1;
    let mut readers = graph.nodes().iter().filter(|n| n.inputs.contains(&value));
    let only = readers.next().filter(|n| n.op == Op::Relu && n.inputs == [value])?;
    (readers.next().is_none() && only.op == Op::Relu).then_some(bits)
}

/// The bits that the ReLU at `index` drops on behalf of the rescale before it.
pub(crate) fn waiting(graph: &Graph, index: usize) -> Option<u32> {
    waits(graph, graph.nodes()[index].inputs[0].checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use si_models::{FixedPoint, GraphBuilder, Window};

    #[test]
    fn only_a_rescale_for_nobody_but_a_relu_waits() {
        let mut g = GraphBuilder::new("t", [1, 4, 4], FixedPoint::CHEETAH).unwrap();
        let a = g.conv("a", 0, 2, Window::square(1, 1), 1).unwrap();
        let r = g.relu("r", a).unwrap();
        let b = g.conv("b", r, 2, Window::square(1, 1), 1).unwrap();
        let s = g.relu("s", b).unwrap();
        let t = g.add("t", s, b).unwrap();
        let f = g.fc("f", t, 2).unwrap();
        let g = g.build().unwrap();
        let waits: Vec<usize> = (0..g.nodes().len()).filter(|i| waits(&g, *i).is_some()).collect();
        assert_eq!(waits, [a - 1], "b has two readers, f none");
        assert_eq!((waiting(&g, r - 1), waiting(&g, s - 1), f), (Some(12), None, g.nodes().len()));
    }
}
