//! OT of 2^m messages.
//!
//! The m correlated OTs of an instance, weighted with 1, x, ..., x^(m-1) and added in GF(2^128), are one correlation
//! with an index instead of a bit: Q at the sender, V = Q + cΔ at the receiver, where the index c is read as a
//! polynomial of degree below m. The pad of message j is H(Q + jΔ): one hash a message and one for the receiver. That
//! is the OT of SoftSpokenOT (Roy, CRYPTO 2022) from a subfield VOLE, with the F_2-linear map c -> cΔ, which is
//! injective for every Δ other than zero. Earlier constructions (Naor, Pinkas, STOC 1999) take m 2^m hashes.

use si_ring::{pack, packed_len, unpack};
use si_wire::{Channel, MAX_MESSAGE_BYTES};

use crate::block::{Block, times_x};
use crate::gf128::combine;
use crate::{Error, OtReceiver, OtSender, Result};

/// Greatest m.
pub const MAX_INDEX_BITS: u32 = 8;

/// Pads that are hashed together (local).
const BATCH: usize = 256;

/// A sender's part of a batch of 1-of-2^m OTs whose indices have been read.
#[must_use = "the peer waits for the answer"]
pub struct RequestedMany {
    /// Q of each instance.
    combined: Vec<Block>,
    first: u64,
    index_bits: u32,
}

/// A receiver's part of a batch of 1-of-2^m OTs whose answer is still to come.
#[must_use = "the peer's answer must be received with the matching finish"]
pub struct PendingMany {
    pads: Vec<u8>,
    indices: Vec<u8>,
    index_bits: u32,
}

impl OtSender {
    /// Chosen 1-of-2^m OT, m in 1..=8, of messages of `bits` bits (1 to 8): `messages[i << m | j]` is message j of
    /// instance i. Consumes m correlated OTs an instance.
    ///
    /// Traffic for n instances: n * m bits up (read here), n * 2^m * bits bits down, one message each; the answer is not
    /// flushed. To answer several batches in one round, read all their indices with [`Self::one_of_many_read`] first.
    ///
    /// # Errors
    /// As [`Self::reserve`], if the answer is too long for one message, and if the receiver's message does not decode.
    ///
    /// # Panics
    /// If m or `bits` is out of range, or the messages do not fill whole instances.
    pub fn one_of_many(&mut self, ch: &mut Channel, m: u32, bits: u32, messages: &[u8]) -> Result<()> {
        check_widths(m, bits);
        check_length(messages.len(), bits)?;
        let requested = self.one_of_many_read(ch, m, messages.len() >> m)?;
        self.one_of_many_answer(ch, bits, requested, messages)
    }

    /// The first half of [`Self::one_of_many`]: reads the masked indices of n instances.
    ///
    /// # Errors
    /// As [`Self::one_of_many`].
    ///
    /// # Panics
    /// If m is out of range.
    pub fn one_of_many_read(&mut self, ch: &mut Channel, m: u32, n: usize) -> Result<RequestedMany> {
        check_widths(m, 1);
        let ots = n.saturating_mul(m as usize);
        self.reserve(ch, ots)?;
        let bytes = ch.recv_exact("OT indices", packed_len(n, m))?;
        let corrections = unpack(&bytes, n, m).map_err(|e| ch.malformed("OT indices", e.to_string()))?;
        let first = self.count(ots);
        // The corrections were sent in the clear, so they may be addresses.
        let multiples = self.multiples(m);
        let instances = self.buffer.take(ots).chunks_exact(m as usize).zip(corrections);
        let combined = instances.map(|(blocks, c)| combine(blocks) ^ multiples[c as usize]).collect();
        Ok(RequestedMany { combined, first, index_bits: m })
    }

    /// The second half of [`Self::one_of_many`].
    ///
    /// # Errors
    /// If the connection fails, or the answer is too long for one message.
    ///
    /// # Panics
    /// As [`Self::one_of_many`].
    pub fn one_of_many_answer(
        &mut self,
        ch: &mut Channel,
        bits: u32,
        requested: RequestedMany,
        messages: &[u8],
    ) -> Result<()> {
        let RequestedMany { combined, first, index_bits: m } = requested;
        check_widths(m, bits);
        check_length(messages.len(), bits)?;
        assert_eq!(messages.len(), combined.len() << m, "2^m messages for each instance");
        let multiples = self.multiples(m);
        let mut pads = [0; BATCH];
        let mut packer = Packer::new(messages.len(), bits);
        let group = BATCH >> m;
        for (g, (qs, own)) in combined.chunks(group).zip(messages.chunks(group << m)).enumerate() {
            let pads = &mut pads[..own.len()];
            for (q, pads) in qs.iter().zip(pads.chunks_exact_mut(1 << m)) {
                pads.iter_mut().zip(&multiples).for_each(|(p, d)| *p = q ^ d);
            }
            self.hash.hash(first + (g * group) as u64, 1 << m, pads);
            packer.push_masked(own, pads);
        }
        ch.send(&packer.finish())?;
        Ok(())
    }

    /// jΔ for each polynomial j of degree below m.
    pub(crate) fn multiples(&self, m: u32) -> Vec<Block> {
        let mut multiples = vec![0; 1 << m];
        let mut power = self.delta;
        for level in 0..m {
            for j in 0..1 << level {
                multiples[1 << level | j] = multiples[j] ^ power;
            }
            power = times_x(power);
        }
        multiples
    }
}

impl OtReceiver {
    /// Sends the indices (each below 2^m) of a batch of 1-of-2^m OTs; nothing is flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    ///
    /// # Panics
    /// If m is out of range.
    pub fn one_of_many_begin(&mut self, ch: &mut Channel, m: u32, indices: &[u8]) -> Result<PendingMany> {
        check_widths(m, 1);
        let ots = indices.len().saturating_mul(m as usize);
        self.reserve(ch, ots)?;
        let first = self.count(ots);
        let instances = self.buffer.take(ots).chunks_exact(m as usize).zip(indices);
        let (mut corrections, mut pads) = (Vec::with_capacity(indices.len()), Vec::with_capacity(indices.len()));
        for (blocks, index) in instances {
            let random = blocks.iter().rev().fold(0, |c, b| c << 1 | (*b as u64 & 1));
            corrections.push(random ^ u64::from(*index));
            pads.push(combine(blocks));
        }
        let mut message = Vec::with_capacity(packed_len(indices.len(), m));
        pack(&corrections, m, &mut message);
        ch.send(&message)?;
        self.hash.hash(first, 1, &mut pads);
        Ok(PendingMany { pads: pads.iter().map(|p| *p as u8).collect(), indices: indices.to_vec(), index_bits: m })
    }

    /// Receives the chosen messages: see [`OtSender::one_of_many`].
    ///
    /// # Errors
    /// If the connection fails or the answer does not decode.
    ///
    /// # Panics
    /// If m or `bits` is out of range, or m is not that of the beginning.
    pub fn one_of_many_finish(&mut self, ch: &mut Channel, m: u32, bits: u32, pending: PendingMany) -> Result<Vec<u8>> {
        let mut out = vec![0; pending.pads.len()];
        self.one_of_many_finish_into(ch, m, bits, pending, &mut out)?;
        Ok(out)
    }

    /// As [`Self::one_of_many_finish`], into a slice with the length of the batch.
    ///
    /// # Errors
    /// As [`Self::one_of_many_finish`].
    ///
    /// # Panics
    /// As [`Self::one_of_many_finish`], and if the length differs.
    pub fn one_of_many_finish_into(
        &mut self,
        ch: &mut Channel,
        m: u32,
        bits: u32,
        pending: PendingMany,
        out: &mut [u8],
    ) -> Result<()> {
        check_widths(m, bits);
        assert_eq!(m, pending.index_bits, "the batch was begun with another number of messages");
        assert_eq!(out.len(), pending.pads.len(), "1-of-many OT: lengths are the caller's");
        let count = pending.pads.len() << m;
        let what = "1-of-many OT";
        let bytes = ch.recv_exact(what, packed_len(count, bits))?;
        let masked = Packed::new(bytes, count, bits).ok_or_else(|| ch.malformed(what, "the padding is not zero"))?;
        let low = (u64::MAX >> (64 - bits)) as u8;
        for (i, ((out, index), pad)) in out.iter_mut().zip(&pending.indices).zip(&pending.pads).enumerate() {
            *out = (masked.select(i << m, m, *index) ^ pad) & low;
        }
        Ok(())
    }
}

fn check_widths(m: u32, bits: u32) {
    assert!((1..=MAX_INDEX_BITS).contains(&m), "1-of-2^{m} OT: 1 to {MAX_INDEX_BITS} are supported");
    assert!((1..=8).contains(&bits), "messages of {bits} bits: 1 to 8 are supported");
}

pub(crate) fn check_length(messages: usize, bits: u32) -> Result<()> {
    let limit = MAX_MESSAGE_BYTES / bits as usize * 8;
    if messages > limit {
        return Err(Error::Limit { what: "messages of one batch of 1-of-many OTs", requested: messages, limit });
    }
    Ok(())
}

/// Packs values of at most 128 bits: the format of `si_ring::pack`, without a vector of words.
pub(crate) struct Packer {
    out: Vec<u8>,
    bits: u32,
    word: u64,
    filled: u32,
}

impl Packer {
    pub(crate) fn new(count: usize, bits: u32) -> Self {
        Self { out: Vec::with_capacity(packed_len(count, bits) + 4), bits, word: 0, filled: 0 }
    }

    /// Adds the values, each masked with the lowest bits of its pad.
    fn push_masked(&mut self, values: &[u8], pads: &[Block]) {
        let low = u8::MAX >> (8 - self.bits);
        // As many as fit 32 bits at a time.
        let group = (32 / self.bits) as usize;
        for (values, pads) in values.chunks(group).zip(pads.chunks(group)) {
            let masked = values.iter().zip(pads).rev();
            let word = masked.fold(0, |word, (v, p)| word << self.bits | u64::from((v ^ *p as u8) & low));
            self.push(word, values.len() as u32 * self.bits);
        }
    }

    /// Adds the lowest `width` (at most 32) bits of a word that has no others.
    pub(crate) fn push(&mut self, word: u64, width: u32) {
        self.word |= word << self.filled;
        self.filled += width;
        if self.filled >= 32 {
            self.out.extend_from_slice(&(self.word as u32).to_le_bytes());
            self.word >>= 32;
            self.filled -= 32;
        }
    }

    /// Adds the lowest `width` (at most 128) bits of a word that has no others.
    pub(crate) fn push_wide(&mut self, word: u128, width: u32) {
        let (mut word, mut left) = (word, width);
        while left > 32 {
            self.push(word as u32 as u64, 32);
            (word, left) = (word >> 32, left - 32);
        }
        self.push(word as u64, left);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(&self.word.to_le_bytes()[..self.filled.div_ceil(8) as usize]);
        self.out
    }
}

/// Packed values of at most 121 bits, read where they lie.
pub(crate) struct Packed {
    /// With sixteen bytes more, so that a window of as many can be read at each of them.
    bytes: Vec<u8>,
    bits: usize,
}

impl Packed {
    /// `None` if the padding is not zero; `bytes` has the length of `count` packed values.
    pub(crate) fn new(mut bytes: Vec<u8>, count: usize, bits: u32) -> Option<Self> {
        let used = count * bits as usize;
        if !used.is_multiple_of(8) && bytes.last().is_some_and(|last| last >> (used % 8) != 0) {
            return None;
        }
        bytes.extend_from_slice(&[0; 16]);
        Some(Self { bytes, bits: bits as usize })
    }

    /// The value at a public index.
    pub(crate) fn value(&self, index: usize) -> u64 {
        self.window(index * self.bits) & ((1 << self.bits) - 1)
    }

    /// As [`Self::value`], of more than 57 bits.
    pub(crate) fn wide_value(&self, index: usize) -> u128 {
        let at = index * self.bits;
        let mut window = [0; 16];
        window.copy_from_slice(&self.bytes[at / 8..at / 8 + 16]);
        u128::from_le_bytes(window) >> (at % 8) & ((1 << self.bits) - 1)
    }

    /// At least 57 bits from bit `at` on.
    fn window(&self, at: usize) -> u64 {
        let mut window = [0; 8];
        window.copy_from_slice(&self.bytes[at / 8..at / 8 + 8]);
        u64::from_le_bytes(window) >> (at % 8)
    }

    /// Value `index` (secret) of the 2^m that begin with value `from`, with other bits above it.
    fn select(&self, from: usize, m: u32, index: u8) -> u8 {
        if self.bits << m <= 32 {
            // All of them are in one window; a shift takes the same time for every amount.
            return (self.window(from * self.bits) >> (usize::from(index) * self.bits)) as u8;
        }
        // All are read and one is kept by a mask: the index must not become an address.
        (0..1usize << m).fold(0, |chosen, j| {
            let differs = j as u64 ^ u64::from(index);
            let keep = (differs.wrapping_sub(1) >> 8) as u8;
            chosen | (self.window((from + j) * self.bits) as u8 & keep)
        })
    }
}
