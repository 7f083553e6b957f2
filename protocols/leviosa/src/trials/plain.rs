//! Evaluations in the clear, for tests of what is above them: whole runs take milliseconds.

use std::sync::atomic::{AtomicUsize, Ordering};

use si_rlwe::field::Field;
use si_rlwe::ole::{Ole, OleSeed};
use si_rlwe::{Error, Result};

const SLOTS: usize = 32;

/// Hides nothing: *insecure*. Messages depend on inputs and seed, as the trait demands, by a tag; and factors that are not zero are
/// counted as they are used, which is how many evaluations a sender makes.
pub(super) struct InsecurePlainOle {
    field: Field,
    evaluations: AtomicUsize,
}

impl InsecurePlainOle {
    pub(super) fn new(field: Field) -> Self {
        Self { field, evaluations: AtomicUsize::new(0) }
    }

    /// By the sender so far.
    pub(super) fn evaluations(&self) -> usize {
        self.evaluations.load(Ordering::Relaxed)
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|b| b.iter().rev().fold(0, |word, &b| word << 8 | u64::from(b))).collect()
}

fn bytes<'a>(words: impl IntoIterator<Item = &'a u64>) -> Vec<u8> {
    words.into_iter().flat_map(|x| x.to_le_bytes()).collect()
}

impl Ole for InsecurePlainOle {
    fn slots(&self) -> usize {
        SLOTS
    }

    fn query_bytes(&self, inputs: usize) -> usize {
        8 * SLOTS * inputs + 32
    }

    fn answer_bytes(&self) -> usize {
        32 + 8 * SLOTS
    }

    fn statistical_bits(&self, _inputs: usize) -> f64 {
        0.0
    }

    fn query(&self, seed: &OleSeed, inputs: &[Vec<u64>]) -> Result<Vec<u8>> {
        let mut message = bytes(inputs.iter().flatten());
        message.extend(blake3::keyed_hash(seed, &message).as_bytes());
        Ok(message)
    }

    fn open_query(&self, seed: &OleSeed, query: &[u8], inputs: usize) -> Result<Vec<Vec<u64>>> {
        let vectors: Vec<_> = query[..8 * SLOTS * inputs].chunks_exact(8 * SLOTS).map(words).collect();
        if self.query(seed, &vectors)? == query {
            Ok(vectors)
        } else {
            Err(Error::Malformed { what: "query", why: "it is not what its seed gives".to_owned() })
        }
    }

    fn answer(&self, seed: &OleSeed, query: &[u8], factors: &[Vec<u64>], masks: &[u64]) -> Result<Vec<u8>> {
        let used = factors.iter().flatten().filter(|&&x| x != 0).count();
        self.evaluations.fetch_add(used, Ordering::Relaxed);
        let mut sums = masks.to_vec();
        for (x, a) in query.chunks_exact(8 * SLOTS).map(words).zip(factors) {
            for ((sum, x), &a) in sums.iter_mut().zip(x).zip(a) {
                *sum = self.field.mul_add(*sum, a, self.field.reduce(x.into()));
            }
        }
        let values = bytes(&sums);
        Ok([blake3::keyed_hash(seed, &values).as_bytes().as_slice(), &values].concat())
    }

    fn finish(&self, _seed: &OleSeed, answer: &[u8]) -> Result<Vec<u64>> {
        Ok(words(&answer[32..]).into_iter().map(|x| self.field.reduce(x.into())).collect())
    }
}
