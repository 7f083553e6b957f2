//! Bytes of polynomials and headers. Every value has one encoding, and nothing is allocated before lengths are checked.

use si_ring::packed_len;

use crate::params::Params;
use crate::poly::{Coeff, Poly, Values};
use crate::vector::{Kernel, pack, unpack};
use crate::{Error, Result};

/// Appends a polynomial: N residues of each prime, as many bits each as the prime has.
pub(crate) fn put_poly<R>(params: &Params, poly: &Poly<R>, out: &mut Vec<u8>) {
    for (limb, row) in params.limbs().iter().zip(poly.rows(params)) {
        pack(params.kernel(), row, limb.modulus.bits(), out);
    }
}

fn take_rows<R>(params: &Params, what: &'static str, bytes: &[u8], poly: &mut Poly<R>) -> Result<()> {
    let mut rest = bytes;
    for (limb, row) in params.limbs().iter().zip(poly.rows_mut(params)) {
        let len = packed_len(params.n(), limb.modulus.bits());
        let Some((head, tail)) = rest.split_at_checked(len) else {
            return Err(Error::malformed(what, format!("{} bytes are too short for a polynomial", bytes.len())));
        };
        unpack(params.kernel(), head, limb.modulus.bits(), row).map_err(|e| Error::malformed(what, e.to_string()))?;
        let p = limb.modulus.value();
        // Peer's values are public; a fold without early exit also vectorises.
        if row.iter().fold(false, |bad, &x| bad | (x >= p)) {
            return Err(Error::malformed(what, format!("a residue is not below its prime {p}")));
        }
        rest = tail;
    }
    if rest.is_empty() { Ok(()) } else { Err(Error::malformed(what, "bytes follow the last polynomial")) }
}

/// The polynomial of exactly these bytes, in coefficients.
pub(crate) fn take_coeff(params: &Params, what: &'static str, bytes: &[u8]) -> Result<Poly<Coeff>> {
    check_len(what, bytes.len(), params.poly_bytes())?;
    let mut poly = Poly::zero(params);
    take_rows(params, what, bytes, &mut poly)?;
    Ok(poly)
}

/// As [`take_coeff`], for values.
pub(crate) fn take_values(params: &Params, what: &'static str, bytes: &[u8]) -> Result<Poly<Values>> {
    check_len(what, bytes.len(), params.poly_bytes())?;
    let mut poly = Poly::zero(params);
    take_rows(params, what, bytes, &mut poly)?;
    Ok(poly)
}

pub(crate) fn check_len(what: &'static str, got: usize, want: usize) -> Result<()> {
    if got == want { Ok(()) } else { Err(Error::malformed(what, format!("{got} bytes where {want} are due"))) }
}

/// Numbers modulo 2^bits, bits up to 128, as the words below and above 2^64 (`high` is empty up to 64 bits).
#[derive(Default)]
pub(crate) struct Wide {
    pub(crate) low: Vec<u64>,
    pub(crate) high: Vec<u64>,
}

impl Wide {
    pub(crate) fn push(&mut self, x: u128, bits: u32) {
        self.low.push(x as u64);
        if bits > 64 {
            self.high.push((x >> 64) as u64);
        }
    }

    pub(crate) fn get(&self, i: usize) -> u128 {
        u128::from(self.low[i]) | u128::from(self.high.get(i).copied().unwrap_or(0)) << 64
    }

    /// Bytes of `count` numbers.
    pub(crate) fn bytes(count: usize, bits: u32) -> usize {
        if bits > 64 { 8 * count + packed_len(count, bits - 64) } else { packed_len(count, bits) }
    }

    pub(crate) fn put(&self, kernel: Kernel, bits: u32, out: &mut Vec<u8>) {
        pack(kernel, &self.low, bits.min(64), out);
        if bits > 64 {
            pack(kernel, &self.high, bits - 64, out);
        }
    }

    pub(crate) fn take(kernel: Kernel, what: &'static str, bytes: &[u8], count: usize, bits: u32) -> Result<Self> {
        check_len(what, bytes.len(), Self::bytes(count, bits))?;
        let (low, high) = bytes.split_at(packed_len(count, bits.min(64)));
        let words = |bytes, bits| {
            let mut words = vec![0; count];
            unpack(kernel, bytes, bits, &mut words).map_err(|e| Error::malformed(what, e.to_string()))?;
            Ok(words)
        };
        let high = if bits > 64 { words(high, bits - 64)? } else { Vec::new() };
        Ok(Self { low: words(low, bits.min(64))?, high })
    }
}

/// What every message begins with: for which plan, under which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) plan: u64,
    pub(crate) key: u64,
}

impl Header {
    pub(crate) const BYTES: usize = 16;

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.plan.to_le_bytes());
        out.extend_from_slice(&self.key.to_le_bytes());
    }

    /// Checks the header and returns what follows.
    pub(crate) fn check<'a>(self, what: &'static str, bytes: &'a [u8]) -> Result<&'a [u8]> {
        let Some((head, rest)) = bytes.split_at_checked(Self::BYTES) else {
            return Err(Error::malformed(what, format!("{} bytes are too short for a header", bytes.len())));
        };
        if head[..8] != self.plan.to_le_bytes() {
            return Err(Error::malformed(what, "it was made for other parameters or another layer"));
        }
        if head[8..] != self.key.to_le_bytes() {
            return Err(Error::malformed(what, "it was made with another key"));
        }
        Ok(rest)
    }
}

/// What follows the header of an answer: the part, and the first of its answer polynomials in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AnswerPlace {
    pub(crate) part: usize,
    pub(crate) first: usize,
}

impl AnswerPlace {
    pub(crate) const BYTES: usize = 8;

    pub(crate) fn put(self, out: &mut Vec<u8>) {
        // Both are numbers of ciphertexts, of which there are fewer than 2^32: a tensor has at most 2^34 elements.
        out.extend_from_slice(&(self.part as u32).to_le_bytes());
        out.extend_from_slice(&(self.first as u32).to_le_bytes());
    }

    /// The place and what follows it.
    pub(crate) fn take<'a>(what: &'static str, bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        let Some(([part, first], rest)) = bytes.split_first_chunk::<8>().map(|(head, rest)| {
            let word = |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]) as usize;
            ([word(0), word(4)], rest)
        }) else {
            return Err(Error::malformed(what, format!("{} bytes are too short for a place", bytes.len())));
        };
        Ok((Self { part, first }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_numbers_round_trip() {
        for bits in [5, 47, 64, 65, 75, 100] {
            let mut w = Wide::default();
            let values: Vec<u128> =
                (1..=9u128).map(|i| i.wrapping_mul(0x1234_5678_9abc_def1_0fed_cba9) & ((1 << bits) - 1)).collect();
            values.iter().for_each(|&x| w.push(x, bits));
            let mut bytes = Vec::new();
            let kernel = Kernel::choose(false);
            w.put(kernel, bits, &mut bytes);
            assert_eq!(bytes.len(), Wide::bytes(9, bits));
            let back = Wide::take(kernel, "test", &bytes, 9, bits).unwrap();
            assert!((0..9).all(|i| back.get(i) == values[i]));
            assert!(Wide::take(kernel, "test", &bytes[1..], 9, bits).is_err());
            assert!(Wide::take(kernel, "test", &bytes, usize::MAX / 128, bits).is_err());
        }
    }

    #[test]
    fn residues_out_of_range_are_refused() {
        let params = Params::for_ring(37).unwrap();
        let mut bytes = vec![0; params.poly_bytes()];
        assert!(take_coeff(&params, "test", &bytes).is_ok());
        bytes[..8].fill(0xff);
        assert!(matches!(take_coeff(&params, "test", &bytes), Err(Error::Malformed { .. })));
        assert!(take_values(&params, "test", &bytes[1..]).is_err());
    }
}
