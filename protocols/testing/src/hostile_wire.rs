//! Broken and hostile streams.
//!
//! One party follows the protocol; what its peer sends is changed on the way. Under each [`Attack`] the honest party
//! must end with an error, not with a panic and not later than its patience allows. Changing the *contents* of a
//! message may go unnoticed by a protocol that is only semi-honest: [`Attack::may_pass`] says which attacks those are;
//! the answers are worthless then, but the party must still end.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ndarray::Array3;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_api::{Model, Options, Protocol, Role};
use si_wire::{Error, FRAME_HEADER_BYTES, Result, Transport};

use crate::pair::{Conditions, Failed, Seeds, run};
use crate::{Failure, Verdict};

/// What happens to one frame (a message with its length in front) of the peer's stream, and to the frames after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// The connection closes before the frame.
    CloseBefore,
    /// The connection closes in the middle of the frame.
    CloseWithin,
    /// Neither this frame nor any later one arrives, but the connection stays open.
    Stall,
    /// The frame is left out.
    Drop,
    /// The frame loses its last byte, and its length says so. An empty message gains one instead.
    Shorten,
    /// The frame gains a byte, and its length says so.
    Lengthen,
    /// The frame announces the greatest length there is.
    AnnounceHuge,
    /// The frame's contents are replaced by random bytes.
    Garble,
    /// Everything from here on, lengths included, is replaced by random bytes.
    GarbleAllAfter,
}

impl Attack {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::CloseBefore,
        Self::CloseWithin,
        Self::Stall,
        Self::Drop,
        Self::Shorten,
        Self::Lengthen,
        Self::AnnounceHuge,
        Self::Garble,
        Self::GarbleAllAfter,
    ];

    /// Whether an honest party may end without noticing: the frames have the right lengths, only their contents are
    /// wrong.
    #[must_use]
    pub fn may_pass(self) -> bool {
        self == Self::Garble
    }
}

/// A transport that changes what is sent through it.
struct Hostile {
    inner: Option<Box<dyn Transport>>,
    attack: Option<(Attack, usize)>,
    /// Bytes of a frame that is not complete yet.
    pending: Vec<u8>,
    frames: Arc<AtomicUsize>,
    /// Keeps a stalled connection open until the honest party has ended.
    parked: Parked,
    rng: ChaCha20Rng,
}

type Parked = Arc<Mutex<Vec<Box<dyn Transport>>>>;

impl Hostile {
    fn new(
        inner: Box<dyn Transport>,
        attack: Option<(Attack, usize)>,
        frames: Arc<AtomicUsize>,
        parked: Parked,
    ) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(attack.map_or(0, |(_, frame)| frame as u64));
        Self { inner: Some(inner), attack, pending: Vec::new(), frames, parked, rng }
    }

    fn forward(&mut self, bytes: Vec<u8>) -> Result<()> {
        match &mut self.inner {
            Some(inner) => inner.send(bytes),
            None => Ok(()), // the hostile peer neither knows nor cares
        }
    }

    /// Passes on one frame, or what the attack makes of it.
    fn frame(&mut self, mut frame: Vec<u8>) -> Result<()> {
        let index = self.frames.fetch_add(1, Ordering::Relaxed);
        let Some((attack, target)) = self.attack else { return self.forward(frame) };
        if attack == Attack::GarbleAllAfter && index >= target {
            self.rng.fill_bytes(&mut frame);
        }
        if index != target {
            return self.forward(frame);
        }
        match attack {
            Attack::CloseBefore => self.inner = None,
            Attack::CloseWithin => {
                frame.truncate(frame.len() / 2);
                self.forward(frame)?;
                self.inner = None;
            }
            Attack::Stall => {
                let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
                parked.extend(self.inner.take());
            }
            Attack::Drop => {}
            Attack::Shorten if frame.len() > FRAME_HEADER_BYTES => {
                frame.pop();
                self.relabelled(frame)?;
            }
            Attack::Shorten | Attack::Lengthen => {
                frame.push(0);
                self.relabelled(frame)?;
            }
            Attack::AnnounceHuge => {
                frame[..FRAME_HEADER_BYTES].fill(0xff);
                self.forward(frame)?;
            }
            Attack::Garble => {
                self.rng.fill_bytes(&mut frame[FRAME_HEADER_BYTES..]);
                self.forward(frame)?;
            }
            Attack::GarbleAllAfter => self.forward(frame)?,
        }
        Ok(())
    }

    /// Passes on a frame with its length put right.
    fn relabelled(&mut self, mut frame: Vec<u8>) -> Result<()> {
        let len = (frame.len() - FRAME_HEADER_BYTES) as u32;
        frame[..FRAME_HEADER_BYTES].copy_from_slice(&len.to_le_bytes());
        self.forward(frame)
    }
}

impl Transport for Hostile {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.pending.extend(bytes);
        let mut taken = 0;
        while let Some((header, rest)) = self.pending[taken..].split_first_chunk::<FRAME_HEADER_BYTES>() {
            let len = u32::from_le_bytes(*header) as usize;
            if rest.len() < len {
                break;
            }
            let frame = self.pending[taken..taken + FRAME_HEADER_BYTES + len].to_vec();
            taken += frame.len();
            self.frame(frame)?;
        }
        self.pending.drain(..taken);
        Ok(())
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<()> {
        match &mut self.inner {
            Some(inner) => inner.recv(buf),
            None => Err(Error::Closed { peer: "the honest party (this end left the protocol)".to_owned() }),
        }
    }

    fn peer(&self) -> &str {
        self.inner.as_ref().map_or("nobody", |inner| inner.peer())
    }
}

/// The driver: runs a protocol under attack, frame by frame.
pub struct HostileWire {
    protocol: Arc<dyn Protocol>,
    model: Arc<Model>,
    queries: Vec<Array3<i64>>,
    options: Options,
    patience: Duration,
    most_frames: usize,
    /// How many lanes there are, and which is attacked.
    lanes: (usize, usize),
}

/// What a driver saw: how many attacked runs ended with an error, and how many passed because only contents were wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Runs in which the honest party returned an error.
    pub errors: usize,
    /// Runs of attacks that [may pass](Attack::may_pass) and did.
    pub passed: usize,
}

impl HostileWire {
    /// A driver for one batch.
    #[must_use]
    pub fn new(protocol: Arc<dyn Protocol>, model: Arc<Model>, queries: Vec<Array3<i64>>, options: Options) -> Self {
        Self { protocol, model, queries, options, patience: Duration::from_secs(5), most_frames: 6, lanes: (1, 0) }
    }

    /// With `lanes` lanes, of which `attacked` is attacked.
    #[must_use]
    pub fn on_lane(self, attacked: usize, lanes: usize) -> Self {
        Self { lanes: (lanes, attacked), ..self }
    }

    /// With another wait for a message. Much longer than any step of the protocol takes, or honest parties give up.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// With so many frames attacked: the first, the last, and others evenly between them.
    #[must_use]
    pub fn most_frames(self, most_frames: usize) -> Self {
        Self { most_frames, ..self }
    }

    /// Attacks what `hostile` sends, in every way.
    ///
    /// # Errors
    /// If the honest party panics, hangs, or does not notice what it must; if a run without attack fails.
    pub fn check(&self, hostile: Role) -> Verdict<Seen> {
        let (frames, untouched) = self.attacked(hostile, None);
        if let Some(failed) = untouched {
            return Err(Failure::new(format!("without any attack: {failed}")));
        }
        if frames == 0 {
            return Err(Failure::new(format!("the {hostile} sends nothing that could be attacked")));
        }
        let mut seen = Seen::default();
        let count = self.most_frames.min(frames).max(1);
        let mut targets: Vec<usize> = (0..count).map(|i| i * (frames - 1) / (count - 1).max(1)).collect();
        targets.dedup();
        for target in targets {
            for attack in Attack::ALL {
                let place = format!("{attack:?} at frame {target} of {frames} from the {hostile}");
                match self.attacked(hostile, Some((attack, target))).1 {
                    Some(Failed::Error(_)) => seen.errors += 1,
                    None if attack.may_pass() => seen.passed += 1,
                    None => return Err(Failure::new("the honest party noticed nothing").at(place)),
                    Some(failed) => return Err(Failure::new(failed.to_string()).at(place)),
                }
            }
        }
        Ok(seen)
    }

    /// One run: number of frames that the hostile party sent, and how the honest party failed, if it did.
    fn attacked(&self, hostile: Role, attack: Option<(Attack, usize)>) -> (usize, Option<Failed>) {
        let frames = Arc::new(AtomicUsize::new(0));
        let parked = Parked::default();
        let wrap = |inner| Box::new(Hostile::new(inner, attack, Arc::clone(&frames), Arc::clone(&parked)));
        let conditions = Conditions {
            patience: self.patience,
            // Far beyond what a loaded machine needs to compute, for only a hang misses it.
            deadline: self.patience * 4 + Duration::from_secs(60),
            lanes: self.lanes.0,
            tampered_lane: self.lanes.1,
            ..Conditions::new(self.options, Seeds::from_number(7))
        };
        let batches = [self.queries.clone()];
        let outcome = run(&self.protocol, &self.protocol, &self.model, &batches, conditions, &|client, server| {
            if hostile == Role::Client { (wrap(client), server) } else { (client, wrap(server)) }
        });
        let failed = if hostile == Role::Client { outcome.server.err() } else { outcome.client.err() };
        (frames.load(Ordering::Relaxed), failed)
    }
}
