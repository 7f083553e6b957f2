//! What every protocol is tested with.
//!
//! - [`pair`]: two parties in two threads over channels in memory, with an end to every wait.
//! - [`graphs`]: small networks that use every operator, with random weights and queries.
//! - [`conformance`]: answers against the fixed-point oracle, declared cost against the meter.
//! - [`digest`]: a hash of the bytes on the wire, to be pinned.
//! - [`shape`]: number and lengths of messages, which must not depend on what is in them.
//! - [`hostile_wire`]: broken and hostile streams, which an honest party must survive with an error.
//! - [`cheats`]: servers that deviate.
//! - [`chances`]: how often a server that cheats should be caught, adversary by adversary.
//! - [`detection`]: how often a protocol catches them.
//! - [`mix_and_check`]: whether a wrapper catches cheating servers as often as theory says, over any protocol.
//!
//! Checks return a [`Failure`] that says what was seen; a test unwraps it.

pub mod chances;
pub mod cheats;
pub mod conformance;
mod cost;
pub mod detection;
pub mod digest;
mod failure;
pub mod graphs;
pub mod hostile_wire;
pub mod mix_and_check;
pub mod pair;
pub mod shape;

pub use cost::{declared_cost_matches, rounds_do_not_grow};
pub use failure::{Failure, Verdict};
