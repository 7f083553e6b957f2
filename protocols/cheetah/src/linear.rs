//! Linear layers: `si_rlwe` plans on the wire.

use std::collections::HashMap;
use std::sync::Arc;

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Channel, Error, Graph, HomomorphicWork, Model, Op, Result, Role};
use si_gadgets::Tally;
use si_ring::Ring;
use si_rlwe::{
    CostWeights, EncodedWeights, Layer, LayerAhead, LinearPlan, Params, PublicKey, SecretKey, WeightsAhead,
    generate_keys,
};

/// Memory for transformed weights that are kept; those of layers beyond it (in the order of the network) are transformed for
/// each batch, ahead of their use as far as [`MOST_AHEAD_BYTES`] goes. ResNet50 would need tens of GiB. *Local.*
const MOST_WEIGHT_BYTES: usize = 256 << 20;

/// Memory for weights transformed ahead of their use by one more thread, while the network or the client is at work. *Local.*
const MOST_AHEAD_BYTES: usize = 256 << 20;

/// Queries of a layer with untransformed weights are read and answered together, as many as this memory holds; the
/// weights are transformed once for each such group. *Local.*
const MOST_QUERY_BYTES: usize = 128 << 20;

/// One party's keys and, at the server, its weights.
pub(crate) struct Linear {
    params: Params,
    rng: ChaCha20Rng,
    side: Side,
}

enum Side {
    Client {
        key: SecretKey,
    },
    Server {
        key: PublicKey,
        model: Arc<Model>,
        /// [`MOST_WEIGHT_BYTES`], less in tests.
        most_weight_bytes: usize,
        /// What is ready by node, for one batch size.
        weights: HashMap<usize, Prepared>,
        /// Transforms the weights that are not kept.
        ahead: Option<WeightsAhead>,
    },
}

/// A plan depends on the batch, for images of a batch may share a ciphertext, and so do the transformed weights.
struct Prepared {
    plan: LinearPlan,
    weights: Arc<EncodedWeights>,
    /// Whether they are transformed and kept: not where all layers' weights would exceed [`MOST_WEIGHT_BYTES`].
    kept: bool,
}

impl Prepared {
    fn weight_bytes(&self) -> usize {
        if self.kept { self.plan.cost().weight_bytes } else { 0 }
    }
}

/// The weights of a node, where the model has them.
struct NodeWeights {
    model: Arc<Model>,
    index: usize,
}

impl AsRef<[i64]> for NodeWeights {
    fn as_ref(&self) -> &[i64] {
        self.model.fixed(self.index).map_or(&[], |layer| &layer.weights)
    }
}

/// Why a layer was not answered.
enum Failure {
    Rlwe(si_rlwe::Error),
    Channel(Error),
}

impl From<si_rlwe::Error> for Failure {
    fn from(e: si_rlwe::Error) -> Self {
        Self::Rlwe(e)
    }
}

impl Linear {
    /// Makes a key pair and sends the public key.
    pub(crate) fn client(graph: &Graph, channel: &mut Channel, rng: &mut impl CryptoRng) -> Result<Self> {
        let params = params(graph)?;
        let (key, public) = generate_keys(&params, rng);
        channel.send(&public.encode())?;
        channel.flush()?;
        Ok(Self { params, rng: ChaCha20Rng::from_rng(rng), side: Side::Client { key } })
    }

    /// Receives the client's public key.
    pub(crate) fn server(model: Arc<Model>, channel: &mut Channel, rng: &mut impl CryptoRng) -> Result<Self> {
        let params = params(model.graph())?;
        let bytes = channel.recv_exact("public key", PublicKey::encoded_bytes(&params))?;
        let key = PublicKey::decode(&params, &bytes).map_err(|e| from_rlwe(e, Role::Client, "keys"))?;
        Ok(Self {
            params,
            rng: ChaCha20Rng::from_rng(rng),
            side: Side::Server {
                key,
                model,
                most_weight_bytes: MOST_WEIGHT_BYTES,
                weights: HashMap::new(),
                ahead: None,
            },
        })
    }

    /// **Insecure**: another model of the same graph, for servers that cheat.
    pub(crate) fn exchange_model(&mut self, other: Arc<Model>) {
        if let Side::Server { model, weights, ahead, .. } = &mut self.side
            && !Arc::ptr_eq(model, &other)
        {
            *model = other;
            weights.clear();
            *ahead = None;
        }
    }

    /// Transforms the weights of the linear layers for batches of `n`, unless that was done before, as far as
    /// [`MOST_WEIGHT_BYTES`] go; checks the others, and begins to transform them ahead.
    pub(crate) fn prepare(&mut self, graph: &Graph, n: usize) -> Result<()> {
        for (index, node) in graph.nodes().iter().enumerate() {
            if node.op.has_weights() {
                self.prepare_node(graph, index, n)?;
            }
        }
        self.look_ahead(0, n);
        Ok(())
    }

    /// Sees to it that the thread is at the first node from `from` on whose weights are not kept.
    fn look_ahead(&mut self, from: usize, n: usize) {
        let Side::Server { weights, ahead, .. } = &mut self.side else { return };
        let mut later: Vec<_> = weights
            .iter()
            .filter(|(index, p)| **index >= from && !p.kept && p.plan.layer().batch == n)
            .map(|(index, p)| (*index, p))
            .collect();
        later.sort_unstable_by_key(|(index, _)| *index);
        let Some((_, first)) = later.first() else { return };
        if ahead.as_ref().is_some_and(|a| a.expects(&first.weights)) {
            return;
        }
        let layer = |(_, p): (usize, &Prepared)| LayerAhead {
            plan: p.plan.clone(),
            weights: Arc::clone(&p.weights),
            together: queries_together(&p.plan),
        };
        // The old thread ends before the new one starts. Without one, weights are transformed at their use.
        *ahead = None;
        *ahead = WeightsAhead::spawn(later.into_iter().map(layer).collect(), MOST_AHEAD_BYTES).ok();
    }

    fn prepare_node(&mut self, graph: &Graph, index: usize, n: usize) -> Result<()> {
        let Side::Server { model, most_weight_bytes, weights, .. } = &mut self.side else { return Ok(()) };
        let node = &graph.nodes()[index].name;
        let plan = plan(&self.params, graph, index, n)?;
        if weights.get(&index).is_some_and(|p| p.plan.layer() == plan.layer()) {
            return Ok(());
        }
        let layer = model.fixed(index).ok_or_else(|| Error::invalid(format!("no weights for node '{node}'")))?;
        weights.remove(&index);
        let held: usize = weights.values().map(Prepared::weight_bytes).sum();
        let fits = held + plan.cost().weight_bytes <= *most_weight_bytes;
        let encoded = match fits {
            true => plan.encode_weights(&layer.weights),
            false => plan.defer_shared_weights(Arc::new(NodeWeights { model: Arc::clone(model), index })),
        };
        let encoded = encoded.map_err(|e| from_rlwe(e, Role::Client, node))?;
        weights.insert(index, Prepared { plan, weights: Arc::new(encoded), kept: fits });
        Ok(())
    }

    /// Shares over the full ring of the layer's output, bias included. One round trip for any batch.
    ///
    /// `share` is our share of the whole batch (n, c, h, w).
    pub(crate) fn run(
        &mut self,
        graph: &Graph,
        index: usize,
        n: usize,
        share: &[u64],
        channel: &mut Channel,
    ) -> Result<Vec<u64>> {
        self.prepare_node(graph, index, n)?;
        self.look_ahead(index, n);
        let name = &graph.nodes()[index].name;
        match &mut self.side {
            Side::Client { key } => {
                let plan = plan(&self.params, graph, index, n)?;
                let wrong = |e| from_rlwe(e, Role::Server(0), name);
                for part in 0..plan.parts() {
                    channel.send(&plan.encrypt_part(key, part, share, &mut self.rng).map_err(wrong)?)?;
                }
                let mut decryption = plan.decryption(key).map_err(wrong)?;
                let most = plan.longest_answer_bytes();
                while decryption.missing() > 0 {
                    decryption.take(&channel.recv(most)?).map_err(wrong)?;
                }
                decryption.finish().map_err(wrong)
            }
            Side::Server { key, model, weights, ahead, .. } => {
                let missing = || Error::invalid(format!("no weights for node '{name}'"));
                let Prepared { plan, weights, kept } = weights.get(&index).ok_or_else(missing)?;
                let wrong = |e| from_rlwe(e, Role::Client, name);
                let together = if *kept { 1 } else { queries_together(plan) };
                let mut answering =
                    plan.answering(key, weights, Some(share)).map_err(wrong)?.ahead(ahead.as_ref().filter(|_| !kept));
                for first in (0..plan.parts()).step_by(together) {
                    let mut queries = Vec::with_capacity(together);
                    for _ in first..(first + together).min(plan.parts()) {
                        queries.push(channel.recv_exact("linear layer's query", plan.query_bytes())?);
                    }
                    let send = |answer: &[u8]| channel.send(answer).map_err(|e| Failure::Channel(e.into()));
                    answering.answer(first, &queries, &mut self.rng, send).map_err(|e| match e {
                        Failure::Rlwe(e) => wrong(e),
                        Failure::Channel(e) => e,
                    })?;
                }
                let mut output = answering.finish();
                channel.flush()?;
                let bias = &model.fixed(index).ok_or_else(missing)?.bias;
                let [_, oh, ow] = graph.nodes()[index].shape;
                add_bias(graph.ring(), bias, oh * ow, &mut output);
                Ok(output)
            }
        }
    }
}

/// How many queries are answered together where weights are transformed at their use. At the roots a ciphertext takes 2
/// words for each coefficient and prime, and so does the sum of each of up to 8 answers in the making.
fn queries_together(plan: &LinearPlan) -> usize {
    let cost = plan.cost();
    let pairs = cost.ciphertexts_up / cost.parts + (cost.ciphertexts_down / cost.parts).min(8);
    let roots_bytes = pairs * plan.params().n() * plan.params().primes() * 16;
    (MOST_QUERY_BYTES / (roots_bytes + plan.query_bytes())).clamp(1, cost.parts)
}

/// Adds each channel's bias to its plane of every image: (n, c, h, w) is planes of equal size, channels in turn.
fn add_bias(ring: Ring, bias: &[i64], plane: usize, output: &mut [u64]) {
    for (plane, b) in output.chunks_mut(plane).zip(bias.iter().cycle()) {
        let b = ring.from_signed(*b);
        plane.iter_mut().for_each(|y| *y = ring.add(*y, b));
    }
}

/// Declares the messages of a layer for a batch of `n`, and its work.
pub(crate) fn declare(graph: &Graph, index: usize, n: usize, tally: &mut Tally) -> Result<HomomorphicWork> {
    let plan = plan(&params(graph)?, graph, index, n)?;
    for _ in 0..plan.parts() {
        tally.up(plan.query_bytes());
    }
    plan.answer_messages().for_each(|bytes| tally.down(bytes));
    let (cost, w) = (plan.cost(), plan.window());
    let mut packing = format!("M_w={} C_w={} H_w={} W_w={}", w.filters, w.channels, w.out_rows, w.out_cols);
    if n > 1 {
        packing += &format!(" images={}", w.images);
    }
    Ok(HomomorphicWork {
        packing,
        ciphertexts_up: cost.ciphertexts_up as u64,
        ciphertexts_down: cost.ciphertexts_down as u64,
        products: cost.products as u64,
        weight_transforms: cost.weight_polys as u64,
        rotations: 0,
    })
}

fn params(graph: &Graph) -> Result<Params> {
    Params::for_ring(graph.format().ring_bits).map_err(|e| Error::invalid(e.to_string()))
}

fn plan(params: &Params, graph: &Graph, index: usize, n: usize) -> Result<LinearPlan> {
    let node = &graph.nodes()[index];
    let [c, h, w] = graph.shape(node.inputs[0]);
    let layer = match &node.op {
        Op::Conv { out_channels, window, groups } => Layer {
            batch: n,
            in_channels: c,
            in_hw: [h, w],
            out_channels: *out_channels,
            kernel: window.kernel,
            stride: window.stride,
            padding: window.padding,
            groups: *groups,
        },
        Op::Fc { out_features } => Layer::fully_connected(n, c * h * w, *out_features),
        other => return Err(Error::invalid(format!("node '{}': {} is not linear", node.name, other.name()))),
    };
    LinearPlan::new(params, &layer, &CostWeights::default())
        .map_err(|e| Error::invalid(format!("node '{}': {e}", node.name)))
}

fn from_rlwe(e: si_rlwe::Error, peer: Role, node: &str) -> Error {
    match e {
        si_rlwe::Error::Malformed { what, why } => {
            Error::Malformed { peer, what: format!("{what} for node '{node}'"), why }
        }
        e => Error::invalid(format!("node '{node}': {e}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use si_testing::graphs::{CASES, random_model};
    use std::time::Duration;

    /// The layer's output on fixed shares, and whether its weights were kept.
    fn output(graph: &Arc<Graph>, index: usize, n: usize, most_weight_bytes: usize) -> (Vec<u64>, bool) {
        let model = Arc::new(random_model(graph, 1));
        let ring = graph.ring();
        let len = n * graph.shape(graph.nodes()[index].inputs[0]).iter().product::<usize>();
        let share = |seed: u64| -> Vec<u64> {
            (0..len as u64).map(|i| ring.reduce((i + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 9)).collect()
        };
        let (mut up, mut down) = Channel::memory_pair(Duration::from_secs(20));
        let (client, (server, kept)) = std::thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut linear = Linear::client(graph, &mut up, &mut ChaCha20Rng::seed_from_u64(1)).unwrap();
                linear.run(graph, index, n, &share(1), &mut up).unwrap()
            });
            let mut linear = Linear::server(model, &mut down, &mut ChaCha20Rng::seed_from_u64(2)).unwrap();
            if let Side::Server { most_weight_bytes: most, .. } = &mut linear.side {
                *most = most_weight_bytes;
            }
            linear.prepare(graph, n).unwrap();
            let server = linear.run(graph, index, n, &share(2), &mut down).unwrap();
            let Side::Server { weights, .. } = &linear.side else { unreachable!("made as a server") };
            (client.join().unwrap(), (server, weights[&index].kept))
        });
        (client.iter().zip(&server).map(|(x, y)| ring.add(*x, *y)).collect(), kept)
    }

    #[test]
    fn weights_beyond_the_memory_bound_give_the_same_results() {
        for case in CASES {
            let graph = case.graph();
            for index in (0..graph.nodes().len()).filter(|&i| graph.nodes()[i].op.has_weights()) {
                let (expected, kept) = output(&graph, index, 3, MOST_WEIGHT_BYTES);
                let (deferred, kept_too) = output(&graph, index, 3, 0);
                assert!(kept && !kept_too);
                assert!(expected == deferred && expected.iter().any(|&y| y != 0), "{} node {index}", case.name);
            }
        }
    }

    #[test]
    fn queries_are_taken_together_within_their_bound() {
        let params = Params::for_ring(37).unwrap();
        let layer = Layer {
            batch: 64,
            in_channels: 256,
            in_hw: [56; 2],
            out_channels: 64,
            kernel: [1; 2],
            stride: [1; 2],
            padding: [0; 4],
            groups: 1,
        };
        let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
        let together = queries_together(&plan);
        let each = plan.query_bytes() + plan.cost().ciphertexts_up / plan.parts() * 4096 * 2 * 16;
        assert!((1..plan.parts()).contains(&together) && together * each <= MOST_QUERY_BYTES, "{together} of {each}");
        let small = LinearPlan::new(&params, &Layer::fully_connected(2, 9, 3), &CostWeights::default()).unwrap();
        assert_eq!(queries_together(&small), small.parts());
    }
}
