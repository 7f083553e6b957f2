//! What both parties derive from the network and the size of a batch, and the channel between them.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_api::{Error, Graph, Result, Role};
use si_rlwe::field::Field;
use si_rlwe::ole::{Ole, PRIME, RlweOle};
use si_wire::Channel;

use crate::code::Code;
use crate::columns::{Columns, Set};
use crate::deviation::InsecureDeviation;
use crate::error::own;
use crate::network::{Geometry, Network, OleLayout};
use crate::parameters::Parameters;
use crate::watch::{Keys, Watchlist, seed};

/// Most inferences in a block that the search tries.
const MOST_QUERIES: usize = 16;

/// What the server commits to before it answers.
pub(crate) const MODEL_SETS: [Set; 5] = [Set::Weights, Set::Bias, Set::Shares, Set::Pads, Set::SquareShares];

/// What a session's batches have in common.
pub(crate) struct Setting {
    pub(crate) network: Network,
    pub(crate) ole: Arc<dyn Ole>,
    pub(crate) field: Field,
    security_bits: u32,
    queries: Option<usize>,
    /// In place of those that the search finds.
    #[cfg(test)]
    pub(crate) parameters: Option<Parameters>,
}

impl Setting {
    pub(crate) fn new(graph: &Graph, security_bits: u32, queries: Option<usize>) -> Result<Self> {
        let ole = RlweOle::new(PRIME).map_err(own)?;
        let field = ole.field();
        Self::with_ole(graph, Arc::new(ole), field, security_bits, queries)
    }

    /// With any evaluations over the field.
    pub(crate) fn with_ole(
        graph: &Graph,
        ole: Arc<dyn Ole>,
        field: Field,
        security_bits: u32,
        queries: Option<usize>,
    ) -> Result<Self> {
        Ok(Self {
            network: Network::new(graph)?,
            field,
            ole,
            security_bits,
            queries,
            #[cfg(test)]
            parameters: None,
        })
    }

    fn parameters(&self, slots: usize) -> Option<Parameters> {
        #[cfg(test)]
        if self.parameters.is_some() {
            return self.parameters.clone();
        }
        Parameters::search(self.field, slots, self.security_bits)
    }

    /// The number of inferences in a block, and parameters, with which a batch takes the fewest bytes.
    pub(crate) fn plan(&self, batch: usize) -> Result<Plan> {
        let width = self.network.width;
        let mut best: Option<(u64, Geometry, Parameters, OleLayout)> = None;
        let choice = self.queries.map_or(1..=batch.clamp(1, MOST_QUERIES), |q| q..=q);
        for queries in choice {
            let geometry = Geometry::new(batch, width, queries);
            let Some(parameters) = self.parameters(geometry.slots()) else { break };
            let Ok(layout) = OleLayout::new(&self.network, geometry.groups, self.ole.slots()) else { continue };
            let per_server = self.ole.query_bytes(layout.ciphertexts) + self.ole.answer_bytes();
            let words: usize = sets(&self.network).map(|s| s.count(&self.network, &geometry)).sum();
            let bytes = (parameters.servers * (per_server + 8 * words)) as u64;
            if best.as_ref().is_none_or(|(least, ..)| bytes < *least) {
                best = Some((bytes, geometry, parameters, layout));
            }
        }
        let (bytes, geometry, parameters, layout) =
            best.ok_or_else(|| Error::invalid(format!("no parameters for a batch of {batch}: take a smaller one")))?;
        let code = Code::new(self.field, parameters).map_err(own)?;
        Ok(Plan { geometry, layout, code, bytes })
    }
}

/// All codewords of both parties but the client's inputs and pads, which are in its ciphertexts.
fn sets(network: &Network) -> impl Iterator<Item = Set> + '_ {
    let later = (1..network.layers.len()).map(Set::Inputs);
    let bits = (0..network.rescales.len()).flat_map(|t| [Set::Bits(t); 2]);
    MODEL_SETS.into_iter().chain(later).chain(bits).chain([Set::QueryBits, Set::Masks(0), Set::Masks(1), Set::Masks(0)])
}

/// What a batch is computed with.
pub(crate) struct Plan {
    pub(crate) geometry: Geometry,
    pub(crate) layout: OleLayout,
    pub(crate) code: Code,
    /// Of all messages at virtual servers: what the search minimises.
    pub(crate) bytes: u64,
}

impl Plan {
    pub(crate) fn servers(&self) -> usize {
        self.code.parameters().servers
    }

    /// The offsets of all rescales: uniform blocks from the client's seed, to which it is committed before the server is to its
    /// shares. Neither can therefore choose what is truncated.
    pub(crate) fn offsets(&self, network: &Network, seed: &[u8; 32]) -> Vec<Vec<Vec<u64>>> {
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let field = self.code.field();
        let mut block = || (0..self.geometry.slots()).map(|_| field.random(&mut rng)).collect();
        network.rescales.iter().map(|_| (0..self.geometry.groups).map(|_| block()).collect()).collect()
    }

    /// Calls `each` for every input of the evaluations at a virtual server with its ciphertext and slot.
    pub(crate) fn each_input(&self, network: &Network, mut each: impl FnMut(OleInput, usize, usize)) {
        let layout = &self.layout;
        for group in 0..self.geometry.groups {
            for (l, (layer, &first)) in network.layers.iter().zip(&layout.layers[group]).enumerate() {
                for k in 0..layer.inputs {
                    each(OleInput::Layer(l, group, k), k % layout.ciphertexts, first + k / layout.ciphertexts);
                }
            }
            for (s, &at) in layout.squares[group].iter().enumerate() {
                each(OleInput::Square(s, group), 0, at);
            }
        }
    }

    /// One party's vectors at one virtual server, from the shares there.
    pub(crate) fn inputs(&self, network: &Network, share: impl Fn(OleInput) -> u64, slots: usize) -> Vec<Vec<u64>> {
        let mut vectors = vec![vec![0; slots]; self.layout.ciphertexts];
        self.each_input(network, |input, ciphertext, slot| vectors[ciphertext][slot] = share(input));
        vectors
    }

    /// The slots of each output at one virtual server.
    pub(crate) fn outputs<'a>(
        &'a self,
        network: &'a Network,
    ) -> impl Iterator<Item = (OleOutput, std::ops::Range<usize>)> + 'a {
        (0..self.geometry.groups).flat_map(move |group| {
            let layers = network.layers.iter().zip(&self.layout.layers[group]).enumerate();
            let layers =
                layers.map(move |(l, (layer, &at))| (OleOutput::Layer(l, group), at..at + self.layout.count(layer)));
            let squares = self.layout.squares[group].iter().enumerate();
            layers.chain(squares.map(move |(s, &at)| (OleOutput::Square(s, group), at..at + 1)))
        })
    }

    /// The server's factors and masks at one virtual server, from the shares there and the seed of its masks: they are random, but
    /// those of one output add up to its share.
    pub(crate) fn factors(
        &self,
        network: &Network,
        columns: &Columns,
        at: usize,
        seed: &[u8; 32],
        slots: usize,
    ) -> (Vec<Vec<u64>>, Vec<u64>) {
        let field = self.code.field();
        let factor = |input| match input {
            OleInput::Layer(l, _, k) => columns.weights[l][k][at],
            OleInput::Square(s, group) => columns.pads[s][group][at],
        };
        let factors = self.inputs(network, factor, slots);
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let mut masks: Vec<u64> = (0..slots).map(|_| field.random(&mut rng)).collect();
        for (output, places) in self.outputs(network) {
            let share = match output {
                OleOutput::Layer(l, group) => columns.shares[l][group][at],
                OleOutput::Square(s, group) => columns.square_shares[s][group][at],
            };
            let last = places.end - 1;
            let others = masks[places.start..last].iter().fold(0, |sum, &m| field.add(sum, m));
            masks[last] = field.sub(share, others);
        }
        (factors, masks)
    }
}

/// What the client evaluates at: a layer's input by layer, group and number, or a square's pad by square and group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OleInput {
    Layer(usize, usize, usize),
    Square(usize, usize),
}

/// What it learns: by layer or square, and group.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OleOutput {
    Layer(usize, usize),
    Square(usize, usize),
}

/// Seeds that the key of a virtual server gives.
pub(crate) mod purpose {
    pub(crate) const QUERY: &str = "query";
    pub(crate) const ANSWER: &str = "answer";
    pub(crate) const MASKS: &str = "masks";
}

/// The channel with both watchlists, and how many times each side has committed to codewords.
pub(crate) struct Link<'a> {
    pub(crate) ch: &'a mut Channel,
    pub(crate) peer: Role,
    pub(crate) keys: Keys,
    pub(crate) watchlist: Watchlist,
    sent: usize,
    received: usize,
    /// Codewords of which the first is committed to wrongly at so many servers.
    wrong: Option<(Set, usize)>,
}

impl<'a> Link<'a> {
    pub(crate) fn new(
        ch: &'a mut Channel,
        peer: Role,
        (keys, watchlist): (Keys, Watchlist),
        deviation: Option<InsecureDeviation>,
    ) -> Self {
        let wrong = deviation.and_then(InsecureDeviation::committed);
        Self { ch, peer, keys, watchlist, sent: 0, received: 0, wrong }
    }

    /// Commits to codewords of ours.
    pub(crate) fn commit(&mut self, columns: &Columns, sets: &[Set]) -> Result<()> {
        for &set in sets {
            let mut rows = columns.get(set);
            let first;
            if let Some((_, servers)) = self.wrong.filter(|(wrong, _)| *wrong == set) {
                let mut row = rows[0].to_vec();
                row[..servers].iter_mut().for_each(|x| *x ^= 1);
                first = row;
                rows[0] = &first;
            }
            self.keys.commit(self.ch, self.sent, &rows)?;
            self.sent += 1;
        }
        Ok(())
    }

    /// Receives commitments to codewords of the peer's.
    pub(crate) fn receive(
        &mut self,
        columns: &mut Columns,
        sets: &[Set],
        network: &Network,
        plan: &Plan,
    ) -> Result<()> {
        for &set in sets {
            let count = set.count(network, &plan.geometry);
            let rows = self.watchlist.receive(self.ch, self.peer, plan.code.field(), self.received, count)?;
            columns.put(set, rows, network, &plan.geometry);
            self.received += 1;
        }
        Ok(())
    }

    /// Sends elements, 8 bytes each.
    pub(crate) fn send_elements(&mut self, blocks: &[Vec<u64>]) -> Result<()> {
        let bytes: Vec<u8> = blocks.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
        Ok(self.ch.send(&bytes)?)
    }

    /// Receives so many blocks of elements.
    pub(crate) fn receive_elements(&mut self, what: &'static str, plan: &Plan, groups: usize) -> Result<Vec<Vec<u64>>> {
        let slots = plan.geometry.slots();
        let bytes = self.ch.recv_exact(what, 8 * slots * groups)?;
        let words: Vec<u64> = (bytes.chunks_exact(8))
            .map(|bytes| bytes.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b)))
            .collect();
        if words.iter().any(|&x| x >= plan.code.field().prime()) {
            let why = "an element is not below the prime".to_owned();
            return Err(Error::Malformed { peer: self.peer, what: what.to_owned(), why });
        }
        Ok(words.chunks_exact(slots).map(<[u64]>::to_vec).collect())
    }

    /// Receives 32 bytes.
    pub(crate) fn receive_seed(&mut self, what: &'static str) -> Result<[u8; 32]> {
        let bytes = self.ch.recv_exact(what, 32)?;
        let mut seed = [0; 32];
        seed.copy_from_slice(&bytes);
        Ok(seed)
    }
}

/// The commitment to a seed.
pub(crate) fn commitment(value: &[u8; 32]) -> [u8; 32] {
    seed(value, "commitment to the offsets", 0)
}
