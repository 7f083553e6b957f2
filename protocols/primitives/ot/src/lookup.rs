//! Lookups: the sender has a table of 2^m entries for each instance, the receiver an index, and both get an XOR share of
//! the entry.
//!
//! That is a 1-of-2^m OT (see `many.rs`) of the entries, each masked with the sender's share. Here the share is made of the
//! pads, entry 0 xor pad 0, so that message 0 is zero and is not sent.

use si_ring::{Bits, packed_len};
use si_wire::Channel;

use crate::block::Block;
use crate::gf128::combine;
use crate::many::{Packed, Packer, check_length};
use crate::{OtReceiver, OtSender, Result};

/// A word that holds a table of 2^m entries: entry j of W bits in bits j W to (j + 1) W - 1.
pub trait Table:
    Copy
    + std::ops::BitXor<Output = Self>
    + std::ops::BitAnd<Output = Self>
    + std::ops::BitOr<Output = Self>
    + std::ops::Shl<usize, Output = Self>
    + std::ops::Shr<usize, Output = Self>
    + From<u8>
    + private::Word
{
}

impl Table for u32 {}
impl Table for u128 {}

mod private {
    /// What lookups do with a table beside logic.
    pub trait Word: Sized {
        const BITS: u32;
        /// The lowest bits of a pad.
        fn of_pad(pad: u128) -> Self;
        /// Copies of an entry wherever `ones` has a bit.
        fn spread(self, ones: Self) -> Self;
        fn wide(self) -> u128;
        /// The lowest eight bits.
        fn entry(self) -> u8;
    }

    impl Word for u32 {
        const BITS: u32 = Self::BITS;
        fn of_pad(pad: u128) -> Self {
            pad as Self
        }
        fn spread(self, ones: Self) -> Self {
            self.wrapping_mul(ones)
        }
        fn wide(self) -> u128 {
            self.into()
        }
        fn entry(self) -> u8 {
            self as u8
        }
    }

    impl Word for u128 {
        const BITS: u32 = Self::BITS;
        fn of_pad(pad: u128) -> Self {
            pad
        }
        fn spread(self, ones: Self) -> Self {
            self.wrapping_mul(ones)
        }
        fn wide(self) -> u128 {
            self
        }
        fn entry(self) -> u8 {
            self as u8
        }
    }
}

/// Instances that are worked on together: their results are a word of each vector.
const TOGETHER: usize = 64;

/// A sender's part of a batch of lookups whose indices have been read.
#[must_use = "the peer waits for the answer"]
pub struct RequestedLookups {
    corrections: Packed,
    n: usize,
    index_bits: u32,
}

/// A receiver's part of a batch of lookups in tables of entries of W bits whose answer is still to come.
#[must_use = "the peer's answer must be received with the matching finish"]
pub struct PendingLookups<const W: usize, T: Table = u32> {
    /// What masks the entry that was asked for.
    pads: Vec<u8>,
    indices: Vec<u8>,
    index_bits: u32,
    table: std::marker::PhantomData<T>,
}

impl OtSender {
    /// Reads the masked indices (m bits each) of n instances. To answer several batches in one round, reserve the OTs of
    /// all of them, read all their indices, and answer in the same order.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for this batch, and if the message does not decode.
    ///
    /// # Panics
    /// If m is not in 1..=5.
    pub fn lookups_read(&mut self, ch: &mut Channel, m: u32, n: usize) -> Result<RequestedLookups> {
        check_widths::<u32>(m, 1);
        self.reserve(ch, n.saturating_mul(m as usize))?;
        let what = "indices of lookups";
        let bytes = ch.recv_exact(what, packed_len(n, m))?;
        let corrections = Packed::new(bytes, n, m).ok_or_else(|| ch.malformed(what, "the padding is not zero"))?;
        Ok(RequestedLookups { corrections, n, index_bits: m })
    }

    /// Answers with the tables of all instances, one word each: entry j in bits j W to (j + 1) W - 1. Returns the shares,
    /// bit w of all instances in entry w. Consumes m correlated OTs an instance.
    ///
    /// Traffic for n instances: n m bits up (read before), n (2^m - 1) W bits down, one message each; the answer is not
    /// flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`], and if the answer is too long for one message.
    ///
    /// # Panics
    /// If a table of 2^m W bits does not fit its word, or there are fewer tables than instances.
    pub fn lookups_answer<const W: usize, T: Table>(
        &mut self,
        ch: &mut Channel,
        requested: RequestedLookups,
        mut tables: impl Iterator<Item = T>,
    ) -> Result<[Bits; W]> {
        let RequestedLookups { corrections, n, index_bits: m } = requested;
        check_widths::<T>(m, W);
        let message_bits = ((1 << m) - 1) * W as u32;
        check_length(n, message_bits)?;
        let ots = n * m as usize;
        self.reserve(ch, ots)?;
        let first = self.count(ots);
        let multiples = self.multiples(m);
        let ones = (0..1 << m).fold(T::from(0), |ones, j| ones | T::from(1) << (j * W));
        let low = T::from(((1u16 << W) - 1) as u8);
        let entries: Vec<T> = (0..1 << m).map(|j| low << (j * W)).collect();
        let mut pads: Vec<Block> = vec![0; TOGETHER << m];
        let mut packer = Packer::new(n, message_bits);
        let mut shares = [(); W].map(|()| Vec::with_capacity(n.div_ceil(TOGETHER)));
        for (c, blocks) in self.buffer.take(ots).chunks(TOGETHER * m as usize).enumerate() {
            let at = c * TOGETHER;
            let instances = blocks.len() / m as usize;
            let pads = &mut pads[..instances << m];
            for (i, (blocks, pads)) in blocks.chunks_exact(m as usize).zip(pads.chunks_exact_mut(1 << m)).enumerate() {
                // The corrections were sent in the clear, so they may be addresses.
                let q = combine(blocks) ^ multiples[corrections.value(at + i) as usize];
                pads.iter_mut().zip(&multiples).for_each(|(p, d)| *p = q ^ d);
            }
            self.hash.hash(first + at as u64, 1 << m, pads);
            let mut words = [0u64; W];
            for (i, (pads, table)) in pads.chunks_exact(1 << m).zip(tables.by_ref()).enumerate() {
                let pads = pads.iter().zip(&entries).fold(T::from(0), |word, (p, mask)| word | (T::of_pad(*p) & *mask));
                let share = (pads ^ table) & low;
                let masked = pads ^ table ^ share.spread(ones);
                packer.push_wide(masked.wide() >> W, message_bits);
                words.iter_mut().enumerate().for_each(|(w, word)| *word |= u64::from(share.entry() >> w & 1) << i);
            }
            shares.iter_mut().zip(words).for_each(|(share, word)| share.push(word));
        }
        let message = packer.finish();
        assert_eq!(message.len(), packed_len(n, message_bits), "a table for each instance");
        ch.send(&message)?;
        Ok(shares.map(|words| Bits::from_words(words, n)))
    }
}

impl OtReceiver {
    /// Sends the indices (each below 2^m, as many as are given) of a batch of lookups; nothing is flushed. Consumes m
    /// correlated OTs an instance.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    ///
    /// # Panics
    /// If a table of 2^m W bits does not fit its word.
    pub fn lookups_begin<const W: usize, T: Table>(
        &mut self,
        ch: &mut Channel,
        m: u32,
        indices: Vec<u8>,
    ) -> Result<PendingLookups<W, T>> {
        check_widths::<T>(m, W);
        let n = indices.len();
        let ots = n.saturating_mul(m as usize);
        self.reserve(ch, ots)?;
        let first = self.count(ots);
        let low = ((1u16 << W) - 1) as u8;
        let mut packer = Packer::new(n, m);
        let mut pads = Vec::with_capacity(n);
        let mut hashed = [0; TOGETHER];
        let together = self.buffer.take(ots).chunks(TOGETHER * m as usize).zip(indices.chunks(TOGETHER)).enumerate();
        for (c, (blocks, indices)) in together {
            let hashed = &mut hashed[..indices.len()];
            for ((blocks, index), hashed) in blocks.chunks_exact(m as usize).zip(indices).zip(hashed.iter_mut()) {
                let random = blocks.iter().rev().fold(0, |c, b| c << 1 | (*b as u64 & 1));
                packer.push(random ^ u64::from(*index), m);
                *hashed = combine(blocks);
            }
            self.hash.hash(first + (c * TOGETHER) as u64, 1, hashed);
            pads.extend(
                hashed.iter().zip(indices).map(|(h, j)| (T::of_pad(*h) >> (usize::from(*j) * W)).entry() & low),
            );
        }
        ch.send(&packer.finish())?;
        Ok(PendingLookups { pads, indices, index_bits: m, table: std::marker::PhantomData })
    }

    /// Receives the shares, bit w of all instances in entry w.
    ///
    /// # Errors
    /// If the connection fails or the answer does not decode.
    pub fn lookups_finish<const W: usize, T: Table>(
        &mut self,
        ch: &mut Channel,
        pending: PendingLookups<W, T>,
    ) -> Result<[Bits; W]> {
        let PendingLookups { pads, indices, index_bits: m, .. } = pending;
        let n = pads.len();
        let message_bits = ((1 << m) - 1) * W as u32;
        let what = "answers of lookups";
        let bytes = ch.recv_exact(what, packed_len(n, message_bits))?;
        let masked =
            Packed::new(bytes, n, message_bits).ok_or_else(|| ch.malformed(what, "the padding is not zero"))?;
        let mut shares = [(); W].map(|()| Vec::with_capacity(n.div_ceil(TOGETHER)));
        for (c, (pads, indices)) in pads.chunks(TOGETHER).zip(indices.chunks(TOGETHER)).enumerate() {
            let mut words = [0u64; W];
            for (i, (pad, index)) in pads.iter().zip(indices).enumerate() {
                // Entry 0 is zero; a shift takes the same time for every amount.
                let at = c * TOGETHER + i;
                let entries = if T::BITS <= 32 { masked.value(at).into() } else { masked.wide_value(at) };
                let table = T::of_pad(entries << W);
                let share = (table >> (usize::from(*index) * W)).entry() ^ pad;
                words.iter_mut().enumerate().for_each(|(w, word)| *word |= u64::from(share >> w & 1) << i);
            }
            shares.iter_mut().zip(words).for_each(|(share, word)| share.push(word));
        }
        Ok(shares.map(|words| Bits::from_words(words, n)))
    }
}

fn check_widths<T: Table>(m: u32, w: usize) {
    assert!(
        (1..=5).contains(&m) && (1..=8).contains(&w) && (w as u32) << m <= T::BITS,
        "tables of 2^{m} entries of {w} bits: at most {} bits are supported",
        T::BITS
    );
}
