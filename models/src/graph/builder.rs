//! Graphs are built node by node, and nothing else makes one.

use super::{FixedPoint, Graph, Node, Op, Shape, ValueId, Window};
use crate::{Error, Result};

/// Builds a graph node by node, checking shapes. Every double-scale operator is followed by its rescale.
///
/// ```
/// use si_models::{FixedPoint, GraphBuilder, Window};
/// let mut g = GraphBuilder::new("tiny", [1, 6, 6], FixedPoint::CHEETAH).unwrap();
/// let x = g.conv("conv", 0, 2, Window::square(3, 1), 1).unwrap();
/// let x = g.relu("relu", x).unwrap();
/// let x = g.max_pool("pool", x, Window::square(2, 2)).unwrap();
/// g.fc("fc", x, 10).unwrap();
/// assert_eq!(g.build().unwrap().classes(), 10);
/// ```
pub struct GraphBuilder {
    graph: Graph,
}

impl GraphBuilder {
    /// An empty graph.
    ///
    /// # Errors
    /// If the format is not one that protocols can compute in, or the shape is empty.
    pub fn new(name: &str, input: Shape, format: FixedPoint) -> Result<Self> {
        let builder = Self { graph: Graph { name: name.to_owned(), input, format, nodes: Vec::new() } };
        // Double scale, a sign, a guard bit of the truncation and at least one integer bit.
        if format.ring_bits > 64
            || format.ring_bits < format.scale_bits.saturating_mul(2).saturating_add(3)
            || format.scale_bits == 0
        {
            return Err(builder.wrong("input", format!("{format:?} leaves no room for products: take a larger ring")));
        }
        if input.iter().product::<usize>() == 0 {
            return Err(builder.wrong("input", format!("empty shape {input:?}")));
        }
        Ok(builder)
    }

    /// Convolution and its rescale.
    ///
    /// # Errors
    /// If the window does not fit or the groups do not divide the channels.
    pub fn conv(&mut self, name: &str, x: ValueId, out: usize, window: Window, groups: usize) -> Result<ValueId> {
        let y = self.push(name, Op::Conv { out_channels: out, window, groups }, vec![x])?;
        self.rescale(name, y)
    }

    /// Fully connected layer and its rescale.
    ///
    /// # Errors
    /// If there are no features.
    pub fn fc(&mut self, name: &str, x: ValueId, out_features: usize) -> Result<ValueId> {
        let y = self.push(name, Op::Fc { out_features }, vec![x])?;
        self.rescale(name, y)
    }

    /// Average pool and its rescale.
    ///
    /// # Errors
    /// If the window does not fit.
    pub fn avg_pool(&mut self, name: &str, x: ValueId, window: Window) -> Result<ValueId> {
        let y = self.push(name, Op::AvgPool { window }, vec![x])?;
        self.rescale(name, y)
    }

    /// ReLU.
    ///
    /// # Errors
    /// If `x` is no value yet.
    pub fn relu(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        self.push(name, Op::Relu, vec![x])
    }

    /// Square and its rescale.
    ///
    /// # Errors
    /// If `x` is no value yet.
    pub fn square(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        let y = self.push(name, Op::Square, vec![x])?;
        self.rescale(name, y)
    }

    /// Max-pool.
    ///
    /// # Errors
    /// If the window does not fit, or lies wholly in the padding somewhere.
    pub fn max_pool(&mut self, name: &str, x: ValueId, window: Window) -> Result<ValueId> {
        self.push(name, Op::MaxPool { window }, vec![x])
    }

    /// Sum of two values.
    ///
    /// # Errors
    /// If their shapes differ.
    pub fn add(&mut self, name: &str, a: ValueId, b: ValueId) -> Result<ValueId> {
        self.push(name, Op::Add, vec![a, b])
    }

    /// The channels of several values, one after the other.
    ///
    /// # Errors
    /// If there are fewer than two, or their heights or widths differ.
    pub fn concat(&mut self, name: &str, parts: &[ValueId]) -> Result<ValueId> {
        if parts.len() < 2 {
            return Err(self.wrong(name, format!("{} values to put together: it takes two or more", parts.len())));
        }
        self.push(name, Op::Concat, parts.to_vec())
    }

    /// The numbers of `x` as a vector.
    ///
    /// # Errors
    /// If `x` is no value yet.
    pub fn flatten(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        self.push(name, Op::Flatten, vec![x])
    }

    /// The finished graph.
    ///
    /// # Errors
    /// If it has no node.
    pub fn build(self) -> Result<Graph> {
        if self.graph.nodes.is_empty() { Err(self.wrong("output", "no nodes".to_owned())) } else { Ok(self.graph) }
    }

    fn rescale(&mut self, name: &str, x: ValueId) -> Result<ValueId> {
        let bits = self.graph.format.scale_bits;
        self.push(&format!("{name}.rescale"), Op::Rescale { bits }, vec![x])
    }

    fn push(&mut self, name: &str, op: Op, inputs: Vec<ValueId>) -> Result<ValueId> {
        if let Some(v) = inputs.iter().find(|v| **v > self.graph.nodes.len()) {
            return Err(self.wrong(name, format!("its input {v} is not computed before it")));
        }
        if self.graph.nodes.iter().any(|n| n.name == name) {
            return Err(self.wrong(name, "another node has this name".to_owned()));
        }
        let from: Vec<Shape> = inputs.iter().map(|v| self.graph.shape(*v)).collect();
        let shape = output_shape(&op, &from).map_err(|why| self.wrong(name, why))?;
        let format = self.graph.format;
        let in_bits = inputs.iter().map(|v| self.graph.signed_bits(*v)).max().unwrap_or(0);
        let signed_bits = match op {
            // The guard bit lets truncation find the wrap of the shares from their top bits alone.
            Op::Conv { .. } | Op::Fc { .. } | Op::AvgPool { .. } | Op::Square => format.ring_bits - 1,
            Op::Rescale { bits } => in_bits.saturating_sub(bits).max(1),
            // A sum of activations is held to the bits of an activation, as those of a convolution are to the ring.
            Op::Add => (in_bits + 1).min(format.activation_bits()).max(in_bits),
            Op::Relu | Op::MaxPool { .. } | Op::Concat | Op::Flatten => in_bits,
        };
        self.graph.nodes.push(Node { name: name.to_owned(), op, inputs, shape, signed_bits });
        Ok(self.graph.nodes.len())
    }

    fn wrong(&self, node: &str, why: String) -> Error {
        Error::Shape { model: self.graph.name.clone(), node: node.to_owned(), why }
    }
}

/// Shape of what an operator makes of values of these shapes, of which there is at least one.
pub(crate) fn output_shape(op: &Op, from: &[Shape]) -> std::result::Result<Shape, String> {
    let x = from[0];
    let slide = |window: &Window| {
        window.output([x[1], x[2]]).ok_or_else(|| format!("a window {window:?} does not fit into {x:?}"))
    };
    match op {
        Op::Conv { out_channels, window, groups } => {
            if *groups == 0
                || *out_channels == 0
                || !x[0].is_multiple_of(*groups)
                || !out_channels.is_multiple_of(*groups)
            {
                return Err(format!("{groups} groups do not divide {} and {out_channels} channels", x[0]));
            }
            let [h, w] = slide(window)?;
            Ok([*out_channels, h, w])
        }
        Op::Fc { out_features: 0 } => Err("no output features".to_owned()),
        Op::Fc { out_features } => Ok([*out_features, 1, 1]),
        Op::MaxPool { window } | Op::AvgPool { window } => {
            let [top, left, bottom, right] = window.padding;
            if top.max(bottom) >= window.kernel[0] || left.max(right) >= window.kernel[1] {
                return Err(format!("a window {window:?} may lie wholly in its padding"));
            }
            let [h, w] = slide(window)?;
            Ok([x[0], h, w])
        }
        Op::Add => {
            let y = from.get(1).copied().unwrap_or_default();
            if x == y { Ok(x) } else { Err(format!("shapes {x:?} and {y:?} differ")) }
        }
        Op::Concat => {
            if from.iter().any(|s| s[1..] != x[1..]) {
                return Err(format!("the heights or widths of {from:?} differ"));
            }
            Ok([from.iter().map(|s| s[0]).sum(), x[1], x[2]])
        }
        Op::Flatten => Ok([x.iter().product(), 1, 1]),
        Op::Relu | Op::Square | Op::Rescale { .. } => Ok(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> GraphBuilder {
        GraphBuilder::new("test", [3, 8, 8], FixedPoint::CHEETAH).unwrap()
    }

    #[test]
    fn shapes_and_ranges_are_inferred() {
        let mut g = builder();
        let c = g.conv("c", 0, 4, Window::square(3, 2).padded(1), 1).unwrap();
        let p = g.max_pool("p", c, Window::square(2, 2)).unwrap();
        g.fc("f", p, 5).unwrap();
        let g = g.build().unwrap();
        assert_eq!(g.shape(c), [4, 4, 4]);
        assert_eq!(g.shape(p), [4, 2, 2]);
        assert_eq!((g.signed_bits(0), g.signed_bits(1), g.signed_bits(c)), (16, 36, 24));
        assert_eq!(g.classes(), 5);
    }

    #[test]
    fn sums_keep_to_the_bits_of_activations() {
        let mut g = builder();
        let c = g.conv("c", 0, 3, Window::square(1, 1), 1).unwrap();
        let twice = g.add("twice", 0, 0).unwrap();
        let sum = g.add("sum", c, 0).unwrap();
        let again = g.add("again", sum, sum).unwrap();
        let all = g.concat("all", &[twice, sum, 0]).unwrap();
        let g = g.build().unwrap();
        assert_eq!([twice, sum, again, all].map(|v| g.signed_bits(v)), [17, 24, 24, 24]);
        assert_eq!(g.shape(all), [9, 8, 8]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut g = builder();
        let half = g.max_pool("half", 0, Window::square(2, 2)).unwrap();
        assert!(g.concat("d", &[0, half]).unwrap_err().to_string().contains("[[3, 8, 8], [3, 4, 4]]"));
        assert!(g.concat("d", &[0]).is_err());
        assert!(g.conv("c", 0, 4, Window::square(9, 1), 1).is_err());
        assert!(g.conv("c", 0, 4, Window::square(3, 1), 2).is_err());
        assert!(g.conv("c", 7, 4, Window::square(3, 1), 1).is_err());
        assert!(g.max_pool("p", 0, Window::square(2, 2).padded(2)).is_err());
        assert!(g.fc("f", 0, 0).is_err());
        g.relu("r", 0).unwrap();
        assert!(g.relu("r", 0).is_err());
        assert!(builder().build().is_err());
        assert!(GraphBuilder::new("t", [1, 1, 1], FixedPoint { ring_bits: 20, scale_bits: 12 }).is_err());
        let scale_bits = u32::MAX / 2 + 1; // twice it is 0 in 32 bits
        assert!(GraphBuilder::new("t", [1, 1, 1], FixedPoint { ring_bits: 20, scale_bits }).is_err());
        assert!(GraphBuilder::new("t", [0, 1, 1], FixedPoint::CHEETAH).is_err());
    }
}
