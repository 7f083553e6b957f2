//! Oblivious linear evaluation in batches over a prime field, against semi-honest parties: the receiver holds vectors x_c, the sender
//! vectors a_c and b; the receiver learns b + sum_c a_c * x_c, slot by slot, and the sender nothing.
//!
//! Every message is a function of its maker's inputs and of a seed of 32 bytes. Whoever is given the seed can repeat the message
//! and compare: what protocols need that make cheating detectable by opening some of many executions. Each execution has keys
//! of its own, so that opening one says nothing of another.
//!
//! The trait [`Ole`] is what protocols see; [`RlweOle`] is the implementation by batched ring-LWE ciphertexts.

mod rlwe;

pub use rlwe::RlweOle;

use crate::Result;

/// The field of the oblivious linear evaluations: the largest prime below 2^49 that is 1 modulo 2^14. *Agreement.*
pub const PRIME: u64 = 562_949_952_847_873;

/// Randomness of one message.
pub type OleSeed = [u8; 32];

/// A passively secure two-message batch oblivious linear evaluation whose messages can be repeated from seeds.
pub trait Ole: Send + Sync {
    /// Evaluations of one batch.
    fn slots(&self) -> usize;

    /// Bytes of the receiver's message for so many vectors x_c.
    fn query_bytes(&self, inputs: usize) -> usize;

    /// Bytes of the sender's message.
    fn answer_bytes(&self) -> usize;

    /// -log2 of the statistical distance by which one coefficient of an answer depends on the sender's inputs, for so many vectors.
    fn statistical_bits(&self, inputs: usize) -> f64;

    /// The receiver's message for its vectors, of [`Self::slots`] elements each.
    ///
    /// # Errors
    /// If a vector has another length.
    fn query(&self, seed: &OleSeed, inputs: &[Vec<u64>]) -> Result<Vec<u8>>;

    /// The vectors in a query, for one who was given its seed.
    ///
    /// # Errors
    /// Unless the query is byte for byte what the seed gives.
    fn open_query(&self, seed: &OleSeed, query: &[u8], inputs: usize) -> Result<Vec<Vec<u64>>>;

    /// The sender's message: a_c are the `factors`, b the `masks`.
    ///
    /// # Errors
    /// If the query is malformed or a vector has the wrong length.
    fn answer(&self, seed: &OleSeed, query: &[u8], factors: &[Vec<u64>], masks: &[u64]) -> Result<Vec<u8>>;

    /// What the receiver learns from the answer to the query that was made with `seed`.
    ///
    /// # Errors
    /// If the answer is malformed.
    fn finish(&self, seed: &OleSeed, answer: &[u8]) -> Result<Vec<u64>>;
}
