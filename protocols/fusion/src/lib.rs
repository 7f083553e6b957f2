//! Fusion: inference secure against a malicious server, from any inference protocol secure against servers that follow
//! it. The client makes B copies of each of its R queries, adds T public samples whose labels it knows, and runs all of
//! them through the inner protocol in an order that only it knows. It accepts if the copies of every query agree and
//! enough public samples come out right, and accuses the server otherwise.
//!
//! [`Plan`] is what the parties agree on, [`soundness`] bounds a cheating server's chances, [`AccuracyTest`] tells what
//! the public samples say about the model, [`search_with_test`] finds the cheapest plan for both, [`Fusion`] is the protocol.

mod accuracy;
mod card;
mod check;
mod client;
mod error;
mod journal;
mod ln_factorial;
mod mix;
mod plan;
mod protocol;
mod public;
mod search;
pub mod soundness;

pub use accuracy::{AccuracyGoal, AccuracyTest};
pub use error::FusionError;
pub use journal::{JournalError, MOST_RESUMES, Progress, progress};
pub use plan::{Plan, PlanError};
pub use protocol::Fusion;
pub use public::PublicSamples;
pub use search::{Remedy, search, search_with_test};
