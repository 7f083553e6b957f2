//! The protocols that make correlated OTs, behind one face for each side.

use rand::CryptoRng;
use si_wire::Channel;

use crate::block::Block;
use crate::cipher::{Breaker, Hash};
use crate::config::{Extension, OtConfig};
use crate::session::Session;
use crate::softspoken::{SoftSpokenReceiver, SoftSpokenSender};
use crate::{Error, Result};

/// Fewest OTs that one IKNP-like extension makes (agreement).
const MIN_BATCH: usize = 1 << 14;

/// OTs of one row of 128 (agreement).
const ROW: usize = 128;

/// The protocol of one endpoint that sends.
pub(crate) enum SenderEngine {
    SoftSpoken(SoftSpokenSender),
}

/// The protocol of one endpoint that receives.
pub(crate) enum ReceiverEngine {
    SoftSpoken(SoftSpokenReceiver),
}

impl SenderEngine {
    /// Runs the base OTs; returns also Δ and the hash that breaks correlations.
    pub(crate) fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, cfg: &OtConfig) -> Result<(Self, Block, Hash)> {
        let (engine, delta, session) = SoftSpokenSender::setup(ch, rng, field_bits(cfg))?;
        Ok((Self::SoftSpoken(engine), delta, breaker(&session)))
    }

    /// Appends correlated OTs until `out` holds at least `n`.
    pub(crate) fn fill(&mut self, ch: &mut Channel, cfg: &OtConfig, n: usize, out: &mut Vec<Block>) -> Result<()> {
        match self {
            Self::SoftSpoken(engine) => {
                let rows = plan_rows(cfg, n, out)?;
                engine.extend(ch, rows, out)
            }
        }
    }
}

impl ReceiverEngine {
    /// Runs the base OTs; returns also the hash that breaks correlations.
    pub(crate) fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, cfg: &OtConfig) -> Result<(Self, Hash)> {
        let (engine, session) = SoftSpokenReceiver::setup(ch, rng, field_bits(cfg))?;
        Ok((Self::SoftSpoken(engine), breaker(&session)))
    }

    /// Appends correlated OTs until `out` holds at least `n`.
    pub(crate) fn fill(&mut self, ch: &mut Channel, cfg: &OtConfig, n: usize, out: &mut Vec<Block>) -> Result<()> {
        match self {
            Self::SoftSpoken(engine) => {
                let rows = plan_rows(cfg, n, out)?;
                engine.extend(ch, rows, out)?;
                ch.flush()?;
                Ok(())
            }
        }
    }
}

fn field_bits(cfg: &OtConfig) -> usize {
    match cfg.extension {
        Extension::Iknp => 1,
        Extension::SoftSpoken => 8,
    }
}

fn breaker(session: &Session) -> Hash {
    Hash::new(session.key("correlation breaker"), Breaker::Mmo)
}

/// Rows of 128 OTs to add to `out` so that it holds `n`; the space for them is reserved here.
fn plan_rows(cfg: &OtConfig, n: usize, out: &mut Vec<Block>) -> Result<usize> {
    let missing = n - out.len();
    // A whole batch unless the limit is in the way.
    let rows = missing.max(MIN_BATCH.min(cfg.max_buffered - out.len())).div_ceil(ROW);
    out.try_reserve_exact(rows * ROW).map_err(|_| Error::Limit {
        what: "buffered correlated OTs (the system has no memory left)",
        requested: out.len() + rows * ROW,
        limit: out.len(),
    })?;
    Ok(rows)
}
