//! Two parties, one channel, correlated OT in both directions.

use rand::{CryptoRng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_ot::{OtConfig, OtReceiver, OtSender};
use si_ring::{Bits, Ring, packed_len};
use si_wire::Channel;

use crate::{Result, Tally};

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

/// OTs that a lane is asked for at once, rounded up to whole batches of the extension (agreement).
const ORDER_OTS: usize = 1 << 18;

/// One party's end of the two-party operators.
///
/// Lock step: OTs are drawn from two buffers, one for each direction. [`Self::reserve`] fills them in an order that is
/// the same at both parties; every operator calls it first with counts that follow from public lengths, so no operator
/// refills a buffer in its middle. With a lane ([`Self::setup_on_lane`]) the buffers are refilled ahead of their use, as
/// far as [`Self::expect`] announced it and memory allows: in the background, and without a round of the operators.
pub struct Engine {
    pub(crate) channel: Channel,
    pub(crate) sender: OtSender,
    pub(crate) receiver: OtReceiver,
    /// Endpoints for the leaves of comparisons, if they have their own.
    pub(crate) leaves: Option<Leaves>,
    pub(crate) rng: ChaCha20Rng,
    side: Side,
    config: OtConfig,
    /// OTs that the announced batch still takes: the client sends, the server sends.
    expected: [usize; 2],
}

/// A pair of endpoints for 1-of-2^m OTs alone.
pub(crate) struct Leaves {
    sender: OtSender,
    receiver: OtReceiver,
    config: OtConfig,
}

impl Leaves {
    /// The endpoints that leaves take their OTs from: their own, or those of everything else.
    pub(crate) fn or<'a>(
        own: &'a mut Option<Self>,
        sender: &'a mut OtSender,
        receiver: &'a mut OtReceiver,
    ) -> (&'a mut OtSender, &'a mut OtReceiver) {
        match own {
            Some(own) => (&mut own.sender, &mut own.receiver),
            None => (sender, receiver),
        }
    }
}

impl Engine {
    /// Sets up OT in both directions; correlated OTs are made over the operators' channel.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn setup(mut channel: Channel, side: Side, rng: &mut impl CryptoRng, config: &OtConfig) -> Result<Self> {
        let (sender, receiver) = endpoints(&mut channel, side, rng, config)?;
        Ok(Self::new(channel, sender, receiver, side, rng, *config))
    }

    /// As [`Self::setup`], with a second pair of endpoints for the leaves of comparisons, whose 1-of-2^m OTs take m
    /// correlated OTs each, and for ANDs that stand alone: an extension that is cheap there need not be that of all others.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn setup_with_leaves(
        channel: Channel,
        side: Side,
        rng: &mut impl CryptoRng,
        config: &OtConfig,
        leaves: &OtConfig,
    ) -> Result<Self> {
        let mut engine = Self::setup(channel, side, rng, config)?;
        let (sender, receiver) = endpoints(&mut engine.channel, side, rng, leaves)?;
        engine.leaves = Some(Leaves { sender, receiver, config: *leaves });
        Ok(engine)
    }

    /// As [`Self::setup`], with correlated OTs made by a thread in the background over a channel of its own. Both parties
    /// must do it.
    ///
    /// # Errors
    /// If the peer fails, or the system refuses a thread.
    pub fn setup_on_lane(
        channel: Channel,
        lane: Channel,
        side: Side,
        rng: &mut impl CryptoRng,
        config: &OtConfig,
    ) -> Result<Self> {
        let (sender, receiver) = si_ot::setup_on_lane(lane, side == Side::Client, rng, config)?;
        Ok(Self::new(channel, sender, receiver, side, rng, *config))
    }

    fn new(
        channel: Channel,
        sender: OtSender,
        receiver: OtReceiver,
        side: Side,
        rng: &mut impl CryptoRng,
        config: OtConfig,
    ) -> Self {
        let leaves = None;
        Self { channel, sender, receiver, leaves, rng: ChaCha20Rng::from_rng(rng), side, config, expected: [0; 2] }
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

    /// Correlated OTs used so far, leaves included: (client sends, server sends).
    #[must_use]
    pub fn used_ots(&self) -> (u64, u64) {
        let leaves = self.leaves.as_ref().map_or((0, 0), |l| (l.sender.used(), l.receiver.used()));
        let (sent, received) = (self.sender.used() + leaves.0, self.receiver.used() + leaves.1);
        match self.side {
            Side::Client => (sent, received),
            Side::Server => (received, sent),
        }
    }

    /// Announces how many correlated OTs the coming batch takes in each direction. As many of them as the buffers may
    /// hold are made ahead: by the lane while the caller goes on, or at once where there is none. A lane makes the others
    /// as the operators take theirs.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn expect(&mut self, client_sends: usize, server_sends: usize) -> Result<()> {
        self.expected = [client_sends, server_sends];
        if self.sender.coming().is_some() {
            return self.order_ahead([0; 2]);
        }
        let most = self.config.max_buffered;
        self.stock([client_sends.min(most), server_sends.min(most)])
    }

    /// As [`Self::expect`], with the OTs of a declared batch; those of leaves are made by their own endpoints, if they have
    /// any, as many as their buffers may hold.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn expect_declared(&mut self, batch: &Tally) -> Result<()> {
        let all = [batch.client_ots, batch.server_ots].map(|n| n as usize);
        let Some(most) = self.leaves.as_ref().map(|l| l.config.max_buffered) else {
            return self.expect(all[0], all[1]);
        };
        let leaves = [batch.client_leaf_ots, batch.server_leaf_ots].map(|n| n as usize);
        self.reserve_leaves(leaves[0].min(most), leaves[1].min(most))?;
        self.expect(all[0] - leaves[0], all[1] - leaves[1])
    }

    /// [`Self::reserve`] for leaves.
    pub(crate) fn reserve_leaves(&mut self, client_sends: usize, server_sends: usize) -> Result<()> {
        match &mut self.leaves {
            Some(Leaves { sender, receiver, .. }) => {
                stock(&mut self.channel, self.side, sender, receiver, [client_sends, server_sends])
            }
            None => self.reserve(client_sends, server_sends),
        }
    }

    /// Waits for what [`Self::expect`] had the lane make ahead.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn await_stock(&mut self) -> Result<()> {
        let coming = self.coming();
        self.stock([0, 1].map(|d| self.expected[d].min(coming[d]).min(self.config.max_buffered)))
    }

    /// Makes sure that this many correlated OTs are buffered in each direction, for an operator that takes them next, and
    /// has the lane refill what it takes.
    ///
    /// # Errors
    /// If the peer fails, or the buffers would outgrow their memory limit.
    pub fn reserve(&mut self, client_sends: usize, server_sends: usize) -> Result<()> {
        let taken = [client_sends, server_sends];
        self.stock(taken)?;
        self.expected = [0, 1].map(|d| self.expected[d].saturating_sub(taken[d]));
        self.order_ahead(taken)
    }

    fn stock(&mut self, counts: [usize; 2]) -> Result<()> {
        stock(&mut self.channel, self.side, &mut self.sender, &mut self.receiver, counts)
    }

    /// Orders what the batch needs beyond the OTs `about_to_go`, as far as they fit the buffers beside these, in turns
    /// for the two directions. What is missing only depends on what was announced and reserved, so both parties order
    /// the same.
    fn order_ahead(&mut self, about_to_go: [usize; 2]) -> Result<()> {
        let batch = self.config.extension.batch();
        let order = ORDER_OTS.div_ceil(batch) * batch;
        loop {
            let mut ordered = false;
            for d in [0, 1] {
                let coming = self.coming()[d];
                let room = self.config.max_buffered.saturating_sub(about_to_go[d]);
                let missing = (self.expected[d].min(room) + about_to_go[d]).saturating_sub(coming);
                if missing >= order || (missing > 0 && self.expected[d] <= room) {
                    self.prefetch(d, coming + missing.min(order))?;
                    ordered = true;
                }
            }
            if !ordered {
                return Ok(());
            }
        }
    }

    /// What is in stock or ordered in each direction; without a lane as much as anybody needs.
    pub(crate) fn coming(&self) -> [usize; 2] {
        let (sender, receiver) = (self.sender.coming(), self.receiver.coming());
        let by_direction = if self.side == Side::Client { [sender, receiver] } else { [receiver, sender] };
        by_direction.map(|coming| coming.unwrap_or(usize::MAX))
    }

    fn prefetch(&mut self, direction: usize, n: usize) -> Result<()> {
        let client_sends = direction == 0;
        let ours = client_sends == (self.side == Side::Client);
        Ok(if ours { self.sender.prefetch(n) } else { self.receiver.prefetch(n) }?)
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

fn endpoints(
    ch: &mut Channel,
    side: Side,
    rng: &mut impl CryptoRng,
    config: &OtConfig,
) -> Result<(OtSender, OtReceiver)> {
    Ok(match side {
        Side::Client => {
            let sender = OtSender::setup(ch, rng, config)?;
            (sender, OtReceiver::setup(ch, rng, config)?)
        }
        Side::Server => {
            let receiver = OtReceiver::setup(ch, rng, config)?;
            (OtSender::setup(ch, rng, config)?, receiver)
        }
    })
}

/// Brings both endpoints to this stock, in the same order of directions at both parties.
fn stock(
    ch: &mut Channel,
    side: Side,
    sender: &mut OtSender,
    receiver: &mut OtReceiver,
    [client_sends, server_sends]: [usize; 2],
) -> Result<()> {
    match side {
        Side::Client => {
            sender.reserve(ch, client_sends)?;
            receiver.reserve(ch, server_sends)?;
        }
        Side::Server => {
            receiver.reserve(ch, client_sends)?;
            sender.reserve(ch, server_sends)?;
        }
    }
    Ok(())
}
