//! What is computed, without the weights: public to both parties.

mod builder;

use std::fmt;

use serde::Serialize;
use si_ring::Ring;

pub use builder::GraphBuilder;
pub(crate) use builder::output_shape;

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
