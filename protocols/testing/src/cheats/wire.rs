//! A server's stream with some of its messages changed: wrong RLWE answers, wrong OT messages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Channel, Meter, Party, Role, Seed};
use si_wire::{FRAME_HEADER_BYTES, MAX_MESSAGE_BYTES, Result, Transport};

use super::HowMany;

/// Which of the server's messages get a byte changed, at a random place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongMessages {
    /// Those of linear layers (RLWE in Cheetah); else those of all other operators (OT in Cheetah). Scores that are
    /// opened are neither.
    pub linear: bool,
    /// How many: all, the first ones, or each with this probability.
    pub many: HowMany,
}

/// What the kernels tell the stream: which operator runs.
pub(super) struct Switch {
    wrong: WrongMessages,
    state: Mutex<State>,
}

struct State {
    rng: ChaCha20Rng,
    /// Whether the operator that runs is one whose messages are to be wrong.
    armed: bool,
    /// Whether the operator has received something. What is sent before may be left over from the one before it.
    received: bool,
    changed: usize,
}

impl Switch {
    pub(super) fn new(wrong: WrongMessages, seed: u64) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(seed);
        Self { wrong, state: Mutex::new(State { rng, armed: false, received: false, changed: 0 }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operator begins.
    pub(super) fn enter(&self, linear: bool) {
        let mut s = self.state();
        (s.armed, s.received) = (linear == self.wrong.linear, false);
    }

    /// What follows is no operator's.
    pub(super) fn leave(&self) {
        self.state().armed = false;
    }

    /// Changes a message, if it is one of those.
    fn pass(&self, payload: &mut [u8]) {
        let s = &mut *self.state();
        if !(s.armed && s.received) || payload.is_empty() {
            return;
        }
        let hit = match self.wrong.many {
            HowMany::All => true,
            HowMany::Count(count) => s.changed < count,
            HowMany::Fraction(hundredths) => s.rng.random_range(0..10_000) < hundredths,
        };
        if hit {
            let at = s.rng.random_range(0..payload.len());
            payload[at] ^= s.rng.random_range(1..=255u8);
            s.changed += 1;
        }
    }
}

/// Puts the switch into every lane that leads from this server to its client.
pub(super) fn tampered(mut me: Party, switch: &Arc<Switch>) -> si_api::Result<Party> {
    let lanes =
        (0..me.lanes(Role::Client)).map(|i| me.take_lane(Role::Client, i)).collect::<si_api::Result<Vec<_>>>()?;
    let mut party = Party::new(me.role, me.meter.clone(), me.options, Seed::default());
    party.rng = me.rng;
    Ok(lanes.into_iter().fold(party, |party, lane| {
        let peer = lane.peer().to_owned();
        let stream =
            Tampered { lane, peer, switch: Arc::clone(switch), pending: Vec::new(), unread: Vec::new(), read: 0 };
        // The lane inside counts; what this one counts is thrown away.
        party.with_lane(Role::Client, Channel::new(Box::new(stream), Meter::new()))
    }))
}

/// A stream over a lane whose messages the switch sees one by one.
struct Tampered {
    lane: Channel,
    peer: String,
    switch: Arc<Switch>,
    /// Bytes of a message that is not complete yet.
    pending: Vec<u8>,
    /// A message that came, with its length in front, and how much of it was read.
    unread: Vec<u8>,
    read: usize,
}

impl Transport for Tampered {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.pending.extend(bytes);
        let mut taken = 0;
        while let Some((header, rest)) = self.pending[taken..].split_first_chunk::<FRAME_HEADER_BYTES>() {
            let len = u32::from_le_bytes(*header) as usize;
            if rest.len() < len {
                break;
            }
            let mut payload = rest[..len].to_vec();
            taken += FRAME_HEADER_BYTES + len;
            self.switch.pass(&mut payload);
            self.lane.send(&payload)?;
        }
        self.pending.drain(..taken);
        self.lane.flush()
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.read == self.unread.len() {
                let payload = self.lane.recv(MAX_MESSAGE_BYTES)?;
                self.unread = (payload.len() as u32).to_le_bytes().to_vec();
                self.unread.extend(payload);
                self.read = 0;
                self.switch.state().received = true;
            }
            let n = (buf.len() - filled).min(self.unread.len() - self.read);
            buf[filled..filled + n].copy_from_slice(&self.unread[self.read..self.read + n]);
            (filled, self.read) = (filled + n, self.read + n);
        }
        Ok(())
    }

    fn peer(&self) -> &str {
        &self.peer
    }
}
