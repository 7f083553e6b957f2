use si_wire::Role;

/// The result of a step of a protocol.
pub type Result<T> = std::result::Result<T, Error>;

/// How a protocol may fail. Panics are for our own bugs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed, or a frame made no sense.
    #[error(transparent)]
    Wire(#[from] si_wire::Error),
    /// The model or its input is at fault.
    #[error(transparent)]
    Model(#[from] si_models::Error),
    /// A message arrived whole but breaks the protocol's rules. For a semi-honest protocol this means a broken peer;
    /// it is no proof of cheating.
    #[error("{what} from the {peer} is malformed: {why}")]
    Malformed {
        /// Who sent it.
        peer: Role,
        /// Which message.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The protocol cannot do what is asked.
    #[error("{protocol} does not support {what}")]
    Unsupported {
        /// The protocol's id.
        protocol: String,
        /// What was asked, and what to do instead.
        what: String,
    },
    /// What was asked makes no sense or is not safe.
    #[error("{what}")]
    Invalid {
        /// What is wrong, with the numbers, and what to do.
        what: String,
    },
    /// A file of our own could not be written for want of space: no fault of the peer's, and with room it can be done again.
    #[error("{what}")]
    DiskFull {
        /// Which file, and what was tried.
        what: String,
    },
    /// A check of a maliciously secure protocol failed: a result, not a mishap.
    #[error("abort: {accused} is accused by the check '{check}'")]
    Abort {
        /// Who must have deviated.
        accused: Role,
        /// Which check, and what it saw.
        check: String,
    },
}

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }
}
