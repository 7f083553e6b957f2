//! Oblivious transfer between two parties.

mod base;
mod block;
mod buffer;
mod cipher;
mod config;
mod engine;
mod error;
mod ferret;
mod gf128;
mod many;
mod receiver;
mod sender;
mod session;
mod simd;
mod softspoken;
mod source;
mod transpose;
mod tree;
mod triples;
mod two;

pub use block::Block;
pub use config::{Extension, OtConfig};
pub use error::{Error, Result};
pub use ferret::FerretParams;
pub use many::{MAX_INDEX_BITS, PendingMany, RequestedMany};
pub use receiver::OtReceiver;
pub use sender::OtSender;
pub use triples::{SharedTriples, Triples, shared_triples, triples};
pub use two::Pending;

#[cfg(not(target_endian = "little"))]
compile_error!("blocks are cast to their little-endian bytes");

#[cfg(test)]
mod tests;
