use std::time::Duration;

/// The result of an operation on the wire.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong between two parties.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation.
    #[error("{what}: {source}")]
    Io {
        /// The operation and its object, such as an address.
        what: String,
        /// The system's own words.
        source: std::io::Error,
    },
    /// The peer closed the connection or its process ended.
    #[error("{peer} closed the connection: look at that party's own message for the reason")]
    Closed {
        /// Whom we were talking to.
        peer: String,
    },
    /// Nothing arrived for too long.
    #[error("{peer} sent nothing for {} s: it is dead, stuck or waiting for us; raise the timeout if the run is slow", waited.as_secs())]
    Timeout {
        /// Whom we were waiting for.
        peer: String,
        /// How long we waited.
        waited: Duration,
    },
    /// A message announces more bytes than the receiver allows at this point.
    #[error(
        "{peer} announced a message of {len} bytes where at most {max} are allowed: the parties disagree, or the peer is hostile"
    )]
    TooLong {
        /// Who sent it.
        peer: String,
        /// Announced length.
        len: usize,
        /// Greatest length allowed here.
        max: usize,
    },
    /// A message of ours is longer than any may be.
    #[error("a message of {len} bytes for {peer}, where at most {max} are allowed: take a smaller batch")]
    TooLongToSend {
        /// Whom it is for.
        peer: String,
        /// Its length.
        len: usize,
        /// Greatest length allowed.
        max: usize,
    },
    /// A message arrived whole but makes no sense.
    #[error("malformed {what} from {peer}: {why}")]
    Malformed {
        /// Who sent it.
        peer: String,
        /// Which message.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}
