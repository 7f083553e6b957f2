//! Linear layers of either variant.

use si_api::{Graph, HomomorphicWork, Result, Role};
use si_gadgets::{Engine, Tally};

use crate::linear_he::{self, LinearHe};
use crate::linear_ot::LinearOt;
use crate::numbers::Numbers;

/// One party's part of the linear layers.
pub(crate) enum Linear {
    /// Over the ring.
    Ot(LinearOt),
    /// Over the field.
    He(Box<LinearHe>),
}

impl Linear {
    /// What a batch of `n` needs before its input is known.
    pub(crate) fn prepare(&mut self, graph: &Graph, n: usize, engine: &mut Engine) -> Result<()> {
        match self {
            Self::Ot(_) => Ok(()),
            Self::He(he) => he.prepare(graph, n, engine.channel()),
        }
    }

    /// Shares of the layer's output, bias included, from shares of its input, of a batch of `n`.
    pub(crate) fn run(
        &mut self,
        graph: &Graph,
        index: usize,
        n: usize,
        share: &[u64],
        engine: &mut Engine,
        peer: Role,
    ) -> Result<Vec<u64>> {
        match self {
            Self::Ot(ot) => ot.run(graph, index, n, share, engine, peer),
            Self::He(he) => he.run(graph, index, n, share, engine.channel()),
        }
    }
}

/// Declares a layer for a batch of `n`.
pub(crate) fn declare(
    numbers: Numbers,
    graph: &Graph,
    index: usize,
    n: usize,
    tally: &mut Tally,
) -> Result<Option<HomomorphicWork>> {
    match numbers {
        Numbers::Ring(_) => LinearOt::declare(graph, index, n, tally).map(|()| None),
        Numbers::Field(_) => linear_he::declare(graph, index, n, tally).map(Some),
    }
}
