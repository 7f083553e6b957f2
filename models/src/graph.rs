//! What is computed, without the weights: public to both parties.

use std::fmt;

use serde::Serialize;
use si_ring::Ring;

use crate::{Error, Result};

/// Channels, height, width of one image's tensor. A vector of n features is (n, 1, 1).
pub type Shape = [usize; 3];

/// A value of the graph: 0 is the input, i + 1 the output of node i.
pub type ValueId = usize;

/// Fixed-point numbers: the real number x is the ring element round(x * 2^scale_bits) mod 2^ring_bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FixedPoint {
    /// Width l of the ring Z_2^l.
    pub ring_bits: u32,
    /// Fractional bits.
    pub scale_bits: u32,
}

impl FixedPoint {
    /// The setting of Cheetah and its successors: ring 2^37, 12 fractional bits.
    pub const CHEETAH: Self = Self { ring_bits: 37, scale_bits: 12 };

    /// The ring. The width was checked when the graph was built.
    #[must_use]
    pub fn ring(self) -> Ring {
        Ring::new(self.ring_bits).expect("GraphBuilder refuses other widths")
    }

    /// Signed bits of what a rescale leaves of a double-scale value, and hence of an activation.
    #[must_use]
    pub fn activation_bits(self) -> u32 {
        self.ring_bits - 1 - self.scale_bits
    }

    /// round(x * 2^scale_bits), half away from zero.
    #[must_use]
    pub fn encode(self, x: f32) -> i64 {
        (f64::from(x) * f64::from(self.scale_bits).exp2()).round() as i64
    }

    /// round(2^scale_bits / area): what an average pool multiplies the sum of a window of `area` numbers with.
    #[must_use]
    pub fn reciprocal(self, area: usize) -> i64 {
        (f64::from(self.scale_bits).exp2() / area as f64).round() as i64
    }

    /// The real number a fixed-point integer stands for.
    #[must_use]
    pub fn decode(self, x: i64) -> f64 {
        x as f64 / f64::from(self.scale_bits).exp2()
    }
}

/// A sliding window: kernel, stride and zero padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Window {
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Vertical and horizontal step.
    pub stride: [usize; 2],
    /// Padding at top, left, bottom, right.
    pub padding: [usize; 4],
}

impl Window {
    /// A square kernel without padding.
    #[must_use]
    pub const fn square(kernel: usize, stride: usize) -> Self {
        Self { kernel: [kernel; 2], stride: [stride; 2], padding: [0; 4] }
    }

    /// With the same padding on all sides.
    #[must_use]
    pub const fn padded(self, by: usize) -> Self {
        Self { padding: [by; 4], ..self }
    }

    /// Height and width of the output for an input of height and width `hw`, if the window fits into it.
    #[must_use]
    pub fn output(&self, hw: [usize; 2]) -> Option<[usize; 2]> {
        let [top, left, bottom, right] = self.padding;
        let padded = [hw[0] + top + bottom, hw[1] + left + right];
        let one = |i: usize| {
            (self.kernel[i] > 0 && self.stride[i] > 0 && padded[i] >= self.kernel[i])
                .then(|| (padded[i] - self.kernel[i]) / self.stride[i] + 1)
        };
        Some([one(0)?, one(1)?])
    }
}

/// An operator. Those marked *double scale* leave 2 * scale_bits fractional bits, which a [`Op::Rescale`] takes back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Op {
    /// Convolution with bias; kernel (out, in / groups, kh, kw). Double scale.
    Conv {
        /// Output channels.
        out_channels: usize,
        /// Kernel, stride, padding.
        window: Window,
        /// Groups of channels that do not mix; 1 is the plain convolution.
        groups: usize,
    },
    /// Fully connected layer with bias over the flattened input; weights (out, c * h * w). Double scale.
    Fc {
        /// Output features.
        out_features: usize,
    },
    /// Arithmetic shift right: floor(x / 2^bits).
    Rescale {
        /// Bits dropped.
        bits: u32,
    },
    /// max(x, 0).
    Relu,
    /// x times itself. Double scale.
    Square,
    /// Greatest value of each window; padding never wins.
    MaxPool {
        /// Kernel, stride, padding.
        window: Window,
    },
    /// Sum of each window times round(2^scale_bits / (kh * kw)). Double scale.
    AvgPool {
        /// Kernel, stride, padding (zeros count).
        window: Window,
    },
    /// Sum of two values of the same shape.
    Add,
    /// The channels of several values of the same height and width, one after the other.
    Concat,
    /// The same numbers as a vector.
    Flatten,
}

impl Op {
    /// Short name, used in meters' labels and records.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Conv { .. } => "conv",
            Self::Fc { .. } => "fc",
            Self::Rescale { .. } => "rescale",
            Self::Relu => "relu",
            Self::Square => "square",
            Self::MaxPool { .. } => "maxpool",
            Self::AvgPool { .. } => "avgpool",
            Self::Add => "add",
            Self::Concat => "concat",
            Self::Flatten => "flatten",
        }
    }

    /// Whether it has weights.
    #[must_use]
    pub const fn has_weights(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::Fc { .. })
    }
}

/// One application of an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Unique name, such as `conv1`.
    pub name: String,
    /// What is applied.
    pub op: Op,
    /// To which values.
    pub inputs: Vec<ValueId>,
    /// Shape of the output.
    pub shape: Shape,
    /// The output lies in [-2^(signed_bits-1), 2^(signed_bits-1)), for every input in range: a promise that the
    /// reference executor checks, and that lets protocols compare fewer bits.
    pub signed_bits: u32,
}

/// A network: nodes in an order in which every input is computed before it is used. The last value is the answer:
/// one score a class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Graph {
    name: String,
    input: Shape,
    format: FixedPoint,
    nodes: Vec<Node>,
}

impl Graph {
    /// Its name in the zoo and in records.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Shape of one query.
    #[must_use]
    pub fn input_shape(&self) -> Shape {
        self.input
    }

    /// Its fixed-point format.
    #[must_use]
    pub fn format(&self) -> FixedPoint {
        self.format
    }

    /// The ring of its format.
    #[must_use]
    pub fn ring(&self) -> Ring {
        self.format.ring()
    }

    /// Its nodes, in order.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Shape of a value.
    #[must_use]
    pub fn shape(&self, value: ValueId) -> Shape {
        if value == 0 { self.input } else { self.nodes[value - 1].shape }
    }

    /// Signed bits of a value (see [`Node::signed_bits`]).
    #[must_use]
    pub fn signed_bits(&self, value: ValueId) -> u32 {
        if value == 0 { input_bits(self.format) } else { self.nodes[value - 1].signed_bits }
    }

    /// Number of classes: the length of the answer.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.shape(self.nodes.len()).iter().product()
    }

    /// Everything both parties must agree on, as text; its hash goes into their agreement check.
    #[must_use]
    pub fn canonical(&self) -> String {
        serde_json::to_string(self).expect("a graph is plain data")
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [c, h, w] = self.input;
        write!(f, "{} ({} nodes, input {c}x{h}x{w}, {} classes)", self.name, self.nodes.len(), self.classes())
    }
}

/// Queries are at most 8 in magnitude before encoding: three integer bits and a sign.
fn input_bits(format: FixedPoint) -> u32 {
    format.scale_bits + 4
}

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
        if format.ring_bits > 64 || format.ring_bits < 2 * format.scale_bits + 3 || format.scale_bits == 0 {
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
        assert!(GraphBuilder::new("t", [0, 1, 1], FixedPoint::CHEETAH).is_err());
    }
}
