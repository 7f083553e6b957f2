/// The result of an operation on models.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with a model, its file or its use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operator does not fit the shapes of its inputs.
    #[error("model {model}, node '{node}': {why}")]
    Shape {
        /// The graph's name.
        model: String,
        /// The node's name.
        node: String,
        /// What does not fit.
        why: String,
    },
    /// The weights do not belong to the graph.
    #[error("model {model}: {why}")]
    Weights {
        /// The graph's name.
        model: String,
        /// What does not fit.
        why: String,
    },
    /// A value left the range that the ring can hold.
    #[error(
        "model {model}, node '{node}': a value of {value} does not fit {bits} signed bits; use a larger ring or a smaller scale"
    )]
    Overflow {
        /// The graph's name.
        model: String,
        /// The node's name.
        node: String,
        /// The value.
        value: i64,
        /// Signed bits that the node may use.
        bits: u32,
    },
    /// A file that is fetched, not part of the program, is not there.
    #[error("{path} is not there: run `make fetch`")]
    NotFetched {
        /// The file.
        path: String,
    },
    /// A file is unreadable or not what it should be.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// No model of this name is known.
    #[error("unknown model '{name}': choose one of {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
}
