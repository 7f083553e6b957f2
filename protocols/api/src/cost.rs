//! Declared communication: what a protocol says it sends, compared with the meter by a test of each protocol.

use serde::Serialize;
use si_wire::Phase;

/// Communication, framing included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Bytes from the client to the server.
    pub up_bytes: u64,
    /// Bytes from the server to the client.
    pub down_bytes: u64,
    /// Switches from sending to receiving seen by the client.
    pub rounds: u64,
}

impl Cost {
    /// Both together.
    #[must_use]
    pub fn plus(self, o: Self) -> Self {
        Self {
            up_bytes: self.up_bytes + o.up_bytes,
            down_bytes: self.down_bytes + o.down_bytes,
            rounds: self.rounds + o.rounds,
        }
    }
}

/// Work of a linear layer on packed homomorphic ciphertexts, for the whole batch: the same on every machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HomomorphicWork {
    /// How tensors sit in ciphertexts, in the protocol's own terms, such as `M_w=4 C_w=2 H_w=14 W_w=14`.
    pub packing: String,
    /// Ciphertexts from the client.
    pub ciphertexts_up: u64,
    /// Ciphertexts to the client.
    pub ciphertexts_down: u64,
    /// Products of a ciphertext and a plaintext polynomial.
    pub products: u64,
    /// Plaintext polynomials of weights, encoded and transformed.
    pub weight_transforms: u64,
    /// Key switches: rotations and other automorphisms.
    pub rotations: u64,
}

/// Declared cost of one operator, under the label that the meter uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// The part of the run.
    pub phase: Phase,
    /// The operator, such as `conv1`.
    pub label: String,
    /// What it takes.
    pub cost: Cost,
    /// What its homomorphic part does, if it has one.
    pub homomorphic: Option<HomomorphicWork>,
}

impl CostLine {
    /// An operator that only communicates.
    #[must_use]
    pub fn new(phase: Phase, label: impl Into<String>, cost: Cost) -> Self {
        Self { phase, label: label.into(), cost, homomorphic: None }
    }
}
