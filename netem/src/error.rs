use crate::Means;

/// The result of setting up or measuring a link.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a link before and while it is measured. Once it carries messages, its errors are those of
/// [`si_wire::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No profile has this name.
    #[error("unknown link '{name}': known are {}", known.join(", "))]
    UnknownProfile {
        /// The name asked for.
        name: String,
        /// Every name there is.
        known: Vec<String>,
    },
    /// A file of profiles is not TOML, has an unknown or a missing field, or a field of the wrong type.
    #[error("link profiles: {why}")]
    Syntax {
        /// Where and what, in the parser's words.
        why: String,
    },
    /// A profile's fields have the right types but make no sense.
    #[error("link profile '{profile}', field {field}: {why}")]
    Field {
        /// The profile.
        profile: String,
        /// Its field.
        field: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The profile leaves the means open, and nobody has chosen yet.
    #[error("link profile '{profile}' has means = \"auto\": choose one first")]
    NotChosen {
        /// The profile.
        profile: String,
    },
    /// A link of the kernel's could not be set up here; nothing is left of it.
    #[error("link by {means}: {why}")]
    SetUp {
        /// The means.
        means: Means,
        /// The step that failed, in the system's or the script's words.
        why: String,
    },
    /// The serving end of a probe ended before it began.
    #[error("link probe: the server did not say where it listens")]
    NoServer,
    /// A probe failed.
    #[error("link probe: {0}")]
    Wire(#[from] si_wire::Error),
    /// The system refused something that a link or a probe needs.
    #[error("link: {what}: {source}")]
    Io {
        /// The operation.
        what: &'static str,
        /// The system's own words.
        source: std::io::Error,
    },
}
