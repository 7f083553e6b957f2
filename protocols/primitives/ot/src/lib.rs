//! Oblivious transfer between two parties, for secure inference: correlated OTs by the million from one extension, and on
//! top of them random, correlated, chosen and 1-of-2^m OT, and Boolean triples.
//!
//! An endpoint ([`OtSender`], [`OtReceiver`]) serves one direction and holds a stock of correlated OTs. The protocol that
//! refills it is a value, [`Extension`]: IKNP, KOS, SoftSpokenOT or Ferret; the last is the default.
//!
//! ```
//! use si_ot::{OtConfig, OtReceiver, OtSender};
//! use si_ring::{Bits, Ring};
//! # use std::time::Duration;
//! # use rand::SeedableRng;
//! # use rand_chacha::ChaCha20Rng;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (mut ch_a, mut ch_b) = si_wire::Channel::memory_pair(Duration::from_secs(10));
//! let ring = Ring::new(37)?;
//! let choices = Bits::from_lsb([0, 1, 1]);
//! # let seed = |s| ChaCha20Rng::seed_from_u64(s);
//! let received = std::thread::scope(|s| {
//!     let receiver = s.spawn(|| {
//!         let mut ot = OtReceiver::setup(&mut ch_b, &mut seed(1), &OtConfig::default())?;
//!         let pending = ot.correlated_begin(&mut ch_b, &choices)?;
//!         ot.correlated_finish(&mut ch_b, ring, pending)
//!     });
//!     let mut ot = OtSender::setup(&mut ch_a, &mut seed(2), &OtConfig::default())?;
//!     let r = ot.correlated(&mut ch_a, ring, &[10, 20, 30])?;
//!     ch_a.flush()?;
//!     let got = receiver.join().unwrap()?;
//!     Ok::<_, si_ot::Error>([0, 1, 2].map(|i| ring.sub(got[i], r[i])))
//! })?;
//! assert_eq!(received, [0, 20, 30]);
//! # Ok(())
//! # }
//! ```
//!
//! # Lock step
//! Both parties make the same calls with the same lengths in the same order, each on its endpoint of the direction. An
//! operation that finds too few OTs in stock refills it at that point; both sides know it, since all counts are public.
//! A refill waits for the peer. So when operations of *both* directions are interleaved (all `begin`s before the first
//! answer), call `reserve` for both before, in an order of directions that is the same at both parties; otherwise each
//! party may wait in the refill of the direction that the other has not yet come to, until the channel's timeout.
//! `begin`s and answers are queued, not flushed: reading flushes.
//!
//! # Security
//! Computational parameter 128 (Δ has 127 unknown bits, since its lowest is 1); base OTs always malicious-secure under CDH
//! in the random-oracle model; AES with public keys that both parties' randomness went into is modelled as a random
//! permutation. With a malicious extension a deviating peer is caught by a named check ([`Error::Check`]) or learns at
//! most what the papers' functionalities leak: c bits of Δ, or of the noise, if it is not caught with probability 2^-c.
//! Messages that a sender chooses are its own affair: a protocol that needs them consistent must check that itself.
//! No branch and no address depends on choices, messages, Δ or seeds; positions in the LPN code and corrections that
//! were sent are public. After an error, drop the endpoints.
//!
//! # Memory
//! 16 bytes for each OT in stock, at most [`OtConfig::max_buffered`] and one batch, and for Ferret 32 k bytes more.

mod base;
mod block;
mod buffer;
mod cipher;
mod config;
mod engine;
mod error;
mod ferret;
mod gf128;
mod keys;
mod lane;
mod lookup;
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
pub use lane::setup_on_lane;
pub use lookup::{PendingLookups, RequestedLookups, Table};
pub use many::{MAX_INDEX_BITS, PendingMany, RequestedMany};
pub use receiver::OtReceiver;
pub use sender::OtSender;
pub use source::METER_LABEL;
pub use triples::{SharedTriples, Triples, shared_triples, triples};
pub use two::Pending;

#[cfg(not(target_endian = "little"))]
compile_error!("blocks are cast to their little-endian bytes");

#[cfg(test)]
mod tests;
