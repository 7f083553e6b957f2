//! Whole layers between two parties against the definition.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{add, conv, modulo, numbers, rng, schoolbook, weights};
use proptest::prelude::*;
use si_rlwe::{CostWeights, Layer, LinearPlan, Params, PlainModulus, PrimeChain, PublicKey, generate_keys};

/// Runs the layer on random full-range shares and checks the sum of the output shares and every declared size.
fn check(params: &Params, layer: &Layer, seed: u64, weight_bits: u32, first_layer: bool) {
    let t = params.plain_modulus();
    let plan = LinearPlan::new(params, layer, &CostWeights::default()).unwrap();
    let mut rng = rng(seed);
    let (secret, public) = generate_keys(params, &mut rng);
    let bytes = public.encode();
    assert_eq!(bytes.len(), PublicKey::encoded_bytes(params));
    let public = PublicKey::decode(params, &bytes).unwrap();

    let client = numbers(t, seed, plan.input_len());
    let server = if first_layer { vec![0; client.len()] } else { numbers(t, seed + 1, client.len()) };
    let w = weights(seed + 2, plan.weight_len(), weight_bits);
    let encoded = if seed.is_multiple_of(2) { plan.encode_weights(&w) } else { plan.defer_weights(&w) }.unwrap();
    assert!(encoded.statistical_bits() >= f64::from(si_rlwe::STATISTICAL_BITS));

    let queries = plan.encrypt(&secret, &client, &mut rng).unwrap();
    let share = (!first_layer).then_some(&server[..]);
    let (answers, server_out) = plan.answer(&public, &encoded, &queries, share, &mut rng).unwrap();
    let client_out = plan.decrypt(&secret, &answers).unwrap();

    let expected = schoolbook(t, layer, &add(t, &client, &server), &w);
    assert!(add(t, &client_out, &server_out) == expected, "{plan:?}");
    // The shares are not the result itself.
    assert!(client_out.len() < 8 || (client_out != expected && server_out.iter().any(|&r| r != 0)));

    let cost = plan.cost();
    assert_eq!(cost.parts, queries.len());
    assert_eq!(cost.bytes_up, queries.iter().map(Vec::len).sum::<usize>());
    assert_eq!(cost.bytes_down, answers.iter().map(Vec::len).sum::<usize>());
    let mut lens: Vec<usize> = answers.iter().map(Vec::len).collect();
    let mut declared: Vec<usize> = plan.answer_messages().collect();
    lens.sort_unstable();
    declared.sort_unstable();
    assert_eq!(lens, declared);
    assert!(queries.iter().all(|q| q.len() == plan.query_bytes()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn convolutions_of_any_shape(
        batch in 1usize..=5, groups in 1usize..=2, ci in 1usize..=4, co in 1usize..=5,
        hw in [1usize..=17, 1usize..=17], kernel in [1usize..=11, 1usize..=11], stride in [1usize..=3, 1usize..=3],
        padding in [0usize..=5, 0usize..=5, 0usize..=5, 0usize..=5],
        bits in prop::sample::select(vec![32u32, 37, 41]), seed in any::<u64>(), first in any::<bool>(),
    ) {
        let layer = Layer {
            batch, in_channels: ci * groups, in_hw: hw, out_channels: co * groups, kernel, stride, padding, groups,
        };
        prop_assume!((0..2).all(|i| kernel[i] <= hw[i] + padding[i] + padding[i + 2]));
        check(&Params::for_ring(bits).unwrap(), &layer, seed >> 2, 12, first);
    }

    #[test]
    fn pointwise_convolutions_of_any_shape(
        batch in 1usize..=9, ci in 1usize..=70, co in 1usize..=30, hw in [1usize..=30, 1usize..=30], stride in 1usize..=2,
        seed in any::<u64>(),
    ) {
        let layer = Layer {
            batch, in_channels: ci, in_hw: hw, out_channels: co, kernel: [1; 2], stride: [stride; 2], padding: [0; 4],
            groups: 1,
        };
        check(&Params::for_ring(37).unwrap(), &layer, seed >> 2, 12, false);
    }

    #[test]
    fn matrix_products_of_any_shape(
        batch in 1usize..=5, inputs in 1usize..=300, outputs in 1usize..=120,
        bits in prop::sample::select(vec![1u32, 16, 32, 37, 41]), seed in any::<u64>(),
    ) {
        let layer = Layer::fully_connected(batch, inputs, outputs);
        check(&Params::for_ring(bits).unwrap(), &layer, seed >> 2, 10, false);
    }
}

#[test]
fn the_layers_of_a_digit_network() {
    let params = Params::for_ring(37).unwrap();
    for (seed, layer) in [
        conv(1, 1, 28, 16, 5, 1, 0),
        conv(2, 16, 12, 16, 5, 1, 0),
        Layer::fully_connected(1, 256, 100),
        Layer::fully_connected(8, 100, 10),
        conv(1, 2, 100, 3, 7, 2, 3),
    ]
    .iter()
    .enumerate()
    {
        check(&params, layer, seed as u64, 12, seed == 0);
    }
}

/// Shares and messages do not depend on how many threads the server has.
#[test]
fn threads_change_nothing() {
    let params = Params::for_ring(37).unwrap();
    for layer in [conv(2, 40, 14, 21, 3, 1, 1), conv(1, 130, 28, 9, 1, 1, 0), Layer::fully_connected(1, 2000, 100)] {
        let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
        let (secret, public) = generate_keys(&params, &mut rng(1));
        let share = numbers(params.plain_modulus(), 2, plan.input_len());
        let queries = plan.encrypt(&secret, &share, &mut rng(3)).unwrap();
        let w = weights(4, plan.weight_len(), 10);
        let answered = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let encoded = [plan.encode_weights(&w), plan.defer_weights(&w)].map(Result::unwrap);
                encoded.map(|w| plan.answer(&public, &w, &queries, Some(&share), &mut rng(5)).unwrap())
            })
        };
        let one = answered(1);
        assert!(one[0] == one[1] && answered(2) == one && answered(5) == one, "{layer:?}");
    }
}

/// 1x1 kernels on tiles of even size: their weights take shorter transforms, down to single constants.
#[test]
fn sparse_weights() {
    let params = Params::for_ring(37).unwrap();
    for (seed, layer) in [
        conv(1, 2, 56, 3, 1, 1, 0),
        conv(1, 5, 28, 3, 1, 1, 0),
        conv(2, 9, 14, 4, 1, 2, 0),
        conv(3, 4, 12, 5, 1, 1, 0),
        Layer { kernel: [3, 1], ..conv(1, 4, 16, 5, 1, 1, 0) },
        Layer { kernel: [1, 3], ..conv(1, 4, 16, 5, 1, 1, 0) },
    ]
    .iter()
    .enumerate()
    {
        // Transformed beforehand, and at their use.
        check(&params, layer, 2 * seed as u64, 12, false);
        check(&params, layer, 2 * seed as u64 + 1, 12, false);
    }
}

#[test]
fn large_kernels() {
    let params = Params::for_ring(37).unwrap();
    check(&params, &conv(1, 2, 40, 3, 11, 4, 2), 1, 12, true);
    check(&params, &conv(5, 1, 20, 2, 11, 1, 5), 2, 12, false);
    check(&params, &conv(2, 1, 70, 2, 9, 2, 4), 3, 12, false);
}

#[test]
fn rings_of_64_bits_at_dimension_8192() {
    let params = Params::for_ring(64).unwrap();
    assert_eq!((params.n(), params.primes()), (8192, 3));
    check(&params, &conv(2, 3, 9, 4, 3, 2, 1), 1, 20, false);
    check(&params, &Layer::fully_connected(1, 50, 7), 2, 20, false);
}

#[test]
fn the_smallest_ring_under_the_largest_modulus() {
    let params = Params::new(8192, PrimeChain::Bits50(4), PlainModulus::PowerOfTwo { bits: 1 }).unwrap();
    check(&params, &Layer::fully_connected(1, 50, 7), 2, 20, false);
}

#[test]
fn prime_plaintext_moduli() {
    for (p, n, chain) in [
        (17_592_060_215_297, 4096, PrimeChain::Bits36(3)),
        (65_537, 4096, PrimeChain::Bits50(2)),
        ((1 << 57) - 13, 8192, PrimeChain::Bits50(3)),
    ] {
        let params = Params::new(n, chain, PlainModulus::Prime(p)).unwrap();
        check(&params, &conv(1, 3, 8, 4, 3, 1, 1), p, 10, false);
        check(&params, &Layer::fully_connected(2, 40, 9), p + 1, 10, false);
    }
}

#[test]
fn extreme_values_do_not_wrap_wrongly() {
    let params = Params::for_ring(37).unwrap();
    let t = params.plain_modulus();
    let layer = Layer::fully_connected(1, 2, 3);
    let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
    let mut rng = rng(5);
    let (secret, public) = generate_keys(&params, &mut rng);
    let w = [1 << 17, -(1 << 17), 0, 1, -1, -1];
    let encoded = plan.encode_weights(&w).unwrap();
    for input in [[0, 0], [(1 << 37) - 1, 1 << 36], [1 << 36, (1 << 36) - 1]] {
        let queries = plan.encrypt(&secret, &input, &mut rng).unwrap();
        let (answers, server) = plan.answer(&public, &encoded, &queries, None, &mut rng).unwrap();
        let sum = add(t, &plan.decrypt(&secret, &answers).unwrap(), &server);
        assert_eq!(sum, schoolbook(t, &layer, &input, &w));
        assert_eq!(sum[2], modulo(t, -i128::from(input[0]) - i128::from(input[1])));
    }
}
