//! Truncations that wait for a ReLU.
//!
//! relu(floor(x / 2^f)) = floor(relu(x) / 2^f), and after the ReLU the value is known not to be negative, which makes
//! its truncation cheap (CrypTFlow2, section 5: truncation of values whose sign is known). So a rescale that only a ReLU
//! reads is done by the ReLU; and so are those of the parts of a concatenation that only a ReLU reads, if all of them
//! drop as many bits.

use si_api::{Graph, Op};

/// The bits that the rescale at `index` would drop, if it waits for a ReLU.
pub(crate) fn waits(graph: &Graph, index: usize) -> Option<u32> {
    let Op::Rescale { bits } = graph.nodes().get(index)?.op else { return None };
    let reader = only_reader(graph, index)?;
    let relu = match graph.nodes()[reader].op {
        Op::Concat => only_reader(graph, reader)?,
        _ => reader,
    };
    (waiting(graph, relu)? == bits).then_some(bits)
}

/// The bits that the ReLU at `index` drops on behalf of the rescales before it.
pub(crate) fn waiting(graph: &Graph, index: usize) -> Option<u32> {
    let nodes = graph.nodes();
    let node = nodes.get(index).filter(|n| n.op == Op::Relu)?;
    let before = node.inputs[0].checked_sub(1)?;
    if nodes[before].op != Op::Concat {
        return rescale_for(graph, before, index);
    }
    only_reader(graph, before)?;
    let mut parts = nodes[before].inputs.iter().map(|v| rescale_for(graph, v.checked_sub(1)?, before));
    let bits = parts.next()??;
    parts.all(|part| part == Some(bits)).then_some(bits)
}

/// The bits that the node at `index` drops, if it is a rescale that only the node `reader` reads.
fn rescale_for(graph: &Graph, index: usize, reader: usize) -> Option<u32> {
    let Op::Rescale { bits } = graph.nodes()[index].op else { return None };
    (only_reader(graph, index)? == reader).then_some(bits)
}

/// The one node that reads the output of the node at `index`, once.
fn only_reader(graph: &Graph, index: usize) -> Option<usize> {
    let value = index + 1;
    let mut reads = graph.nodes().iter().enumerate().flat_map(|(i, n)| n.inputs.iter().map(move |v| (i, *v)));
    let mut readers = reads.by_ref().filter(|(_, v)| *v == value);
    let (reader, _) = readers.next()?;
    readers.next().is_none().then_some(reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use si_models::{FixedPoint, GraphBuilder, Window};

    fn that_wait(g: &Graph) -> Vec<usize> {
        (0..g.nodes().len()).filter(|i| waits(g, *i).is_some()).collect()
    }

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
        assert_eq!(that_wait(&g), [a - 1], "b has two readers, f none");
        assert_eq!((waiting(&g, r - 1), waiting(&g, s - 1), f), (Some(12), None, g.nodes().len()));
    }

    #[test]
    fn rescales_wait_through_a_concatenation_together_or_not_at_all() {
        let graph = |shared: bool| {
            let mut g = GraphBuilder::new("t", [1, 4, 4], FixedPoint::CHEETAH).unwrap();
            let conv = |g: &mut GraphBuilder, name: &str| g.conv(name, 0, 2, Window::square(1, 1), 1).unwrap();
            let (a, b) = (conv(&mut g, "a"), conv(&mut g, "b"));
            let c = g.concat("c", &[a, b]).unwrap();
            let r = g.relu("r", c).unwrap();
            let last = if shared { g.concat("d", &[r, a]).unwrap() } else { r };
            g.fc("f", last, 2).unwrap();
            (g.build().unwrap(), [a - 1, b - 1], r - 1)
        };
        let (g, parts, relu) = graph(false);
        assert_eq!((that_wait(&g), waiting(&g, relu)), (parts.to_vec(), Some(12)));
        let (g, _, relu) = graph(true);
        assert_eq!((that_wait(&g), waiting(&g, relu)), (vec![], None), "a is read twice");
    }
}
