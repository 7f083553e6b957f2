//! Two parties, one channel, correlated OT in both directions.

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_ot::{OtConfig, OtReceiver, OtSender};
use si_ring::{Bits, Ring, packed_len};
use si_wire::Channel;

use crate::Result;

/// Which of the two parties we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The party with the queries: speaks first.
    Client,
    /// The party with the model.
    Server,
}

impl Side {
    /// 1 at the client, 0 at the server: for the public constants that only one party adds.
    #[must_use]
    pub const fn is_client(self) -> u64 {
        match self {
            Self::Client => 1,
            Self::Server => 0,
        }
    }
}

/// One party's end of the two-party operators.
///
/// Lock step: OTs are drawn from two buffers, one for each direction. [`Self::reserve`] fills them in an order that is
/// the same at both parties; every operator calls it first with counts that follow from public lengths, so no operator
/// refills a buffer in its middle.
pub struct Engine {
    pub(crate) channel: Channel,
    pub(crate) sender: OtSender,
    pub(crate) receiver: OtReceiver,
    pub(crate) rng: ChaCha20Rng,
    side: Side,
    /// What a buffer may hold.
    most_ots: usize,
}

impl Engine {
    /// Sets up OT in both directions.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn setup(mut channel: Channel, side: Side, rng: &mut impl CryptoRng, config: &OtConfig) -> Result<Self> {
        let ch = &mut channel;
        let (sender, receiver) = match side {
            Side::Client => {
                let sender = OtSender::setup(ch, rng, config)?;
                (sender, OtReceiver::setup(ch, rng, config)?)
            }
            Side::Server => {
                let receiver = OtReceiver::setup(ch, rng, config)?;
                (OtSender::setup(ch, rng, config)?, receiver)
            }
        };
        let rng = ChaCha20Rng::from_rng(rng);
        Ok(Self { channel, sender, receiver, rng, side, most_ots: config.max_buffered })
    }

    /// Which party we are.
    #[must_use]
    pub fn side(&self) -> Side {
        self.side
    }

    /// The channel, for the linear layers between the operators.
    pub fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// Correlated OTs used so far: (client sends, server sends).
    #[must_use]
    pub fn used_ots(&self) -> (u64, u64) {
        match self.side {
            Side::Client => (self.sender.used(), self.receiver.used()),
            Side::Server => (self.receiver.used(), self.sender.used()),
        }
    }

    /// Makes sure that this many correlated OTs are buffered in each direction.
    ///
    /// # Errors
    /// If the peer fails, or the buffers would outgrow their memory limit.
    pub fn reserve(&mut self, client_sends: usize, server_sends: usize) -> Result<()> {
        let ch = &mut self.channel;
        match self.side {
            Side::Client => {
                self.sender.reserve(ch, client_sends)?;
                self.receiver.reserve(ch, server_sends)?;
            }
            Side::Server => {
                self.receiver.reserve(ch, client_sends)?;
                self.sender.reserve(ch, server_sends)?;
            }
        }
        Ok(())
    }

    /// As [`Self::reserve`], but at most as many as the buffers may hold: a larger batch refills them on its way.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn reserve_up_to(&mut self, client_sends: usize, server_sends: usize) -> Result<()> {
        self.reserve(client_sends.min(self.most_ots), server_sends.min(self.most_ots))
    }

    /// Ends what was done in advance: an empty message to the client, who waits for it. What follows starts even: its
    /// first message to the client is no answer to one before.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn start_even(&mut self) -> Result<()> {
        match self.side {
            Side::Client => self.channel.recv_exact("start", 0).map(drop)?,
            Side::Server => {
                self.channel.send(&[])?;
                self.channel.flush()?;
            }
        }
        Ok(())
    }

    /// Sends ours and receives the peer's bits: half a round trip.
    pub(crate) fn exchange(&mut self, what: &'static str, bits: &Bits) -> Result<Bits> {
        let mut bytes = Vec::with_capacity(bits.len().div_ceil(8));
        bits.encode(&mut bytes);
        self.channel.send(&bytes)?;
        let theirs = self.channel.recv_exact(what, bytes.len())?;
        Bits::decode(&theirs, bits.len()).map_err(|e| self.channel.malformed(what, e.to_string()).into())
    }

    /// Opens additive shares to the client: the values there, nothing at the server. n * l bits down.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn open_to_client(&mut self, shares: &[u64], ring: Ring) -> Result<Option<Vec<u64>>> {
        let what = "opened shares";
        match self.side {
            Side::Server => {
                let mut bytes = Vec::new();
                si_ring::pack(shares, ring.bits(), &mut bytes);
                self.channel.send(&bytes)?;
                self.channel.flush()?;
                Ok(None)
            }
            Side::Client => {
                let bytes = self.channel.recv_exact(what, packed_len(shares.len(), ring.bits()))?;
                let theirs = si_ring::unpack(&bytes, shares.len(), ring.bits())
                    .map_err(|e| self.channel.malformed(what, e.to_string()))?;
                Ok(Some(shares.iter().zip(theirs).map(|(a, b)| ring.add(*a, b)).collect()))
            }
        }
    }
}
