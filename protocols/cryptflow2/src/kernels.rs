//! One party's operators: linear layers, and the others from `si_gadgets`.

use ndarray::{Array2, Array3, Array4};
use si_api::{Error, Graph, Kernels, Op, Options, Result, Role, Share, windows};
use si_gadgets::{Engine, Known, Side};

use crate::linear::Linear;
use crate::numbers::Numbers;
use crate::{cost, error, late};

/// One party of CrypTFlow2. Shares are additive over [`Numbers`].
pub(crate) struct CrypTFlow2Kernels {
    pub(crate) engine: Engine,
    pub(crate) linear: Linear,
    pub(crate) numbers: Numbers,
    pub(crate) options: Options,
    pub(crate) peer: Role,
}

impl CrypTFlow2Kernels {
    fn gadget<T>(&self, r: si_gadgets::Result<T>) -> Result<T> {
        r.map_err(|e| error::from_gadgets(e, self.peer))
    }

    fn truncate(&mut self, x: &[u64], bits: u32, known: Known) -> Result<Vec<u64>> {
        let out = self.numbers.truncate(&mut self.engine, x, bits, known);
        self.gadget(out)
    }
}

impl Kernels for CrypTFlow2Kernels {
    /// Sends missing rotation keys and fills the OT buffers for one batch, as far as they go.
    fn offline(&mut self, graph: &Graph, n: usize) -> Result<()> {
        self.linear.prepare(graph, n, &mut self.engine)?;
        let online = cost::online(graph, self.numbers, n, self.options)?;
        let reserved = self.engine.expect_declared(&online.total);
        self.gadget(reserved)?;
        let even = self.engine.start_even();
        self.gadget(even)
    }

    /// The client's share is the query itself, the server's zero: the first layer hides the client's share anyway.
    fn input(&mut self, graph: &Graph, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        let [c, h, w] = graph.input_shape();
        let numbers = self.numbers;
        let mut x = Array4::zeros((n, c, h, w));
        for (mut row, q) in x.outer_iter_mut().zip(queries.unwrap_or_default()) {
            row.zip_mut_with(q, |x, q| *x = numbers.element(*q));
        }
        Ok(Share(x))
    }

    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let n = x.batch();
        let out = self.linear.run(graph, index, n, &x.words(), &mut self.engine, self.peer)?;
        shaped(n, graph.nodes()[index].shape, out)
    }

    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let Op::Rescale { bits } = node.op else { return Err(not_this("rescale", &node.name)) };
        if late::waits(graph, index).is_some() {
            return Ok(x.clone());
        }
        let words = self.truncate(&x.words(), bits, Known::Nothing)?;
        shaped(x.batch(), node.shape, words)
    }

    fn relu(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let positive = self.numbers.relu(&mut self.engine, &x.words());
        let mut words = self.gadget(positive)?;
        if let Some(bits) = late::waiting(graph, index) {
            words = self.truncate(&words, bits, Known::NonNegative)?;
        }
        shaped(x.batch(), graph.nodes()[index].shape, words)
    }

    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let Op::MaxPool { window } = &node.op else { return Err(not_this("max-pool", &node.name)) };
        let (columns, _) = windows::columns(x.0.view(), window);
        let out = self.numbers.max(&mut self.engine, columns);
        shaped(x.batch(), node.shape, self.gadget(out)?)
    }

    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        let node = &graph.nodes()[index];
        let Op::AvgPool { window } = &node.op else { return Err(not_this("average pool", &node.name)) };
        let numbers = self.numbers;
        let factor = numbers.element(graph.format().reciprocal(window.kernel.iter().product()));
        Ok(Share(windows::sums(x.0.view(), window).mapv(|s| numbers.scale_sum(s, factor))))
    }

    fn add(&mut self, graph: &Graph, index: usize, x: &Share, y: &Share) -> Result<Share> {
        let words = x.words().iter().zip(&*y.words()).map(|(a, b)| self.numbers.add(*a, *b)).collect();
        shaped(x.batch(), graph.nodes()[index].shape, words)
    }

    fn concat(&mut self, _graph: &Graph, _index: usize, parts: &[&Share]) -> Result<Share> {
        Share::concatenated(parts)
    }

    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>> {
        let opened = self.numbers.open_to_client(&mut self.engine, &scores.words());
        let Some(words) = self.gadget(opened)? else { return Ok(None) };
        let signed = words.into_iter().map(|w| self.numbers.to_signed(w)).collect();
        Array2::from_shape_vec((scores.batch(), graph.classes()), signed)
            .map(Some)
            .map_err(|e| Error::invalid(format!("scores: {e}")))
    }

    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>> {
        let classes = graph.classes();
        let words = scores.words();
        let columns = (0..classes).map(|k| words.iter().skip(k).step_by(classes).copied().collect()).collect();
        let best = self.numbers.argmax(&mut self.engine, columns);
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
