use crate::Result;

/// A reliable, ordered stream of bytes in each direction to one peer.
///
/// Sending must never wait for the *peer* to receive: two parties that send at once would deadlock. Transports that
/// write to a socket do so from a thread of their own. A shaped link may make a sender wait for its virtual clock.
pub trait Transport: Send {
    /// Hands over bytes to be delivered after all earlier ones.
    ///
    /// # Errors
    /// If the connection is known to be broken.
    fn send(&mut self, bytes: Vec<u8>) -> Result<()>;

    /// Fills `buf` with the next bytes of the peer.
    ///
    /// # Errors
    /// If the peer is gone, or silent for longer than the transport's timeout.
    fn recv(&mut self, buf: &mut [u8]) -> Result<()>;

    /// Who is at the other end, for messages to people.
    fn peer(&self) -> &str;
}
