//! Two-party operators on additive shares over Z_2^l and Boolean (XOR) shares: AND, comparison, selection, ReLU,
//! maximum, argmax, truncation and extension of shares. Semi-honest, on top of correlated OT.
//!
//! All operators take batches: a batch of any size takes the same number of rounds. Both parties make the same calls
//! with the same lengths in the same order. Shares are `u64` words below 2^l; element i of both parties' slices belong
//! together. The scheme follows Cheetah (USENIX Security 2022, section 5) and CrypTFlow2 (CCS 2020, section 4); each
//! file says where it differs.

mod boolean;
mod compare;
mod engine;
mod error;
mod field;
mod nonlinear;
mod products;
mod rescale;
mod select;
mod tally;
mod truncate;

pub use engine::{Engine, Side};
pub use error::{Error, Result};
pub use field::Field;
pub use products::{Mine, ScaledSums};
pub use tally::Tally;
pub use truncate::Known;

#[cfg(test)]
mod tests;
