//! Errors of the primitives, told in the protocol's words.

use si_api::{Error, Role};

/// An operator's error. CrypTFlow2 is semi-honest, so a message that makes no sense accuses nobody.
pub(crate) fn from_gadgets(e: si_gadgets::Error, peer: Role) -> Error {
    match e {
        si_gadgets::Error::Wire(e) | si_gadgets::Error::Ot(si_ot::Error::Wire(e)) => Error::Wire(e),
        e @ (si_gadgets::Error::Width { .. } | si_gadgets::Error::Ot(si_ot::Error::Limit { .. })) => {
            Error::invalid(e.to_string())
        }
        si_gadgets::Error::Ot(e) => {
            Error::Malformed { peer, what: "an oblivious transfer's message".to_owned(), why: e.to_string() }
        }
    }
}
