//! Linear layers: `si_rlwe` plans on the wire.

use std::collections::HashMap;
use std::sync::Arc;

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Channel, Error, Graph, Model, Op, Result, Role};
use si_gadgets::Tally;
use si_ring::Ring;
use si_rlwe::{CostWeights, EncodedWeights, Layer, LinearPlan, Params, PublicKey, SecretKey, generate_keys};

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
        /// Transformed weights by node, for one batch size.
        weights: HashMap<usize, Prepared>,
    },
}

/// A plan depends on the batch, for images of a batch may share a ciphertext, and so do the transformed weights.
struct Prepared {
    plan: LinearPlan,
    weights: EncodedWeights,
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
        Ok(Self { params, rng: ChaCha20Rng::from_rng(rng), side: Side::Server { key, model, weights: HashMap::new() } })
    }

    /// Transforms the weights of every linear layer for batches of `n`, unless that was done before.
    pub(crate) fn prepare(&mut self, graph: &Graph, n: usize) -> Result<()> {
        for (index, node) in graph.nodes().iter().enumerate() {
            if node.op.has_weights() {
                self.prepare_node(graph, index, n)?;
            }
        }
        Ok(())
    }

    fn prepare_node(&mut self, graph: &Graph, index: usize, n: usize) -> Result<()> {
        let Side::Server { model, weights, .. } = &mut self.side else { return Ok(()) };
        let node = &graph.nodes()[index].name;
        let plan = plan(&self.params, graph, index, n)?;
        if weights.get(&index).is_some_and(|p| p.plan.layer() == plan.layer()) {
            return Ok(());
        }
        let layer = model.fixed(index).ok_or_else(|| Error::invalid(format!("no weights for node '{node}'")))?;
        let encoded = plan.encode_weights(&layer.weights).map_err(|e| from_rlwe(e, Role::Client, node))?;
        weights.insert(index, Prepared { plan, weights: encoded });
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
        let name = &graph.nodes()[index].name;
        match &mut self.side {
            Side::Client { key } => {
                let plan = plan(&self.params, graph, index, n)?;
                let wrong = |e| from_rlwe(e, Role::Server(0), name);
                for part in 0..plan.parts() {
                    channel.send(&plan.encrypt_part(key, part, share, &mut self.rng).map_err(wrong)?)?;
                }
                let mut output = vec![0; plan.output_len()];
                for part in 0..plan.parts() {
                    let answer = channel.recv_exact("linear layer's answer", plan.answer_bytes(part))?;
                    plan.decrypt_part(key, part, &answer, &mut output).map_err(wrong)?;
                }
                Ok(output)
            }
            Side::Server { key, model, weights } => {
                let missing = || Error::invalid(format!("no weights for node '{name}'"));
                let Prepared { plan, weights } = weights.get(&index).ok_or_else(missing)?;
                let wrong = |e| from_rlwe(e, Role::Client, name);
                let mut output = vec![0; plan.output_len()];
                for part in 0..plan.parts() {
                    let query = channel.recv_exact("linear layer's query", plan.query_bytes())?;
                    let answer = plan
                        .answer_part(key, weights, part, &query, Some(share), &mut output, &mut self.rng)
                        .map_err(wrong)?;
                    channel.send(&answer)?;
                }
                channel.flush()?;
                let bias = &model.fixed(index).ok_or_else(missing)?.bias;
                let [_, oh, ow] = graph.nodes()[index].shape;
                add_bias(graph.ring(), bias, oh * ow, &mut output);
                Ok(output)
            }
        }
    }
}

/// Adds each channel's bias to its plane of every image: (n, c, h, w) is planes of equal size, channels in turn.
fn add_bias(ring: Ring, bias: &[i64], plane: usize, output: &mut [u64]) {
    for (plane, b) in output.chunks_mut(plane).zip(bias.iter().cycle()) {
        let b = ring.from_signed(*b);
        plane.iter_mut().for_each(|y| *y = ring.add(*y, b));
    }
}

/// Declares the messages of a layer for a batch of `n`.
pub(crate) fn declare(graph: &Graph, index: usize, n: usize, tally: &mut Tally) -> Result<()> {
    let plan = plan(&params(graph)?, graph, index, n)?;
    for _ in 0..plan.parts() {
        tally.up(plan.query_bytes());
    }
    for part in 0..plan.parts() {
        tally.down(plan.answer_bytes(part));
    }
    Ok(())
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
