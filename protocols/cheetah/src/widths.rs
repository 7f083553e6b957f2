//! Which ring each value of a graph is shared over.
//!
//! Truncation reduces the ring with the value (see `si_gadgets`), so activations live in Z_2^(l-f) and only the inputs
//! of linear layers, and of additions that need the room, are extended to Z_2^l. Both parties derive the same widths
//! from the public graph.

use si_api::{Error, Graph, Op, Result};
use si_ring::Ring;

/// The ring of every value, by value id.
pub(crate) struct Widths {
    rings: Vec<Ring>,
    full: Ring,
}

impl Widths {
    /// Widths for a graph.
    ///
    /// # Errors
    /// If a value is promised to need more bits than its ring has.
    pub(crate) fn new(graph: &Graph) -> Result<Self> {
        let full = graph.ring();
        let mut widths = Self { rings: vec![full], full };
        for (i, node) in graph.nodes().iter().enumerate() {
            let input = widths.rings[node.inputs[0]];
            let ring = match &node.op {
                Op::Conv { .. } | Op::Fc { .. } | Op::AvgPool { .. } | Op::Square => full,
                Op::Rescale { bits } => Ring::new(input.bits().saturating_sub(*bits))
                    .map_err(|e| Error::invalid(format!("node '{}': {e}", node.name)))?,
                Op::Relu | Op::MaxPool { .. } | Op::Flatten => input,
                Op::Add => {
                    let other = widths.rings[node.inputs[1]];
                    if other == input && node.signed_bits <= input.bits() { input } else { full }
                }
                // Nothing grows: the widest ring among the parts has room for all.
                Op::Concat => {
                    let bits = node.inputs.iter().map(|v| widths.rings[*v].bits()).max();
                    bits.and_then(|bits| Ring::new(bits).ok()).unwrap_or(full)
                }
            };
            let value = i + 1;
            // A maximum compares differences, which need one bit more.
            let needed = node.signed_bits + u32::from(matches!(node.op, Op::MaxPool { .. }));
            if needed > ring.bits() {
                return Err(Error::invalid(format!(
                    "node '{}' needs {needed} signed bits, its shares have {}: use a larger ring or a smaller scale",
                    node.name,
                    ring.bits()
                )));
            }
            debug_assert_eq!(widths.rings.len(), value);
            widths.rings.push(ring);
        }
        Ok(widths)
    }

    /// The ring of a value.
    pub(crate) fn ring(&self, value: usize) -> Ring {
        self.rings[value]
    }

    /// The ring that linear layers compute in.
    pub(crate) fn full(&self) -> Ring {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use si_api::{FixedPoint, Window};
    use si_models::GraphBuilder;

    #[test]
    fn activations_are_narrow_and_linear_layers_wide() {
        let mut g = GraphBuilder::new("t", [1, 8, 8], FixedPoint::CHEETAH).unwrap();
        let a = g.conv("c", 0, 2, Window::square(3, 1), 1).unwrap();
        let r = g.relu("r", a).unwrap();
        let p = g.max_pool("p", r, Window::square(2, 2)).unwrap();
        let f = g.fc("f", p, 4).unwrap();
        let g = g.build().unwrap();
        let w = Widths::new(&g).unwrap();
        let bits = |v| w.ring(v).bits();
        assert_eq!((bits(0), bits(a - 1), bits(a), bits(r), bits(p), bits(f)), (37, 37, 25, 25, 25, 25));
    }

    #[test]
    fn sums_and_concatenations_stay_narrow_unless_a_part_is_wide() {
        let mut g = GraphBuilder::new("t", [2, 4, 4], FixedPoint::CHEETAH).unwrap();
        let a = g.conv("a", 0, 2, Window::square(1, 1), 1).unwrap();
        let b = g.conv("b", 0, 2, Window::square(1, 1), 1).unwrap();
        let s = g.add("s", a, b).unwrap();
        let t = g.add("t", s, a).unwrap();
        let u = g.add("u", t, 0).unwrap();
        let narrow = g.concat("narrow", &[s, t]).unwrap();
        let wide = g.concat("wide", &[s, 0]).unwrap();
        let g = g.build().unwrap();
        let w = Widths::new(&g).unwrap();
        assert_eq!([s, t, u, narrow, wide].map(|v| w.ring(v).bits()), [25, 25, 37, 25, 37]);
    }
}
