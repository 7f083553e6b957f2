use crate::{Plan, PlanError};

/// Why a Fusion protocol cannot be set up.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FusionError {
    /// The plan makes no sense or is too weak.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The inner protocol lacks what mix-and-check relies on.
    #[error("fusion cannot make '{inner}' secure: it does not offer {}", missing.join(", "))]
    Inner {
        /// The inner protocol's id.
        inner: String,
        /// What it lacks.
        missing: Vec<String>,
    },
    /// Samples and labels do not match.
    #[error("{inputs} public samples with {labels} labels")]
    Unlabelled {
        /// Number of samples.
        inputs: usize,
        /// Number of labels.
        labels: usize,
    },
    /// Not enough samples for a single run.
    #[error("{have} public samples are fewer than the T={} of the plan ({plan})", plan.public())]
    TooFewPublic {
        /// Number of samples.
        have: usize,
        /// The plan.
        plan: Plan,
    },
    /// A sample occurs twice.
    #[error("public samples {first} and {second} are the same")]
    DuplicatePublic {
        /// Index of the first.
        first: usize,
        /// Index of the second.
        second: usize,
    },
}
