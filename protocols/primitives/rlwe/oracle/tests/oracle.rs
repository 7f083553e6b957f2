//! Convolutions by `si-rlwe` against the same products under an independent implementation's encryption.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::{CostWeights, Error, Layer, LinearPlan, Params, PlainModulus, PrimeChain, generate_keys};
use si_rlwe_oracle::Fhe;

fn numbers(seed: u64, len: usize, bits: u32) -> Vec<u64> {
    let word = |i: u64| (i ^ seed << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
    (1..=len as u64).map(|i| word(word(i)) >> (64 - bits)).collect()
}

/// The layer by `fhe`: one ciphertext for each channel, rows one after the other; one product a filter and channel.
fn by_fhe(params: &Params, bits: u32, layer: &Layer, input: &[u64], weights: &[i64]) -> Vec<u64> {
    let [h, w] = layer.in_hw;
    let [kh, kw] = layer.kernel;
    let mut fhe = Fhe::new(params.n(), &params.moduli(), 1 << bits, 5).unwrap();
    let channels: Vec<_> = input.chunks_exact(h * w).map(|c| fhe.encrypt(c).unwrap()).collect();
    let mut out = Vec::new();
    for filter in weights.chunks_exact(layer.in_channels * kh * kw) {
        let place = |kernel: &[i64]| {
            // Turned round, so that products meet in sums of a convolution.
            let mut polynomial = vec![0i64; (kh - 1) * w + kw];
            for (i, &x) in kernel.iter().enumerate() {
                polynomial[(kh - 1 - i / kw) * w + kw - 1 - i % kw] = x;
            }
            fhe.weights(&polynomial).unwrap()
        };
        let plain: Vec<_> = filter.chunks_exact(kh * kw).map(place).collect();
        let product = fhe.decrypt(&Fhe::dot(&channels, &plain).unwrap()).unwrap();
        for y in kh - 1..h {
            out.extend_from_slice(&product[y * w + kw - 1..(y + 1) * w]);
        }
    }
    out
}

#[test]
fn convolutions_are_those_of_an_independent_implementation() {
    for (bits, c, hw, m, kernel, weight_bits) in [
        (8, 1, [1, 4096], 1, [1, 7], 4),
        (20, 3, [16, 16], 5, [3, 3], 8),
        (32, 8, [31, 17], 4, [5, 3], 10),
        (37, 1, [64, 64], 3, [11, 11], 12),
        (37, 20, [14, 14], 6, [3, 3], 12),
        (37, 16, [7, 7], 16, [1, 1], 12),
        (37, 30, [1, 1], 10, [1, 1], 14),
    ] {
        let params = Params::for_ring(bits).unwrap();
        let layer = Layer {
            batch: 1,
            in_channels: c,
            in_hw: hw,
            out_channels: m,
            kernel,
            stride: [1, 1],
            padding: [0; 4],
            groups: 1,
        };
        let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
        let mask = u64::MAX >> (64 - bits);
        let [client, server] = [1, 2].map(|seed| numbers(seed, plan.input_len(), bits));
        let input: Vec<u64> = client.iter().zip(&server).map(|(a, b)| a.wrapping_add(*b) & mask).collect();
        let half = 1 << (weight_bits - 1);
        let weights: Vec<i64> =
            numbers(3, plan.weight_len(), weight_bits).into_iter().map(|w| w as i64 - half).collect();

        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (secret, public) = generate_keys(&params, &mut rng);
        let encoded = plan.encode_weights(&weights).unwrap();
        let queries = plan.encrypt(&secret, &client, &mut rng).unwrap();
        let (answers, server_out) = plan.answer(&public, &encoded, &queries, Some(&server), &mut rng).unwrap();
        let client_out = plan.decrypt(&secret, &answers).unwrap();
        let ours: Vec<u64> = client_out.iter().zip(&server_out).map(|(a, b)| a.wrapping_add(*b) & mask).collect();
        assert!(ours == by_fhe(&params, bits, &layer, &input, &weights), "{bits} bits, {layer:?}");
    }
}

/// Why `si-rlwe` checks the size of t: `fhe` accepts a plaintext modulus beyond its first prime and returns other numbers than
/// were encrypted, without an error.
#[test]
fn plaintext_moduli_without_room_are_refused_where_fhe_is_silently_wrong() {
    let bits = 50;
    let ours = Params::new(4096, PrimeChain::Bits50(2), PlainModulus::PowerOfTwo { bits });
    assert!(matches!(ours, Err(Error::PlainTooLarge { .. })), "{ours:?}");
    let moduli = Params::for_ring(37).unwrap().moduli();
    let mut fhe = Fhe::new(4096, &moduli, 1 << bits, 5).unwrap();
    let message = numbers(1, 4096, bits);
    let fresh = fhe.encrypt(&message).unwrap();
    assert!(fhe.decrypt(&fresh).unwrap() != message);
}
