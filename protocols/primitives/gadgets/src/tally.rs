//! Declared costs: the messages and OTs of every operator, counted without running it.
//!
//! A [`Tally`] is told what an operator sends, in the order in which the client sees it, so its rounds are those that a
//! channel counts: switches of the client from sending to receiving. Buffered OTs are not priced here; their number is
//! what [`Tally::client_ots`] and [`Tally::server_ots`] say, and the OT extension prices them.

use si_ring::packed_len;
use si_wire::FRAME_HEADER_BYTES;

use crate::compare::{Digits, PIECE_WORDS, piece_words};
use crate::nonlinear::index_bits;
use crate::truncate::Known;

/// Communication and OTs so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes from the client, framing included.
    pub up_bytes: u64,
    /// Bytes from the server, framing included.
    pub down_bytes: u64,
    /// Switches of the client from sending to receiving.
    pub rounds: u64,
    /// Correlated OTs in which the client is the sender.
    pub client_ots: u64,
    /// Correlated OTs in which the server is the sender.
    pub server_ots: u64,
    /// Of [`Self::client_ots`], those for leaves of comparisons and for ANDs that stand alone:
    /// [`crate::Engine::setup_with_leaves`].
    pub client_leaf_ots: u64,
    /// Of [`Self::server_ots`], the same.
    pub server_leaf_ots: u64,
    client_spoke: bool,
}

impl Tally {
    /// A message of `bytes` from the client.
    pub fn up(&mut self, bytes: usize) {
        self.up_bytes += (bytes + FRAME_HEADER_BYTES) as u64;
        self.client_spoke = true;
    }

    /// A message of `bytes` to the client.
    pub fn down(&mut self, bytes: usize) {
        self.down_bytes += (bytes + FRAME_HEADER_BYTES) as u64;
        self.rounds += u64::from(std::mem::take(&mut self.client_spoke));
    }

    /// What was added since an earlier state of this tally.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            up_bytes: self.up_bytes - before.up_bytes,
            down_bytes: self.down_bytes - before.down_bytes,
            rounds: self.rounds - before.rounds,
            client_ots: self.client_ots - before.client_ots,
            server_ots: self.server_ots - before.server_ots,
            client_leaf_ots: self.client_leaf_ots - before.client_leaf_ots,
            server_leaf_ots: self.server_leaf_ots - before.server_leaf_ots,
            client_spoke: self.client_spoke,
        }
    }

    /// `Engine::and` of n bits.
    pub fn and(&mut self, n: usize) {
        self.and_shared(n, 0);
    }

    /// `Engine::and_shared` of n and m bits: 2 n + m bits a party, one switch, n OTs in each direction.
    pub fn and_shared(&mut self, n: usize, m: usize) {
        if n == 0 {
            return;
        }
        self.client_ots += m as u64;
        self.server_ots += m as u64;
        self.leaf_ots(n - m, n - m);
        self.up((2 * n + m).div_ceil(8));
        self.down((2 * n + m).div_ceil(8));
    }

    /// `Engine::carry` of n words of `bits` bits. Leaves: for each instance `bits` choice bits one way and 2^m - 1 entries
    /// of one bit (lowest digit) or two bits (others) the other way; then one AND level for each doubling.
    pub fn carry(&mut self, n: usize, bits: u32) {
        pieces(n, piece_words(bits), |n| self.carry_piece(n, bits));
    }

    fn carry_piece(&mut self, n: usize, bits: u32) {
        let d = Digits::new(bits);
        let [received, sent] = [n.div_ceil(2), n / 2]; // by the client
        self.leaf_ots(sent * bits as usize, received * bits as usize);
        let highs = std::iter::repeat_n((d.high_bits, 2), d.high_count);
        let digits = || std::iter::once((d.low_bits, 1)).chain(highs.clone());
        let answer = |(m, width): (u32, u32)| ((1 << m) - 1) * width;
        digits().for_each(|(m, _)| self.up(packed_len(received, m)));
        digits().for_each(|(m, _)| self.down(packed_len(sent, m)));
        digits().for_each(|digit| self.up(packed_len(sent, answer(digit))));
        digits().for_each(|digit| self.down(packed_len(received, answer(digit))));
        self.combine(n, &d);
    }

    /// The millionaires' protocol for n instances with an answer for each of `thresholds` in each OT of 2^m messages, of
    /// which 2^m - 1 travel.
    pub(crate) fn compare(&mut self, n: usize, thresholds: usize, d: &Digits) {
        let bits = d.low_bits as usize + d.high_bits as usize * d.high_count;
        let halves = [n.div_ceil(2), n / 2]; // client receives, client sends
        self.leaf_ots(halves[1] * bits, halves[0] * bits);
        let digits = [(1, d.low_bits, 1u32), (d.high_count, d.high_bits, 2)];
        let digits = digits.iter().filter(|(count, ..)| *count > 0);
        for (count, m, _) in digits.clone() {
            self.up(packed_len(halves[0] * count, *m));
        }
        for (count, m, _) in digits.clone() {
            self.down(packed_len(halves[1] * count, *m));
        }
        let answer = |m: u32, each: u32| ((1 << m) - 1) * each * thresholds as u32;
        for (count, m, each) in digits.clone() {
            self.up(packed_len(halves[1] * count, answer(*m, *each)));
        }
        for (count, m, each) in digits {
            self.down(packed_len(halves[0] * count, answer(*m, *each)));
        }
        self.combine(n * thresholds, d);
    }

    fn leaf_ots(&mut self, client_sends: usize, server_sends: usize) {
        self.client_ots += client_sends as u64;
        self.server_ots += server_sends as u64;
        self.client_leaf_ots += client_sends as u64;
        self.server_leaf_ots += server_sends as u64;
    }

    /// The tree over the digits of n instances.
    fn combine(&mut self, n: usize, d: &Digits) {
        // Every pair of digits takes two ANDs with an operand in common, but for the lowest, which has no "equal".
        let mut level = d.high_count + 1;
        while level > 1 {
            let pairs = level / 2;
            self.and_shared(n * pairs, n * (pairs - 1));
            level -= pairs;
        }
    }

    /// `Engine::select` of n elements over Z_2^l.
    pub fn select(&mut self, n: usize, ring_bits: u32) {
        pieces(n, PIECE_WORDS, |n| self.select_piece(n, ring_bits));
    }

    fn select_piece(&mut self, n: usize, ring_bits: u32) {
        self.client_ots += n as u64;
        self.server_ots += n as u64;
        self.up(n.div_ceil(8));
        self.down(n.div_ceil(8));
        self.up(packed_len(n, ring_bits));
        self.down(packed_len(n, ring_bits));
    }

    /// `Engine::to_arithmetic`, and the product of two known bits.
    pub fn to_arithmetic(&mut self, n: usize, ring_bits: u32) {
        if n == 0 {
            return;
        }
        self.server_ots += n as u64;
        self.up(n.div_ceil(8));
        self.down(packed_len(n, ring_bits));
    }

    /// `Engine::relu`.
    pub fn relu(&mut self, n: usize, ring_bits: u32, signed_bits: u32) {
        self.carry(n, signed_bits - 1);
        self.select(n, ring_bits);
    }

    /// `Engine::max` of `candidates` candidates in n columns.
    pub fn max(&mut self, n: usize, candidates: usize, ring_bits: u32, signed_bits: u32) {
        let mut left = candidates;
        while left > 1 {
            self.relu(n * (left / 2), ring_bits, signed_bits + 1);
            left = left.div_ceil(2);
        }
    }

    /// `Engine::argmax`, with the opening.
    pub fn argmax(&mut self, n: usize, candidates: usize, ring_bits: u32, signed_bits: u32) {
        let mut left = candidates;
        while left > 1 {
            self.carry(n * (left / 2), signed_bits);
            self.select(2 * n * (left / 2), ring_bits);
            left = left.div_ceil(2);
        }
        self.open_to_client(n, index_bits(candidates));
    }

    /// `Engine::truncate_reduce` of n elements from `from_bits`, dropping `drop` bits.
    pub fn truncate_reduce(&mut self, n: usize, from_bits: u32, drop: u32) {
        self.carry(n, drop);
        self.to_arithmetic(n, from_bits - drop);
    }

    /// `Engine::truncate` of n elements over `ring_bits`.
    pub fn truncate(&mut self, n: usize, ring_bits: u32, drop: u32, known: Known) {
        if known == Known::Nothing {
            self.carry(n, ring_bits);
        }
        self.to_arithmetic(n, drop);
        self.carry(n, drop);
        self.to_arithmetic(n, ring_bits);
    }

    /// `Engine::extend` of n elements.
    pub fn extend(&mut self, n: usize, from_bits: u32, to_bits: u32, signed_bits: u32) {
        if signed_bits == from_bits {
            self.carry(n, from_bits);
        }
        self.to_arithmetic(n, to_bits - from_bits);
    }

    /// `Engine::open_to_client`.
    pub fn open_to_client(&mut self, n: usize, ring_bits: u32) {
        self.down(packed_len(n, ring_bits));
    }
}

/// Calls `f` with the length of each piece of at most `most` of a batch of `n`.
pub(crate) fn pieces(n: usize, most: usize, mut f: impl FnMut(usize)) {
    let mut left = n;
    while left > 0 {
        let piece = left.min(most);
        f(piece);
        left -= piece;
    }
}
