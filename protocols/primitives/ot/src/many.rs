//! OT of 2^m messages.
//!
//! The m correlated OTs of an instance, weighted with 1, x, ..., x^(m-1) and added in GF(2^128), are one correlation
//! with an index instead of a bit: Q at the sender, V = Q + cΔ at the receiver, where the index c is read as a
//! polynomial of degree below m. The pad of message j is H(Q + jΔ): one hash a message and one for the receiver. That
//! is the OT of SoftSpokenOT (Roy, CRYPTO 2022) from a subfield VOLE, with the F_2-linear map c -> cΔ, which is
//! injective for every Δ other than zero. Earlier constructions (Naor, Pinkas, STOC 1999) take m 2^m hashes.

use si_ring::{pack, packed_len, unpack};
use si_wire::Channel;

use crate::block::{Block, times_x};
use crate::sender::total;
use crate::two::send_packed;
use crate::{OtReceiver, OtSender, Result};

/// Greatest m.
pub const MAX_INDEX_BITS: u32 = 8;

/// A receiver's part of a batch of 1-of-2^m OTs whose answer is still to come.
#[must_use = "the peer's answer must be received with the matching finish"]
pub struct PendingMany {
    pads: Vec<u8>,
    indices: Vec<u8>,
    index_bits: u32,
}

/// A sender's part of a batch of 1-of-2^m OTs whose indices have been read.
#[must_use = "the peer waits for the answer"]
pub struct RequestedMany {
    /// Q of each instance.
    combined: Vec<Block>,
    first: u64,
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
    /// As [`Self::reserve`], and if the receiver's message does not decode.
    ///
    /// # Panics
    /// If m or `bits` is out of range, or the messages do not fill whole instances.
    pub fn one_of_many(&mut self, ch: &mut Channel, m: u32, bits: u32, messages: &[u8]) -> Result<()> {
        check_widths(m, bits);
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
        let blocks = self.take(ch, total(n, m as usize, usize::MAX)?)?;
        let first = self.count(blocks.len());
        let bytes = ch.recv_exact("OT indices", packed_len(n, m))?;
        let corrections = unpack(&bytes, n, m).map_err(|e| ch.malformed("OT indices", e.to_string()))?;
        // The corrections were sent in the clear, so they may be addresses.
        let multiples = self.multiples(m);
        let instances = blocks.chunks_exact(m as usize).zip(corrections);
        let combined = instances.map(|(blocks, c)| combine(blocks) ^ multiples[c as usize]).collect();
        Ok(RequestedMany { combined, first, index_bits: m })
    }

    /// The second half of [`Self::one_of_many`].
    ///
    /// # Errors
    /// If the connection fails.
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
        assert_eq!(messages.len(), combined.len() << m, "2^m messages for each instance");
        let multiples = self.multiples(m);
        let mut pads = vec![0; 1 << m];
        let mut masked = Vec::with_capacity(messages.len());
        for (i, (q, own)) in combined.iter().zip(messages.chunks_exact(1 << m)).enumerate() {
            pads.iter_mut().zip(&multiples).for_each(|(p, d)| *p = q ^ d);
            self.hash.hash(first + i as u64, 1 << m, &mut pads);
            masked.extend(own.iter().zip(&pads).map(|(message, pad)| u64::from(*message) ^ *pad as u64));
        }
        send_packed(ch, &masked, bits)
    }

    /// jΔ for each polynomial j of degree below m.
    fn multiples(&self, m: u32) -> Vec<Block> {
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
        let n = indices.len();
        let blocks = self.take(ch, total(n, m as usize, usize::MAX)?)?;
        let first = self.count(blocks.len());
        let instances = blocks.chunks_exact(m as usize);
        let random = instances.clone().map(|b| b.iter().enumerate().fold(0, |c, (i, b)| c | (*b as u64 & 1) << i));
        let corrections: Vec<u64> = random.zip(indices).map(|(r, c)| r ^ u64::from(*c)).collect();
        let mut message = Vec::new();
        pack(&corrections, m, &mut message);
        ch.send(&message)?;
        let mut pads: Vec<Block> = instances.map(combine).collect();
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
        check_widths(m, bits);
        assert_eq!(m, pending.index_bits, "the batch was begun with another number of messages");
        let n = pending.pads.len();
        let bytes = ch.recv_exact("1-of-many OT", packed_len(n << m, bits))?;
        let masked = unpack(&bytes, n << m, bits).map_err(|e| ch.malformed("1-of-many OT", e.to_string()))?;
        let low = (u64::MAX >> (64 - bits)) as u8;
        let own = pending.indices.iter().zip(&pending.pads);
        // All messages are read and one is kept by a mask: the index must not become an address.
        let select = |(messages, (index, pad)): (&[u64], (&u8, &u8))| {
            let chosen = messages.iter().enumerate().fold(0, |c, (j, message)| {
                let differs = u64::from(j as u8 ^ *index);
                c | (*message & (differs.wrapping_sub(1) >> 8 & 0xFF)) as u8
            });
            (chosen ^ pad) & low
        };
        Ok(masked.chunks_exact(1 << m).zip(own).map(select).collect())
    }
}

/// The sum of the blocks weighted with 1, x, x^2, ...
fn combine(blocks: &[Block]) -> Block {
    blocks.iter().rev().fold(0, |sum, b| times_x(sum) ^ b)
}

fn check_widths(m: u32, bits: u32) {
    assert!((1..=MAX_INDEX_BITS).contains(&m), "1-of-2^{m} OT: 1 to {MAX_INDEX_BITS} are supported");
    assert!((1..=8).contains(&bits), "messages of {bits} bits: 1 to 8 are supported");
}
