//! Errors of the primitives, told in the protocol's words. What only a deviating party does is an abort that accuses it.

use si_api::{Error, Result, Role};

/// A failed check.
pub(crate) fn abort(accused: Role, check: impl Into<String>) -> Error {
    Error::Abort { accused, check: check.into() }
}

/// An OT's error: its checks are those of a maliciously secure protocol.
pub(crate) fn from_ot(e: si_ot::Error, peer: Role) -> Error {
    match e {
        si_ot::Error::Wire(e) => Error::Wire(e),
        e @ si_ot::Error::Limit { .. } => Error::invalid(e.to_string()),
        e => abort(peer, format!("oblivious transfer: {e}")),
    }
}

/// An oblivious linear evaluation's error: an honest peer sends no malformed one.
pub(crate) fn from_ole(e: &si_rlwe::Error, peer: Role, server: usize) -> Error {
    abort(peer, format!("oblivious linear evaluation at virtual server {server}: {e}"))
}

/// An error that only our own parameters cause.
pub(crate) fn own(e: si_rlwe::Error) -> Error {
    Error::invalid(e.to_string())
}

/// What a party finds wrong while it goes on as if nothing were, so that the time does not say what it was. The first counts.
#[derive(Default)]
pub(crate) struct Verdict(Option<Error>);

impl Verdict {
    pub(crate) fn refuse(&mut self, why: Error) {
        self.0.get_or_insert(why);
    }

    pub(crate) fn finish(self) -> Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
