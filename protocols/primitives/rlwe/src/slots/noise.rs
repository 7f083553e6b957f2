//! # The noise of an answer, and why it hides the weights
//!
//! As in [`crate::noise`], whose notation this uses, with two changes: plaintexts are dense, and rotations add noise of their own.
//!
//! **Plaintexts.** Weights in slots become polynomials with coefficients in [-p/2, p/2]; some weights reach those bounds. A plaintext's
//! Euclidean norm is therefore at most W = sqrt(L) p / 2, L its number of coefficients that may be nonzero (`plaintext_len`); the
//! bound holds for *all* weights, so the budget is public and no weights are refused.
//!
//! **Rotations.** A rotation adds, in each coefficient, sum_i d_i e_i / P over three digits, d_i centred modulo p_i < 1.02 P and
//! pseudo-random, e_i errors of the key; and the rounding of the division, (1 + |s|^2)/12. Its variance is at most
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
//! coefficient. The bound is worst case over weights; a test measures how far below random weights stay (from a factor of two, where rotations of
//! inputs dominate and plaintexts have two coefficients, to a hundred).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encrypt::{Phase, switch};
    use crate::keys::generate_keys;
    use crate::layer::Layer;
    use crate::packing::Run;
    use crate::poly::{Poly, Values};
    use crate::prg::Prg;
    use crate::slots::keys::{RotationKeys, encode_rotation_key};
    use crate::slots::plan::SlotPlan;
    use crate::slots::server::Work;
    use crate::slots::switch::Scratch;
    use crate::wire::{Header, Wide};
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    /// The noise of the sums before they are sealed, measured with the secret key: deviation and greatest value in units of the
    /// bound; and the distance of a sealed answer from codewords, in units of 2^-16 q/p.
    fn measure(params: &SlotParams, layer: &Layer) -> (f64, f64, u32, SlotPlan) {
        let plan = SlotPlan::new(params, layer).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let scheme = params.scheme();
        let (secret, public) = generate_keys(scheme, &mut rng);
        let mut keys = RotationKeys::new(params, &public).unwrap();
        for &rotation in plan.rotations() {
            keys.insert(rotation, &encode_rotation_key(params, &secret, rotation, &mut rng).unwrap()).unwrap();
        }
        let mut prg = Prg::from_rng(&mut rng);
        let mut share = vec![0; plan.input_len()];
        scheme.plain().uniform(&mut prg, &mut share);
        let weights: Vec<i64> = (0..plan.weight_len() as i64).map(|i| (i * i + 7) * 12_345 % 8192 - 4096).collect();
        let weights = plan.weights(&weights).unwrap();
        let query = plan.encrypt_part(&secret, 0, &share, &mut rng).unwrap();

        let mut scratch = Scratch::new(params);
        let inputs = plan.take_query(&keys, 0, &query, Some(&share), &mut scratch).unwrap();
        let work = [Work::new(0, inputs, Prg::from_rng(&mut rng))];
        let sums = plan.partial_sums(&weights, 0, 0..1, &work).swap_remove(0);
        let sum = plan.merge(&keys, sums, &mut scratch).unwrap().swap_remove(0);
        let mut phase = sum.b;
        phase.mul_accumulate(scheme, &sum.a, secret.s());
        // p (q m / p + e) is p e modulo q.
        let mut scaled = Poly::<Values>::zero(scheme);
        for (i, limb) in scheme.limbs().iter().enumerate() {
            let factor = limb.modulus.constant(params.field());
            let rows = scaled.row_mut(scheme, i).iter_mut().zip(phase.row(scheme, i));
            rows.for_each(|(x, &y)| *x = limb.modulus.mul_const(y, factor));
        }
        let scaled = switch(scheme, scaled.into_coeff(scheme).rows(scheme), 120);
        let bound = deviation(params, &plan.layout);
        let unit = (scheme.log2_q() - 120.0).exp2() / params.field() as f64;
        let noise = |i| ((scaled.get(i) as i128) << 8 >> 8) as f64 * unit / bound;
        let squares: f64 = (0..N).map(|i| noise(i) * noise(i)).sum();
        let greatest = (0..N).map(|i| noise(i).abs()).fold(0.0, f64::max);

        let mut output = vec![0; plan.output_len()];
        let answer = plan.answer_part(&keys, &weights, 0, &query, Some(&share), &mut output, &mut rng).unwrap();
        let format = scheme.answer();
        let (a, rest) = answer[Header::BYTES..].split_at(Wide::bytes(N, format.a_bits));
        let a = Wide::take(scheme.kernel(), "answer", a, N, format.a_bits).unwrap();
        let rest = &rest[..Wide::bytes(N, format.b_bits)];
        let b = Wide::take(scheme.kernel(), "answer", rest, N, format.b_bits).unwrap();
        let distance = Phase::new(&secret, &a).decode(&b, &[Run { at: 0, index: 0, len: N }], &mut vec![0; N]);
        ((squares / N as f64).sqrt(), greatest, distance, plan)
    }

    #[test]
    fn noise_stays_within_its_bound_and_floods_fill_theirs() {
        let conv = |c, hw, m, k: usize| Layer {
            in_channels: c,
            in_hw: [hw; 2],
            out_channels: m,
            kernel: [k; 2],
            padding: [k / 2; 4],
            ..Layer::fully_connected(1, 1, 1)
        };
        for (bits, layer) in [
            (37, conv(8, 56, 2, 3)),
            (37, conv(32, 14, 32, 3)),
            (37, conv(128, 14, 32, 1)),
            (37, conv(3, 30, 2, 7)),
            (41, Layer::fully_connected(1, 512, 60)),
            (17, conv(8, 14, 32, 3)),
        ] {
            let params = SlotParams::for_bits(bits).unwrap();
            let (deviation, greatest, distance, plan) = measure(&params, &layer);
            let log2_delta = params.scheme().log2_q() - (params.field() as f64).log2();
            let flood = (f64::from(params.flood_bits()) - log2_delta + 16.0).exp2();
            println!(
                "{bits} bits, {} channels of {}: deviation 2^{:.1}, greatest 2^{:.1} of the bound 2^{:.1}; flooding 2^{}, \
                 {:.1} bits; distance {distance} of {}",
                layer.in_channels,
                layer.in_hw[0],
                deviation.log2(),
                greatest.log2(),
                super::deviation(&params, &plan.layout).log2(),
                params.flood_bits(),
                plan.statistical_bits(),
                params.limit(),
            );
            // The bound is for the worst weights; random ones must come near, or it would say nothing.
            assert!(deviation < 1.0 && deviation > 1.0 / 512.0, "{bits}: {deviation}");
            // The bound is on the mean magnitude; single values exceed it.
            assert!(greatest < 6.0, "{bits}: {greatest}");
            assert!(plan.statistical_bits() >= 40.0);
            // Of thousands of uniform values the greatest comes close to the end of their range.
            assert!(distance <= params.limit() && f64::from(distance) > 0.95 * flood, "{bits}: {distance} of {flood}");
        }
    }
}
