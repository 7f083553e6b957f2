//! The server's weights, ready to be multiplied.

use crate::mac::{ANSWERS, Weights};
use crate::noise;
use crate::plan::LinearPlan;
use crate::poly::{Coeff, Poly};
use crate::{Error, Result};

/// The weights of a layer as transformed polynomials: made once, used for every part of every batch of the same plan.
pub struct EncodedWeights {
    plan: u64,
    /// For each group of channels, its answers in chunks.
    groups: Vec<Vec<Weights>>,
    norm: f64,
    statistical_bits: f64,
}

impl std::fmt::Debug for EncodedWeights {
    /// Says nothing about the weights.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EncodedWeights(plan {:016x})", self.plan)
    }
}

impl EncodedWeights {
    /// Euclidean norm of the heaviest answer polynomial. It is a function of the weights: the server's secret.
    #[must_use]
    pub fn norm(&self) -> f64 {
        self.norm
    }

    /// -log2 of the statistical distance by which a revealed coefficient depends on the weights; at least
    /// [`crate::STATISTICAL_BITS`]. See [`crate::noise`].
    #[must_use]
    pub fn statistical_bits(&self) -> f64 {
        self.statistical_bits
    }

    pub(crate) fn group(&self, group: usize) -> &[Weights] {
        &self.groups[group]
    }

    pub(crate) fn plan(&self) -> u64 {
        self.plan
    }
}

impl LinearPlan {
    /// Encodes signed weights (out channel, in channel / groups, row, column). Cost: `cost().weight_polys` times one transform
    /// per prime, and `cost().weight_bytes` of memory.
    ///
    /// # Errors
    /// If there are not [`Self::weight_len`] weights, or they are so large that flooding would not hide them.
    pub fn encode_weights(&self, weights: &[i64]) -> Result<EncodedWeights> {
        if weights.len() != self.weight_len() {
            return Err(Error::Length { what: "weights", got: weights.len(), want: self.weight_len() });
        }
        let norm = self.greatest_norm(weights);
        if norm > self.params.max_weight_norm() {
            return Err(Error::WeightNorm {
                norm: norm.ceil() as u64,
                max: self.params.max_weight_norm() as u64,
                statistical_bits: crate::STATISTICAL_BITS,
            });
        }
        let groups = (0..self.layer.groups)
            .map(|group| {
                (0..self.counts.filters)
                    .step_by(ANSWERS)
                    .map(|first| self.encode_chunk(group, first, weights))
                    .collect()
            })
            .collect();
        let statistical_bits = noise::statistical_bits(&self.params, norm);
        Ok(EncodedWeights { plan: self.tag(), groups, norm, statistical_bits })
    }

    fn encode_chunk(&self, group: usize, first: usize, weights: &[i64]) -> Weights {
        let params = &self.params;
        let answers = ANSWERS.min(self.counts.filters - first);
        let mut chunk = Weights::new(params, answers, self.counts.channels);
        for answer in 0..answers {
            for block in 0..self.counts.channels {
                let mut poly = Poly::<Coeff>::zero(params);
                for (limb, row) in params.limbs().iter().zip(poly.rows_mut(params)) {
                    self.place_weights(group, first + answer, block, |at, index| {
                        row[at] = limb.modulus.signed(weights[index]);
                    });
                }
                chunk.set(params, answer, block, &poly.into_values(params));
            }
        }
        chunk
    }

    /// sqrt of the greatest sum of squares that meets in one answer polynomial.
    fn greatest_norm(&self, weights: &[i64]) -> f64 {
        let filters = self.layer.out_channels / self.layer.groups;
        let per_filter = self.weight_len() / self.layer.out_channels;
        let square = |w: &i64| u128::from(w.unsigned_abs()).pow(2);
        let greatest = weights
            .chunks(filters * per_filter)
            .flat_map(|group| group.chunks(self.window.filters * per_filter))
            .map(|block| block.iter().map(square).fold(0u128, u128::saturating_add))
            .max();
        (greatest.unwrap_or(0) as f64).sqrt()
    }
}
