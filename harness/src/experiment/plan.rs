//! Plans of Fusion, as experiments write them.

use std::fmt;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::{MOST_REPETITIONS, MOST_TIMEOUT_S, ensure_within};
use crate::record::Method;
use crate::registry;

/// A plan of Fusion: R queries, B copies of each, T public samples, up to m of which may be answered wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FusionPlan {
    /// R.
    pub(crate) queries: usize,
    /// B.
    pub(crate) copies: usize,
    /// T.
    pub(crate) public: usize,
    /// m.
    #[serde(default)]
    pub(crate) tolerance: usize,
    /// Statistical security that the plan must have.
    #[serde(default = "statistical_bits")]
    pub(crate) security_bits: u32,
    /// Whether all R * B + T inferences are run.
    pub(crate) method: Method,
    /// Inferences that are run as one batch, to bound memory; all at once if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) chunk: Option<usize>,
    /// Inferences of the real batch that a composed plan is scaled from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<usize>,
    /// In place of the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repetitions: Option<u32>,
    /// In place of the experiment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_s: Option<u64>,
}

/// R=512, B=5, T=100, m=0: 2^-40.97 at 5.195 inferences a query.
impl Default for FusionPlan {
    fn default() -> Self {
        Self {
            queries: 512,
            copies: 5,
            public: 100,
            tolerance: 0,
            security_bits: statistical_bits(),
            method: Method::Measured,
            chunk: None,
            n: None,
            repetitions: None,
            timeout_s: None,
        }
    }
}

impl FusionPlan {
    /// R * B + T.
    pub(crate) fn inferences(&self) -> usize {
        self.queries.saturating_mul(self.copies).saturating_add(self.public)
    }

    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// If they do not, or the plan is weaker than it says.
    pub(super) fn validate(&self) -> Result<()> {
        match (self.method, self.n) {
            (Method::Extrapolated, _) => bail!("method is \"measured\" or \"composed\": nothing is extrapolated here"),
            (Method::Composed, None) => bail!("method = \"composed\" needs n, the size of the batch that is run"),
            (Method::Measured, Some(_)) => bail!("n belongs to method = \"composed\"; a measured plan runs everything"),
            (Method::Composed, Some(n)) if n == 0 || n >= self.inferences() => {
                bail!("n = {n} is not below the plan's {} inferences (queries * copies + public)", self.inferences())
            }
            (Method::Composed, Some(_)) if self.chunk.is_some() => {
                bail!("chunk belongs to method = \"measured\"; the batch of a composed plan has n inferences")
            }
            _ => {}
        }
        self.repetitions.map_or(Ok(()), |n| ensure_within("repetitions", n.into(), MOST_REPETITIONS.into()))?;
        self.timeout_s.map_or(Ok(()), |n| ensure_within("timeout_s", n, MOST_TIMEOUT_S))?;
        registry::plan(self).map(drop)
    }
}

impl fmt::Display for FusionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queries, copies, public, tolerance, method, .. } = self;
        write!(f, "R{queries}-B{copies}-T{public}-m{tolerance}-{method}")?;
        self.chunk.map_or(Ok(()), |c| write!(f, "-chunk{c}"))?;
        self.n.map_or(Ok(()), |n| write!(f, "-n{n}"))
    }
}

/// Security: the statistical parameter that the field takes as a standard, 2^-40 for one run of the protocol.
fn statistical_bits() -> u32 {
    40
}
