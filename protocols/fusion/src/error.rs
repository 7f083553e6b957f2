use std::io;

use crate::{JournalError, Plan, PlanError};

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
    /// The journal of a run cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A run is to go on without what is known of it.
    #[error("to go on after {chunks} chunks, the client needs the journal of the run")]
    NoJournal {
        /// Chunks that are done.
        chunks: usize,
    },
    /// More chunks are done than there are.
    #[error("{chunks} chunks are said to be done, the plan has {of}")]
    ResumedAfter {
        /// Chunks that are said to be done.
        chunks: usize,
        /// Chunks of the plan.
        of: usize,
    },
}

impl From<FusionError> for si_api::Error {
    fn from(e: FusionError) -> Self {
        match e {
            FusionError::Journal(JournalError::Io { kind, .. }) if is_full(kind) => {
                Self::DiskFull { what: e.to_string() }
            }
            e => Self::invalid(e.to_string()),
        }
    }
}

/// Whether a write failed for want of space.
fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
