//! Fusion: mix-and-check over any semi-honest inference protocol.
//! [`soundness`] bounds a cheating server's chances, [`Plan`] is what the parties agree on.

mod accuracy;
mod ln_factorial;
mod plan;
pub mod soundness;

pub use accuracy::AccuracyTest;
pub use plan::{Plan, PlanError};
