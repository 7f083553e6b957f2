//! Comparison: the carry of an addition of shares, and from it the sign.

use rand::Rng;
use si_ring::Bits;

use crate::{Engine, Error, Result, Side};

/// Bits of a digit, one 1-of-2^m OT each (agreement): the narrow ones send less, the wide ones make shallower trees.
const DIGIT_BITS: [u32; 2] = [3, 4];

/// Longer batches run piece by piece, which bounds the memory for messages and buffered OTs (agreement: the pieces'
/// messages follow each other).
pub(crate) const PIECE_WORDS: usize = 1 << 19;

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
        for piece in x.chunks(PIECE_WORDS) {
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
        self.reserve(clients * bits as usize, servers * bits as usize)?;

        let ch = &mut self.channel;
        let low_pending = self.receiver.one_of_many_begin(ch, digits.low_bits, &digits.low(as_receiver))?;
        let high_pending = match digits.high_count {
            0 => None,
            _ => Some(self.receiver.one_of_many_begin(ch, digits.high_bits, &digits.high(as_receiver))?),
        };
        // All indices are read before any answer, so that both directions share the round.
        let low_requested = self.sender.one_of_many_read(&mut self.channel, digits.low_bits, as_sender.len())?;
        let high_requested = match digits.high_count {
            0 => None,
            d => Some(self.sender.one_of_many_read(&mut self.channel, digits.high_bits, as_sender.len() * d)?),
        };
        let words: Vec<u64> = as_sender.iter().map(|x| !x & digits.mask).collect();
        // Our shares are the masks of the messages we send.
        let low_shares = self.mask_bytes(words.len());
        let messages = less_messages(&digits.low(&words), digits.low_bits, &low_shares);
        self.sender.one_of_many_answer(&mut self.channel, 1, low_requested, &messages)?;
        let high_shares = self.mask_bytes(words.len() * digits.high_count);
        if let Some(requested) = high_requested {
            let messages = less_equal_messages(&digits.high(&words), digits.high_bits, &high_shares);
            self.sender.one_of_many_answer(&mut self.channel, 2, requested, &messages)?;
        }

        let ch = &mut self.channel;
        let low_received = self.receiver.one_of_many_finish(ch, digits.low_bits, 1, low_pending)?;
        let high_received = match high_pending {
            None => Vec::new(),
            Some(p) => self.receiver.one_of_many_finish(ch, digits.high_bits, 2, p)?,
        };

        // Back to one bit vector for each digit, over all instances in their order.
        let join = |received: &[u8], sent: &[u8], bit: u32| {
            let (first, second) = match self.side() {
                Side::Client => (received, sent),
                Side::Server => (sent, received),
            };
            Bits::from_lsb(first.iter().chain(second).map(|b| u64::from(b >> bit)))
        };
        let mut out = vec![Digit { less: join(&low_received, &low_shares, 0), equal: None }];
        for d in 0..digits.high_count {
            let (r, s) = (as_receiver.len(), as_sender.len());
            let (received, sent) = (&high_received[d * r..(d + 1) * r], &high_shares[d * s..(d + 1) * s]);
            out.push(Digit { less: join(received, sent, 0), equal: Some(join(received, sent, 1)) });
        }
        Ok(out)
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

    /// One byte of fresh mask bits for each OT.
    fn mask_bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.rng.fill_bytes(&mut bytes);
        bytes.iter_mut().for_each(|b| *b &= 3);
        bytes
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

    pub(crate) fn low(&self, words: &[u64]) -> Vec<u8> {
        words.iter().map(|w| (w & ((1 << self.low_bits) - 1)) as u8).collect()
    }

    /// Digit-major: all instances' lowest high digit first.
    pub(crate) fn high(&self, words: &[u64]) -> Vec<u8> {
        (0..self.high_count)
            .flat_map(|d| {
                let shift = self.low_bits + d as u32 * self.high_bits;
                let mask = (1 << self.high_bits) - 1;
                words.iter().map(move |w| (w >> shift & mask) as u8)
            })
            .collect()
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

/// 1 if a < b, for small words, without a branch.
pub(crate) fn less(a: u8, b: u8) -> u8 {
    (a.wrapping_sub(b)) >> 7
}

/// 1 if a = b, for words below 128, without a branch.
pub(crate) fn equal(a: u8, b: u8) -> u8 {
    ((a ^ b).wrapping_sub(1)) >> 7
}

/// Messages j -> mask + 1{digit < j}, one bit each.
fn less_messages(digits: &[u8], bits: u32, masks: &[u8]) -> Vec<u8> {
    let one = |(d, m): (&u8, &u8)| {
        let (d, m) = (*d, *m);
        (0..1u8 << bits).map(move |j| (less(d, j) ^ m) & 1)
    };
    digits.iter().zip(masks).flat_map(one).collect()
}

/// Messages j -> mask + (1{digit < j}, 1{digit = j}), two bits each.
fn less_equal_messages(digits: &[u8], bits: u32, masks: &[u8]) -> Vec<u8> {
    let one = |(d, m): (&u8, &u8)| {
        let (d, m) = (*d, *m);
        (0..1u8 << bits).map(move |j| (less(d, j) | equal(d, j) << 1) ^ m)
    };
    digits.iter().zip(masks).flat_map(one).collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn branchless_comparisons() {
        for a in 0..16u8 {
            for b in 0..16u8 {
                assert_eq!((less(a, b), equal(a, b)), (u8::from(a < b), u8::from(a == b)));
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
