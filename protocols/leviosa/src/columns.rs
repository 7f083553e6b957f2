//! One party's codewords: all shares at the party itself, those of the watched virtual servers at the other.

use crate::bits::BITS;
use crate::checks::Masks;
use crate::network::{Geometry, Network};
use crate::parameters::REPETITIONS;

/// The shares of one block, at all virtual servers or at those watched.
pub(crate) type Row = Vec<u64>;

/// All codewords of one party by what they are. Indices: layer, square or rescale first, then group, then input or bit.
#[derive(Default)]
pub(crate) struct Columns {
    /// Client: the inputs of the first layer and the masks of the inputs of the others, each element in all slots of its query.
    /// Server: its shares of the inputs of all but the first, likewise.
    pub(crate) inputs: Vec<Vec<Vec<Row>>>,
    /// What masks the shares of a squared value: narrow, random.
    pub(crate) pads: Vec<Vec<Row>>,
    /// Client: bits of the queries, by group; chunk by chunk of as many inputs of the first layer as there are neurons, bit by bit.
    pub(crate) query_bits: Vec<Vec<Row>>,
    /// Bits of what is rescaled.
    pub(crate) bits: Vec<Vec<Vec<Row>>>,
    /// Server: column k of each layer's matrix, each element in the slots of all queries.
    pub(crate) weights: Vec<Vec<Row>>,
    /// Server: the bias of each layer, likewise.
    pub(crate) bias: Vec<Row>,
    /// Shares of each layer's evaluations: what the server subtracts, and what the client receives. Wide.
    pub(crate) shares: Vec<Vec<Row>>,
    /// The same for squares.
    pub(crate) square_shares: Vec<Vec<Row>>,
    /// Masks of the checks, by check and repetition.
    pub(crate) masks: Vec<Vec<Masks>>,
}

/// Codewords that are committed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Set {
    Inputs(usize),
    Pads,
    QueryBits,
    Bits(usize),
    Weights,
    Bias,
    Shares,
    SquareShares,
    /// Of a party's first, second check.
    Masks(usize),
}

impl Set {
    /// Number of codewords.
    pub(crate) fn count(self, network: &Network, geometry: &Geometry) -> usize {
        let groups = geometry.groups;
        match self {
            Self::Inputs(l) => groups * network.layers[l].inputs,
            Self::Pads | Self::SquareShares => groups * network.squares,
            Self::QueryBits => groups * network.query_chunks() * network.query_bits,
            Self::Bits(_) => groups * BITS,
            Self::Weights => network.layers.iter().map(|l| l.inputs).sum(),
            Self::Bias => network.layers.len(),
            Self::Shares => groups * network.layers.len(),
            Self::Masks(_) => Masks::ROWS * REPETITIONS,
        }
    }
}

fn nested(mut rows: impl Iterator<Item = Row>, outer: usize, inner: impl Fn(usize) -> usize) -> Vec<Vec<Row>> {
    (0..outer).map(|i| rows.by_ref().take(inner(i)).collect()).collect()
}

impl Columns {
    pub(crate) fn new(network: &Network) -> Self {
        Self {
            inputs: vec![Vec::new(); network.layers.len()],
            bits: vec![Vec::new(); network.rescales.len()],
            masks: (0..2).map(|_| Vec::new()).collect(),
            ..Self::default()
        }
    }

    /// The codewords of a set, in order.
    pub(crate) fn get(&self, set: Set) -> Vec<&[u64]> {
        fn all(rows: &[Vec<Row>]) -> Vec<&[u64]> {
            rows.iter().flatten().map(Vec::as_slice).collect()
        }
        match set {
            Set::Inputs(l) => all(&self.inputs[l]),
            Set::Pads => all(&self.pads),
            Set::QueryBits => all(&self.query_bits),
            Set::Bits(t) => all(&self.bits[t]),
            Set::Weights => all(&self.weights),
            Set::Bias => self.bias.iter().map(Vec::as_slice).collect(),
            Set::Shares => all(&self.shares),
            Set::SquareShares => all(&self.square_shares),
            Set::Masks(check) => self.masks[check].iter().flat_map(Masks::rows).collect(),
        }
    }

    /// Takes the codewords of a set, of which there are as many as [`Set::count`] says.
    pub(crate) fn put(&mut self, set: Set, rows: Vec<Row>, network: &Network, geometry: &Geometry) {
        let groups = geometry.groups;
        let mut rows = rows.into_iter();
        match set {
            Set::Inputs(l) => self.inputs[l] = nested(rows, groups, |_| network.layers[l].inputs),
            Set::Pads => self.pads = nested(rows, network.squares, |_| groups),
            Set::QueryBits => self.query_bits = nested(rows, groups, |_| network.query_chunks() * network.query_bits),
            Set::Bits(t) => self.bits[t] = nested(rows, groups, |_| BITS),
            Set::Weights => self.weights = nested(rows, network.layers.len(), |l| network.layers[l].inputs),
            Set::Bias => self.bias = rows.collect(),
            Set::Shares => self.shares = nested(rows, network.layers.len(), |_| groups),
            Set::SquareShares => self.square_shares = nested(rows, network.squares, |_| groups),
            Set::Masks(check) => {
                self.masks[check] = (0..REPETITIONS).map(|_| Masks::take(&mut rows)).collect();
            }
        }
    }
}

/// What both parties have seen of each other's values: all of it uniform. By layer or square, then group.
#[derive(Default)]
pub(crate) struct Opened {
    /// For each rescale and group, what is added to the client's share and taken from the server's before the truncation.
    pub(crate) offsets: Vec<Vec<Vec<u64>>>,
    /// Layers but the first: the client's share of input k of query q minus its mask, at q * width + k.
    pub(crate) shifts: Vec<Vec<Vec<u64>>>,
    /// Squares: the client's share minus its pad, a block.
    pub(crate) client: Vec<Vec<Vec<u64>>>,
    /// Squares: the server's.
    pub(crate) server: Vec<Vec<Vec<u64>>>,
    /// The server's share of the answer, a block a group.
    pub(crate) answer: Vec<Vec<u64>>,
}

impl Opened {
    pub(crate) fn new(network: &Network) -> Self {
        let squares = || vec![Vec::new(); network.squares];
        Self { shifts: vec![Vec::new(); network.layers.len()], client: squares(), server: squares(), ..Self::default() }
    }

    /// Groups of inferences; a network has at least one rescale.
    pub(crate) fn groups(&self) -> usize {
        self.offsets.first().map_or(0, Vec::len)
    }
}
