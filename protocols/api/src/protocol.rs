//! The black box.

use std::sync::Arc;

use ndarray::Array3;
use si_models::{Graph, Model};

use crate::{Card, CostLine, Error, Options, Party, Result};

/// What the client learns of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Index of the greatest score, the lowest on a tie.
    pub label: usize,
    /// Fixed-point scores, if the experiment reveals them.
    pub scores: Option<Vec<i64>>,
}

/// A secure inference protocol. Object safe, so wrappers compose at run time.
pub trait Protocol: Send + Sync {
    /// What it is and promises.
    fn card(&self) -> &Card;

    /// The client's side, after set-up (keys, base OTs). Blocks until the server has done its part.
    ///
    /// # Errors
    /// If the peer fails, or the graph is not supported.
    fn client(&self, me: Party, graph: Arc<Graph>) -> Result<Box<dyn Client>>;

    /// The server's side, after set-up.
    ///
    /// # Errors
    /// If the peer fails, or the graph is not supported.
    fn server(&self, me: Party, model: Arc<Model>) -> Result<Box<dyn Server>>;

    /// A helper's side.
    ///
    /// # Errors
    /// Unless the protocol has helpers.
    fn helper(&self, me: Party, _graph: Arc<Graph>) -> Result<Box<dyn Helper>> {
        Err(Error::Unsupported { protocol: self.card().id.clone(), what: format!("a party '{}'", me.role) })
    }

    /// Declared communication of a batch of `n` inferences, by phase and operator.
    ///
    /// # Errors
    /// If the protocol declares none, or cannot run the graph.
    fn cost(&self, _graph: &Graph, _n: usize, _options: Options) -> Result<Vec<CostLine>> {
        Err(Error::Unsupported { protocol: self.card().id.clone(), what: "a declared cost".to_owned() })
    }

    /// What a reader of a batch of `n` inferences should know beyond bytes and rounds, a line each: parameters that the protocol
    /// chose, the bound that they give, work that it counts in units of its own. None by default.
    ///
    /// # Errors
    /// If the protocol cannot run the graph.
    fn notes(&self, _graph: &Graph, _n: usize, _options: Options) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Estimated communication of what is made in stock for a batch of `n` inferences, such as extended OTs: about what
    /// comes on top of [`Self::cost`]. No run meets it exactly, for it depends on what is left of the batch before.
    ///
    /// # Errors
    /// If the protocol cannot run the graph.
    fn stock_estimate(&self, _graph: &Graph, _n: usize, _options: Options) -> Result<Vec<CostLine>> {
        Ok(Vec::new())
    }
}

/// The party with the queries.
pub trait Client: Send {
    /// Input-independent work for a coming batch of `n` queries.
    ///
    /// # Errors
    /// If the peer fails.
    fn offline(&mut self, n: usize) -> Result<()>;

    /// Answers in the order of the queries: fixed-point tensors (c, h, w).
    ///
    /// # Errors
    /// If a query has the wrong shape, the peer fails, or a check fails.
    fn online(&mut self, queries: &[Array3<i64>]) -> Result<Vec<Answer>>;
}

/// The party with the model.
pub trait Server: Send {
    /// Input-independent work for a coming batch of `n` queries.
    ///
    /// # Errors
    /// If the peer fails.
    fn offline(&mut self, n: usize) -> Result<()>;

    /// Serves a batch of `n` queries.
    ///
    /// # Errors
    /// If the peer fails, or a check fails.
    fn online(&mut self, n: usize) -> Result<()>;
}

/// A party with neither.
pub trait Helper: Send {
    /// Its part in the input-independent work for `n` queries.
    ///
    /// # Errors
    /// If a peer fails.
    fn offline(&mut self, n: usize) -> Result<()>;

    /// Its part in a batch of `n` queries.
    ///
    /// # Errors
    /// If a peer fails, or a check fails.
    fn online(&mut self, n: usize) -> Result<()>;
}
