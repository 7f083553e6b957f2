//! The server's weights, ready to be multiplied.

use std::sync::Arc;

use crate::ahead::WeightsAhead;
use crate::mac::{ANSWERS, TOGETHER, Weights};
use crate::noise;
use crate::plan::LinearPlan;
use crate::poly::{Coeff, Poly, Values};
use crate::{Error, Result};

/// The weights of a layer, checked against the noise budget and ready to be multiplied: by every part of every batch of the
/// same plan.
pub struct EncodedWeights {
    plan: u64,
    source: Source,
    norm: f64,
    statistical_bits: f64,
}

enum Source {
    /// For each group of channels, its answers in chunks: transformed once and kept.
    Ready(Vec<Vec<Weights>>),
    /// The plain weights: transformed at each use.
    Deferred(PlainWeights),
}

/// Signed weights (out channel, in channel / groups, row, column), shared with their owner: see
/// [`LinearPlan::defer_shared_weights`].
pub type PlainWeights = Arc<dyn AsRef<[i64]> + Send + Sync>;

/// Which deferred weights are transformed together: for up to [`ANSWERS`] answers from `first` and [`SPAN`] ciphertexts from
/// `block` of a group of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) group: usize,
    pub(crate) first: usize,
    pub(crate) block: usize,
}

/// Deferred weights are transformed for so many ciphertexts and [`ANSWERS`] answers at a time, 4 MiB at N = 4096, to be used
/// before they leave the cache. *Local.*
pub(crate) const SPAN: usize = 8;

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

    pub(crate) fn plan(&self) -> u64 {
        self.plan
    }

    /// The plain weights, if they are transformed at each use.
    pub(crate) fn deferred(&self) -> Option<&[i64]> {
        match &self.source {
            Source::Deferred(plain) => Some((**plain).as_ref()),
            Source::Ready(_) => None,
        }
    }
}

impl LinearPlan {
    /// Encodes signed weights (out channel, in channel / groups, row, column), once for all uses. Cost:
    /// `cost().weight_polys` times one transform per prime, and `cost().weight_bytes` of memory.
    ///
    /// # Errors
    /// If there are not [`Self::weight_len`] weights, or they are so large that flooding would not hide them.
    pub fn encode_weights(&self, weights: &[i64]) -> Result<EncodedWeights> {
        let mut encoded = self.defer_weights(weights)?;
        let chunk = |group, first: usize| {
            let answers = ANSWERS.min(self.counts.filters - first);
            let mut chunk = Weights::new(&self.params, answers, self.counts.channels);
            self.fill_chunk(ChunkPlace { group, first, block: 0 }, weights, &mut chunk);
            chunk
        };
        let group = |group| (0..self.counts.filters).step_by(ANSWERS).map(|first| chunk(group, first)).collect();
        encoded.source = Source::Ready((0..self.layer.groups).map(group).collect());
        Ok(encoded)
    }

    /// As [`Self::encode_weights`], but keeps the weights as they are and transforms them at each use, a few at a time and while
    /// they are in the cache, once for all queries that are answered together: less work in all than writing large weights to
    /// memory and reading them again, and no memory.
    ///
    /// # Errors
    /// As [`Self::encode_weights`].
    pub fn defer_weights(&self, weights: &[i64]) -> Result<EncodedWeights> {
        self.defer_shared_weights(Arc::new(weights.to_vec()))
    }

    /// As [`Self::defer_weights`] without a copy.
    ///
    /// # Errors
    /// As [`Self::encode_weights`].
    pub fn defer_shared_weights(&self, shared: PlainWeights) -> Result<EncodedWeights> {
        let weights = (*shared).as_ref();
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
        let statistical_bits = noise::statistical_bits(&self.params, norm);
        Ok(EncodedWeights { plan: self.tag(), source: Source::Deferred(shared), norm, statistical_bits })
    }

    /// Calls `f(first answer, first ciphertext, weights)` for all answers of a group of channels, a chunk at a time: answers in
    /// order, and for each all ciphertexts in order, [`SPAN`] at a time if the weights are deferred, else all at once.
    ///
    /// Deferred weights come from `ahead` as far as it has them.
    pub(crate) fn for_each_chunk<E>(
        &self,
        weights: &EncodedWeights,
        ahead: Option<&WeightsAhead>,
        group: usize,
        mut f: impl FnMut(usize, usize, &Weights) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match &weights.source {
            Source::Ready(groups) => {
                for (first, chunk) in (0..).step_by(ANSWERS).zip(&groups[group]) {
                    f(first, 0, chunk)?;
                }
            }
            Source::Deferred(plain) => {
                let mut own = Weights::new(&self.params, 0, 0);
                for place in self.group_places(group) {
                    if let Some((ahead, chunk)) = ahead.and_then(|a| Some((a, a.take(weights, place)?))) {
                        f(place.first, place.block, &chunk)?;
                        ahead.give_back(chunk);
                    } else {
                        self.fill_deferred(place, (**plain).as_ref(), &mut own);
                        f(place.first, place.block, &own)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The chunks of deferred weights of a group of channels, in the order of their use.
    fn group_places(&self, group: usize) -> impl Iterator<Item = ChunkPlace> + use<> {
        let (filters, channels) = (self.counts.filters, self.counts.channels);
        (0..filters)
            .step_by(ANSWERS)
            .flat_map(move |first| (0..channels).step_by(SPAN).map(move |block| ChunkPlace { group, first, block }))
    }

    /// The chunks of deferred weights, in the order of their use, if `together` queries are answered at a time.
    pub(crate) fn chunk_places(&self, together: usize) -> Vec<ChunkPlace> {
        let mut places = Vec::new();
        for first in (0..self.parts()).step_by(together.max(1)) {
            let last = (first + together.max(1)).min(self.parts()) - 1;
            (self.group_of(first)..=self.group_of(last)).for_each(|group| places.extend(self.group_places(group)));
        }
        places
    }

    /// The chunk of deferred weights at a place.
    pub(crate) fn transform_chunk(&self, weights: &EncodedWeights, place: ChunkPlace, chunk: &mut Weights) {
        if let Source::Deferred(plain) = &weights.source {
            self.fill_deferred(place, (**plain).as_ref(), chunk);
        }
    }

    fn fill_deferred(&self, place: ChunkPlace, weights: &[i64], chunk: &mut Weights) {
        let answers = ANSWERS.min(self.counts.filters - place.first);
        chunk.resize(&self.params, answers, SPAN.min(self.counts.channels - place.block));
        self.fill_chunk(place, weights, chunk);
    }

    fn fill_chunk(&self, place: ChunkPlace, weights: &[i64], chunk: &mut Weights) {
        let ChunkPlace { group, first, block: first_block } = place;
        let mut small = Vec::new();
        let mut polys: Vec<Poly<Values>> = Vec::new();
        for answer in 0..chunk.answers() {
            for block in (0..chunk.count()).step_by(TOGETHER) {
                let blocks = block..(block + TOGETHER).min(chunk.count());
                polys.resize_with(blocks.len(), || Poly::zero(&self.params));
                for (poly, block) in polys.iter_mut().zip(blocks) {
                    self.transform_weight(group, first + answer, first_block + block, weights, &mut small, poly);
                }
                chunk.set(&self.params, answer, block, &polys.iter().collect::<Vec<_>>());
            }
        }
    }

    /// One weight polynomial at the roots, in the memory of `poly`; `small` is working space.
    fn transform_weight(
        &self,
        group: usize,
        answer: usize,
        block: usize,
        weights: &[i64],
        small: &mut Vec<i64>,
        poly: &mut Poly<Values>,
    ) {
        let step = self.weight_step();
        small.clear();
        small.resize(self.params.n() / step, 0);
        self.place_weights(group, answer, block, |at, index| small[at / step] = weights[index]);
        let memory: Poly<Coeff> = std::mem::take(poly).recycle();
        *poly = memory.into_values_of(&self.params, small);
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
