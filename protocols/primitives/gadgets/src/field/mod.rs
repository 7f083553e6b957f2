//! Operators on additive shares over a prime field Z_p: what CrypTFlow2's HE variant computes with (CCS 2020, section 4).
//!
//! An element stands for the signed number of least magnitude: those from (p + 1) / 2 on are negative. Shares are words
//! below p. Products with a bit take OTs of both messages, as in the paper: a difference of pads modulo p would not be
//! uniform.

mod compare;
mod nonlinear;
mod tally;
mod truncate;

#[cfg(test)]
mod tests;

use rand::Rng;
use si_ring::{Bits, packed_len};

use crate::{Engine, Error, Result, Side};

/// Greatest p has this many bits: two elements in one word of an OT with some room (agreement).
const MAX_BITS: u32 = 44;

/// The field Z_p of an odd prime p.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    p: u64,
    /// floor(2^(2 l) / p) for p of l bits.
    reciprocal: u64,
}

impl Field {
    /// The field of a prime; that it is one is not checked.
    ///
    /// # Errors
    /// If p is even, below 3, or of more than 44 bits.
    pub fn new(p: u64) -> Result<Self> {
        if p < 3 || p.is_multiple_of(2) || p >> MAX_BITS != 0 {
            return Err(Error::Width { operator: "field", why: format!("{p}: an odd prime of 2 to {MAX_BITS} bits") });
        }
        let bits = 64 - p.leading_zeros();
        Ok(Self { p, reciprocal: ((1u128 << (2 * bits)) / u128::from(p)) as u64 })
    }

    /// p.
    #[must_use]
    pub const fn p(self) -> u64 {
        self.p
    }

    /// Bits of an element.
    #[must_use]
    pub const fn bits(self) -> u32 {
        64 - self.p.leading_zeros()
    }

    /// (p + 1) / 2, the first element that stands for a negative number.
    #[must_use]
    pub const fn half(self) -> u64 {
        self.p.div_ceil(2)
    }

    /// a + b, of elements.
    #[must_use]
    pub const fn add(self, a: u64, b: u64) -> u64 {
        self.once(a + b)
    }

    /// a - b, of elements.
    #[must_use]
    pub const fn sub(self, a: u64, b: u64) -> u64 {
        self.once(a + self.p - b)
    }

    /// -a, of an element.
    #[must_use]
    pub const fn neg(self, a: u64) -> u64 {
        self.once(self.p - a)
    }

    /// a b, of elements.
    #[must_use]
    pub const fn mul(self, a: u64, b: u64) -> u64 {
        self.reduce(a as u128 * b as u128)
    }

    /// The element of a number below 2^(2 l), for p of l bits (Barrett).
    #[must_use]
    pub const fn reduce(self, x: u128) -> u64 {
        let l = self.bits();
        // At most two less than the quotient.
        let quotient = ((x >> (l - 1)) * self.reciprocal as u128) >> (l + 1);
        let rest = (x - quotient * self.p as u128) as u64;
        self.once(self.once(rest))
    }

    /// The element of a signed number of a magnitude of at most p (of others, some element).
    #[must_use]
    pub const fn from_signed(self, x: i64) -> u64 {
        let negative = (x >> 63) as u64;
        let magnitude = (x as u64 ^ negative).wrapping_sub(negative) & ((1 << self.bits()) - 1);
        let positive = self.once(magnitude);
        self.add(positive & !negative, self.neg(positive) & negative)
    }

    /// The signed number of an element.
    #[must_use]
    pub const fn to_signed(self, a: u64) -> i64 {
        a as i64 - (self.p & self.is_negative(a).wrapping_neg()) as i64
    }

    /// 1 for an element of the negative half.
    #[must_use]
    pub const fn is_negative(self, a: u64) -> u64 {
        1 ^ below(a, self.half())
    }

    /// A number below 2 p, reduced.
    const fn once(self, a: u64) -> u64 {
        a - (self.p & (1 ^ below(a, self.p)).wrapping_neg())
    }

    /// A uniform element, up to 2^-84: the high part of a product with 128 random bits.
    fn random(self, rng: &mut impl Rng) -> u64 {
        let (high, low) = (u128::from(rng.next_u64()), u128::from(rng.next_u64()));
        let p = u128::from(self.p);
        ((high * p + ((low * p) >> 64)) >> 64) as u64
    }
}

/// 1 if a < b, without a branch, for words below 2^63.
const fn below(a: u64, b: u64) -> u64 {
    a.wrapping_sub(b) >> 63
}

impl Engine {
    /// Opens additive shares to the client: the elements there, nothing at the server.
    ///
    /// # Errors
    /// If the peer fails, or sends what is no element.
    pub fn field_open_to_client(&mut self, shares: &[u64], field: Field) -> Result<Option<Vec<u64>>> {
        let what = "opened shares";
        if self.side() == Side::Server {
            let mut bytes = Vec::new();
            si_ring::pack(shares, field.bits(), &mut bytes);
            self.channel.send(&bytes)?;
            self.channel.flush()?;
            return Ok(None);
        }
        let bytes = self.channel.recv_exact(what, packed_len(shares.len(), field.bits()))?;
        let theirs = si_ring::unpack(&bytes, shares.len(), field.bits())
            .map_err(|e| self.channel.malformed(what, e.to_string()))?;
        self.elements(what, &theirs, field)?;
        Ok(Some(shares.iter().zip(theirs).map(|(a, b)| field.add(*a, b)).collect()))
    }

    /// Refuses words of the peer's that are no elements.
    fn elements(&self, what: &'static str, words: &[u64], field: Field) -> Result<()> {
        let wrong = words.iter().fold(0, |wrong, w| wrong | (1 ^ below(*w, field.p())));
        if wrong == 0 { Ok(()) } else { Err(self.channel.malformed(what, "not reduced modulo p").into()) }
    }

    /// Additive shares of b x, for Boolean shares b and additive shares x.
    ///
    /// (b0 + b1 mod 2) x0 by an OT whose choice is b1 and whose messages are 0 and x0, in an order that b0 decides, and
    /// the same for x1 (paper: section 3.1.2). Cost for n elements of l bits: 1 + 2 l bits a party and element, one OT in
    /// each direction.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn field_select(&mut self, b: &Bits, x: &[u64], field: Field) -> Result<Vec<u64>> {
        let mut out = Vec::with_capacity(x.len());
        for (i, x) in x.chunks(crate::compare::PIECE_WORDS).enumerate() {
            let b = b.slice(i * crate::compare::PIECE_WORDS, x.len());
            self.reserve(x.len(), x.len())?;
            let pending = self.receiver.chosen_begin(&mut self.channel, &b)?;
            let masks: Vec<u64> = x.iter().map(|_| field.random(&mut self.rng)).collect();
            let message = |j: u64| -> Vec<u64> {
                let one = |((b, x), r): ((u64, &u64), &u64)| field.add(*r, x & (b ^ j).wrapping_neg());
                b.iter().zip(x).zip(&masks).map(one).collect()
            };
            self.sender.chosen(&mut self.channel, field.bits(), &message(0), &message(1))?;
            let received = self.receiver.chosen_finish(&mut self.channel, field.bits(), pending)?;
            self.elements("selected numbers", &received, field)?;
            out.extend(received.iter().zip(&masks).map(|(t, r)| field.sub(*t, *r)));
        }
        Ok(out)
    }

    /// Additive shares of bits that depend on one bit of each party's, over the field and, if `narrow` is not 0, over
    /// Z_2^narrow as well: `table[j]` is the server's message for the client's bit j.
    ///
    /// Cost for n bits: n bits up, 2 n (l + narrow) bits down, one round trip, one OT that the server sends.
    fn field_bits(
        &mut self,
        ours: &Bits,
        table: impl Fn(u64, u64) -> u64,
        field: Field,
        narrow: u32,
    ) -> Result<(Vec<u64>, Vec<u64>)> {
        let l = field.bits();
        let low = (1u64 << narrow) - 1;
        let (mut wide, mut small) = (Vec::with_capacity(ours.len()), Vec::with_capacity(ours.len()));
        let mut from = 0;
        while from < ours.len() {
            let n = (ours.len() - from).min(crate::compare::PIECE_WORDS);
            let b = ours.slice(from, n);
            from += n;
            self.reserve(0, n)?;
            if self.side() == Side::Client {
                let pending = self.receiver.chosen_begin(&mut self.channel, &b)?;
                let words = self.receiver.chosen_finish(&mut self.channel, l + narrow, pending)?;
                let elements: Vec<u64> = words.iter().map(|w| w >> narrow).collect();
                self.elements("shares of bits", &elements, field)?;
                wide.extend(elements);
                small.extend(words.iter().map(|w| w & low));
            } else {
                let masks: Vec<(u64, u64)> =
                    (0..n).map(|_| (field.random(&mut self.rng), self.rng.next_u64() & low)).collect();
                let message = |j: u64| -> Vec<u64> {
                    let one = |(b, (r, s)): (u64, &(u64, u64))| {
                        let value = table(b, j);
                        field.add(*r, value) << narrow | (s.wrapping_add(value) & low)
                    };
                    b.iter().zip(&masks).map(one).collect()
                };
                self.sender.chosen(&mut self.channel, l + narrow, &message(0), &message(1))?;
                wide.extend(masks.iter().map(|(r, _)| field.neg(*r)));
                small.extend(masks.iter().map(|(_, s)| s.wrapping_neg() & low));
            }
        }
        Ok((wide, small))
    }

    /// Additive shares over the field, and over Z_2^narrow unless that is 0, of Boolean shared bits.
    ///
    /// # Errors
    /// If the peer fails.
    pub(crate) fn field_arithmetic(&mut self, b: &Bits, field: Field, narrow: u32) -> Result<(Vec<u64>, Vec<u64>)> {
        self.field_bits(b, |server, client| server ^ client, field, narrow)
    }

    /// Additive shares as above of the OR of a bit of the client's and one of the server's.
    pub(crate) fn field_or(&mut self, b: &Bits, field: Field, narrow: u32) -> Result<(Vec<u64>, Vec<u64>)> {
        self.field_bits(b, |server, client| server | client, field, narrow)
    }
}
