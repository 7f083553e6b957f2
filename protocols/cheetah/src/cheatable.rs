//! The server's operators, opened to servers that cheat: tests and experiments on detection wrap them, honest parties
//! never meet them.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, Array3};
use si_api::{Graph, Kernels, Model, Node, Result, Share};

use crate::kernels::CheetahKernels;

/// A server's operators by themselves.
pub struct InsecureOpened {
    /// The operators.
    pub kernels: Box<dyn Kernels>,
    /// Width of the ring over which the scores are shared.
    pub score_bits: u32,
    /// A place for a model of the same graph, which the next batch is prepared with.
    pub next_model: Arc<Mutex<Option<Arc<Model>>>>,
}

/// **Insecure**: kernels whose model can be exchanged between two batches.
pub(crate) struct InsecureExchangeable {
    kernels: CheetahKernels,
    next: Arc<Mutex<Option<Arc<Model>>>>,
}

impl InsecureExchangeable {
    /// The operators of a server, opened.
    pub(crate) fn open(kernels: CheetahKernels, graph: &Graph) -> InsecureOpened {
        let score_bits = kernels.score_bits(graph);
        let next_model = Arc::new(Mutex::new(None));
        let kernels = Box::new(Self { kernels, next: Arc::clone(&next_model) });
        InsecureOpened { kernels, score_bits, next_model }
    }
}

impl Kernels for InsecureExchangeable {
    fn offline(&mut self, graph: &Graph, n: usize) -> Result<()> {
        if let Some(model) = self.next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            self.kernels.exchange_model(model);
        }
        self.kernels.offline(graph, n)
    }

    fn input(&mut self, graph: &Graph, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share> {
        self.kernels.input(graph, queries, n)
    }

    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.kernels.linear(graph, index, x)
    }

    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.kernels.rescale(graph, index, x)
    }

    fn relu(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.kernels.relu(graph, index, x)
    }

    fn square(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.kernels.square(graph, index, x)
    }

    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.kernels.max_pool(graph, index, x)
    }

    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share> {
        self.kernels.avg_pool(graph, index, x)
    }

    fn add(&mut self, graph: &Graph, index: usize, x: &Share, y: &Share) -> Result<Share> {
        self.kernels.add(graph, index, x, y)
    }

    fn concat(&mut self, graph: &Graph, index: usize, parts: &[&Share]) -> Result<Share> {
        self.kernels.concat(graph, index, parts)
    }

    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>> {
        self.kernels.open(graph, scores)
    }

    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>> {
        self.kernels.argmax(graph, scores)
    }

    fn label(&self, node: &Node) -> String {
        self.kernels.label(node)
    }
}
