//! The endpoint that sends: knows both messages of each OT.

use rand::CryptoRng;
use si_ring::Bits;
use si_wire::Channel;
use zeroize::Zeroize;

use crate::block::Block;
use crate::cipher::Hash;
use crate::config::OtConfig;
use crate::engine::SenderEngine;
use crate::{Error, Result};

/// The sender of OTs in one direction, with a buffer of correlated OTs.
///
/// A correlated OT here is a block q at the sender and a block v = q + uΔ at the receiver, where u is the lowest bit of
/// v, random, and Δ is the sender's and the same for all. Every operation consumes them from the buffer; see the crate's
/// documentation for the lock-step rule.
pub struct OtSender {
    pub(crate) delta: Block,
    pub(crate) hash: Hash,
    pub(crate) buffer: Vec<Block>,
    pub(crate) used: u64,
    engine: SenderEngine,
    config: OtConfig,
}

impl OtSender {
    /// Base OTs and what the extension needs once. The sender speaks first.
    ///
    /// # Errors
    /// If the connection fails, or the peer is caught deviating.
    pub fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, config: &OtConfig) -> Result<Self> {
        let (engine, delta, hash) = SenderEngine::setup(ch, rng, config)?;
        Ok(Self { delta, hash, buffer: Vec::new(), used: 0, engine, config: *config })
    }

    /// Makes sure that at least `n` correlated OTs are buffered.
    ///
    /// # Errors
    /// If `n` is above the limit of the configuration, the connection fails, or the peer is caught deviating.
    pub fn reserve(&mut self, ch: &mut Channel, n: usize) -> Result<()> {
        if n <= self.buffer.len() {
            return Ok(());
        }
        self.config.check(n)?;
        self.engine.fill(ch, &self.config, n, &mut self.buffer)
    }

    /// Correlated OTs in the buffer.
    #[must_use]
    pub fn available(&self) -> usize {
        self.buffer.len()
    }

    /// Correlated OTs consumed so far.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The last `n` buffered blocks, after refilling if there are fewer; the caller must end with [`Self::consume`].
    pub(crate) fn take(&mut self, ch: &mut Channel, n: usize) -> Result<Vec<Block>> {
        self.reserve(ch, n)?;
        Ok(self.buffer.split_off(self.buffer.len() - n))
    }

    /// Counts `n` OTs as used; returns the index of the first, which is the hash's tweak.
    pub(crate) fn count(&mut self, n: usize) -> u64 {
        let first = self.used;
        self.used += n as u64;
        first
    }

    /// Receives one bit for each of `n` OTs.
    pub(crate) fn recv_bits(ch: &mut Channel, what: &'static str, n: usize) -> Result<Bits> {
        let bytes = ch.recv_exact(what, n.div_ceil(8))?;
        Bits::decode(&bytes, n).map_err(|e| ch.malformed(what, e.to_string()).into())
    }
}

impl Drop for OtSender {
    fn drop(&mut self) {
        self.delta.zeroize();
        self.buffer.zeroize();
    }
}

/// The number of OTs that `n` instances of `per_instance` take.
pub(crate) fn total(n: usize, per_instance: usize, limit: usize) -> Result<usize> {
    n.checked_mul(per_instance).filter(|t| *t <= limit).ok_or(Error::Limit {
        what: "correlated OTs of one operation",
        requested: n.saturating_mul(per_instance),
        limit,
    })
}
