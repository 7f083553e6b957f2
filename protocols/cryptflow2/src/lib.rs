//! CrypTFlow2: two-party secure inference against semi-honest adversaries, bit-exact. See the README for the map from
//! the paper's sections to these files, and for what differs.

mod card;
mod cost;
mod error;
mod kernels;
mod late;
mod linear;
mod linear_he;
mod linear_ot;
mod numbers;
mod protocol;

pub use protocol::{Comparison, CrypTFlow2, LinearLayers};
