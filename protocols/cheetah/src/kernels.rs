//! One party's operators: the linear layers of `linear.rs`, the others from `si_gadgets`.

use std::sync::Arc;

use ndarray::{Array2, Array3, Array4};
use si_api::{Error, Graph, Kernels, Model, Op, Options, Result, Role, Share, Truncation, windows};
use si_gadgets::{Engine, Side};
use si_ring::Ring;

use crate::linear::Linear;
use crate::widths::Widths;
use crate::{cost, error};

/// One party of Cheetah. Shares are additive over the rings of [`Widths`].
pub(crate) struct CheetahKernels {
    engine: Engine,
    linear: Linear,
    widths: Widths,
    options: Options,
    peer: Role,
}

impl CheetahKernels {
    pub(crate) fn new(engine: Engine, linear: Linear, widths: Widths, options: Options, peer: Role) -> Self {
        Self { engine, linear, widths, options, peer }
    }

    /// Width of the ring over which the scores are shared.
    pub(crate) fn score_bits(&self, graph: &Graph) -> u32 {
        self.widths.ring(graph.nodes().len()).bits()
    }

    /// **Insecure**: another model of the same graph from the next batch on, for servers that cheat.
    pub(crate) fn exchange_model(&mut self, other: Arc<Model>) {
        self.linear.exchange_model(other);
    }

    fn gadget<T>(&self, r: si_gadgets::Result<T>) -> Result<T> {
        r.map_err(|e| error::from_gadgets(e, self.peer))
    }

    /// The words of a value over the full ring.
    fn widened(&mut self, graph: &Graph, value: usize, x: &Share) -> Result<Vec<u64>> {
        self.widened_to(self.widths.full(), graph, value, x)
    }

    /// The words of a value over a ring that is no narrower than its own.
    fn widened_to(&mut self, ring: Ring, graph: &Graph, value: usize, x: &Share) -> Result<Vec<u64>> {
        let words = x.words();
        let from = self.widths.ring(value);
        if from == ring {
            return Ok(words.into_owned());
        }
        let wide = self.engine.extend(&words, from, ring, graph.signed_bits(value));
        self.gadget(wide)
    }
}

impl Kernels for CheetahKernels {
    /// Fills the OT buffers for one batch, in the background if there is a lane for it, and transforms the weights.
    fn offline(&mut self, graph: &Graph, n: usize) -> Result<()> {
        let online = cost::online(graph, &self.widths, n, self.options)?;
        let expected = self.engine.expect(online.client_ots as usize, online.server_ots as usize);
        self.gadget(expected)?;
        self.linear.prepare(graph, n)?;
        let made = self.engine.await_stock();
        self.gadget(made)
    }

    /// The client's share is the query itself, the server's zero: the first layer encrypts the client's share anyway.
    fn input(&mut self, graph: &Graph, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        let [c, h, w] = graph.input_shape();
        let ring = graph.ring();
        let mut x = Array4::zeros((n, c, h, w));
        for (mut row, q) in x.outer_iter_mut().zip(queries.unwrap_or_default()) {
            row.zip_mut_with(q, |x, q| *x = ring.from_signed(*q));
        }
        Ok(Share(x))
    }

    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let words = self.widened(graph, node.inputs[0], x)?;
        let out = self.linear.run(graph, index, x.batch(), &words, self.engine.channel())?;
        shaped(x.batch(), node.shape, out)
    }

    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let Op::Rescale { bits } = node.op else { return Err(not_this("rescale", &node.name)) };
        let from = self.widths.ring(node.inputs[0]);
        let reduced = match self.options.truncation {
            Truncation::OneBit => Engine::truncate_reduce_local(&x.words(), from, bits),
            Truncation::Faithful => self.engine.truncate_reduce(&x.words(), from, bits),
        };
        let (words, _) = self.gadget(reduced)?;
        shaped(x.batch(), node.shape, words)
    }

    fn relu(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let (ring, bits) = (self.widths.ring(node.inputs[0]), graph.signed_bits(node.inputs[0]));
        let out = self.engine.relu(&x.words(), ring, bits);
        shaped(x.batch(), node.shape, self.gadget(out)?)
    }

    fn square(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let words = self.widened(graph, node.inputs[0], x)?;
        let squares = self.engine.square(self.widths.full(), &words);
        shaped(x.batch(), node.shape, self.gadget(squares)?)
    }

    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let Op::MaxPool { window } = &node.op else { return Err(not_this("max-pool", &node.name)) };
        let (ring, bits) = (self.widths.ring(node.inputs[0]), graph.signed_bits(node.inputs[0]));
        let (columns, _) = windows::columns(x.0.view(), window);
        let out = self.engine.max(columns, ring, bits);
        shaped(x.batch(), node.shape, self.gadget(out)?)
    }

    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let Op::AvgPool { window } = &node.op else { return Err(not_this("average pool", &node.name)) };
        let value = node.inputs[0];
        let words = self.widened(graph, value, x)?;
        let wide = shaped(x.batch(), graph.shape(value), words)?;
        let full = self.widths.full();
        let factor = full.from_signed(graph.format().reciprocal(window.kernel.iter().product()));
        Ok(Share(windows::sums(wide.0.view(), window).mapv(|s| full.mul(s, factor))))
    }

    fn add(&mut self, graph: &Graph, index: usize, x: &Share, y: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let ring = self.widths.ring(index + 1);
        let mut terms = [Vec::new(), Vec::new()];
        for ((term, value), share) in terms.iter_mut().zip(&node.inputs).zip([x, y]) {
            *term = self.widened_to(ring, graph, *value, share)?;
        }
        let [a, b] = terms;
        shaped(x.batch(), node.shape, a.iter().zip(&b).map(|(a, b)| ring.add(*a, *b)).collect())
    }

    /// Free if all parts are shared over the same ring, as activations are; narrower ones are extended.
    fn concat(&mut self, graph: &Graph, index: usize, parts: &[&Share]) -> Result<Share> {
        let node = &graph.nodes()[index];
        let ring = self.widths.ring(index + 1);
        let mut wide = Vec::with_capacity(parts.len());
        for (value, part) in node.inputs.iter().zip(parts) {
            let words = self.widened_to(ring, graph, *value, part)?;
            wide.push(shaped(part.batch(), graph.shape(*value), words)?);
        }
        Share::concatenated(&wide.iter().collect::<Vec<_>>())
    }

    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>> {
        let ring = self.widths.ring(graph.nodes().len());
        let opened = self.engine.open_to_client(&scores.words(), ring);
        let Some(words) = self.gadget(opened)? else { return Ok(None) };
        let signed = words.into_iter().map(|w| ring.to_signed(w)).collect();
        Array2::from_shape_vec((scores.batch(), graph.classes()), signed)
            .map(Some)
            .map_err(|e| Error::invalid(format!("scores: {e}")))
    }

    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>> {
        let value = graph.nodes().len();
        let (ring, bits) = (self.widths.ring(value), graph.signed_bits(value));
        let classes = graph.classes();
        let words = scores.words();
        let columns = (0..classes).map(|k| words.iter().skip(k).step_by(classes).copied().collect()).collect();
        let best = self.engine.argmax(columns, ring, bits);
        self.gadget(best)
    }
}

fn shaped(n: usize, [c, h, w]: [usize; 3], words: Vec<u64>) -> Result<Share> {
    Array4::from_shape_vec((n, c, h, w), words).map(Share).map_err(|e| Error::invalid(format!("share: {e}")))
}

fn not_this(operator: &str, node: &str) -> Error {
    Error::invalid(format!("node '{node}' is no {operator}"))
}

/// Which side of the two-party operators a role plays.
pub(crate) fn side(role: Role) -> Side {
    if role == Role::Client { Side::Client } else { Side::Server }
}
