//! OT of two messages: random bits, correlated over Z_2^l, chosen.

use si_ring::{Bits, Ring, pack, packed_len, unpack_into};
use si_wire::Channel;

use crate::block::{Block, mask};
use crate::{OtReceiver, OtSender, Result};

/// OTs that are hashed together (local).
const BATCH: usize = 256;

/// A receiver's part of a batch of OTs whose answer is still to come.
#[must_use = "the peer's answer must be received with the matching finish"]
pub struct Pending {
    pads: Vec<u64>,
    choices: Bits,
}

impl OtSender {
    /// `n` random OTs of single bits: both messages of each. No traffic.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for `n`.
    pub fn random_bits(&mut self, ch: &mut Channel, n: usize) -> Result<(Bits, Bits)> {
        let ([m0], [m1]) = self.random_strings(ch, n)?;
        Ok((m0, m1))
    }

    /// `n` random OTs of strings of W bits (at most 128): entry i of each result holds bit i of message 0, and of
    /// message 1. No traffic, and the hashes of a single bit.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for `n`.
    pub fn random_strings<const W: usize>(&mut self, ch: &mut Channel, n: usize) -> Result<([Bits; W], [Bits; W])> {
        self.reserve(ch, n)?;
        let (mut m0, mut m1) = (empty_words::<W>(n), empty_words::<W>(n));
        self.pads(n, None, |zero, one| {
            append_low_bits(zero, &mut m0);
            append_low_bits(one, &mut m1);
        });
        Ok((m0.map(|words| Bits::from_words(words, n)), m1.map(|words| Bits::from_words(words, n))))
    }

    /// Correlated OT over Z_2^l: for each x_i a uniform r_i is returned, and the receiver with choice b_i gets
    /// r_i + b_i x_i. (Shares of b_i x_i are therefore -r_i here and the received value there.)
    ///
    /// Traffic for n: n bits up (read here), n * l bits down, one message each; the answer is not flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`], and if the receiver's message does not decode.
    pub fn correlated(&mut self, ch: &mut Channel, ring: Ring, x: &[u64]) -> Result<Vec<u64>> {
        let mut out = vec![0; x.len()];
        self.correlated_into(ch, ring, x, &mut out)?;
        Ok(out)
    }

    /// As [`Self::correlated`], into a slice of the same length as `x`.
    ///
    /// # Errors
    /// As [`Self::correlated`].
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn correlated_into(&mut self, ch: &mut Channel, ring: Ring, x: &[u64], out: &mut [u64]) -> Result<()> {
        assert_eq!(x.len(), out.len(), "correlated OT: lengths are the caller's");
        self.reserve(ch, x.len())?;
        let choices = recv_bits(ch, x.len())?;
        let mut corrections = Vec::with_capacity(x.len());
        let mut rest = out.iter_mut().zip(x);
        self.pads(x.len(), Some(&choices), |zero, one| {
            for ((zero, one), (out, x)) in zero.iter().zip(one).zip(rest.by_ref()) {
                *out = ring.reduce(*zero as u64);
                corrections.push((*zero as u64).wrapping_add(*x).wrapping_sub(*one as u64));
            }
        });
        send_packed(ch, &corrections, ring.bits())
    }

    /// Chosen OT of messages of `bits` bits (1 to 64): the receiver gets m0_i or m1_i.
    ///
    /// Traffic for n: n bits up (read here), 2 n * bits bits down, one message each; the answer is not flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`], and if the receiver's message does not decode.
    ///
    /// # Panics
    /// If the lengths differ or `bits` is out of range.
    pub fn chosen(&mut self, ch: &mut Channel, bits: u32, m0: &[u64], m1: &[u64]) -> Result<()> {
        assert!(m0.len() == m1.len() && (1..=64).contains(&bits), "chosen OT: lengths and width are the caller's");
        self.reserve(ch, m0.len())?;
        let choices = recv_bits(ch, m0.len())?;
        let mut masked = Vec::with_capacity(2 * m0.len());
        let mut messages = m0.iter().zip(m1);
        self.pads(m0.len(), Some(&choices), |zero, one| {
            for ((zero, one), (m0, m1)) in zero.iter().zip(one).zip(messages.by_ref()) {
                masked.extend([m0 ^ *zero as u64, m1 ^ *one as u64]);
            }
        });
        send_packed(ch, &masked, bits)
    }

    /// Takes `n` OTs, which must be in stock, and gives `each` the pads of message 0 and of message 1, in batches of a
    /// multiple of 64 but for the last. `corrections` are the differences between the random choices and the real ones.
    pub(crate) fn pads(&mut self, n: usize, corrections: Option<&Bits>, mut each: impl FnMut(&[Block], &[Block])) {
        let first = self.count(n);
        let mut ones = [0; BATCH];
        for (batch, zero) in self.buffer.take(n).chunks_mut(BATCH).enumerate() {
            if let Some(corrections) = corrections {
                for (zero, word) in zero.chunks_mut(64).zip(&corrections.words()[batch * BATCH / 64..]) {
                    for (i, z) in zero.iter_mut().enumerate() {
                        *z ^= self.delta & mask(Block::from(word >> i));
                    }
                }
            }
            let one = &mut ones[..zero.len()];
            one.iter_mut().zip(zero.iter()).for_each(|(one, zero)| *one = zero ^ self.delta);
            let tweak = first + (batch * BATCH) as u64;
            self.hash.hash(tweak, 1, zero);
            self.hash.hash(tweak, 1, one);
            each(zero, one);
        }
    }
}

impl OtReceiver {
    /// `n` random OTs of single bits: the random choices and the chosen messages. No traffic.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for `n`.
    pub fn random_bits(&mut self, ch: &mut Channel, n: usize) -> Result<(Bits, Bits)> {
        let (choices, [m]) = self.random_strings(ch, n)?;
        Ok((choices, m))
    }

    /// `n` random OTs of strings of W bits (at most 128): the random choices, and bit i of the chosen messages in entry i.
    ///
    /// # Errors
    /// As [`Self::reserve`], which is called for `n`.
    pub fn random_strings<const W: usize>(&mut self, ch: &mut Channel, n: usize) -> Result<(Bits, [Bits; W])> {
        self.reserve(ch, n)?;
        let mut m = empty_words::<W>(n);
        let choices = self.pads(n, |pads| append_low_bits(pads, &mut m));
        Ok((choices, m.map(|words| Bits::from_words(words, n))))
    }

    /// Sends the choices of a correlated OT; nothing is flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn correlated_begin(&mut self, ch: &mut Channel, choices: &Bits) -> Result<Pending> {
        self.choose(ch, choices)
    }

    /// Receives r_i + b_i x_i: see [`OtSender::correlated`].
    ///
    /// # Errors
    /// If the connection fails or the answer does not decode.
    pub fn correlated_finish(&mut self, ch: &mut Channel, ring: Ring, pending: Pending) -> Result<Vec<u64>> {
        let mut out = vec![0; pending.pads.len()];
        self.correlated_finish_into(ch, ring, pending, &mut out)?;
        Ok(out)
    }

    /// As [`Self::correlated_finish`], into a slice with the length of the batch.
    ///
    /// # Errors
    /// As [`Self::correlated_finish`].
    ///
    /// # Panics
    /// If the length differs.
    pub fn correlated_finish_into(
        &mut self,
        ch: &mut Channel,
        ring: Ring,
        pending: Pending,
        out: &mut [u64],
    ) -> Result<()> {
        let Pending { pads, choices } = pending;
        assert_eq!(out.len(), pads.len(), "correlated OT: lengths are the caller's");
        recv_packed(ch, "correlated OT", ring.bits(), out)?;
        for ((out, pads), word) in out.chunks_mut(64).zip(pads.chunks(64)).zip(choices.words()) {
            for (i, (out, pad)) in out.iter_mut().zip(pads).enumerate() {
                *out = ring.reduce(pad.wrapping_add(*out & (word >> i & 1).wrapping_neg()));
            }
        }
        Ok(())
    }

    /// Sends the choices of a chosen OT; nothing is flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn chosen_begin(&mut self, ch: &mut Channel, choices: &Bits) -> Result<Pending> {
        self.choose(ch, choices)
    }

    /// Receives the chosen messages of `bits` bits: see [`OtSender::chosen`].
    ///
    /// # Errors
    /// If the connection fails or the answer does not decode.
    ///
    /// # Panics
    /// If `bits` is out of range.
    pub fn chosen_finish(&mut self, ch: &mut Channel, bits: u32, pending: Pending) -> Result<Vec<u64>> {
        let mut out = vec![0; pending.pads.len()];
        self.chosen_finish_into(ch, bits, pending, &mut out)?;
        Ok(out)
    }

    /// As [`Self::chosen_finish`], into a slice with the length of the batch.
    ///
    /// # Errors
    /// As [`Self::chosen_finish`].
    ///
    /// # Panics
    /// If the length differs or `bits` is out of range.
    pub fn chosen_finish_into(&mut self, ch: &mut Channel, bits: u32, pending: Pending, out: &mut [u64]) -> Result<()> {
        let Pending { pads, choices } = pending;
        assert!(out.len() == pads.len() && (1..=64).contains(&bits), "chosen OT: length and width are the caller's");
        let mut masked = vec![0; 2 * pads.len()];
        recv_packed(ch, "chosen OT", bits, &mut masked)?;
        let low = u64::MAX >> (64 - bits);
        for (((out, m), pad), b) in out.iter_mut().zip(masked.chunks_exact(2)).zip(pads).zip(choices.iter()) {
            *out = (m[0] ^ ((m[0] ^ m[1]) & b.wrapping_neg()) ^ pad) & low;
        }
        Ok(())
    }

    fn choose(&mut self, ch: &mut Channel, choices: &Bits) -> Result<Pending> {
        let n = choices.len();
        self.reserve(ch, n)?;
        let mut pads = Vec::with_capacity(n);
        let random = self.pads(n, |blocks| pads.extend(blocks.iter().map(|b| *b as u64)));
        let mut message = Vec::with_capacity(n.div_ceil(8));
        choices.xor(&random).encode(&mut message);
        ch.send(&message)?;
        Ok(Pending { pads, choices: choices.clone() })
    }

    /// Takes `n` OTs, which must be in stock, and gives `each` the pads of the chosen messages, in batches of a multiple
    /// of 64 but for the last; returns the choices.
    pub(crate) fn pads(&mut self, n: usize, mut each: impl FnMut(&[Block])) -> Bits {
        let first = self.count(n);
        let mut choices = empty_words::<1>(n);
        for (batch, blocks) in self.buffer.take(n).chunks_mut(BATCH).enumerate() {
            append_low_bits(blocks, &mut choices);
            self.hash.hash(first + (batch * BATCH) as u64, 1, blocks);
            each(blocks);
        }
        let [choices] = choices;
        Bits::from_words(choices, n)
    }
}

fn empty_words<const W: usize>(n: usize) -> [Vec<u64>; W] {
    std::array::from_fn(|_| Vec::with_capacity(n.div_ceil(64)))
}

/// Appends bit w of every block to vector w, 64 blocks a word.
fn append_low_bits<const W: usize>(blocks: &[Block], to: &mut [Vec<u64>; W]) {
    for blocks in blocks.chunks(64) {
        for (w, to) in to.chunks_mut(8).enumerate() {
            let mut words = [0; 8];
            for (g, eight) in blocks.chunks(8).enumerate() {
                let mut bytes = [0; 8];
                bytes.iter_mut().zip(eight).for_each(|(byte, block)| *byte = (*block >> (8 * w)) as u8);
                let bytes = u64::from_le_bytes(bytes);
                for (i, word) in words[..to.len()].iter_mut().enumerate() {
                    // The product has bit i of byte j in bit 56 + j.
                    let bits = bytes >> i & 0x0101_0101_0101_0101;
                    *word |= bits.wrapping_mul(0x0102_0408_1020_4080) >> 56 << (8 * g);
                }
            }
            to.iter_mut().zip(words).for_each(|(to, word)| to.push(word));
        }
    }
}

pub(crate) fn recv_bits(ch: &mut Channel, n: usize) -> Result<Bits> {
    let what = "OT choices";
    let bytes = ch.recv_exact(what, n.div_ceil(8))?;
    Bits::decode(&bytes, n).map_err(|e| ch.malformed(what, e.to_string()).into())
}

fn send_packed(ch: &mut Channel, values: &[u64], bits: u32) -> Result<()> {
    let mut message = Vec::with_capacity(packed_len(values.len(), bits));
    pack(values, bits, &mut message);
    ch.send(&message)?;
    Ok(())
}

fn recv_packed(ch: &mut Channel, what: &'static str, bits: u32, out: &mut [u64]) -> Result<()> {
    let bytes = ch.recv_exact(what, packed_len(out.len(), bits))?;
    unpack_into(&bytes, bits, out).map_err(|e| ch.malformed(what, e.to_string()).into())
}
