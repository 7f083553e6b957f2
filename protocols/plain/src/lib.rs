//! The **insecure** reference protocol: the client sends its queries in the clear, the server computes on them and
//! sends the answers back.
//!
//! It implements the same traits as every other protocol, so it serves as the lower bound of any cost, as the fast
//! inner protocol of experiments on detection rates, and as the template to copy when a protocol is added (see the
//! README). It does not call the reference executor of `si_models`: its operators are written anew on ring words, so
//! that the comparison of the two says something about both.

mod client;
mod operators;
mod protocol;
mod server;

pub use protocol::PlainInsecure;
