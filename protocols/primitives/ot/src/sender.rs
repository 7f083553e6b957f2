//! The endpoint that sends: knows all messages of each OT.

use rand::CryptoRng;
use si_wire::Channel;
use zeroize::Zeroize;

use crate::Result;
use crate::block::Block;
use crate::buffer::Buffer;
use crate::cipher::Hash;
use crate::config::OtConfig;
use crate::engine::SenderEngine;
use crate::source::Source;

/// The sender of OTs in one direction, with a stock of correlated OTs.
///
/// A correlated OT here is a block q at the sender and a block v = q + uΔ at the receiver, where u is the lowest bit of
/// v, random, and Δ is the sender's and the same for all. Every operation consumes them from the stock; see the crate's
/// documentation for the lock-step rule.
pub struct OtSender {
    pub(crate) delta: Block,
    pub(crate) hash: Hash,
    pub(crate) buffer: Buffer,
    used: u64,
    source: Source<SenderEngine>,
}

impl OtSender {
    /// Base OTs and what the extension needs once. The sender speaks first.
    ///
    /// # Errors
    /// If the connection fails, or the peer is caught deviating.
    pub fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, config: &OtConfig) -> Result<Self> {
        let (engine, delta, hash) = SenderEngine::setup(ch, rng, config)?;
        Ok(Self::new(delta, hash, Source::inline(engine, *config)))
    }

    pub(crate) fn new(delta: Block, hash: Hash, source: Source<SenderEngine>) -> Self {
        Self { delta, hash, buffer: Buffer::default(), used: 0, source }
    }

    /// Makes sure that at least `n` correlated OTs are in stock.
    ///
    /// # Errors
    /// If `n` is above the limit of the configuration, the connection fails, or the peer is caught deviating.
    pub fn reserve(&mut self, ch: &mut Channel, n: usize) -> Result<()> {
        self.source.reserve(ch, n, &mut self.buffer)
    }

    /// Has the lane ([`crate::setup_on_lane`]) make what is missing to a stock of `n`, while the caller goes on. Both
    /// parties order the same at the same places between their operations. Nothing happens without a lane.
    ///
    /// # Errors
    /// If `n` is above the limit of the configuration; what goes wrong in the lane is reported when stock is taken.
    pub fn prefetch(&mut self, n: usize) -> Result<()> {
        self.source.prefetch(n, &self.buffer)
    }

    /// Correlated OTs in stock.
    #[must_use]
    pub fn available(&self) -> usize {
        self.buffer.len()
    }

    /// Correlated OTs in stock or ordered from the lane; `None` without a lane.
    #[must_use]
    pub fn coming(&self) -> Option<usize> {
        self.source.coming(self.buffer.len())
    }

    /// Correlated OTs consumed so far.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.used
    }

    /// The difference Δ of all correlated OTs; its lowest bit is 1. A secret of this party's.
    #[must_use]
    pub fn delta(&self) -> Block {
        self.delta
    }

    /// The blocks q of `n` correlated OTs as they are, for protocols that break the correlation themselves. No traffic.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for `n`.
    pub fn correlations(&mut self, ch: &mut Channel, n: usize) -> Result<&[Block]> {
        self.reserve(ch, n)?;
        self.count(n);
        Ok(self.buffer.take(n))
    }

    /// Counts `n` OTs as used; returns the index of the first, which is the hash's tweak.
    pub(crate) fn count(&mut self, n: usize) -> u64 {
        let first = self.used;
        self.used += n as u64;
        first
    }
}

impl Drop for OtSender {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}
