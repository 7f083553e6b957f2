/// The result of an OT operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in an oblivious transfer.
///
/// After any error the two endpoints no longer agree on their buffers: drop them and set up anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed, or a message of the peer's made no sense.
    #[error(transparent)]
    Wire(#[from] si_wire::Error),
    /// A consistency check failed: the peer (or somebody on the line) deviated from the protocol.
    #[error("{peer} failed the consistency check '{check}'")]
    Check {
        /// Which check.
        check: &'static str,
        /// Whom it accuses.
        peer: String,
    },
    /// A request that the memory limit forbids; nothing was allocated for it.
    #[error("{what}: {requested} requested where the limit is {limit}")]
    Limit {
        /// What was requested, with its unit.
        what: &'static str,
        /// How many.
        requested: usize,
        /// The greatest number allowed.
        limit: usize,
    },
    /// The thread that makes correlated OTs has ended, after an error that was already reported.
    #[error("the lane that makes correlated OTs has ended after an earlier error")]
    Lane,
    /// Parameters without a published security estimate, or outside what the protocols support.
    #[error("unsupported parameters: {why}")]
    Params {
        /// What is wrong with them.
        why: String,
    },
}
