//! The emulation's own framing. It lies below the channel, which neither sees nor counts it.

/// Longest payload of a segment (agreement): a lane holds the link for no longer than this before another may send.
pub(crate) const MAX_SEGMENT_BYTES: usize = 64 << 10;

/// Bytes of a header: magic, length, profile, clock (u32 each), first and last arrival (u64 each), little-endian.
pub(crate) const HEADER_BYTES: usize = 32;

/// What every header starts with (agreement).
const MAGIC: u32 = u32::from_le_bytes(*b"link");

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// Payload bytes.
    pub(crate) len: usize,
    /// When its first byte arrives.
    pub(crate) first_ns: u64,
    /// When its last byte has arrived.
    pub(crate) last_ns: u64,
}

impl Header {
    /// Appends the header; `agreed` identifies the profile and the clock.
    pub(crate) fn encode(&self, agreed: (u32, u32), out: &mut Vec<u8>) {
        for word in [MAGIC, self.len as u32, agreed.0, agreed.1] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.first_ns.to_le_bytes());
        out.extend_from_slice(&self.last_ns.to_le_bytes());
    }

    /// Reads a header that follows one whose last byte arrives at `after_ns`, and whose own arrives by `latest_ns`.
    /// The error says what is wrong with it.
    pub(crate) fn decode(
        raw: &[u8; HEADER_BYTES],
        agreed: (u32, u32),
        after_ns: u64,
        latest_ns: u64,
    ) -> Result<Self, String> {
        let u32_at = |i: usize| u32::from_le_bytes([raw[i], raw[i + 1], raw[i + 2], raw[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        let header = Self { len: u32_at(4) as usize, first_ns: u64_at(16), last_ns: u64_at(24) };
        if u32_at(0) != MAGIC {
            return Err("it does not start like one: the stream is damaged, or the peer emulates no link".into());
        }
        if u32_at(8) != agreed.0 {
            return Err("the peer emulates another link: both ends must use the same profile".into());
        }
        if u32_at(12) != agreed.1 {
            return Err(
                "the peer's clock is another: the link model works between processes of one host and one time namespace"
                    .into(),
            );
        }
        if header.len == 0 || header.len > MAX_SEGMENT_BYTES {
            return Err(format!("it announces {} bytes; allowed are 1 to {MAX_SEGMENT_BYTES}", header.len));
        }
        if header.first_ns < after_ns || header.last_ns < header.first_ns {
            return Err("it arrives before the one that was sent before it".into());
        }
        if header.last_ns > latest_ns {
            let ms = (header.last_ns - latest_ns) / 1_000_000;
            return Err(format!("it arrives {ms} ms later than the link can make it"));
        }
        Ok(header)
    }

    /// When the first `n` bytes have arrived. They come evenly between first and last.
    pub(crate) fn arrival_ns(&self, n: usize) -> u64 {
        let span = u128::from(self.last_ns - self.first_ns);
        self.first_ns + (span * n as u128 / self.len.max(1) as u128) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGREED: (u32, u32) = (7, 9);
    const HEADER: Header = Header { len: 1000, first_ns: 1 << 40, last_ns: (1 << 40) + 5000 };

    fn raw(h: &Header) -> [u8; HEADER_BYTES] {
        let mut out = Vec::new();
        h.encode(AGREED, &mut out);
        out.try_into().unwrap()
    }

    fn read(raw: &[u8; HEADER_BYTES]) -> Result<Header, String> {
        Header::decode(raw, AGREED, 1 << 40, (1 << 40) + 5000)
    }

    #[test]
    fn headers_round_trip_and_bytes_arrive_evenly() {
        assert_eq!(read(&raw(&HEADER)), Ok(HEADER));
        let at = |n| HEADER.arrival_ns(n) - (1 << 40);
        assert_eq!((at(0), at(1), at(500), at(1000)), (0, 5, 2500, 5000));
    }

    #[test]
    fn every_field_is_checked() {
        let refused = |h: Header, expect: &str| {
            let e = read(&raw(&h)).unwrap_err();
            assert!(e.contains(expect), "{e}");
        };
        refused(Header { len: 0, ..HEADER }, "announces 0 bytes");
        refused(Header { len: MAX_SEGMENT_BYTES + 1, ..HEADER }, "announces 65537");
        refused(Header { len: u32::MAX as usize, ..HEADER }, "announces");
        refused(Header { first_ns: HEADER.first_ns - 1, ..HEADER }, "before the one");
        refused(Header { last_ns: HEADER.first_ns - 1, ..HEADER }, "before the one");
        refused(Header { last_ns: HEADER.last_ns + 3_000_000, ..HEADER }, "3 ms later");
        refused(Header { last_ns: u64::MAX, ..HEADER }, "later than the link");
        for (byte, expect) in [(0, "does not start"), (8, "same profile"), (12, "one host")] {
            let mut bytes = raw(&HEADER);
            bytes[byte] ^= 1;
            assert!(read(&bytes).unwrap_err().contains(expect));
        }
    }
}
