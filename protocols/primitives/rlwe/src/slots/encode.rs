//! Slots and the plaintext polynomials that hold them.
//!
//! *Agreement* between the halves of this crate: slot i of row 0 is the value of the polynomial at psi^(5^i), of row 1 at
//! psi^(-5^i), psi a primitive 2N-th root of unity modulo p
//! (the least power residue, see [`Encoder::new`]). Powers of 5 are 1 modulo 4, so that even a period of one slot works.
//!
//! Slots that repeat with period L/2 in both rows belong to a polynomial in X^(N/L), which is the polynomial of one period with L
//! coefficients and the root psi^(N/L): short vectors need short transforms only.

use std::collections::HashMap;

use crate::modulus::Modulus;
use crate::ntt::{self, Ntt};

/// Transforms between slots and coefficients modulo p for all lengths L = 2, 4, ..., N.
pub(crate) struct Encoder {
    lengths: Vec<Length>,
}

struct Length {
    ntt: Box<dyn Ntt>,
    /// For each slot, row 0 then row 1, its place among the values of `ntt`.
    places: Vec<u16>,
}

impl Encoder {
    /// For a prime p = 1 mod 2N.
    pub(crate) fn new(n: usize, modulus: Modulus, scalar: bool) -> Self {
        let p = modulus.value();
        let exponent = (p - 1) / (2 * n as u64);
        // x^((p-1)/2N) has order 2N exactly if its N-th power is -1.
        let psi = (2..p).map(|x| modulus.pow(x, exponent)).find(|&r| modulus.pow(r, n as u64) == p - 1).unwrap_or(1);
        let lengths = (1..=n.trailing_zeros())
            .map(|log| {
                let len = 1usize << log;
                let root = modulus.pow(psi, (n / len) as u64);
                let ntt = ntt::plan(len, p, root, scalar);
                // The values of X are the points themselves: whatever order the transform has.
                let mut points = vec![0; len];
                points[1] = 1;
                ntt.forward(&mut points);
                let at: HashMap<u64, u16> = points.iter().zip(0..).map(|(&x, i)| (x, i)).collect();
                let row = |mut point: u64| {
                    let mut places = Vec::with_capacity(len / 2);
                    for _ in 0..len / 2 {
                        places.push(at[&point]);
                        point = modulus.pow(point, 5);
                    }
                    places
                };
                let places = [row(root), row(modulus.inverse(root))].concat();
                Length { ntt, places }
            })
            .collect();
        Self { lengths }
    }

    fn length(&self, len: usize) -> &Length {
        &self.lengths[len.trailing_zeros() as usize - 1]
    }

    /// The coefficients of a polynomial, in X^(N/L), from its L = `slots.len()` slots, all reduced modulo p. Constant time.
    pub(crate) fn coefficients(&self, slots: &[u64], out: &mut [u64]) {
        let length = self.length(slots.len());
        for (&place, &slot) in length.places.iter().zip(slots) {
            out[usize::from(place)] = slot;
        }
        length.ntt.inverse(out);
    }

    /// The inverse of [`Self::coefficients`]; destroys `coefficients`.
    pub(crate) fn slots(&self, coefficients: &mut [u64], out: &mut [u64]) {
        let length = self.length(coefficients.len());
        length.ntt.forward(coefficients);
        for (&place, slot) in length.places.iter().zip(out) {
            *slot = coefficients[usize::from(place)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::SlotParams;

    fn vector(len: usize, p: u64, seed: u64) -> Vec<u64> {
        (1..=len as u64).map(|i| (i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) % p).collect()
    }

    #[test]
    fn slots_multiply_one_by_one_and_short_periods_are_sparse_polynomials() {
        for bits in [17, 37, 41] {
            let p = SlotParams::for_bits(bits).unwrap().field();
            let (n, m) = (8192, Modulus::new(p));
            let both = [false, true].map(|scalar| {
                let encoder = Encoder::new(n, m, scalar);
                let mut all = Vec::new();
                for len in [2usize, 8, 32, 512, n] {
                    let slots = vector(len, p, 3);
                    let mut short = vec![0; len];
                    encoder.coefficients(&slots, &mut short);
                    all.push(short.clone());
                    // The same period over and over in each row.
                    let whole: Vec<u64> = slots.chunks_exact(len / 2).flat_map(|row| row.repeat(n / len)).collect();
                    let mut long = vec![0; n];
                    encoder.coefficients(&whole, &mut long);
                    for (i, &c) in long.iter().enumerate() {
                        assert_eq!(c, if i % (n / len) == 0 { short[i / (n / len)] } else { 0 });
                    }
                    let mut back = vec![0; len];
                    encoder.slots(&mut short, &mut back);
                    assert_eq!(back, slots);
                }
                all
            });
            assert_eq!(both[0], both[1], "scalar and vector transforms");
        }
    }
}
