//! Which inferences of a session a cheat concerns.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{SeedableRng, seq::index::sample};
use rand_chacha::ChaCha20Rng;

/// Inferences of a session, numbered from 0 across its batches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Positions {
    /// Every one.
    All,
    /// These.
    These(BTreeSet<usize>),
    /// Chosen while the session runs: `count` of `of`, preferring batches that took longer to arrive than half of those
    /// before. A server that hopes to tell positions apart by time; sizes are equal to begin with.
    Slowest {
        /// How many inferences.
        count: usize,
        /// Inferences of the session.
        of: usize,
    },
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

    /// Whether an inference is among those that are known in advance.
    #[must_use]
    pub fn contains(&self, position: usize) -> bool {
        match self {
            Self::All => true,
            Self::These(set) => set.contains(&position),
            Self::Slowest { .. } => false,
        }
    }
}

/// What is chosen batch by batch.
#[derive(Default)]
pub(super) struct Chooser {
    /// How long earlier batches took to arrive.
    waits: Vec<Duration>,
    chosen: usize,
}

impl Chooser {
    /// Which of the inferences `before..before + n` are concerned; `wait` is how long their batch took to arrive.
    pub(super) fn choose(&mut self, positions: &Positions, before: usize, n: usize, wait: Duration) -> Vec<bool> {
        let Positions::Slowest { count, of } = positions else {
            return (before..before + n).map(|i| positions.contains(i)).collect();
        };
        let mut sorted = self.waits.clone();
        sorted.sort();
        let slow = sorted.get(sorted.len() / 2).is_some_and(|median| wait > *median);
        self.waits.push(wait);
        let chosen = |i: usize| {
            let (wanted, left) = (count - self.chosen, of.saturating_sub(before + i));
            let take = wanted > 0 && (slow || left <= wanted);
            self.chosen += usize::from(take);
            take
        };
        (0..n).map(chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_batches_are_preferred_and_the_number_is_kept() {
        let positions = Positions::Slowest { count: 3, of: 8 };
        let chosen = |waits: [u64; 8]| -> Vec<usize> {
            let mut chooser = Chooser::default();
            (0..8).filter(|i| chooser.choose(&positions, *i, 1, Duration::from_millis(waits[*i]))[0]).collect()
        };
        assert_eq!(chosen([5, 9, 1, 1, 9, 1, 9, 1]), [1, 4, 6]);
        assert_eq!(chosen([9, 8, 7, 6, 5, 4, 3, 2]), [5, 6, 7], "the last ones if none was slow");
    }
}
