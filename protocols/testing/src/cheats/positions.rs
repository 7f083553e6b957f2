use std::collections::BTreeSet;

use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha20Rng;

/// Inferences of a session, numbered from 0 across its batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Every one.
    All,
    /// These.
    These(BTreeSet<usize>),
}

impl Positions {
    /// These inferences.
    pub fn these(positions: impl IntoIterator<Item = usize>) -> Self {
        Self::These(positions.into_iter().collect())
    }

    /// A uniformly random set of `count` of the first `of` inferences (all of them if there are fewer).
    #[must_use]
    pub fn random(count: usize, of: usize, seed: u64) -> Self {
        Self::these(sample(&mut ChaCha20Rng::seed_from_u64(seed), of, count.min(of)))
    }

    /// Whether an inference is among them.
    #[must_use]
    pub fn contains(&self, position: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(set) => set.contains(&position),
        }
    }
}
