/// The result of an operation on data sets.
pub type Result<T> = std::result::Result<T, Error>;

/// What can be wrong with a data set, its files or its use.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No data set of this name is known.
    #[error("unknown data set '{name}': choose one of {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A file that is fetched, not part of the program, is not there.
    #[error("{path} is not there: run `make fetch`")]
    NotFetched {
        /// The file.
        path: String,
    },
    /// Photographs cannot be queries before a model says what it makes of them.
    #[error("data set '{name}' holds photographs: use it with a model for photographs")]
    Photographs {
        /// The data set.
        name: String,
    },
    /// A file is unreadable or not what it should be.
    #[error("{path}: {why}; {remedy}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
        /// What to do.
        remedy: String,
    },
    /// The index of data sets contradicts itself or the files.
    #[error("datasets/index.toml: {why}")]
    Index {
        /// What is wrong.
        why: String,
    },
    /// More images are asked for than there are.
    #[error(
        "data set '{name}' has {have} images, {need} are needed ({purpose}): ask for fewer or take a larger data set"
    )]
    TooFew {
        /// The data set.
        name: String,
        /// Images it has.
        have: usize,
        /// Images needed.
        need: usize,
        /// What for.
        purpose: String,
    },
}
