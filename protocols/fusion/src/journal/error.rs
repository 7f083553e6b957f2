use std::io;
use std::path::{Path, PathBuf};

use super::MOST_RESUMES;

/// Why a journal cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// The system refused something.
    #[error("journal {}: cannot {doing}: {why}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's words.
        why: String,
        /// What they mean.
        kind: io::ErrorKind,
    },
    /// Another client has it open.
    #[error("journal {} is in use by another client", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Others than its owner may read it.
    #[error(
        "journal {} may be read by others (mode {mode:o}), and it holds the secret order: if nobody did, chmod 600; if \
         the server could, start the run anew",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A record is damaged or makes no sense.
    #[error("journal {}, record {line}: {why}: the run cannot go on from it, delete it and start anew", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Which record, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// It belongs to another run.
    #[error("journal {} is of another {what}: it has {journal}, this run has {now}", path.display())]
    OtherRun {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The journal's.
        journal: String,
        /// Ours.
        now: String,
    },
    /// The parties agreed to go on at another chunk.
    #[error("journal {} has {journal} finished chunks, the parties agreed on {agreed}", path.display())]
    OtherProgress {
        /// The file.
        path: PathBuf,
        /// The journal's.
        journal: usize,
        /// What was agreed.
        agreed: usize,
    },
    /// The run ended in a way that allows no going on.
    #[error("journal {}: the run has ended ({outcome}): start a new one with a new journal", path.display())]
    Ended {
        /// The file.
        path: PathBuf,
        /// How.
        outcome: String,
    },
    /// It was resumed too often.
    #[error("journal {}: resumed {MOST_RESUMES} times already, no more are allowed: start anew", path.display())]
    TooManyResumes {
        /// The file.
        path: PathBuf,
    },
}

/// Result of an operation on a journal.
pub(crate) type Result<T> = std::result::Result<T, JournalError>;

impl JournalError {
    /// What the system answered to an attempt at something.
    pub(super) fn io(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |e| Self::Io { path: path.to_owned(), doing, why: e.to_string(), kind: e.kind() }
    }
}
