//! # The noise of an answer, and why it hides the weights
//!
//! As in [`crate::noise`], whose notation this uses, with two changes: plaintexts are dense, and rotations add noise of their own.
//!
//! **Plaintexts.** Weights in slots become polynomials with coefficients in [-p/2, p/2]; some weights reach those bounds. A plaintext's
//! Euclidean norm is therefore at most W = sqrt(L) p / 2, L its number of coefficients that may be nonzero (`plaintext_len`); the
//! bound holds for *all* weights, so the budget is public and no weights are refused.
//!
//! **Rotations.** A rotation adds, in each coefficient, sum_i d_i e_i / P over three digits, d_i centred modulo p_i < 1.02 P and
//! pseudo-random, e_i errors of the key; and the rounding of the division, (1 + <s>)/12. Its variance is at most
//!
//! ```text
//! V = 3 N B 1.09 / 12 + (1 + h) / 12      (h as in `crate::noise`; the largest p_i is 1.09 P squared)
//! ```
//!
//! A standard deviation of 156: 7 bits of 113.
//!
//! **Before the answer leaves**, with I inputs, T terms (rotations of an input) and G partial sums (leaves):
//!
//! - encryption and rounding errors e + r + r' of an input reach an output through T plaintexts and G leaves under different
//!   automorphisms; they may add up coherently over terms and leaves, not over inputs, which are independent:
//!   standard deviation at most (sqrt(B) + 1) T G sqrt(I) W;
//! - noise of the rotations of inputs: keys of different rotations and digits of different inputs are independent, leaves share them:
//!   sqrt(V) G sqrt(I T) W;
//! - rotations of partial sums and folds add to at most 2 G rotations, and each of F folds at most doubles what there is:
//!   sqrt(V) 2 G;
//! - the encryption of zero: sqrt(B (2 N + 1)).
//!
//! D = 2^F (the first three) + the last bounds the mean magnitude, and D / 2 ^ (flood_bits + 1) the statistical distance for each
//! coefficient. The bound is worst case over weights; it is some 2^4 above what random weights cause (a test measures).
//!
//! **Hiding the rest.** All N slots are masked, those of no output too; a is re-randomised by an encryption of zero. Decryption is
//! as in [`crate::noise`], with flood_bits chosen as the most that half a step of q/p leaves.

use crate::noise::{deviation_per_norm, zero_deviation};
use crate::prg::ERROR_VARIANCE;
use crate::slots::layout::Layout;
use crate::slots::params::{N, PRIMES, SlotParams};

/// sqrt(V): deviation of the noise of one rotation.
pub(crate) fn rotation_deviation() -> f64 {
    let n = N as f64;
    let h = 2.0 * n / 3.0 + 9.5 * (2.0 * n / 9.0).sqrt();
    (PRIMES as f64 * n * ERROR_VARIANCE * 1.09 / 12.0 + (1.0 + h) / 12.0).sqrt()
}

/// D for a layout in a field: a bound on the mean magnitude of an answer's noise before flooding, for any weights.
pub(crate) fn deviation(params: &SlotParams, layout: &Layout) -> f64 {
    let (inputs, terms, leaves) = (layout.inputs as f64, layout.terms().len() as f64, layout.leaves().len() as f64);
    let norm = (2.0 * layout.per_row as f64).sqrt() * params.field() as f64 / 2.0;
    let fresh = deviation_per_norm() * terms * leaves * inputs.sqrt() * norm;
    let rotated = rotation_deviation() * leaves * (inputs * terms).sqrt() * norm;
    let merged = rotation_deviation() * 2.0 * leaves;
    let folds = f64::from(layout.folds().len() as u32).exp2();
    folds * (fresh + rotated + merged) + zero_deviation(N as f64)
}

/// -log2 of the statistical distance by which one revealed coefficient depends on the weights.
pub(crate) fn statistical_bits(params: &SlotParams, layout: &Layout) -> f64 {
    f64::from(params.flood_bits()) + 1.0 - deviation(params, layout).log2()
}
