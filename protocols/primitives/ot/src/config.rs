//! How correlated OTs are made: values, not features.

use crate::{Error, FerretParams, Result};

/// The protocol that refills the buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension {
    /// Ishai, Kilian, Nissim, Petrank (CRYPTO 2003); semi-honest. 127 bits up an OT.
    Iknp,
    /// IKNP against malicious parties: Keller, Orsini, Scholl (CRYPTO 2015) with the check of the revised version, which
    /// is that of SoftSpokenOT. 127 bits up an OT and 4 KB for each extension.
    Kos,
    /// Roy, SoftSpokenOT (CRYPTO 2022) with fields of 2^8 elements; semi-honest. 15 bits up an OT.
    SoftSpoken,
    /// The same with fields of 2^2 elements: 63 bits up an OT, half of [`Self::Iknp`]'s for as many pseudorandom bits.
    SoftSpoken2,
    /// Ferret (CCS 2020) with these parameters; semi-honest. 0.2 to 1.4 bits down an OT, after a start
    /// that costs 2 bytes for each OT that an iteration consumes.
    Ferret(FerretParams),
    /// Ferret against malicious parties: its start by SoftSpokenOT with both checks, then one check for each part of an
    /// iteration, which costs a round trip and 48 bytes.
    FerretMalicious(FerretParams),
}

impl Extension {
    /// OTs that are made together (agreement): [`FerretParams::part`], up to a multiple of which requests are rounded, or
    /// the fewest that the others make at once.
    #[must_use]
    pub const fn batch(&self) -> usize {
        match self {
            Self::Iknp | Self::Kos | Self::SoftSpoken | Self::SoftSpoken2 => 1 << 14,
            Self::Ferret(params) | Self::FerretMalicious(params) => params.part(),
        }
    }

    /// Whether the peer may deviate from the protocol without learning more than a few bits of Δ or of the noise, each at
    /// the risk of being caught.
    #[must_use]
    pub const fn is_malicious(&self) -> bool {
        matches!(self, Self::Kos | Self::FerretMalicious(_))
    }
}

/// The setting of a pair of endpoints; both parties must use the same (agreement).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtConfig {
    /// The protocol that refills the buffers.
    pub extension: Extension,
    /// Greatest number of correlated OTs that may be asked for, 16 bytes each (agreement). An extension may add up to a
    /// batch more, [`Extension::batch`].
    pub max_buffered: usize,
}

impl OtConfig {
    /// Default of [`Self::max_buffered`]: 240 MiB an endpoint.
    pub const DEFAULT_MAX_BUFFERED: usize = 15 << 20;

    /// The default limits with this extension.
    #[must_use]
    pub const fn new(extension: Extension) -> Self {
        Self { extension, max_buffered: Self::DEFAULT_MAX_BUFFERED }
    }

    pub(crate) fn check(&self, n: usize) -> Result<()> {
        if n > self.max_buffered {
            return Err(Error::Limit { what: "buffered correlated OTs", requested: n, limit: self.max_buffered });
        }
        Ok(())
    }
}

impl Default for OtConfig {
    fn default() -> Self {
        Self::new(Extension::Ferret(FerretParams::SMALL))
    }
}
