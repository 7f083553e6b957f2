//! The protocols that make correlated OTs, behind one face for each side.

use rand::CryptoRng;
use si_wire::Channel;
use zeroize::Zeroize;

use crate::block::Block;
use crate::buffer::Buffer;
use crate::cipher::{Breaker, Hash, Prg};
use crate::config::{Extension, OtConfig};
use crate::ferret::{FerretParams, FerretReceiver, FerretSender, Purpose};
use crate::session::Session;
use crate::softspoken::{SoftSpokenReceiver, SoftSpokenSender, Variant};
use crate::source::Engine;
use crate::{Result, block};

/// Up to this many OTs are made by SoftSpoken for the first iteration of Ferret; more by an iteration with small
/// parameters (agreement).
const DIRECT_START: usize = 2 * FerretParams::SMALL.consumed();

/// The protocol of one endpoint that sends.
pub(crate) struct SenderEngine {
    session: Session,
    delta: Block,
    /// Makes the roots of Ferret's trees.
    seeds: Prg,
    spoken: SoftSpokenSender,
    ferret: Option<FerretSender>,
}

/// The protocol of one endpoint that receives.
pub(crate) struct ReceiverEngine {
    session: Session,
    spoken: SoftSpokenReceiver,
    ferret: Option<FerretReceiver>,
}

impl SenderEngine {
    /// Runs the base OTs; returns also Δ and the hash that breaks correlations.
    pub(crate) fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, cfg: &OtConfig) -> Result<(Self, Block, Hash)> {
        let (spoken, delta, session) = SoftSpokenSender::setup(ch, rng, variant(cfg))?;
        let hash = breaker(&session, cfg);
        let seeds = Prg::new(block::random(rng));
        Ok((Self { session, delta, seeds, spoken, ferret: None }, delta, hash))
    }

    fn start(&mut self, ch: &mut Channel, params: FerretParams, malicious: bool) -> Result<FerretSender> {
        let mut base = Buffer::default();
        let mut seed = [0; 2];
        self.seeds.fill(0, &mut seed);
        if params.consumed() <= DIRECT_START {
            self.spoken.extend(ch, params.consumed(), &mut base)?;
        } else {
            let small = FerretParams::SMALL;
            self.spoken.extend(ch, small.consumed(), &mut base)?;
            let mut first =
                FerretSender::new(small, self.purpose("first", malicious), Prg::new(seed[0]), self.delta, base);
            base = Buffer::default();
            first.extend(ch, params.consumed(), &mut base)?;
        }
        let ferret = FerretSender::new(params, self.purpose("main", malicious), Prg::new(seed[1]), self.delta, base);
        seed.zeroize();
        Ok(ferret)
    }
}

impl Engine for SenderEngine {
    fn extend(&mut self, ch: &mut Channel, cfg: &OtConfig, n: usize, out: &mut Buffer) -> Result<()> {
        let (Extension::Ferret(params) | Extension::FerretMalicious(params)) = cfg.extension else {
            return self.spoken.extend(ch, n.max(cfg.extension.batch()), out);
        };
        let mut ferret = match self.ferret.take() {
            Some(ferret) => ferret,
            None => self.start(ch, params, cfg.extension.is_malicious())?,
        };
        // After an error the protocol is not gone on with.
        ferret.extend(ch, n, out)?;
        self.ferret = Some(ferret);
        Ok(())
    }
}

impl SenderEngine {
    fn purpose(&self, name: &'static str, malicious: bool) -> Purpose<'_> {
        Purpose { session: &self.session, name, malicious }
    }
}

impl Drop for SenderEngine {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}

impl ReceiverEngine {
    /// Runs the base OTs; returns also the hash that breaks correlations.
    pub(crate) fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, cfg: &OtConfig) -> Result<(Self, Hash)> {
        let (spoken, session) = SoftSpokenReceiver::setup(ch, rng, variant(cfg))?;
        let hash = breaker(&session, cfg);
        Ok((Self { session, spoken, ferret: None }, hash))
    }

    fn start(&mut self, ch: &mut Channel, params: FerretParams, malicious: bool) -> Result<FerretReceiver> {
        let mut base = Buffer::default();
        if params.consumed() <= DIRECT_START {
            self.spoken.extend(ch, params.consumed(), &mut base)?;
        } else {
            let small = FerretParams::SMALL;
            self.spoken.extend(ch, small.consumed(), &mut base)?;
            let mut first = FerretReceiver::new(small, self.purpose("first", malicious), base);
            base = Buffer::default();
            first.extend(ch, params.consumed(), &mut base)?;
        }
        Ok(FerretReceiver::new(params, self.purpose("main", malicious), base))
    }
}

impl Engine for ReceiverEngine {
    fn extend(&mut self, ch: &mut Channel, cfg: &OtConfig, n: usize, out: &mut Buffer) -> Result<()> {
        let (Extension::Ferret(params) | Extension::FerretMalicious(params)) = cfg.extension else {
            return self.spoken.extend(ch, n.max(cfg.extension.batch()), out);
        };
        let mut ferret = match self.ferret.take() {
            Some(ferret) => ferret,
            None => self.start(ch, params, cfg.extension.is_malicious())?,
        };
        // After an error the protocol is not gone on with.
        ferret.extend(ch, n, out)?;
        self.ferret = Some(ferret);
        Ok(())
    }
}

impl ReceiverEngine {
    fn purpose(&self, name: &'static str, malicious: bool) -> Purpose<'_> {
        Purpose { session: &self.session, name, malicious }
    }
}

fn variant(cfg: &OtConfig) -> Variant {
    let field_bits = match cfg.extension {
        Extension::Iknp | Extension::Kos => 1,
        Extension::SoftSpoken2 => 2,
        Extension::SoftSpoken | Extension::Ferret(_) | Extension::FerretMalicious(_) => 8,
    };
    Variant { field_bits, malicious: cfg.extension.is_malicious() }
}

fn breaker(session: &Session, cfg: &OtConfig) -> Hash {
    let kind = if cfg.extension.is_malicious() { Breaker::Tmmo } else { Breaker::Mmo };
    Hash::new(session.key("correlation breaker"), kind)
}
