//! # Why an answer decrypts, and why it hides the weights
//!
//! Notation: Delta = q/t; w are the weights that meet in one answer polynomial, over all the ciphertexts that are summed
//! into it; ||w|| is their Euclidean norm; B = 10.5 is the variance of an error coefficient.
//!
//! **Before the answer leaves.** The server holds (a, b) with b + a s = q y / t + e, where
//!
//! ```text
//! e = sum_j w_j (e_j + r_j + r'_j)  +  (e_1 s - e_pk v)
//! ```
//!
//! - e_j: fresh encryption errors, independent, variance B a coefficient: standard deviation sqrt(B) ||w||;
//! - r_j, r'_j: rounding errors of the client's and the server's encoded shares, each in [-1/2, 1/2]. A uniform share
//!   has a uniform rounding error (q is a unit modulo t). A client's share that is no share but an input, as in
//!   a first layer, is small: with the 50-bit primes q = 1 mod 2^l for l up to 41, so r = -m / t is then nearly 0; with
//!   the other primes its rounding errors are taken as independent and centred. Standard deviation at most
//!   ||w|| / 2 each;
//! - the encryption of zero: v ternary, e_1 and e_pk as e_j: standard deviation at most sqrt(B (2 N + 1)).
//!
//! So the mean of |e| is at most **D = (sqrt(B) + 1) ||w|| + sqrt(B (2 N + 1))**.
//!
//! **Hiding.** The client holds s and all e_j, so e is a function of the weights that it must not learn. Each
//! returned coefficient gets f uniform in [-F, F), F = 2^flood_bits. The statistical distance of e + f from f, averaged
//! over the honest client's own randomness, is at most **D / 2F**, which is demanded to be at most 2^-40 for
//! each revealed coefficient; a layer of M revealed coefficients has M D / 2F by the union bound. [`statistical_bits`] says
//! what a given layer really has. The other half, a = sum_j w_j a_j + (p_1 v + e_1), is pseudo-random under RLWE with
//! secret v, even given e + f, which no longer depends on v. The message q y / t is masked by q r / t, r uniform in
//! Z_t. What follows (switching, dropping coefficients) is computed from (a, b) alone. The usual second error e_0 of an
//! encryption of zero would only add to e + f, and is left out: f is 2^50 times wider.
//!
//! **Decrypting.** After rounding a to a_bits and b to b_bits, the distance from a codeword, in units of Delta, is at most
//!
//! ```text
//! F / Delta  +  9.5 sqrt(h / 12) t / 2^a_bits  +  t / 2^(b_bits + 1)  +  2^-20
//! ```
//!
//! with h <= 2N/3 + 9.5 sqrt(2N/9) the nonzero coefficients of s. Rounding a pseudo-random a to a grid leaves errors uniform
//! in half a step, sub-Gaussian of variance 1/12, so 9.5 standard deviations fail with at most 2^-63 a
//! coefficient; 2^-20 Delta is more than 2^19 D. `Params` chooses the fewest bits for which the second and third terms are
//! at most 0.15 and 1/16, then the largest power of two F that keeps the sum below 1/2: decryption is exact.
//! A distance beyond the sum means another key or a garbled answer and is refused.

use crate::params::Params;
use crate::prg::ERROR_VARIANCE;

/// sqrt(B) + 1: how much noise the weights cause per unit of their norm.
pub(crate) fn deviation_per_norm() -> f64 {
    ERROR_VARIANCE.sqrt() + 1.0
}

/// sqrt(B (2 N + 1)): the noise of the encryption of zero.
pub(crate) fn zero_deviation(n: f64) -> f64 {
    (ERROR_VARIANCE * (2.0 * n + 1.0)).sqrt()
}

/// D: a bound on the mean magnitude of the noise of one answer coefficient before flooding.
#[must_use]
pub fn deviation(params: &Params, weight_norm: f64) -> f64 {
    deviation_per_norm() * weight_norm + zero_deviation(params.n() as f64)
}

/// -log2 of the statistical distance by which one revealed coefficient depends on the weights.
#[must_use]
pub fn statistical_bits(params: &Params, weight_norm: f64) -> f64 {
    f64::from(params.answer().flood_bits) + 1.0 - deviation(params, weight_norm).log2()
}
