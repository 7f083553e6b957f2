//! Level two: one party's side of each operator of a share-based protocol.

use ndarray::{Array2, Array3, Array4, Axis, concatenate};
use si_models::{Graph, Node};

use crate::{Error, Result};

/// One party's part of a batch of tensors (n, c, h, w). What the words mean is the protocol's affair: additive shares
/// modulo 2^l in a two-party protocol, the values themselves at the server of an insecure one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share(pub Array4<u64>);

impl Share {
    /// Number of inferences in the batch.
    #[must_use]
    pub fn batch(&self) -> usize {
        self.0.dim().0
    }

    /// The channels of several shares, one after the other. No communication.
    ///
    /// # Errors
    /// If their batches, heights or widths differ, or there is none.
    pub fn concatenated(parts: &[&Self]) -> Result<Self> {
        let parts: Vec<_> = parts.iter().map(|p| p.0.view()).collect();
        concatenate(Axis(1), &parts).map(Self).map_err(|e| Error::invalid(format!("concatenation: {e}")))
    }

    /// The words in row-major order.
    #[must_use]
    pub fn words(&self) -> std::borrow::Cow<'_, [u64]> {
        match self.0.as_slice() {
            Some(s) => s.into(),
            None => self.0.iter().copied().collect::<Vec<_>>().into(),
        }
    }
}

/// One party's operators. The same calls are made in the same order at both parties; `index` is the node's position in
/// the graph, by which a server finds its weights.
pub trait Kernels: Send {
    /// Input-independent work for a batch of `n`.
    ///
    /// # Errors
    /// If the peer fails.
    fn offline(&mut self, graph: &Graph, n: usize) -> Result<()>;

    /// Shares of the queries (present at the client only), shape (n, c, h, w) of the graph's input.
    ///
    /// # Errors
    /// If the peer fails.
    fn input(&mut self, graph: &Graph, queries: Option<&[Array3<i64>]>, n: usize) -> Result<Share>;

    /// Convolution or fully connected layer with bias; double scale.
    ///
    /// # Errors
    /// If the peer fails, or the shape or the weights are not supported.
    fn linear(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share>;

    /// floor(x / 2^bits), or as the card's rounding allows.
    ///
    /// # Errors
    /// If the peer fails.
    fn rescale(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share>;

    /// max(x, 0).
    ///
    /// # Errors
    /// If the peer fails.
    fn relu(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share>;

    /// x times itself; double scale.
    ///
    /// # Errors
    /// If the peer fails; [`Error::Unsupported`] unless implemented.
    fn square(&mut self, graph: &Graph, index: usize, _x: &Share) -> Result<Share> {
        let what = format!("the square '{}'", graph.nodes()[index].name);
        Err(Error::Unsupported { protocol: "a protocol without products of shares".to_owned(), what })
    }

    /// Greatest value of each window.
    ///
    /// # Errors
    /// If the peer fails.
    fn max_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share>;

    /// Sum of each window times the constant of [`si_models::Op::AvgPool`]; double scale.
    ///
    /// # Errors
    /// If the peer fails.
    fn avg_pool(&mut self, graph: &Graph, index: usize, x: &Share) -> Result<Share>;

    /// x + y.
    ///
    /// # Errors
    /// If the peer fails.
    fn add(&mut self, graph: &Graph, index: usize, x: &Share, y: &Share) -> Result<Share>;

    /// The channels of several values, one after the other ([`Share::concatenated`], where all are shared alike).
    ///
    /// # Errors
    /// If the peer fails.
    fn concat(&mut self, graph: &Graph, index: usize, parts: &[&Share]) -> Result<Share>;

    /// Opens the scores to the client: (n, classes) there, `None` at the server.
    ///
    /// # Errors
    /// If the peer fails.
    fn open(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Array2<i64>>>;

    /// Opens only the index of the greatest score, the lowest on a tie: at the client, `None` at the server.
    ///
    /// # Errors
    /// If the peer fails.
    fn argmax(&mut self, graph: &Graph, scores: &Share) -> Result<Option<Vec<usize>>>;

    /// A name for `node` in the meter; the same at both parties and in declared costs.
    fn label(&self, node: &Node) -> String {
        node.name.clone()
    }
}
