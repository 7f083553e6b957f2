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

/// Declared cost of one operator, under the label that the meter uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// The part of the run.
    pub phase: Phase,
    /// The operator, such as `conv1`.
    pub label: String,
    /// What it takes.
    pub cost: Cost,
}
