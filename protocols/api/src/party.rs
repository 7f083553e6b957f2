//! One party of a run: who it is, whom it can talk to, and its randomness.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use serde::{Deserialize, Serialize};
use si_wire::{Channel, Meter, Role};

use crate::{Error, Result};

/// Seed of a party's randomness: from the operating system in a run, fixed in tests of the bytes on the wire.
pub type Seed = [u8; 32];

/// What the client learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Reveal {
    /// The score of every class.
    #[default]
    Scores,
    /// The index of the greatest score, nothing else.
    Label,
}

/// How fixed-point products are brought back to scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Truncation {
    /// floor(x / 2^f), bit for bit.
    Faithful,
    /// floor(x / 2^f) or one less: the low bits' carry is left out (Cheetah, USENIX Security 2022, section 5).
    #[default]
    OneBit,
}

/// What both parties agree on beyond the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What the client learns.
    pub reveal: Reveal,
    /// How products are rescaled.
    pub truncation: Truncation,
}

/// One party of a run.
pub struct Party {
    /// Who we are.
    pub role: Role,
    /// Bytes, rounds and time go here.
    pub meter: Meter,
    /// What was agreed on.
    pub options: Options,
    /// Secret randomness; protocols fork their own generators from it.
    pub rng: ChaCha20Rng,
    lanes: BTreeMap<Role, Vec<Option<Channel>>>,
}

impl Party {
    /// A party with no peers yet.
    #[must_use]
    pub fn new(role: Role, meter: Meter, options: Options, seed: Seed) -> Self {
        Self { role, meter, options, rng: ChaCha20Rng::from_seed(seed), lanes: BTreeMap::new() }
    }

    /// Adds a lane to a peer: lanes are independent ordered streams over the same link.
    #[must_use]
    pub fn with_lane(mut self, peer: Role, channel: Channel) -> Self {
        self.lanes.entry(peer).or_default().push(Some(channel));
        self
    }

    /// How many lanes lead to a peer.
    #[must_use]
    pub fn lanes(&self, peer: Role) -> usize {
        self.lanes.get(&peer).map_or(0, Vec::len)
    }

    /// Takes a lane out, to own it (in another thread, say).
    ///
    /// # Errors
    /// If there is no such lane or it was taken before.
    pub fn take_lane(&mut self, peer: Role, index: usize) -> Result<Channel> {
        let have = self.lanes(peer);
        self.lanes.get_mut(&peer).and_then(|l| l.get_mut(index)).and_then(Option::take).ok_or_else(|| {
            Error::invalid(format!("{} has no free lane {index} to {peer} ({have} were opened)", self.role))
        })
    }
}
