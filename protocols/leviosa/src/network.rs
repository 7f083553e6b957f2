//! What is computed, in the protocol's terms: a chain of fully connected layers, squares and rescales, and how a batch lies in blocks.

use si_api::{Error, Graph, Op, Result};

use crate::card::ID;

/// One operator of the chain; numbers count operators of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Fc(usize),
    Square(usize),
    Rescale(usize),
}

/// A fully connected layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    /// Position of its node in the graph.
    pub(crate) node: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
}

/// The chain.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// Each with the label of its node.
    pub(crate) steps: Vec<(Step, String)>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) squares: usize,
    /// Bits that each rescale drops.
    pub(crate) rescales: Vec<u32>,
    /// Most outputs of a layer: neurons of a block.
    pub(crate) width: usize,
    pub(crate) classes: usize,
    /// Bits of an element of a query, two's complement.
    pub(crate) query_bits: usize,
}

/// Widest ring whose double-scale values are accepted: shares in a field of 49 bits are truncated wrongly with probability
/// |x| / p for a value x. *Agreement.*
const MOST_RING_BITS: u32 = 40;

/// Elements of queries are in [-2^4, 2^4): images are normalised to a few units. *Agreement.*
const QUERY_INTEGER_BITS: u32 = 4;

/// Most bits that one rescale may drop: p - 1 is a multiple of 2^14, see [`crate::bits`].
const MOST_RESCALE_BITS: u32 = 14;

impl Network {
    /// # Errors
    /// If the graph is no chain that starts with a fully connected layer and has nothing but these, squares and rescales.
    pub(crate) fn new(graph: &Graph) -> Result<Self> {
        let unsupported = |what: String| Error::Unsupported { protocol: ID.to_owned(), what };
        let format = graph.format();
        if format.ring_bits > MOST_RING_BITS {
            return Err(unsupported(format!("values of {} bits: take a ring of {MOST_RING_BITS}", format.ring_bits)));
        }
        let mut this = Self {
            steps: Vec::new(),
            layers: Vec::new(),
            squares: 0,
            rescales: Vec::new(),
            width: 0,
            classes: graph.classes(),
            query_bits: (format.scale_bits + QUERY_INTEGER_BITS + 1) as usize,
        };
        for (index, node) in graph.nodes().iter().enumerate() {
            if node.inputs != [index] {
                return Err(unsupported(format!("'{}', which is no link of a chain", node.name)));
            }
            let last = this.steps.last().map(|(step, _)| *step);
            let step = match (&node.op, last) {
                (Op::Flatten, _) => continue,
                (Op::Fc { out_features }, None | Some(Step::Rescale(_))) => {
                    let inputs = graph.shape(index).iter().product();
                    this.layers.push(Layer { node: index, inputs, outputs: *out_features });
                    this.width = this.width.max(*out_features);
                    Step::Fc(this.layers.len() - 1)
                }
                (Op::Square, Some(Step::Rescale(_))) => {
                    this.squares += 1;
                    Step::Square(this.squares - 1)
                }
                (Op::Rescale { bits }, Some(Step::Fc(_) | Step::Square(_))) if *bits <= MOST_RESCALE_BITS => {
                    this.rescales.push(*bits);
                    Step::Rescale(this.rescales.len() - 1)
                }
                (op, _) => {
                    let what = "only fully connected layers and squares, each with its rescale, in a chain";
                    return Err(unsupported(format!("'{}' ({}) here: {what}", node.name, op.name())));
                }
            };
            this.steps.push((step, node.name.clone()));
        }
        match this.steps.last() {
            Some((Step::Rescale(_), _)) => Ok(this),
            _ => Err(unsupported("a network whose answer is not rescaled".to_owned())),
        }
    }

    /// Blocks that hold the inputs of the first layer one by one.
    pub(crate) fn query_chunks(&self) -> usize {
        self.layers[0].inputs.div_ceil(self.width)
    }

    /// Whether an element of a query is one that can be proven to be in range.
    pub(crate) fn accepts(&self, x: i64) -> bool {
        let bound = 1 << (self.query_bits - 1);
        (-bound..bound).contains(&x)
    }

    /// The products of field elements that one inference takes, by layers (true) and squares: what the plain computation needs.
    pub(crate) fn products(&self) -> Vec<(String, usize, bool)> {
        let mut all = Vec::new();
        let mut width = 0;
        for (step, name) in &self.steps {
            match step {
                Step::Fc(l) => {
                    width = self.layers[*l].outputs;
                    all.push((name.clone(), width * self.layers[*l].inputs, true));
                }
                Step::Square(_) => all.push((name.clone(), width, false)),
                Step::Rescale(_) => {}
            }
        }
        all
    }
}

/// How the inferences of a batch lie in blocks: slot q * width + j of group g is neuron j of inference g * queries + q.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) width: usize,
    /// Inferences in a block.
    pub(crate) queries: usize,
    pub(crate) groups: usize,
}

impl Geometry {
    pub(crate) fn new(batch: usize, width: usize, queries: usize) -> Self {
        Self { batch, width, queries, groups: batch.div_ceil(queries) }
    }

    pub(crate) fn slots(&self) -> usize {
        self.width * self.queries
    }

    /// A block from its elements by neuron and query.
    pub(crate) fn block(&self, mut element: impl FnMut(usize, usize) -> u64) -> Vec<u64> {
        (0..self.queries).flat_map(|q| (0..self.width).map(move |j| (j, q))).map(|(j, q)| element(j, q)).collect()
    }
}

/// Where the evaluations of one virtual server lie in the slots of its ciphertexts: input k of a layer in ciphertext k mod C, so that
/// one answer ciphertext holds the sums over all C, and its receiver adds up the slots of one output.
#[derive(Clone, Debug)]
pub(crate) struct OleLayout {
    /// C: ciphertexts of the receiver.
    pub(crate) ciphertexts: usize,
    /// For each group, the first slot of each layer and of each square.
    pub(crate) layers: Vec<Vec<usize>>,
    pub(crate) squares: Vec<Vec<usize>>,
    /// Slots used.
    pub(crate) used: usize,
}

impl OleLayout {
    pub(crate) fn new(network: &Network, groups: usize, slots: usize) -> Result<Self> {
        let place = |ciphertexts: usize| {
            let mut this = Self { ciphertexts, layers: Vec::new(), squares: Vec::new(), used: 0 };
            for _ in 0..groups {
                let mut next = |count: usize| {
                    this.used += count;
                    this.used - count
                };
                let layers = network.layers.iter().map(|l| next(l.inputs.div_ceil(ciphertexts))).collect();
                let squares = (0..network.squares).map(|_| next(1)).collect();
                this.layers.push(layers);
                this.squares.push(squares);
            }
            this
        };
        // Counted before anything is placed: of a large batch that takes long, and most layouts do not fit.
        let used = |ciphertexts: usize| {
            let of_group =
                network.layers.iter().map(|l| l.inputs.div_ceil(ciphertexts)).sum::<usize>() + network.squares;
            groups.saturating_mul(of_group)
        };
        let most = network.layers.iter().map(|l| l.inputs).max().unwrap_or(1);
        (1..=most).find(|ciphertexts| used(*ciphertexts) <= slots).map(place).ok_or_else(|| {
            Error::invalid(format!("{groups} groups of inferences do not fit {slots} slots: take a smaller batch"))
        })
    }

    /// Slots of a layer's output.
    pub(crate) fn count(&self, layer: &Layer) -> usize {
        layer.inputs.div_ceil(self.ciphertexts)
    }
}
