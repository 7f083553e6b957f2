/// The result of an OT operation.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in an oblivious transfer.
///
/// After an error the two endpoints no longer agree on their stock: drop them and set up anew. If the error came up while
/// correlated OTs were made, the endpoint has no stock left and makes no more: a peer that was caught gets no second try.
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
    /// No more correlated OTs are made, after an error that was already reported.
    #[error("the supply of correlated OTs has ended after an earlier error: set up anew")]
    Ended,
    /// Parameters without a published security estimate, or outside what the protocols support.
    #[error("unsupported parameters: {why}")]
    Params {
        /// What is wrong with them.
        why: String,
    },
}
