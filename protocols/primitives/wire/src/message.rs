//! Messages as bytes: little-endian integers and counted byte strings, decoded without panics.

use crate::{Error, Result};

/// A value with one encoding.
pub trait Message: Sized {
    /// Its name in errors.
    const NAME: &'static str;

    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads the value; the caller checks that nothing is left.
    ///
    /// # Errors
    /// If the bytes are not an encoding. Must not panic, and must not allocate more than the bytes justify.
    fn decode(reader: &mut Reader<'_>) -> Result<Self>;
}

/// Appends a little-endian integer.
pub fn put_u32(out: &mut Vec<u8>, x: u32) {
    out.extend_from_slice(&x.to_le_bytes());
}

/// Appends a little-endian integer.
pub fn put_u64(out: &mut Vec<u8>, x: u64) {
    out.extend_from_slice(&x.to_le_bytes());
}

/// Appends a byte string behind its length (u32).
///
/// # Panics
/// If it has 4 GiB or more.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("a counted byte string is shorter than 4 GiB");
    put_u32(out, len);
    out.extend_from_slice(bytes);
}

/// Reads fields off the front of a message.
pub struct Reader<'a> {
    what: &'static str,
    peer: &'a str,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over a message of this name from this peer.
    #[must_use]
    pub fn new(what: &'static str, peer: &'a str, bytes: &'a [u8]) -> Self {
        Self { what, peer, rest: bytes }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        if n > self.rest.len() {
            return Err(self.malformed(format!("{n} bytes wanted, {} left", self.rest.len())));
        }
        let (head, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(head)
    }

    /// The next integer.
    ///
    /// # Errors
    /// If fewer than 4 bytes are left.
    pub fn u32(&mut self) -> Result<u32> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    /// The next integer.
    ///
    /// # Errors
    /// If fewer than 8 bytes are left.
    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from(self.u32()?) | u64::from(self.u32()?) << 32)
    }

    /// The next counted byte string.
    ///
    /// # Errors
    /// If fewer bytes are left than it announces.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let n = self.u32()? as usize;
        self.take(n)
    }

    /// Checks that the message ends here.
    ///
    /// # Errors
    /// If bytes are left.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed(format!("{} bytes too many", self.rest.len()))) }
    }

    /// The error for a field that makes no sense.
    #[must_use]
    pub fn malformed(&self, why: String) -> Error {
        Error::Malformed { peer: self.peer.to_owned(), what: self.what, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip_and_short_or_long_messages_are_refused() {
        let mut m = Vec::new();
        put_u32(&mut m, 7);
        put_u64(&mut m, u64::MAX - 1);
        put_bytes(&mut m, b"abc");
        let mut r = Reader::new("test", "peer", &m);
        assert_eq!(r.u32().unwrap(), 7);
        assert_eq!(r.u64().unwrap(), u64::MAX - 1);
        assert_eq!(r.bytes().unwrap(), b"abc");
        r.finish().unwrap();

        let mut r = Reader::new("test", "peer", &m[..m.len() - 1]);
        r.take(12).unwrap();
        assert!(matches!(r.bytes(), Err(Error::Malformed { .. })));
        let mut r = Reader::new("test", "peer", &m);
        r.u32().unwrap();
        assert!(r.finish().is_err());
    }
}
