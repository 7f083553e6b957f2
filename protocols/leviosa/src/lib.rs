//! LevioSA: two-party inference secure against either party's deviating, from passive oblivious linear evaluation, packed secret sharing
//! among virtual servers, watchlists and Ligero's interleaved checks. See the README for the map from the paper to these files and
//! for what differs.

mod bits;
mod blocks;
mod card;
mod checks;
mod client;
mod code;
mod columns;
mod cost;
mod deviation;
mod error;
mod network;
mod parameters;
mod party;
mod protocol;
mod server;
mod session;
mod statement;
#[cfg(test)]
mod trials;
mod watch;

pub use deviation::InsecureDeviation;
pub use parameters::{Parameters, log2_missed};
pub use protocol::{BatchPlan, LevioSA, STATISTICAL_BITS};
