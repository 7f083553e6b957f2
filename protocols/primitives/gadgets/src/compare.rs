//! Comparison: the carry of an addition of shares, and from it the sign.

use si_ring::Bits;

use crate::engine::Leaves;
use crate::{Engine, Error, Result, Side};

/// Bits of a digit, one 1-of-2^m OT each (agreement): the narrow ones send less, the wide ones make shallower trees.
const DIGIT_BITS: [u32; 2] = [3, 4];

/// Longer batches run piece by piece, which bounds the memory for messages and buffered OTs (agreement: the pieces'
/// messages follow each other).
pub(crate) const PIECE_WORDS: usize = 1 << 18;

/// [`PIECE_WORDS`] for a comparison: at most 9 * 2^19 OTs in each direction.
pub(crate) const fn piece_words(bits: u32) -> usize {
    if bits <= 36 { PIECE_WORDS } else { PIECE_WORDS / 2 }
}

impl Engine {
    /// Boolean shares of 1{x0 + x1 >= 2^bits}, where x0 and x1 are the parties' words modulo 2^bits (higher bits are
    /// ignored).
    ///
    /// The millionaires' protocol of CrypTFlow2 (section 3.1): for each digit an OT gives shares of "less" and "equal",
    /// which a tree of ANDs combines. Differences: digits of 3 bits, unless 4 (as there and in Cheetah) save a level of
    /// the tree; the lowest digit is the short one and asks for "less" only; the two ANDs of a node share a triple; half
    /// of the instances run with exchanged roles in the same rounds, so that both directions of the link and both OT
    /// buffers carry the same load.
    ///
    /// Cost: see [`crate::Tally::carry`].
    ///
    /// # Errors
    /// If `bits` is not in 1..=63, or the peer fails.
    pub fn carry(&mut self, x: &[u64], bits: u32) -> Result<Bits> {
        if !(1..=63).contains(&bits) {
            return Err(Error::Width { operator: "carry", why: format!("{bits} bits, 1 to 63 are supported") });
        }
        let mut out = Bits::default();
        for piece in x.chunks(piece_words(bits)) {
            let mut digits = self.leaves(piece, bits)?;
            while digits.len() > 1 {
                digits = self.combine(digits)?;
            }
            out.extend(&digits.swap_remove(0).less);
        }
        Ok(out)
    }

    /// Boolean shares of the sign (1 = negative) of additive shares whose value fits `bits` signed bits: words are
    /// taken modulo 2^bits.
    ///
    /// # Errors
    /// If `bits` is not in 2..=64, or the peer fails.
    pub fn sign(&mut self, x: &[u64], bits: u32) -> Result<Bits> {
        if !(2..=64).contains(&bits) {
            return Err(Error::Width { operator: "sign", why: format!("{bits} bits, 2 to 64 are supported") });
        }
        let carry = self.carry(x, bits - 1)?;
        Ok(carry.xor(&Bits::from_lsb(x.iter().map(|v| v >> (bits - 1)))))
    }

    /// One 1-of-2^m OT for each digit: the sender's word is 2^bits - 1 - x1, so "sender less than receiver" is the carry.
    fn leaves(&mut self, x: &[u64], bits: u32) -> Result<Vec<Digit>> {
        let digits = Digits::new(bits);
        let (as_receiver, as_sender) = split_roles(x, self.side());
        let (clients, servers) = match self.side() {
            Side::Client => (as_sender.len(), as_receiver.len()),
            Side::Server => (as_receiver.len(), as_sender.len()),
        };
        self.reserve_leaves(clients * bits as usize, servers * bits as usize)?;

        let (sender, receiver) = Leaves::or(&mut self.leaves, &mut self.sender, &mut self.receiver);
        let ch = &mut self.channel;
        let low_pending = receiver.lookups_begin::<1, u32>(ch, digits.low_bits, digits.low(as_receiver).collect())?;
        let begin =
            |d| receiver.lookups_begin::<2, u32>(ch, digits.high_bits, digits.high_digit(d, as_receiver).collect());
        let high_pending = digits.high_digits().map(begin).collect::<si_ot::Result<Vec<_>>>()?;
        // All indices are read before any answer, so that both directions share the round.
        let low_requested = sender.lookups_read(ch, digits.low_bits, as_sender.len())?;
        let read = |_| sender.lookups_read(ch, digits.high_bits, as_sender.len());
        let high_requested = digits.high_digits().map(read).collect::<si_ot::Result<Vec<_>>>()?;
        let words: Vec<u64> = as_sender.iter().map(|x| !x & digits.mask).collect();
        let tables = digits.low(&words).map(|digit| less_table(digit, digits.low_bits));
        let [low_sent] = sender.lookups_answer(ch, low_requested, tables)?;
        let mut high_sent = Vec::with_capacity(digits.high_count);
        for (d, requested) in high_requested.into_iter().enumerate() {
            let tables = digits.high_digit(d, &words).map(|digit| less_equal_table(digit, digits.high_bits));
            high_sent.push(sender.lookups_answer::<2, u32>(ch, requested, tables)?);
        }

        // One bit vector for each digit, over all instances in their order.
        let [low_received] = receiver.lookups_finish(ch, low_pending)?;
        let mut received = Vec::with_capacity(digits.high_count);
        for pending in high_pending {
            received.push(receiver.lookups_finish(ch, pending)?);
        }
        let mut out = vec![Digit { less: self.in_order(low_received, low_sent), equal: None }];
        for ([less_received, equal_received], [less, equal]) in received.into_iter().zip(high_sent) {
            let (less, equal) = (self.in_order(less_received, less), self.in_order(equal_received, equal));
            out.push(Digit { less, equal: Some(equal) });
        }
        Ok(out)
    }

    /// What was received and what was sent of a batch that [`split_roles`] has split, in its order.
    pub(crate) fn in_order(&self, received: Bits, sent: Bits) -> Bits {
        let (mut all, second) = if self.side() == Side::Client { (received, sent) } else { (sent, received) };
        all.extend(&second);
        all
    }

    /// One level of the tree: neighbours (low, high) become less = high.less + high.equal low.less and
    /// equal = high.equal low.equal; the topmost is left over if their number is odd.
    pub(crate) fn combine(&mut self, digits: Vec<Digit>) -> Result<Vec<Digit>> {
        let n = digits[0].less.len();
        // Pairs in reverse, so that the lowest, which has no "equal" to multiply, comes last: the second operand is shorter.
        let (mut high, mut low_less, mut low_equal) = (Bits::default(), Bits::default(), Bits::default());
        for pair in digits.chunks_exact(2).rev() {
            high.extend(pair[1].equal.as_ref().expect("only the lowest digit lacks 'equal'"));
            low_less.extend(&pair[0].less);
            if let Some(equal) = &pair[0].equal {
                low_equal.extend(equal);
            }
        }
        let (less, equal) = self.and_shared(&high, &low_less, &low_equal)?;
        let pairs = digits.len() / 2;
        let mut out = Vec::with_capacity(digits.len().div_ceil(2));
        let mut rest = digits.into_iter();
        for at in (0..pairs).rev() {
            let (Some(low), Some(high)) = (rest.next(), rest.next()) else { break };
            let equal = low.equal.is_some().then(|| equal.slice(at * n, n));
            out.push(Digit { less: high.less.xor(&less.slice(at * n, n)), equal });
        }
        out.extend(rest);
        Ok(out)
    }
}

/// Shares of a digit's comparison for all instances; the lowest digit's "equal" is never needed.
pub(crate) struct Digit {
    pub(crate) less: Bits,
    pub(crate) equal: Option<Bits>,
}

/// How a word is cut: a low digit of 1 to m bits, the others of m.
pub(crate) struct Digits {
    pub(crate) low_bits: u32,
    pub(crate) high_bits: u32,
    pub(crate) high_count: usize,
    mask: u64,
}

impl Digits {
    pub(crate) fn new(bits: u32) -> Self {
        let [narrow, wide] = DIGIT_BITS;
        let depth = |m| bits.div_ceil(m).next_power_of_two();
        Self::of(bits, if depth(narrow) == depth(wide) { narrow } else { wide })
    }

    /// With high digits of this width.
    pub(crate) fn of(bits: u32, high_bits: u32) -> Self {
        let high_count = bits.div_ceil(high_bits) - 1;
        let low_bits = bits - high_count * high_bits;
        Self { low_bits, high_bits, high_count: high_count as usize, mask: u64::MAX >> (64 - bits) }
    }

    pub(crate) fn low(&self, words: &[u64]) -> impl Iterator<Item = u8> {
        let mask = (1 << self.low_bits) - 1;
        words.iter().map(move |w| (w & mask) as u8)
    }

    fn high_digits(&self) -> std::ops::Range<usize> {
        0..self.high_count
    }

    /// High digit `d` of all instances.
    fn high_digit(&self, d: usize, words: &[u64]) -> impl Iterator<Item = u8> {
        let shift = self.low_bits + d as u32 * self.high_bits;
        let mask = (1 << self.high_bits) - 1;
        words.iter().map(move |w| (w >> shift & mask) as u8)
    }

    /// All instances' lowest high digit, then the next.
    pub(crate) fn high(&self, words: &[u64]) -> impl Iterator<Item = u8> {
        self.high_digits().flat_map(|d| self.high_digit(d, words))
    }
}

/// The instances in which we receive and those in which we send: the client receives in the first half, rounded up.
pub(crate) fn split_roles(x: &[u64], side: Side) -> (&[u64], &[u64]) {
    let (first, second) = x.split_at(x.len().div_ceil(2));
    match side {
        Side::Client => (first, second),
        Side::Server => (second, first),
    }
}

/// The table j -> 1{digit < j} of 2^bits entries of a bit, without a branch.
fn less_table(digit: u8, bits: u32) -> u32 {
    (u32::MAX << (digit + 1)) & ((1 << (1 << bits)) - 1)
}

/// The table j -> (1{digit < j}, 1{digit = j}) of 2^bits entries of two bits, without a branch.
fn less_equal_table(digit: u8, bits: u32) -> u32 {
    let less = 0x5555_5555 & (u64::MAX << (2 * digit + 2));
    ((less | 2 << (2 * digit)) & ((1 << (2 << bits)) - 1)) as u32
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn tables_of_comparisons() {
        for bits in 1..=4 {
            for digit in 0..1u8 << bits {
                let (one, two) = (less_table(digit, bits), less_equal_table(digit, bits));
                for j in 0..1u8 << bits {
                    assert_eq!(one >> j & 1, u32::from(digit < j));
                    assert_eq!(two >> (2 * j) & 3, u32::from(digit < j) | u32::from(digit == j) << 1);
                }
                assert_eq!(u64::from(one) >> (1 << bits) | u64::from(two) >> (2 << bits), 0);
            }
        }
    }

    #[test]
    fn digits_cover_every_width() {
        for bits in 1..=63 {
            let d = Digits::new(bits);
            assert!((1..=d.high_bits).contains(&d.low_bits));
            assert_eq!(d.low_bits + d.high_bits * d.high_count as u32, bits);
        }
        // 24 bits are 8 digits of 3 or 6 of 4: three levels either way. 32 bits are 11 or 8: four levels or three.
        assert_eq!((Digits::new(24).high_bits, Digits::new(32).high_bits), (3, 4));
    }
}
