//! The server's weights, ready to be multiplied.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::ahead::WeightsAhead;
use crate::mac::{self, ANSWERS, LANES, TOGETHER, Weights};
use crate::noise;
use crate::plan::LinearPlan;
use crate::poly;
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

/// Which deferred weights are transformed together: for up to [`ANSWERS`] answers from `first` and `span` ciphertexts from
/// `block` of a group of channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkPlace {
    pub(crate) group: usize,
    pub(crate) first: usize,
    pub(crate) block: usize,
    pub(crate) span: usize,
}

/// Memory for deferred weights that are transformed at a time, where `together` queries meet them: for one query so little
/// that they are used before they leave the cache. For several, their sums are the greater part of the memory traffic, and
/// are touched less often by longer spans. *Local.*
const fn most_chunk_bytes(together: usize) -> usize {
    if together < 2 { 2 << 20 } else { 16 << 20 }
}

/// The longest span: its block of ciphertexts, 32 KiB, stays in the first cache. *Local.*
const LONGEST_SPAN: usize = 64;

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
            let mut chunk = Weights::new(&self.params, self.weight_step(), answers, self.counts.channels);
            self.fill_chunk(ChunkPlace { group, first, block: 0, span: self.counts.channels }, weights, &mut chunk);
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
    /// order, and for each all ciphertexts in order, `span` at a time if the weights are deferred, else all at once.
    ///
    /// Deferred weights come from `ahead` as far as it has them.
    pub(crate) fn for_each_chunk<E>(
        &self,
        weights: &EncodedWeights,
        ahead: Option<&WeightsAhead>,
        group: usize,
        span: usize,
        mut f: impl FnMut(usize, usize, &Weights) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        match &weights.source {
            Source::Ready(groups) => {
                for (first, chunk) in (0..).step_by(ANSWERS).zip(&groups[group]) {
                    f(first, 0, chunk)?;
                }
            }
            Source::Deferred(plain) => {
                let mut own = Weights::new(&self.params, 1, 0, 0);
                for place in self.group_places(group, span) {
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
    fn group_places(&self, group: usize, span: usize) -> impl Iterator<Item = ChunkPlace> + use<> {
        let (filters, channels) = (self.counts.filters, self.counts.channels);
        (0..filters).step_by(ANSWERS).flat_map(move |first| {
            (0..channels).step_by(span).map(move |block| ChunkPlace { group, first, block, span })
        })
    }

    /// The chunks of deferred weights, in the order of their use, if `together` queries are answered at a time.
    pub(crate) fn chunk_places(&self, together: usize) -> Vec<ChunkPlace> {
        let mut places = Vec::new();
        for first in (0..self.parts()).step_by(together.max(1)) {
            let last = (first + together.max(1)).min(self.parts()) - 1;
            let span = self.span(last + 1 - first);
            (self.group_of(first)..=self.group_of(last))
                .for_each(|group| places.extend(self.group_places(group, span)));
        }
        places
    }

    /// Memory of one transformed weight polynomial.
    pub(crate) fn weight_poly_bytes(&self) -> usize {
        self.params.primes() * self.params.n() / LANES * mac::width(self.weight_step()) * size_of::<u64>()
    }

    /// For how many ciphertexts deferred weights are transformed at a time, if `together` queries are answered together.
    pub(crate) fn span(&self, together: usize) -> usize {
        (most_chunk_bytes(together) / (ANSWERS * self.weight_poly_bytes())).clamp(1, LONGEST_SPAN)
    }

    /// Memory of the greatest chunk, if `together` queries are answered at a time.
    pub(crate) fn chunk_bytes(&self, together: usize) -> usize {
        let (answers, span) = (ANSWERS.min(self.counts.filters), self.span(together).min(self.counts.channels));
        answers * span * self.weight_poly_bytes()
    }

    /// The chunk of deferred weights at a place.
    pub(crate) fn transform_chunk(&self, weights: &EncodedWeights, place: ChunkPlace, chunk: &mut Weights) {
        if let Source::Deferred(plain) = &weights.source {
            self.fill_deferred(place, (**plain).as_ref(), chunk);
        }
    }

    fn fill_deferred(&self, place: ChunkPlace, weights: &[i64], chunk: &mut Weights) {
        let answers = ANSWERS.min(self.counts.filters - place.first);
        chunk.resize(&self.params, self.weight_step(), answers, place.span.min(self.counts.channels - place.block));
        self.fill_chunk(place, weights, chunk);
    }

    fn fill_chunk(&self, place: ChunkPlace, weights: &[i64], chunk: &mut Weights) {
        let (count, answers) = (chunk.count(), chunk.answers());
        // Some polynomials of one answer, with working space; then they are stored.
        let len = self.params.primes() * self.params.n() / self.weight_step();
        let transform = |answer: usize, blocks: Range<usize>, polys: &mut Vec<u64>, small: &mut Vec<i64>| {
            polys.resize(blocks.len() * len, 0);
            for (values, block) in polys.chunks_exact_mut(len).zip(blocks) {
                self.transform_weight(place, answer, block, weights, small, values);
            }
        };
        let mut store = |answer: usize, blocks: Range<usize>, polys: &[u64]| {
            let polys: Vec<&[u64]> = polys.chunks_exact(len).collect();
            chunk.set(&self.params, answer, blocks.start, &polys);
        };
        let ranges = (0..count).step_by(TOGETHER).map(|block| block..(block + TOGETHER).min(count));
        if mac::threads(answers * count) == 1 {
            let (mut polys, mut small) = (Vec::new(), Vec::new());
            for answer in 0..answers {
                for blocks in ranges.clone() {
                    transform(answer, blocks.clone(), &mut polys, &mut small);
                    store(answer, blocks, &polys);
                }
            }
            return;
        }
        // One thread stores them, for the words of all answers lie in turn.
        let mut of_answers = vec![(Vec::new(), Vec::new()); answers];
        for blocks in ranges {
            let some = of_answers.par_iter_mut().enumerate();
            some.for_each(|(answer, (polys, small))| transform(answer, blocks.clone(), polys, small));
            for (answer, (polys, _)) in of_answers.iter().enumerate() {
                store(answer, blocks.clone(), polys);
            }
        }
    }

    /// The distinct values at the roots of the weight polynomial for ciphertext `block` of answer `answer` of a chunk; `small` is
    /// working space, all zeros before and after.
    fn transform_weight(
        &self,
        place: ChunkPlace,
        answer: usize,
        block: usize,
        weights: &[i64],
        small: &mut Vec<i64>,
        values: &mut [u64],
    ) {
        let shift = self.weight_step().trailing_zeros();
        small.resize(self.params.n() >> shift, 0);
        let (answer, block) = (place.first + answer, place.block + block);
        let mut greatest = 0;
        self.place_weights(place.group, answer, block, |at, index| {
            greatest |= weights[index].unsigned_abs();
            small[at >> shift] = weights[index];
        });
        poly::values_of(&self.params, small, greatest, values);
        self.place_weights(place.group, answer, block, |at, _| {
            small[at >> shift] = 0;
        });
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
