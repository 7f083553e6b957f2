//! A packed vector of bits with word-parallel XOR and AND: Boolean shares, choice bits, masks.

use crate::Error;

/// `len` bits, 64 a word, the unused high bits of the last word always zero.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// `len` zero bits.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// `len` one bits.
    #[must_use]
    pub fn ones(len: usize) -> Self {
        Self::from_words(vec![u64::MAX; len.div_ceil(64)], len)
    }

    /// The first `len` bits of `words`; missing words are zero, surplus bits are dropped.
    #[must_use]
    pub fn from_words(mut words: Vec<u64>, len: usize) -> Self {
        words.resize(len.div_ceil(64), 0);
        let mut bits = Self { words, len };
        bits.clear_tail();
        bits
    }

    /// One bit for each word, its lowest.
    pub fn from_lsb(values: impl IntoIterator<Item = u64>) -> Self {
        let (mut words, mut word, mut len) = (Vec::new(), 0, 0);
        for v in values {
            word |= (v & 1) << (len % 64);
            len += 1;
            if len % 64 == 0 {
                words.push(std::mem::take(&mut word));
            }
        }
        if len % 64 > 0 {
            words.push(word);
        }
        Self { words, len }
    }

    /// Number of bits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The words, the last padded with zeros.
    #[must_use]
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// Bit `i` as 0 or 1. The index must be public.
    ///
    /// # Panics
    /// If `i` is out of range.
    #[must_use]
    pub fn get(&self, i: usize) -> u64 {
        assert!(i < self.len, "bit {i} of {}", self.len);
        self.words[i / 64] >> (i % 64) & 1
    }

    /// Adds one bit (the lowest of `bit`) at the end.
    pub fn push(&mut self, bit: u64) {
        if self.len.is_multiple_of(64) {
            self.words.push(0);
        }
        self.words[self.len / 64] |= (bit & 1) << (self.len % 64);
        self.len += 1;
    }

    /// Adds all bits of another vector at the end.
    pub fn extend(&mut self, other: &Self) {
        let shift = self.len % 64;
        self.len += other.len;
        if shift == 0 {
            self.words.extend_from_slice(&other.words);
            return;
        }
        for &w in &other.words {
            if let Some(last) = self.words.last_mut() {
                *last |= w << shift;
            }
            self.words.push(w >> (64 - shift));
        }
        self.words.truncate(self.len.div_ceil(64));
    }

    /// The bits `from..from + len`.
    ///
    /// # Panics
    /// If the range is out of bounds.
    #[must_use]
    pub fn slice(&self, from: usize, len: usize) -> Self {
        assert!(from + len <= self.len, "bits {from}..{} of {}", from + len, self.len);
        let (first, shift) = (from / 64, from % 64);
        let words = (0..len.div_ceil(64))
            .map(|i| {
                let low = self.words[first + i] >> shift;
                let high = self.words.get(first + i + 1).copied().unwrap_or(0);
                if shift == 0 { low } else { low | high << (64 - shift) }
            })
            .collect();
        Self::from_words(words, len)
    }

    /// Bitwise XOR.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn xor(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a ^ b)
    }

    /// Bitwise AND.
    ///
    /// # Panics
    /// If the lengths differ.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// Bitwise complement.
    #[must_use]
    pub fn not(&self) -> Self {
        Self::from_words(self.words.iter().map(|w| !w).collect(), self.len)
    }

    /// Each bit as a word 0 or 1.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.len).map(|i| self.words[i / 64] >> (i % 64) & 1)
    }

    /// Appends the bits to a byte string, eight a byte, lowest first.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bytes = self.len.div_ceil(8);
        out.extend(self.words.iter().flat_map(|w| w.to_le_bytes()).take(bytes));
    }

    /// The inverse of [`Self::encode`].
    ///
    /// # Errors
    /// If the length does not fit or the padding is not zero.
    pub fn decode(bytes: &[u8], len: usize) -> Result<Self, Error> {
        if bytes.len() != len.div_ceil(8) {
            return Err(Error::PackedLength { got: bytes.len(), want: len.div_ceil(8), count: len, bits: 1 });
        }
        let words: Vec<u64> = bytes
            .chunks(8)
            .map(|c| {
                let mut w = [0; 8];
                w[..c.len()].copy_from_slice(c);
                u64::from_le_bytes(w)
            })
            .collect();
        let bits = Self::from_words(words.clone(), len);
        if bits.words == words { Ok(bits) } else { Err(Error::Padding) }
    }

    fn zip(&self, other: &Self, f: impl Fn(u64, u64) -> u64) -> Self {
        assert_eq!(self.len, other.len, "bit vectors of different lengths");
        let words = self.words.iter().zip(&other.words).map(|(&a, &b)| f(a, b)).collect();
        Self { words, len: self.len }
    }

    fn clear_tail(&mut self) {
        if let (Some(last), tail @ 1..) = (self.words.last_mut(), self.len % 64) {
            *last &= u64::MAX >> (64 - tail);
        }
    }
}

impl FromIterator<bool> for Bits {
    fn from_iter<T: IntoIterator<Item = bool>>(iter: T) -> Self {
        Self::from_lsb(iter.into_iter().map(u64::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(len: usize) -> Bits {
        (0..len).map(|i| (i * i + i / 3) % 5 < 2).collect()
    }

    #[test]
    fn slices_and_extensions_agree_with_single_bits() {
        for len in [0, 1, 63, 64, 65, 127, 128, 200] {
            let a = pattern(len);
            for from in [0, len / 3, len / 2] {
                let s = a.slice(from, len - from);
                assert!(s.iter().eq(a.iter().skip(from)));
                let mut joined = a.slice(0, from);
                joined.extend(&s);
                assert_eq!(joined, a, "len {len} from {from}");
            }
            assert_eq!(a.xor(&a), Bits::zeros(len));
            assert_eq!(a.and(&Bits::ones(len)), a);
            assert_eq!(a.not().not(), a);
        }
    }

    #[test]
    fn bytes_round_trip_and_refuse_padding() {
        let a = pattern(13);
        let mut bytes = Vec::new();
        a.encode(&mut bytes);
        assert_eq!(Bits::decode(&bytes, 13).unwrap(), a);
        assert!(Bits::decode(&bytes, 17).is_err());
        bytes[1] |= 0x80;
        assert_eq!(Bits::decode(&bytes, 13), Err(Error::Padding));
    }
}
