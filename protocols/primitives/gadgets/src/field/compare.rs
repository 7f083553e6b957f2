//! Comparison of shares modulo p: their wrap and the sign of what they share.

use rand::Rng;
use si_ring::Bits;

use super::{Field, below};
use crate::compare::{Digit, Digits, PIECE_WORDS, equal, less, split_roles};
use crate::{Engine, Result, Side};

/// Bits of a digit, as in the paper (agreement).
pub(super) const DIGIT_BITS: u32 = 4;

impl Engine {
    /// Boolean shares of (the wrap 1{a0 + a1 >= p}, the sign 1{a > (p - 1) / 2}) of additive shares.
    ///
    /// With h = (p + 1) / 2 and s = a0 + a1 as integers, the sign is 1{s >= h} - 1{s >= p} + 1{s >= p + h}. Who sends the
    /// OTs knows from its a0 which of the first and the last is constant, so two comparisons with a1 are enough (paper:
    /// section 4.2, algorithm 4): c = 1{a1 > p - 1 - a0}, the wrap, and c' = 1{a1 > t - 1 - a0} with t = h or p + h; the
    /// sign is c + c' + 1{a0 >= h} modulo 2. Both read the same OTs, whose messages hold both answers.
    ///
    /// Cost: [`crate::Tally::field_signs`].
    ///
    /// # Errors
    /// If the peer fails.
    pub fn field_signs(&mut self, x: &[u64], field: Field) -> Result<(Bits, Bits)> {
        let (mut wraps, mut signs) = (Bits::default(), Bits::default());
        for piece in x.chunks(PIECE_WORDS) {
            let (as_receiver, as_sender) = split_roles(piece, self.side());
            let (p, h) = (field.p(), field.half());
            let wrap = as_sender.iter().map(|a| p - 1 - a).collect();
            let sign = as_sender.iter().map(|a| h - 1 + (p & (1 ^ below(*a, h)).wrapping_neg()) - a).collect();
            let c = self.exceeds(as_receiver, &[wrap, sign], field.bits())?;
            // Who receives adds nothing: 1{a0 >= h} is the sender's.
            let own =
                |sends: bool, x: &[u64]| Bits::from_lsb(x.iter().map(|a| field.is_negative(*a) & u64::from(sends)));
            let (first, second) = piece.split_at(piece.len().div_ceil(2));
            let mut high = own(self.side() == Side::Server, first);
            high.extend(&own(self.side() == Side::Client, second));
            signs.extend(&c[0].xor(&c[1]).xor(&high));
            wraps.extend(&c[0]);
        }
        Ok((wraps, signs))
    }

    /// Boolean shares of 1{y > t} for each list of thresholds t: for the first half of the instances, rounded up, the
    /// client has y and the server the thresholds, for the others the reverse. `words` are our y, `thresholds` are for
    /// those of the peer; the results are over all instances, one for each list.
    ///
    /// The millionaires' protocol of [`Engine::carry`], with several answers in each OT.
    pub(super) fn exceeds(&mut self, words: &[u64], thresholds: &[Vec<u64>], bits: u32) -> Result<Vec<Bits>> {
        let k = thresholds.len();
        let digits = Digits::of(bits, DIGIT_BITS);
        let (receive, send) = (words.len(), thresholds[0].len());
        let n = receive + send;
        let (clients, servers) = match self.side() {
            Side::Client => (send, receive),
            Side::Server => (receive, send),
        };
        self.reserve(clients * bits as usize, servers * bits as usize)?;

        // (digit's width, digits, bits of an answer for each threshold)
        let parts = [(digits.low_bits, 1, 1), (digits.high_bits, digits.high_count, 2)];
        let parts = || parts.into_iter().enumerate().filter(|(_, (_, count, _))| *count > 0);
        let cut = |at: usize, words: &[u64]| -> Vec<u8> {
            if at == 0 { digits.low(words).collect() } else { digits.high(words).collect() }
        };
        let mut pending = Vec::new();
        for (at, (m, ..)) in parts() {
            pending.push(self.receiver.one_of_many_begin(&mut self.channel, m, &cut(at, words))?);
        }
        let mut requested = Vec::new();
        for (_, (m, count, _)) in parts() {
            requested.push(self.sender.one_of_many_read(&mut self.channel, m, send * count)?);
        }
        let mut shares = Vec::new();
        for ((at, (m, count, each)), requested) in parts().zip(requested) {
            let mut masks = vec![0; send * count];
            self.rng.fill_bytes(&mut masks);
            masks.iter_mut().for_each(|b| *b &= ((1u16 << (each * k as u32)) - 1) as u8);
            let cuts: Vec<Vec<u8>> = thresholds.iter().map(|t| cut(at, t)).collect();
            let mut messages = Vec::with_capacity(masks.len() << m);
            for (i, mask) in masks.iter().enumerate() {
                messages.extend((0..1u8 << m).map(|j| {
                    cuts.iter().rev().fold(0, |all, c| {
                        let answer = less(c[i], j) | (equal(c[i], j) << 1) & (each as u8 & 2);
                        all << each | answer
                    }) ^ mask
                }));
            }
            self.sender.one_of_many_answer(&mut self.channel, each * k as u32, requested, &messages)?;
            shares.push(masks);
        }
        let mut received = Vec::new();
        for ((_, (m, _, each)), pending) in parts().zip(pending) {
            received.push(self.receiver.one_of_many_finish(&mut self.channel, m, each * k as u32, pending)?);
        }

        // Back to one bit vector for each digit: all instances of the first threshold, then of the next.
        let side = self.side();
        let join = |part: usize, d: usize, equal: u32| {
            let (r, s) = (&received[part][d * receive..][..receive], &shares[part][d * send..][..send]);
            let (first, second) = if side == Side::Client { (r, s) } else { (s, r) };
            let each = part as u32 + 1;
            let bit = |t: u32| first.iter().chain(second).map(move |b| u64::from(b >> (t * each + equal)));
            Bits::from_lsb((0..k as u32).flat_map(bit))
        };
        let mut all = vec![Digit { less: join(0, 0, 0), equal: None }];
        all.extend((0..digits.high_count).map(|d| Digit { less: join(1, d, 0), equal: Some(join(1, d, 1)) }));
        while all.len() > 1 {
            all = self.combine(all)?;
        }
        let less = all.swap_remove(0).less;
        Ok((0..k).map(|t| less.slice(t * n, n)).collect())
    }
}
