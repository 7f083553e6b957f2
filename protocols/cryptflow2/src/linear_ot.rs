//! Linear layers of the OT variant: the server's weights times the client's share by correlated OT, times its own
//! share by itself.

use std::sync::Arc;

use si_api::{Error, Graph, Model, Op, Result, Role, Window};
use si_gadgets::{Engine, Mine, ScaledSums, Side, Tally};
use si_ring::Ring;

use crate::error::from_gadgets;

/// A convolution, or a fully connected layer as one of a single pixel, for a batch.
struct Layer {
    batch: usize,
    input: [usize; 3],
    output: [usize; 3],
    window: Window,
    groups: usize,
}

impl Layer {
    fn new(graph: &Graph, index: usize, batch: usize) -> Result<Self> {
        let node = &graph.nodes()[index];
        let [c, h, w] = graph.shape(node.inputs[0]);
        let (input, window, groups) = match &node.op {
            Op::Conv { window, groups, .. } => ([c, h, w], *window, *groups),
            Op::Fc { .. } => ([c * h * w, 1, 1], Window::square(1, 1), 1),
            other => return Err(Error::invalid(format!("node '{}': {} is not linear", node.name, other.name()))),
        };
        Ok(Self { batch, input, output: node.shape, window, groups })
    }

    fn in_channels(&self) -> usize {
        self.input[0] / self.groups
    }

    /// Number of weights.
    fn weights(&self) -> usize {
        self.output[0] * self.in_channels() * self.window.kernel.iter().product::<usize>()
    }

    /// Pixels of one output channel, of the whole batch.
    fn pixels(&self) -> usize {
        self.batch * self.output[1] * self.output[2]
    }

    /// Output channel of a weight.
    fn channel_of(&self, weight: usize) -> usize {
        weight / (self.weights() / self.output[0])
    }

    /// What a weight is multiplied with at each output pixel: a row of the matrix that im2col would make, made at its use.
    fn pixels_of(&self, share: &[u64], weight: usize, out: &mut [u64]) {
        let [kh, kw] = self.window.kernel;
        let (ky, kx) = (weight / kw % kh, weight % kw);
        let group = self.channel_of(weight) / (self.output[0] / self.groups);
        let channel = group * self.in_channels() + weight / (kh * kw) % self.in_channels();
        let [c, h, w] = self.input;
        let [_, oh, ow] = self.output;
        let [top, left, ..] = self.window.padding;
        let [sy, sx] = self.window.stride;
        for (row, out) in out.chunks_exact_mut(ow).enumerate() {
            let (image, y) = (row / oh, row % oh * sy + ky);
            if !(top..top + h).contains(&y) {
                out.fill(0);
                continue;
            }
            let line = &share[((image * c + channel) * h + y - top) * w..][..w];
            for (x, o) in out.iter_mut().enumerate() {
                let x = x * sx + kx;
                *o = if (left..left + w).contains(&x) { line[x - left] } else { 0 };
            }
        }
    }

    /// Whether the client's numbers, and not the weights, are the choices: fewer OTs, the same products. Only where an
    /// input is used once for each output (agreement).
    fn client_chooses(&self) -> bool {
        self.input[1..] == [1, 1]
            && self.window == Window::square(1, 1)
            && self.groups == 1
            && self.batch < self.output[0]
    }
}

/// One party's part of the linear layers.
pub(crate) struct LinearOt {
    ring: Ring,
    /// At the server.
    model: Option<Arc<Model>>,
}

impl LinearOt {
    pub(crate) fn new(ring: Ring, model: Option<Arc<Model>>) -> Self {
        Self { ring, model }
    }

    /// Shares of the layer's output, bias included, of a batch of `n`; `share` is our share of its input (n, c, h, w).
    pub(crate) fn run(
        &self,
        graph: &Graph,
        index: usize,
        n: usize,
        share: &[u64],
        engine: &mut Engine,
        peer: Role,
    ) -> Result<Vec<u64>> {
        let layer = Layer::new(graph, index, n)?;
        let (channels, ring) = (layer.output[0], self.ring);
        let fixed = match &self.model {
            None => None,
            Some(model) => Some(
                model
                    .fixed(index)
                    .ok_or_else(|| Error::invalid(format!("no weights for node '{}'", graph.nodes()[index].name)))?,
            ),
        };
        let weights: Option<Vec<u64>> = fixed.map(|f| f.weights.iter().map(|w| ring.from_signed(*w)).collect());
        let products = if layer.client_chooses() {
            let features = layer.input[0];
            let row_of = |scalar: usize| scalar / features;
            let count = n * features;
            let sums = ScaledSums { scalars_at: Side::Client, count, columns: channels, rows: n, row_of: &row_of };
            match &weights {
                None => engine.scaled_sums(ring, &sums, Mine::Scalars(share)),
                Some(weights) => {
                    let column = |scalar: usize, out: &mut [u64]| {
                        out.iter_mut().enumerate().for_each(|(o, v)| *v = weights[o * features + scalar % features]);
                    };
                    engine.scaled_sums(ring, &sums, Mine::Vectors(&column))
                }
            }
        } else {
            let row_of = |weight: usize| layer.channel_of(weight);
            let (count, columns) = (layer.weights(), layer.pixels());
            let sums = ScaledSums { scalars_at: Side::Server, count, columns, rows: channels, row_of: &row_of };
            let pixels = |weight: usize, out: &mut [u64]| layer.pixels_of(share, weight, out);
            let mine = weights.as_ref().map_or(Mine::Vectors(&pixels), |w| Mine::Scalars(w));
            engine.scaled_sums(ring, &sums, mine).map(|sums| by_image(&layer, &sums))
        };
        let mut out = products.map_err(|e| from_gadgets(e, peer))?;
        if let (Some(weights), Some(fixed)) = (&weights, fixed) {
            let own = by_image(&layer, &own_products(&layer, weights, share));
            let bias = fixed.bias.iter().flat_map(|b| std::iter::repeat_n(*b, layer.output[1] * layer.output[2]));
            for ((y, own), b) in out.iter_mut().zip(own).zip(bias.cycle()) {
                *y = ring.reduce(y.wrapping_add(own).wrapping_add(b as u64));
            }
        }
        Ok(out)
    }

    /// Declares the messages of a layer for a batch of `n`.
    pub(crate) fn declare(graph: &Graph, index: usize, n: usize, tally: &mut Tally) -> Result<()> {
        let layer = Layer::new(graph, index, n)?;
        if layer.client_chooses() {
            tally.scaled_sums(graph.ring(), Side::Client, n * layer.input[0], layer.output[0]);
        } else {
            tally.scaled_sums(graph.ring(), Side::Server, layer.weights(), layer.pixels());
        }
        Ok(())
    }
}

/// The weights times the server's own share, (channels, batch, h, w), modulo 2^64.
fn own_products(layer: &Layer, weights: &[u64], share: &[u64]) -> Vec<u64> {
    let pixels = layer.pixels();
    let (mut out, mut row) = (vec![0u64; layer.output[0] * pixels], vec![0; pixels]);
    for (j, w) in weights.iter().enumerate() {
        layer.pixels_of(share, j, &mut row);
        let out = &mut out[layer.channel_of(j) * pixels..][..pixels];
        out.iter_mut().zip(&row).for_each(|(y, x)| *y = y.wrapping_add(w.wrapping_mul(*x)));
    }
    out
}

/// From (channels, batch, h, w) to (batch, channels, h, w).
fn by_image(layer: &Layer, sums: &[u64]) -> Vec<u64> {
    let [c, h, w] = layer.output;
    let plane = |i: usize| {
        let (image, channel) = (i / c, i % c);
        &sums[(channel * layer.batch + image) * h * w..][..h * w]
    };
    (0..layer.batch * c).flat_map(plane).copied().collect()
}
