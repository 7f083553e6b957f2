//! The `model` means: rate and delay by a virtual clock, inside the transport.
//!
//! The sender books each segment on the clock of its direction and writes into the segment's header when its first
//! and last byte arrive; the receiver hands bytes over at that time, not before. The stamps are the link: a thread
//! that wakes up late delays one delivery, never the schedule, so lateness does not add up.
//!
//! A receiver that is busy computing loses nothing: bytes whose time has passed when it comes back are delivered at
//! once, as from a socket's buffer. A sender may hand over 4 MiB per lane ahead of the link and then waits for the
//! virtual clock; it never waits for the peer, so two parties that send at once cannot deadlock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use si_wire::{Error as WireError, Result as WireResult, Transport};

use crate::clock::{clock_id, fingerprint, now_ns, sleep_until, wait_until};
use crate::schedule::{LinkClock, SEND_BUFFER_BYTES, SendLane};
use crate::segment::{HEADER_BYTES, Header, MAX_SEGMENT_BYTES};
use crate::{Error, Means, Profile, Result};

/// Full send buffers that stamps may lie ahead by (agreement): so many lanes may send at full speed at once before
/// a sender is held back earlier than its own buffer would.
const LANES_AHEAD: u64 = 16;

/// Round trips that stamps may lie ahead by (agreement): more than slow start ever needs.
const RTTS_AHEAD: u64 = 64;

/// Margin of the receiver's check of how far ahead a stamp lies (agreement).
const AHEAD_SLACK_NS: u64 = 1_000_000_000;

/// One party's end of an emulated link to one peer. All lanes to that peer must be wrapped by it, for they share the
/// link; the peer wraps its ends with the same profile.
#[derive(Clone)]
pub struct Link {
    model: Option<Arc<Model>>,
}

struct Model {
    profile: Profile,
    clock: Mutex<LinkClock>,
    /// What both ends must have in common: (profile, clock).
    agreed: (u32, u32),
    /// How long this end's receivers spun.
    spun_ns: AtomicU64,
    /// Furthest that a segment's last byte may lie ahead when it is handed over.
    ahead_ns: u64,
}

impl Link {
    /// An idle link. Where the kernel shapes an interface, or nothing is shaped, transports stay as they are.
    ///
    /// # Errors
    /// If the profile leaves its means open.
    pub fn new(profile: &Profile) -> Result<Self> {
        match profile.means {
            Means::None | Means::Netem | Means::Tun => Ok(Self { model: None }),
            Means::Model => Ok(Self { model: Some(Arc::new(Model::new(profile.clone()))) }),
            Means::Auto => Err(Error::NotChosen { profile: profile.name.clone() }),
        }
    }

    /// Puts a lane on the link; the peer must do the same with its end before anything is sent. A link that shapes
    /// nothing returns the transport as it is.
    #[must_use]
    pub fn wrap(&self, transport: Box<dyn Transport>) -> Box<dyn Transport> {
        match &self.model {
            None => transport,
            Some(model) => Box::new(Lane::new(transport, Arc::clone(model))),
        }
    }

    /// CPU time that the emulation itself has burnt on this end so far, waiting for the exact moment of a delivery:
    /// some 50 us for each receive that had to wait. It is part of what a meter counts as the party's CPU time.
    #[must_use]
    pub fn spin_time(&self) -> Duration {
        Duration::from_nanos(self.model.as_ref().map_or(0, |m| m.spun_ns.load(Ordering::Relaxed)))
    }
}

impl Model {
    fn new(profile: Profile) -> Self {
        let buffer_ns = u128::from(SEND_BUFFER_BYTES) * 8_000_000_000 / u128::from(profile.rate_bits_per_s.max(1));
        let ahead_ns = (RTTS_AHEAD * profile.rtt_us * 1000).saturating_add(LANES_AHEAD * buffer_ns as u64);
        let fields = [
            profile.rate_bits_per_s,
            profile.rtt_us,
            u64::from(profile.tcp_slow_start),
            profile.tcp_window_bytes.unwrap_or(0),
        ];
        let agreed = (fingerprint(&fields.each_ref().map(|f| f.to_le_bytes()).each_ref().map(|f| &f[..])), clock_id());
        Self {
            clock: Mutex::new(LinkClock::new(profile.rate_bits_per_s)),
            profile,
            agreed,
            spun_ns: AtomicU64::new(0),
            ahead_ns,
        }
    }
}

/// One connection on the link.
struct Lane {
    inner: Box<dyn Transport>,
    model: Arc<Model>,
    sending: SendLane,
    /// The segment being delivered.
    current: Header,
    /// How many of its bytes have been delivered.
    taken: usize,
    /// Its bytes, unless they went straight to the reader.
    bytes: Vec<u8>,
    /// Why nothing more can be read: after a bad header nobody knows where the next one starts.
    broken: Option<String>,
}

impl Lane {
    fn new(inner: Box<dyn Transport>, model: Arc<Model>) -> Self {
        let sending = SendLane::new(&model.profile);
        let (current, bytes) = (Header::default(), Vec::new());
        Self { inner, model, sending, current, taken: 0, bytes, broken: None }
    }

    /// Waits until the send buffer has room for all that is left of a message, or for some of it, so that a long
    /// message wakes the thread a few times only.
    fn wait_for_room(&mut self, left: usize) {
        let wanted = (left as u64).min(SEND_BUFFER_BYTES / 8);
        let at = self.sending.room_at(now_ns(), wanted);
        sleep_until(at);
    }

    fn next_header(&mut self) -> WireResult<()> {
        let mut raw = [0; HEADER_BYTES];
        self.inner.recv(&mut raw)?;
        let latest_ns = now_ns().saturating_add(self.model.ahead_ns + AHEAD_SLACK_NS);
        match Header::decode(&raw, self.model.agreed, self.current.last_ns, latest_ns) {
            Ok(header) => {
                (self.current, self.taken) = (header, 0);
                Ok(())
            }
            Err(why) => {
                self.broken = Some(why);
                self.refuse()
            }
        }
    }

    fn refuse(&self) -> WireResult<()> {
        match &self.broken {
            None => Ok(()),
            Some(why) => Err(WireError::Malformed {
                peer: self.inner.peer().to_owned(),
                what: "segment of the emulated link",
                why: why.clone(),
            }),
        }
    }
}

impl Transport for Lane {
    fn send(&mut self, bytes: Vec<u8>) -> WireResult<()> {
        let mut rest = &bytes[..];
        let mut room = 0;
        while !rest.is_empty() {
            if room == 0 {
                self.wait_for_room(rest.len());
                room = rest.len().min(SEND_BUFFER_BYTES as usize / 8);
            }
            let want = room.min(MAX_SEGMENT_BYTES);
            let (now, (span, len)) = {
                let mut clock = self.model.clock.lock().unwrap_or_else(PoisonError::into_inner);
                let now = now_ns(); // under the lock, so that the clock's bookings see time in order
                (now, self.sending.book(&mut clock, now, want as u64))
            };
            let len = len as usize; // at most `want`
            let delay = self.model.profile.delay_ns();
            let header = Header { len, first_ns: span.first_ns + delay, last_ns: span.last_ns + delay };
            if header.last_ns > now.saturating_add(self.model.ahead_ns) {
                sleep_until(header.last_ns - self.model.ahead_ns);
            }
            let mut segment = Vec::with_capacity(HEADER_BYTES + len);
            header.encode(self.model.agreed, &mut segment);
            segment.extend_from_slice(&rest[..len]);
            self.inner.send(segment)?;
            rest = &rest[len..];
            room -= len;
        }
        Ok(())
    }

    fn recv(&mut self, buf: &mut [u8]) -> WireResult<()> {
        self.refuse()?;
        if buf.is_empty() {
            return Ok(());
        }
        let mut filled = 0;
        while filled < buf.len() {
            if self.taken == self.current.len {
                self.next_header()?;
                let whole = self.current.len;
                if buf.len() - filled >= whole {
                    self.inner.recv(&mut buf[filled..filled + whole])?;
                    (self.taken, filled) = (whole, filled + whole);
                    continue;
                }
                self.bytes.resize(whole, 0);
                self.inner.recv(&mut self.bytes)?;
            }
            let n = (self.current.len - self.taken).min(buf.len() - filled);
            buf[filled..filled + n].copy_from_slice(&self.bytes[self.taken..self.taken + n]);
            (self.taken, filled) = (self.taken + n, filled + n);
        }
        // Only the last byte asked for has to be waited for: all before it arrive earlier.
        let spun_ns = wait_until(self.current.arrival_ns(self.taken));
        self.model.spun_ns.fetch_add(spun_ns, Ordering::Relaxed);
        Ok(())
    }

    fn peer(&self) -> &str {
        self.inner.peer()
    }
}
