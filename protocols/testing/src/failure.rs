use std::fmt;

/// What a check of this crate returns.
pub type Verdict<T = ()> = std::result::Result<T, Failure>;

/// Why a protocol does not pass: one paragraph for the developer who looks at the test's output.
#[derive(PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure with its description.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// The same failure, with the place where it was seen in front.
    #[must_use]
    pub fn at(self, place: impl fmt::Display) -> Self {
        Self(format!("{place}: {}", self.0))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As [`fmt::Display`], so that a failed `unwrap` is readable.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<si_api::Error> for Failure {
    fn from(e: si_api::Error) -> Self {
        Self(e.to_string())
    }
}
