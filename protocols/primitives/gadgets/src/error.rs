/// The result of an operator.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in an operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection failed, or a frame made no sense.
    #[error(transparent)]
    Wire(#[from] si_wire::Error),
    /// An oblivious transfer failed.
    #[error(transparent)]
    Ot(#[from] si_ot::Error),
    /// The operator cannot be computed for these widths: an error of the caller's.
    #[error("{operator}: {why}")]
    Width {
        /// Which operator.
        operator: &'static str,
        /// What does not fit.
        why: String,
    },
}
