//! The endpoint that receives: chooses one message of each OT.

use rand::CryptoRng;
use si_ring::Bits;
use si_wire::Channel;
use zeroize::Zeroize;

use crate::Result;
use crate::block::Block;
use crate::cipher::Hash;
use crate::config::OtConfig;
use crate::engine::ReceiverEngine;

/// The receiver of OTs in one direction, with a buffer of correlated OTs: the counterpart of [`crate::OtSender`].
pub struct OtReceiver {
    pub(crate) hash: Hash,
    pub(crate) buffer: Vec<Block>,
    pub(crate) used: u64,
    engine: ReceiverEngine,
    config: OtConfig,
}

impl OtReceiver {
    /// Base OTs and what the extension needs once. The sender speaks first.
    ///
    /// # Errors
    /// If the connection fails, or the peer is caught deviating.
    pub fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, config: &OtConfig) -> Result<Self> {
        let (engine, hash) = ReceiverEngine::setup(ch, rng, config)?;
        Ok(Self { hash, buffer: Vec::new(), used: 0, engine, config: *config })
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

    /// Takes `n` blocks off the buffer, after refilling it if there are fewer.
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

    /// Sends the choices, one bit each, masked with the random ones of the blocks.
    pub(crate) fn send_choices(ch: &mut Channel, choices: &Bits, blocks: &[Block]) -> Result<()> {
        let random = Bits::from_lsb(blocks.iter().map(|b| *b as u64));
        let mut message = Vec::with_capacity(choices.len().div_ceil(8));
        choices.xor(&random).encode(&mut message);
        ch.send(&message)?;
        Ok(())
    }
}

impl Drop for OtReceiver {
    fn drop(&mut self) {
        self.buffer.zeroize();
    }
}
