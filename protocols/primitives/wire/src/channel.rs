//! Framed, counted messages over a transport.

use std::time::Duration;

use crate::{Error, Message, Meter, Reader, Result, Transport, Turns, memory_pair};

/// Bytes that framing adds to each message: its length as a little-endian u32 (agreement).
pub const FRAME_HEADER_BYTES: usize = 4;

/// Longest payload of one message (agreement). Longer data is sent as several messages.
pub const MAX_MESSAGE_BYTES: usize = 1 << 30;

/// Once this much waits, it is handed to the transport without waiting for a flush (local).
const HAND_OVER_BYTES: usize = 128 << 10;

/// A two-way stream of messages to one peer.
///
/// Reading flushes first, so a party never waits for an answer to something it still holds back. A *round* is counted
/// when a party that has sent turns to receiving.
pub struct Channel {
    transport: Box<dyn Transport>,
    meter: Meter,
    out: Vec<u8>,
    sent_since_recv: bool,
    turns: Turns,
}

impl Channel {
    /// A channel that counts into `meter`.
    #[must_use]
    pub fn new(transport: Box<dyn Transport>, meter: Meter) -> Self {
        Self { transport, meter, out: Vec::new(), sent_since_recv: false, turns: Turns::default() }
    }

    /// Two connected channels in memory, each with its own meter: (client's, server's).
    #[must_use]
    pub fn memory_pair(timeout: Duration) -> (Self, Self) {
        let (client, server) = memory_pair("client", "server", timeout);
        (Self::new(client, Meter::new()), Self::new(server, Meter::new()))
    }

    /// The meter this channel counts into.
    #[must_use]
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The order of this connection's messages, whatever meters they go into. The handle outlives the channel.
    #[must_use]
    pub fn turns(&self) -> Turns {
        self.turns.clone()
    }

    /// Counts into another meter from here on: that of the thread which the channel is handed to.
    pub fn set_meter(&mut self, meter: Meter) {
        self.meter = meter;
    }

    /// Who is at the other end, for messages to people.
    #[must_use]
    pub fn peer(&self) -> &str {
        self.transport.peer()
    }

    /// Queues one message.
    ///
    /// # Errors
    /// If the connection is broken, or the message is longer than [`MAX_MESSAGE_BYTES`].
    pub fn send(&mut self, payload: &[u8]) -> Result<()> {
        let len = payload.len();
        if len > MAX_MESSAGE_BYTES {
            return Err(Error::TooLongToSend { peer: self.peer().to_owned(), len, max: MAX_MESSAGE_BYTES });
        }
        self.out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        // In parts, so that a long message is on its way while the rest of it is still being copied.
        for part in payload.chunks(HAND_OVER_BYTES) {
            if self.out.len() >= HAND_OVER_BYTES {
                self.flush()?;
            }
            self.out.extend_from_slice(part);
        }
        self.meter.sent(FRAME_HEADER_BYTES + payload.len());
        self.turns.sent();
        self.sent_since_recv = true;
        if self.out.len() >= HAND_OVER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands everything queued to the transport.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn flush(&mut self) -> Result<()> {
        if self.out.is_empty() { Ok(()) } else { self.transport.send(std::mem::take(&mut self.out)) }
    }

    /// The next message, of at most `max_bytes`.
    ///
    /// # Errors
    /// If the peer is gone or silent, or announces a longer message (nothing is allocated for it).
    pub fn recv(&mut self, max_bytes: usize) -> Result<Vec<u8>> {
        self.flush()?;
        let mut header = [0; FRAME_HEADER_BYTES];
        self.transport.recv(&mut header)?;
        let len = u32::from_le_bytes(header) as usize;
        let max = max_bytes.min(MAX_MESSAGE_BYTES);
        if len > max {
            return Err(Error::TooLong { peer: self.peer().to_owned(), len, max });
        }
        let mut payload = vec![0; len];
        self.transport.recv(&mut payload)?;
        self.meter.received(FRAME_HEADER_BYTES + len, std::mem::take(&mut self.sent_since_recv));
        self.turns.received();
        Ok(payload)
    }

    /// The next message, which must have exactly this length; `what` names it in errors.
    ///
    /// # Errors
    /// As [`Self::recv`], and if the length differs.
    pub fn recv_exact(&mut self, what: &'static str, len: usize) -> Result<Vec<u8>> {
        let payload = self.recv(len)?;
        if payload.len() == len {
            Ok(payload)
        } else {
            Err(self.malformed(what, format!("{} bytes instead of {len}", payload.len())))
        }
    }

    /// Queues one message of a type.
    ///
    /// # Errors
    /// If the connection is broken.
    pub fn send_message<M: Message>(&mut self, message: &M) -> Result<()> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.send(&bytes)
    }

    /// The next message, which must be of this type and no longer than `max_bytes`.
    ///
    /// # Errors
    /// As [`Self::recv`], and if it does not decode.
    pub fn recv_message<M: Message>(&mut self, max_bytes: usize) -> Result<M> {
        let bytes = self.recv(max_bytes)?;
        let mut reader = Reader::new(M::NAME, self.transport.peer(), &bytes);
        let message = M::decode(&mut reader)?;
        reader.finish()?;
        Ok(message)
    }

    /// The error for a message of this peer that makes no sense.
    #[must_use]
    pub fn malformed(&self, what: &'static str, why: impl Into<String>) -> Error {
        Error::Malformed { peer: self.peer().to_owned(), what, why: why.into() }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // A last message must not be lost; if the peer is gone there is nobody left to tell.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        Channel::memory_pair(Duration::from_secs(5))
    }

    #[test]
    fn messages_bytes_and_rounds_are_counted() {
        let (mut a, mut b) = pair();
        a.send(b"one").unwrap();
        a.send(b"").unwrap();
        a.flush().unwrap();
        assert_eq!(b.recv(10).unwrap(), b"one");
        assert_eq!(b.recv_exact("empty", 0).unwrap(), b"");
        b.send(b"back").unwrap();
        b.flush().unwrap();
        assert_eq!(a.recv(4).unwrap(), b"back");
        let (ta, tb) = (a.meter().totals(), b.meter().totals());
        assert_eq!((ta.sent_bytes, ta.recv_bytes, ta.sent_messages, ta.rounds), (11, 8, 2, 1));
        assert_eq!((a.turns().messages(), b.turns().messages()), (3, 3));
        assert_eq!((tb.sent_bytes, tb.recv_bytes, tb.sent_messages, tb.rounds), (8, 11, 1, 0));
    }

    #[test]
    fn reading_flushes_so_nobody_waits_for_what_is_held_back() {
        let (mut a, mut b) = pair();
        std::thread::scope(|s| {
            s.spawn(|| {
                a.send(b"ping").unwrap();
                assert_eq!(a.recv(4).unwrap(), b"pong");
            });
            assert_eq!(b.recv(4).unwrap(), b"ping");
            b.send(b"pong").unwrap();
            b.flush().unwrap();
        });
    }

    #[test]
    fn long_short_and_missing_messages_are_errors() {
        let (mut a, mut b) = pair();
        a.send(&[0; 100]).unwrap();
        a.send(&[0; 3]).unwrap();
        a.flush().unwrap();
        assert!(matches!(b.recv(99), Err(Error::TooLong { len: 100, max: 99, .. })));
        let e = a.send(&vec![0; MAX_MESSAGE_BYTES + 1]).unwrap_err();
        assert!(matches!(e, Error::TooLongToSend { .. }) && e.to_string().contains("take a smaller batch"), "{e}");
        drop((a, b));
        let (mut a, mut b) = pair();
        a.send(&[0; 3]).unwrap();
        drop(a);
        assert!(matches!(b.recv_exact("key", 4), Err(Error::Malformed { what: "key", .. })));
        assert!(matches!(b.recv(4), Err(Error::Closed { .. })));
    }

    #[test]
    fn garbage_frames_never_panic_or_allocate() {
        let (mut raw, other) = memory_pair("client", "server", Duration::from_secs(5));
        let mut b = Channel::new(other, Meter::new());
        raw.send(vec![0xff; 64]).unwrap();
        assert!(matches!(b.recv(1 << 20), Err(Error::TooLong { .. })));
        let (mut raw, other) = memory_pair("client", "server", Duration::from_millis(50));
        let mut b = Channel::new(other, Meter::new());
        raw.send(vec![9, 0, 0, 0, 1, 2]).unwrap(); // announces 9 bytes, brings 2
        assert!(matches!(b.recv(1 << 20), Err(Error::Timeout { .. })));
    }
}
