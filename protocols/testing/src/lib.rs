//! What every protocol is tested with.
//!
//! - [`pair`]: two parties in two threads over channels in memory, with an end to every wait.
//! - [`graphs`]: small networks that use every operator, with random weights and queries.
//! - [`conformance`]: answers against the fixed-point oracle, declared cost against the meter.
//!
//! Checks return a [`Failure`] that says what was seen; a test unwraps it.

pub mod conformance;
mod cost;
mod failure;
pub mod graphs;
pub mod pair;

pub use cost::{declared_cost_matches, rounds_do_not_grow};
pub use failure::{Failure, Verdict};
