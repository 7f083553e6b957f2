//! Linear layers of the HE variant: `si_rlwe::slots` on the wire.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Channel, Error, Graph, HomomorphicWork, Model, Op, Result, Role};
use si_gadgets::{Field, Tally};
use si_rlwe::slots::{Rotation, RotationKeys, SlotParams, SlotPlan, encode_rotation_key, rotation_key_bytes};
use si_rlwe::{Layer, PublicKey, SecretKey, generate_keys};

/// Queries that are answered together, so that weights are encoded once for them, take this much. *Local.*
const MOST_QUERY_BYTES: usize = 64 << 20;

/// Bound on what a revealed coefficient says of the weights. *Security*: the project's statistical parameter.
const STATISTICAL_BITS: f64 = 40.0;

/// One party's keys and, at the server, its weights.
pub(crate) struct LinearHe {
    params: SlotParams,
    rng: ChaCha20Rng,
    /// By node, with the batch size that each was made for.
    plans: HashMap<usize, (usize, Arc<SlotPlan>)>,
    side: Side,
}

enum Side {
    Client { key: SecretKey, sent: BTreeSet<Rotation> },
    Server { keys: RotationKeys, model: Arc<Model> },
}

/// The parameters of a graph: a prime of as many bits as its ring has.
pub(crate) fn params(graph: &Graph) -> Result<SlotParams> {
    SlotParams::for_bits(graph.format().ring_bits).map_err(|e| Error::invalid(format!("{}: {e}", graph.name())))
}

/// The field of these parameters.
pub(crate) fn field(params: &SlotParams) -> Result<Field> {
    Field::new(params.field()).map_err(|e| Error::invalid(e.to_string()))
}

impl LinearHe {
    /// Makes a key pair and sends the public key, and the rotation keys for single inferences.
    pub(crate) fn client(graph: &Graph, channel: &mut Channel, rng: &mut impl CryptoRng) -> Result<Self> {
        let params = params(graph)?;
        let (key, public) = generate_keys(params.scheme(), rng);
        channel.send(&public.encode())?;
        let side = Side::Client { key, sent: BTreeSet::new() };
        let mut all = Self { params, rng: ChaCha20Rng::from_rng(rng), plans: HashMap::new(), side };
        all.prepare(graph, 1, channel)?;
        Ok(all)
    }

    /// Receives the client's keys.
    pub(crate) fn server(model: Arc<Model>, channel: &mut Channel, rng: &mut impl CryptoRng) -> Result<Self> {
        let graph = Arc::clone(model.graph());
        let params = params(&graph)?;
        let bytes = channel.recv_exact("public key", PublicKey::encoded_bytes(params.scheme()))?;
        let wrong = |e| from_rlwe(e, Role::Client, "keys");
        let public = PublicKey::decode(params.scheme(), &bytes).map_err(wrong)?;
        let keys = RotationKeys::new(&params, &public).map_err(wrong)?;
        let side = Side::Server { keys, model };
        let mut all = Self { params, rng: ChaCha20Rng::from_rng(rng), plans: HashMap::new(), side };
        all.prepare(&graph, 1, channel)?;
        Ok(all)
    }

    /// Plans the layers for batches of `n`, and sends the rotation keys that they need and the server does not have.
    pub(crate) fn prepare(&mut self, graph: &Graph, n: usize, channel: &mut Channel) -> Result<()> {
        let mut needed = BTreeSet::new();
        for (index, node) in graph.nodes().iter().enumerate() {
            if node.op.has_weights() {
                needed.extend(self.plan(graph, index, n)?.rotations().iter().copied());
            }
        }
        for rotation in needed {
            match &mut self.side {
                Side::Client { key, sent } => {
                    if sent.insert(rotation) {
                        let message = encode_rotation_key(&self.params, key, rotation, &mut self.rng);
                        channel.send(&message.map_err(|e| from_rlwe(e, Role::Server(0), "keys"))?)?;
                    }
                }
                Side::Server { keys, .. } => {
                    if !keys.contains(rotation) {
                        let message = channel.recv_exact("rotation key", rotation_key_bytes(&self.params))?;
                        keys.insert(rotation, &message).map_err(|e| from_rlwe(e, Role::Client, "keys"))?;
                    }
                }
            }
        }
        channel.flush()?;
        Ok(())
    }

    fn plan(&mut self, graph: &Graph, index: usize, n: usize) -> Result<Arc<SlotPlan>> {
        if let Some((_, plan)) = self.plans.get(&index).filter(|(batch, _)| *batch == n) {
            return Ok(Arc::clone(plan));
        }
        let plan = Arc::new(plan(&self.params, graph, index, n)?);
        self.plans.insert(index, (n, Arc::clone(&plan)));
        Ok(plan)
    }

    /// Shares over the field of the layer's output, bias included. One round trip for any batch.
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
        let plan = self.plan(graph, index, n)?;
        let node = &graph.nodes()[index];
        let name = &node.name;
        let mut output = vec![0; plan.output_len()];
        match &mut self.side {
            Side::Client { key, .. } => {
                let wrong = |e| from_rlwe(e, Role::Server(0), name);
                for part in 0..plan.parts() {
                    channel.send(&plan.encrypt_part(key, part, share, &mut self.rng).map_err(wrong)?)?;
                }
                for part in 0..plan.parts() {
                    let answer = channel.recv_exact("linear layer's answer", plan.answer_bytes())?;
                    plan.decrypt_part(key, part, &answer, &mut output).map_err(wrong)?;
                }
            }
            Side::Server { keys, model } => {
                let wrong = |e| from_rlwe(e, Role::Client, name);
                let fixed =
                    model.fixed(index).ok_or_else(|| Error::invalid(format!("no weights for node '{name}'")))?;
                // Made at its use: the model holds the weights already.
                let weights = plan.weights(&fixed.weights).map_err(wrong)?;
                let together = (MOST_QUERY_BYTES / plan.query_bytes()).clamp(1, plan.parts());
                for first in (0..plan.parts()).step_by(together) {
                    let count = together.min(plan.parts() - first);
                    let mut queries = Vec::with_capacity(count);
                    for _ in 0..count {
                        queries.push(channel.recv_exact("linear layer's query", plan.query_bytes())?);
                    }
                    let answers = plan
                        .answer_parts(keys, &weights, first, &queries, Some(share), &mut output, &mut self.rng)
                        .map_err(wrong)?;
                    for answer in answers {
                        channel.send(&answer)?;
                    }
                }
                channel.flush()?;
                let field = field(&self.params)?;
                let [_, h, w] = node.shape;
                for (plane, b) in output.chunks_mut(h * w).zip(fixed.bias.iter().cycle()) {
                    let b = field.from_signed(*b);
                    plane.iter_mut().for_each(|y| *y = field.add(*y, b));
                }
            }
        }
        Ok(output)
    }
}

/// Declares the messages of a layer for a batch of `n`.
pub(crate) fn declare(graph: &Graph, index: usize, n: usize, tally: &mut Tally) -> Result<HomomorphicWork> {
    let plan = plan(&params(graph)?, graph, index, n)?;
    for _ in 0..plan.parts() {
        tally.up(plan.query_bytes());
    }
    for _ in 0..plan.parts() {
        tally.down(plan.answer_bytes());
    }
    let cost = plan.cost();
    Ok(HomomorphicWork {
        packing: format!("{} slots", plan.params().slots()),
        ciphertexts_up: cost.ciphertexts_up as u64,
        ciphertexts_down: cost.ciphertexts_down as u64,
        products: cost.products as u64,
        weight_transforms: cost.products as u64,
        rotations: (cost.hoisted_rotations + cost.rotations) as u64,
    })
}

fn plan(params: &SlotParams, graph: &Graph, index: usize, n: usize) -> Result<SlotPlan> {
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
    let plan = SlotPlan::new(params, &layer).map_err(|e| Error::invalid(format!("node '{}': {e}", node.name)))?;
    let bits = plan.statistical_bits();
    if bits < STATISTICAL_BITS {
        return Err(Error::invalid(format!(
            "node '{}': its answers would hide the weights by 2^-{bits:.1} only, 2^-{STATISTICAL_BITS} is due",
            node.name
        )));
    }
    Ok(plan)
}

fn from_rlwe(e: si_rlwe::Error, peer: Role, node: &str) -> Error {
    match e {
        si_rlwe::Error::Malformed { what, why } => {
            Error::Malformed { peer, what: format!("{what} for node '{node}'"), why }
        }
        e => Error::invalid(format!("node '{node}': {e}")),
    }
}
