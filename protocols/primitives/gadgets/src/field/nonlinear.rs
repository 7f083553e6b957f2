//! ReLU, maximum of windows, argmax.

use si_ring::Bits;

use super::Field;
use crate::nonlinear::{columns, interleaved};
use crate::{Engine, Result};

impl Engine {
    /// Shares of max(x, 0): [`Engine::field_signs`], then [`Engine::field_select`] (paper: section 4.3).
    ///
    /// # Errors
    /// If the peer fails.
    pub fn field_relu(&mut self, x: &[u64], field: Field) -> Result<Vec<u64>> {
        let (_, negative) = self.field_signs(x, field)?;
        let positive = self.flip(&negative);
        self.field_select(&positive, x, field)
    }

    /// Shares of the greatest value of each column, as [`Engine::max`]; differences of values must be below p / 2.
    ///
    /// # Errors
    /// If there is no candidate, the lengths differ, or the peer fails.
    pub fn field_max(&mut self, candidates: Vec<Vec<u64>>, field: Field) -> Result<Vec<u64>> {
        let columns = columns("max", &candidates)?;
        let mut left = candidates;
        while left.len() > 1 {
            let pairs = left.len() / 2;
            let odd = (left.len() % 2 == 1).then(|| left.pop()).flatten();
            let (a, b) = interleaved(&left);
            let gain = self.field_relu(&minus(&a, &b, field), field)?;
            let best: Vec<u64> = b.iter().zip(gain).map(|(b, g)| field.add(*b, g)).collect();
            left = (0..pairs).map(|p| best[p * columns..(p + 1) * columns].to_vec()).collect();
            left.extend(odd);
        }
        Ok(left.swap_remove(0))
    }

    /// Index of the greatest value of each column, the lowest on a tie, opened to the client (`None` at the server), as
    /// [`Engine::argmax`]; differences of values must be below p / 2.
    ///
    /// # Errors
    /// As [`Engine::field_max`].
    pub fn field_argmax(&mut self, candidates: Vec<Vec<u64>>, field: Field) -> Result<Option<Vec<usize>>> {
        let columns = columns("argmax", &candidates)?;
        let mut indices: Vec<Vec<u64>> =
            (0..candidates.len() as u64).map(|k| vec![k * self.side().is_client(); columns]).collect();
        let mut left = candidates;
        while left.len() > 1 {
            let pairs = left.len() / 2;
            let odd = (left.len() % 2 == 1).then(|| left.pop().zip(indices.pop())).flatten();
            let ((a, b), (ia, ib)) = (interleaved(&left), interleaved(&indices));
            // b wins only if strictly greater: then a - b is negative. Earlier candidates stay on the left.
            let (_, wins) = self.field_signs(&minus(&a, &b, field), field)?;
            let mut both: Bits = wins.clone();
            both.extend(&wins);
            let mut steps = minus(&b, &a, field);
            steps.extend(minus(&ib, &ia, field));
            let steps = self.field_select(&both, &steps, field)?;
            let take = |from: &[u64], by: &[u64]| -> Vec<Vec<u64>> {
                let best: Vec<u64> = from.iter().zip(by).map(|(f, s)| field.add(*f, *s)).collect();
                best.chunks(columns.max(1)).map(<[u64]>::to_vec).collect()
            };
            left = take(&a, &steps[..pairs * columns]);
            indices = take(&ia, &steps[pairs * columns..]);
            if let Some((value, index)) = odd {
                left.push(value);
                indices.push(index);
            }
        }
        let opened = self.field_open_to_client(&indices.swap_remove(0), field)?;
        Ok(opened.map(|o| o.into_iter().map(|i| i as usize).collect()))
    }
}

fn minus(x: &[u64], y: &[u64], field: Field) -> Vec<u64> {
    x.iter().zip(y).map(|(x, y)| field.sub(*x, *y)).collect()
}
