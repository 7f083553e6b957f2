//! Comparison of shares modulo p: their wrap and the sign of what they share.

use si_ring::Bits;

use super::{Field, below};
use crate::compare::{Digit, Digits, PIECE_WORDS, split_roles};
use crate::engine::Leaves;
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
            let [wrap, mut sign] = self.exceeds::<2, 4>(as_receiver, &[wrap, sign], field.bits())?;
            // Who receives adds nothing: 1{a0 >= h} is the sender's.
            let own =
                |sends: bool, x: &[u64]| Bits::from_lsb(x.iter().map(|a| field.is_negative(*a) & u64::from(sends)));
            let (first, second) = piece.split_at(piece.len().div_ceil(2));
            let mut high = own(self.side() == Side::Server, first);
            high.extend(&own(self.side() == Side::Client, second));
            sign = sign.xor(&wrap).xor(&high);
            signs.extend(&sign);
            wraps.extend(&wrap);
        }
        Ok((wraps, signs))
    }

    /// Boolean shares of 1{y > t} for each of K lists of thresholds t: for the first half of the instances, rounded up,
    /// the client has y and the server the thresholds, for the others the reverse. `words` are our y, `thresholds` are for
    /// those of the peer; the results are over all instances, one for each list. W is 2 K.
    ///
    /// The millionaires' protocol of [`Engine::carry`], with the answers to all thresholds in each OT.
    pub(super) fn exceeds<const K: usize, const W: usize>(
        &mut self,
        words: &[u64],
        thresholds: &[Vec<u64>; K],
        bits: u32,
    ) -> Result<[Bits; K]> {
        const { assert!(W == 2 * K, "two bits for each threshold") };
        let digits = Digits::of(bits, DIGIT_BITS);
        let (receive, send) = (words.len(), thresholds[0].len());
        let n = receive + send;
        let (clients, servers) = match self.side() {
            Side::Client => (send, receive),
            Side::Server => (receive, send),
        };
        self.reserve_leaves(clients * bits as usize, servers * bits as usize)?;

        let (sender, receiver) = Leaves::or(&mut self.leaves, &mut self.sender, &mut self.receiver);
        let ch = &mut self.channel;
        let (low, high, count) = (digits.low_bits, digits.high_bits, digits.high_count);
        // All indices are sent and read before any answer, so that both directions share the round.
        let low_pending = receiver.lookups_begin::<K, u128>(ch, low, digits.low(words).collect())?;
        let high_pending = match count {
            0 => None,
            _ => Some(receiver.lookups_begin::<W, u128>(ch, high, digits.high(words).collect())?),
        };
        let low_requested = sender.lookups_read(ch, low, send)?;
        let high_requested = if count > 0 { Some(sender.lookups_read(ch, high, send * count)?) } else { None };
        let cut = |t: usize| digits.low(&thresholds[t]).collect();
        let low_sent = sender.lookups_answer(ch, low_requested, tables::<K, 1>(std::array::from_fn(cut), low))?;
        let high_sent = match high_requested {
            Some(requested) => {
                let cut = |t: usize| digits.high(&thresholds[t]).collect();
                Some(sender.lookups_answer::<W, _>(ch, requested, tables::<K, 2>(std::array::from_fn(cut), high))?)
            }
            None => None,
        };
        let low_received = receiver.lookups_finish(ch, low_pending)?;
        let high_received = high_pending.map(|pending| receiver.lookups_finish(ch, pending)).transpose()?;

        // One bit vector for each digit: all instances of the first threshold, then of the next.
        let side = self.side();
        let join = |received: &[&Bits; K], sent: &[&Bits; K], d: usize| {
            let mut all = Bits::default();
            for (received, sent) in received.iter().zip(sent) {
                let (received, sent) = (received.slice(d * receive, receive), sent.slice(d * send, send));
                let (first, second) = if side == Side::Client { (received, sent) } else { (sent, received) };
                all.extend(&first);
                all.extend(&second);
            }
            all
        };
        let mut all = vec![Digit { less: join(&low_received.each_ref(), &low_sent.each_ref(), 0), equal: None }];
        if let (Some(received), Some(sent)) = (&high_received, &high_sent) {
            // Bits of less and equal stand in turns.
            let turns = [0, 1].map(|which| [received, sent].map(|of| std::array::from_fn(|t| &of[2 * t + which])));
            let [less, equal] = turns;
            all.extend(
                (0..count)
                    .map(|d| Digit { less: join(&less[0], &less[1], d), equal: Some(join(&equal[0], &equal[1], d)) }),
            );
        }
        while all.len() > 1 {
            all = self.combine(all)?;
        }
        let less = all.swap_remove(0).less;
        Ok(std::array::from_fn(|t| less.slice(t * n, n)))
    }
}

/// For each instance the table j -> (1{digit < j}, and if EACH is 2 1{digit = j}) for one digit of each threshold, without
/// a branch: entries of K EACH bits.
fn tables<const K: usize, const EACH: usize>(digits: [Vec<u8>; K], bits: u32) -> impl Iterator<Item = u128> {
    let width = K * EACH;
    let lowest = (0..1usize << bits).fold(0u128, |all, j| all | 1 << (j * width));
    let all = u128::MAX >> (128 - (width << bits));
    (0..digits[0].len()).map(move |i| {
        digits.iter().rev().fold(0, |table, digits| {
            let at = usize::from(digits[i]) * width;
            let less = lowest & (u128::MAX << at << width);
            let equal = if EACH == 2 { 2 << at } else { 0 };
            table << EACH | less | equal
        }) & all
    })
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn tables_hold_the_answers_for_all_thresholds() {
        for bits in 1..=4 {
            let all: Vec<u8> = (0..1 << bits).collect();
            let shifted: Vec<u8> = all.iter().map(|d| (d + 1) % (1 << bits)).collect();
            let digits = [all.clone(), shifted, all.clone()];
            let (one, two) = (tables::<3, 1>(digits.clone(), bits), tables::<3, 2>(digits.clone(), bits));
            for (i, (one, two)) in one.zip(two).enumerate() {
                for j in 0..1u8 << bits {
                    for (t, digits) in digits.iter().enumerate() {
                        let (less, equal) = (u128::from(digits[i] < j), u128::from(digits[i] == j));
                        assert_eq!(one >> (3 * usize::from(j) + t) & 1, less);
                        assert_eq!(two >> (6 * usize::from(j) + 2 * t) & 3, less | equal << 1);
                    }
                }
                assert_eq!(one.checked_shr(3 << bits).unwrap_or(0) | two.checked_shr(6 << bits).unwrap_or(0), 0);
            }
        }
    }
}
