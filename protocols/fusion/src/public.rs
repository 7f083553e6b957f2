//! Public samples: inputs whose labels the client knows, hidden among its queries.

use std::collections::{HashMap, HashSet};

use ndarray::Array3;
use rand::CryptoRng;
use rand::seq::SliceRandom;
use si_api::{Error, Graph};

use crate::{FusionError, Plan};

/// A client's store of public samples, as fixed-point tensors (c, h, w), with their labels.
///
/// They must be drawn from the same distribution as the queries, or a server that learns anything at all about an
/// input could tell them apart; the labels are the truth, for the check is also the test of the model's accuracy.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublicSamples {
    /// The samples.
    pub inputs: Vec<Array3<i64>>,
    /// The class of each.
    pub labels: Vec<usize>,
}

impl PublicSamples {
    /// Checks what can be checked before a graph is known.
    pub(crate) fn check(&self, plan: &Plan) -> Result<(), FusionError> {
        let (inputs, labels) = (self.inputs.len(), self.labels.len());
        if inputs != labels {
            return Err(FusionError::Unlabelled { inputs, labels });
        }
        if inputs < plan.public() {
            return Err(FusionError::TooFewPublic { have: inputs, plan: *plan });
        }
        let mut seen = HashMap::with_capacity(inputs);
        for (second, input) in self.inputs.iter().enumerate() {
            if let Some(first) = seen.insert(input, second) {
                return Err(FusionError::DuplicatePublic { first, second });
            }
        }
        Ok(())
    }
}

/// The samples of one session, each used at most once: a sample that comes again could be recognised by whatever the
/// server learns of it outside the protocol.
pub(crate) struct Pool {
    public: PublicSamples,
    /// Indices of those that are left, in random order.
    unused: Vec<usize>,
    known: HashSet<Array3<i64>>,
}

impl Pool {
    pub(crate) fn new(public: &PublicSamples, graph: &Graph, rng: &mut impl CryptoRng) -> si_api::Result<Self> {
        for (i, (input, label)) in public.inputs.iter().zip(&public.labels).enumerate() {
            if input.shape() != graph.input_shape() || *label >= graph.classes() {
                return Err(Error::invalid(format!(
                    "public sample {i} has shape {:?} and label {label}, but {graph} was asked for",
                    input.shape()
                )));
            }
        }
        let mut unused: Vec<_> = (0..public.inputs.len()).collect();
        unused.shuffle(rng);
        Ok(Self { public: public.clone(), unused, known: public.inputs.iter().cloned().collect() })
    }

    /// Takes the samples for one run: their indices.
    pub(crate) fn take(&mut self, plan: &Plan) -> si_api::Result<Vec<usize>> {
        let left = self.unused.len();
        let rest = left.checked_sub(plan.public()).ok_or_else(|| {
            Error::invalid(format!(
                "{left} of {} public samples are unused, a run takes T={}: each may be used only once, so bring more",
                self.known.len(),
                plan.public()
            ))
        })?;
        Ok(self.unused.split_off(rest))
    }

    /// Takes these samples, for a run that goes on.
    pub(crate) fn reserve(&mut self, samples: &[usize]) -> si_api::Result<()> {
        if let Some(beyond) = samples.iter().find(|sample| **sample >= self.public.inputs.len()) {
            return Err(Error::invalid(format!("the run was begun with public sample {beyond}, which is not there")));
        }
        self.unused.retain(|sample| !samples.contains(sample));
        Ok(())
    }

    pub(crate) fn input(&self, sample: usize) -> &Array3<i64> {
        &self.public.inputs[sample]
    }

    pub(crate) fn label(&self, sample: usize) -> usize {
        self.public.labels[sample]
    }

    /// The first query that is a public sample as well, used or not.
    pub(crate) fn overlap(&self, queries: &[Array3<i64>]) -> Option<usize> {
        queries.iter().position(|query| self.known.contains(query))
    }
}
