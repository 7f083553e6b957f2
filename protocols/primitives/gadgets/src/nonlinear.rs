//! ReLU, maximum of windows, argmax.

use si_ring::{Bits, Ring};

use crate::{Engine, Error, Result, Side};

impl Engine {
    /// Shares of max(x, 0). `signed_bits` (at most the ring's width) promises the range of x, so that fewer bits are
    /// compared.
    ///
    /// Cost: [`Engine::sign`] on `signed_bits`, then [`Engine::select`].
    ///
    /// # Errors
    /// If the promise does not fit the ring, or the peer fails.
    pub fn relu(&mut self, x: &[u64], ring: Ring, signed_bits: u32) -> Result<Vec<u64>> {
        check("relu", signed_bits, ring)?;
        let negative = self.sign(x, signed_bits)?;
        let positive = self.flip(&negative);
        self.select(&positive, x, ring)
    }

    /// Shares of the greatest value of each column: `candidates[k][i]` is candidate k of column i. A tree:
    /// max(a, b) = b + relu(a - b), on one signed bit more than the values have.
    ///
    /// # Errors
    /// If there is no candidate, the lengths differ, the promise does not fit the ring, or the peer fails.
    pub fn max(&mut self, candidates: Vec<Vec<u64>>, ring: Ring, signed_bits: u32) -> Result<Vec<u64>> {
        check("max", signed_bits + 1, ring)?;
        let columns = columns("max", &candidates)?;
        let mut left = candidates;
        while left.len() > 1 {
            let pairs = left.len() / 2;
            let odd = (left.len() % 2 == 1).then(|| left.pop()).flatten();
            let (a, b) = interleaved(&left);
            let difference: Vec<u64> = a.iter().zip(&b).map(|(a, b)| ring.sub(*a, *b)).collect();
            let gain = self.relu(&difference, ring, signed_bits + 1)?;
            let best: Vec<u64> = b.iter().zip(gain).map(|(b, g)| ring.add(*b, g)).collect();
            left = (0..pairs).map(|p| best[p * columns..(p + 1) * columns].to_vec()).collect();
            left.extend(odd);
        }
        Ok(left.swap_remove(0))
    }

    /// Index of the greatest value of each column, the lowest on a tie, opened to the client (`None` at the server).
    ///
    /// A tree as in [`Engine::max`] that carries the index along; the index is selected in the same OTs' rounds.
    ///
    /// # Errors
    /// As [`Engine::max`]; and if the ring is too small to hold an index.
    pub fn argmax(&mut self, candidates: Vec<Vec<u64>>, ring: Ring, signed_bits: u32) -> Result<Option<Vec<usize>>> {
        check("argmax", signed_bits + 1, ring)?;
        let columns = columns("argmax", &candidates)?;
        let index_bits = index_bits(candidates.len());
        if index_bits > ring.bits() {
            let why = format!("an index of {index_bits} bits over {} bits", ring.bits());
            return Err(Error::Width { operator: "argmax", why });
        }
        let mut indices: Vec<Vec<u64>> =
            (0..candidates.len() as u64).map(|k| vec![k * self.side().is_client(); columns]).collect();
        let mut left = candidates;
        while left.len() > 1 {
            let pairs = left.len() / 2;
            let odd = (left.len() % 2 == 1).then(|| left.pop().zip(indices.pop())).flatten();
            let ((a, b), (ia, ib)) = (interleaved(&left), interleaved(&indices));
            // b wins only if strictly greater: then a - b is negative. Earlier candidates stay on the left.
            let minus = |x: &[u64], y: &[u64]| -> Vec<u64> { x.iter().zip(y).map(|(x, y)| ring.sub(*x, *y)).collect() };
            let mut wins = self.sign(&minus(&a, &b), signed_bits + 1)?;
            wins.extend(&wins.clone());
            let mut steps = minus(&b, &a);
            steps.extend(minus(&ib, &ia));
            let steps = self.select(&wins, &steps, ring)?;
            let take = |from: &[u64], by: &[u64]| -> Vec<Vec<u64>> {
                let best: Vec<u64> = from.iter().zip(by).map(|(f, s)| ring.add(*f, *s)).collect();
                best.chunks(columns.max(1)).map(<[u64]>::to_vec).collect()
            };
            left = take(&a, &steps[..pairs * columns]);
            indices = take(&ia, &steps[pairs * columns..]);
            if let Some((value, index)) = odd {
                left.push(value);
                indices.push(index);
            }
        }
        let ring = Ring::new(index_bits).map_err(|e| Error::Width { operator: "argmax", why: e.to_string() })?;
        let index: Vec<u64> = indices.swap_remove(0).into_iter().map(|i| ring.reduce(i)).collect();
        let opened = self.open_to_client(&index, ring)?;
        Ok(opened.map(|o| o.into_iter().map(|i| i as usize).collect()))
    }

    /// Shares of the complement.
    pub(crate) fn flip(&self, b: &Bits) -> Bits {
        if self.side() == Side::Client { b.not() } else { b.clone() }
    }
}

/// Bits that hold an index below `count`.
pub(crate) fn index_bits(count: usize) -> u32 {
    (usize::BITS - count.saturating_sub(1).leading_zeros()).max(1)
}

fn check(operator: &'static str, signed_bits: u32, ring: Ring) -> Result<()> {
    if (2..=ring.bits()).contains(&signed_bits) {
        Ok(())
    } else {
        Err(Error::Width { operator, why: format!("{signed_bits} signed bits over {} bits", ring.bits()) })
    }
}

pub(crate) fn columns(operator: &'static str, candidates: &[Vec<u64>]) -> Result<usize> {
    let n = candidates.first().map(Vec::len);
    match n {
        Some(n) if candidates.iter().all(|c| c.len() == n) => Ok(n),
        _ => Err(Error::Width { operator, why: "no candidates, or of different lengths".to_owned() }),
    }
}

/// Even and odd candidates, each one after the other.
pub(crate) fn interleaved(candidates: &[Vec<u64>]) -> (Vec<u64>, Vec<u64>) {
    let pick = |odd: usize| candidates.iter().skip(odd).step_by(2).flatten().copied().collect();
    (pick(0), pick(1))
}
