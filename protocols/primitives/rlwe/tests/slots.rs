//! Layers over prime fields against the definition of a convolution, messages that must be refused, and the bytes of a run.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{add, conv, numbers, rng, schoolbook, weights};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use si_rlwe::slots::{
    Rotation, RotationKeys, SlotParams, SlotPlan, SlotWeights, encode_rotation_key, rotation_key_bytes,
};
use si_rlwe::{Error, Layer, Params, PlainModulus, SecretKey, generate_keys};

struct Run {
    plan: SlotPlan,
    secret: SecretKey,
    keys: RotationKeys,
    weights: SlotWeights,
    plain: Vec<i64>,
    shares: [Vec<u64>; 2],
    rng: ChaCha20Rng,
}

fn run(params: &SlotParams, layer: &Layer, seed: u64) -> Run {
    let plan = SlotPlan::new(params, layer).unwrap();
    let mut rng = rng(seed);
    let (secret, public) = generate_keys(params.scheme(), &mut rng);
    let mut keys = RotationKeys::new(params, &public).unwrap();
    for &rotation in plan.rotations() {
        keys.insert(rotation, &encode_rotation_key(params, &secret, rotation, &mut rng).unwrap()).unwrap();
    }
    let plain = weights(seed, plan.weight_len(), 12);
    let shares = [1, 2].map(|i| numbers(params.scheme().plain_modulus(), seed + i, plan.input_len()));
    Run { weights: plan.weights(&plain).unwrap(), plan, secret, keys, plain, shares, rng }
}

/// Encrypts, answers and decrypts; compares with the definition, and the messages with the declared cost.
fn check(params: &SlotParams, layer: &Layer, seed: u64) {
    let Run { plan, secret, keys, weights, plain, shares, mut rng } = run(params, layer, seed);
    let t = params.scheme().plain_modulus();
    let queries = plan.encrypt(&secret, &shares[0], &mut rng).unwrap();
    let own = (!seed.is_multiple_of(3)).then_some(&shares[1][..]);
    let (answers, server) = plan.answer(&keys, &weights, &queries, own, &mut rng).unwrap();
    let client = plan.decrypt(&secret, &answers).unwrap();
    let input = own.map_or(shares[0].clone(), |own| add(t, &shares[0], own));
    assert!(add(t, &client, &server) == schoolbook(t, layer, &input, &plain), "{layer:?} {:?}", plan.cost());
    let cost = plan.cost();
    let bytes = |messages: &[Vec<u8>]| messages.iter().map(Vec::len).sum::<usize>();
    assert_eq!((cost.bytes_up, cost.bytes_down), (bytes(&queries), bytes(&answers)));
    assert_eq!((cost.parts, cost.keys), (queries.len(), plan.rotations().len()));
    assert!(plan.statistical_bits() >= 40.0);
}

fn params(bits: u32) -> SlotParams {
    SlotParams::for_bits(bits).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn convolutions_of_any_shape(
        batch in 1usize..=2, groups in 1usize..=2, c in 1usize..=5, m in 1usize..=6,
        h in 1usize..=19, w in 1usize..=19, kh in 1usize..=7, kw in 1usize..=7,
        sh in 1usize..=3, sw in 1usize..=3, padding in prop::array::uniform4(0usize..=4),
        bits in prop::sample::select(vec![20u32, 32, 37, 41]), seed in any::<u64>(),
    ) {
        let layer = Layer {
            batch, in_channels: c * groups, in_hw: [h, w], out_channels: m * groups, kernel: [kh, kw],
            stride: [sh, sw], padding, groups,
        };
        prop_assume!(h + padding[0] + padding[2] >= kh && w + padding[1] + padding[3] >= kw);
        check(&params(bits), &layer, seed >> 2);
    }

    #[test]
    fn many_channels(
        c in 1usize..=70, m in 1usize..=70, hw in 5usize..=8, k in prop::sample::select(vec![1usize, 3]),
        seed in any::<u64>(),
    ) {
        check(&params(37), &conv(1, c, hw, m, k, 1, k / 2), seed >> 2);
    }

    #[test]
    fn matrix_products_of_any_shape(
        batch in 1usize..=3, inputs in 1usize..=300, outputs in 1usize..=120, seed in any::<u64>(),
    ) {
        check(&params(37), &Layer::fully_connected(batch, inputs, outputs), seed >> 2);
    }
}

#[test]
fn typical_layers() {
    for (seed, (bits, layer)) in [
        // A digit network.
        (37, conv(1, 1, 28, 16, 5, 1, 0)),
        (37, conv(1, 16, 12, 16, 5, 1, 0)),
        (37, Layer::fully_connected(1, 256, 100)),
        // Several tiles and phases.
        (41, conv(1, 3, 100, 5, 7, 2, 3)),
        (37, conv(1, 1, 70, 2, 3, 1, 1)),
        (32, Layer { in_hw: [2, 3000], kernel: [2, 5], ..conv(1, 1, 1, 1, 1, 1, 0) }),
        // Many positions: plaintexts without constant blocks, several inputs and outputs.
        (37, conv(1, 80, 2, 300, 1, 1, 0)),
        (37, conv(1, 40, 14, 33, 3, 1, 1)),
        (37, Layer::fully_connected(1, 9000, 3)),
        (44, Layer::fully_connected(1, 20, 30)),
        (37, Layer { groups: 6, ..conv(1, 6, 10, 6, 3, 1, 1) }),
        // Padding wider than the kernel.
        (37, conv(1, 2, 4, 2, 2, 1, 4)),
    ]
    .into_iter()
    .enumerate()
    {
        check(&params(bits), &layer, seed as u64);
    }
}

#[test]
fn weights_of_any_size_count_modulo_p() {
    let params = params(37);
    let p = params.field();
    let layer = Layer::fully_connected(1, 3, 2);
    let mut r = run(&params, &layer, 5);
    let extreme = [i64::MIN, i64::MAX, -1, 0, p as i64, p as i64 - 1];
    let weights = r.plan.weights(&extreme).unwrap();
    let input = [p - 1, 1, p / 2];
    let queries = r.plan.encrypt(&r.secret, &input, &mut r.rng).unwrap();
    let (answers, server) = r.plan.answer(&r.keys, &weights, &queries, None, &mut r.rng).unwrap();
    let t = PlainModulus::Prime(p);
    let small = extreme.map(|w| (i128::from(w).rem_euclid(p.into())) as i64);
    assert_eq!(add(t, &r.plan.decrypt(&r.secret, &answers).unwrap(), &server), schoolbook(t, &layer, &input, &small));
}

#[test]
fn fields_and_parameters_that_do_not_serve_are_refused() {
    for p in [2, 65_536, 65_539, (1 << 37) + 1, 40_961 * 114_689, (1 << 45) + 1, 97] {
        assert!(matches!(SlotParams::new(p), Err(Error::PlainModulus { .. })), "{p}");
    }
    for bits in [0, 14, 45, 64] {
        assert!(matches!(SlotParams::for_bits(bits), Err(Error::PlainModulus { .. })), "{bits}");
    }
    for bits in [17, 32, 37, 38, 41, 44] {
        let params = params(bits);
        assert!(params.field() >> (bits - 1) == 1 && params.field() % 16384 == 1);
    }
    // The modulus of keys, 200 bits: what N = 8192 allows (218) and half the dimension does not (109), by table 1 of the Homomorphic
    // Encryption Standard (2018).
    let four = si_rlwe::PrimeChain::Bits50(4);
    let refused = Params::new(4096, four, PlainModulus::Prime(params(37).field()));
    assert!(matches!(refused, Err(Error::Insecure { n: 4096, q_bits: 200, max_bits: 109 })), "{refused:?}");
    // Too much noise to hide in a large field.
    let wide = SlotPlan::new(&params(44), &Layer::fully_connected(1, 60_000, 4_000));
    assert!(matches!(&wide, Err(e @ Error::Layer { .. }) if e.to_string().contains("hidden")), "{wide:?}");
}

fn is_malformed<T>(result: &Result<T, Error>, why: &str) -> bool {
    matches!(result, Err(e @ Error::Malformed { .. }) if e.to_string().contains(why))
}

impl Run {
    fn query(&mut self) -> Vec<u8> {
        self.plan.encrypt_part(&self.secret, 0, &self.shares[0], &mut self.rng).unwrap()
    }

    fn answer(&mut self, query: &[u8]) -> Result<Vec<u8>, Error> {
        let mut out = vec![0; self.plan.output_len()];
        self.plan.answer_part(&self.keys, &self.weights, 0, query, Some(&self.shares[1]), &mut out, &mut self.rng)
    }

    fn decrypt(&self, answer: &[u8]) -> Result<Vec<u64>, Error> {
        let mut out = vec![0; self.plan.output_len()];
        self.plan.decrypt_part(&self.secret, 0, answer, &mut out).map(|()| out)
    }
}

#[test]
fn messages_that_are_not_the_plan_s_are_refused() {
    let params = params(37);
    let layer = conv(1, 3, 10, 4, 3, 1, 1);
    let mut r = run(&params, &layer, 1);
    let query = r.query();
    let answer = r.answer(&query).unwrap();
    for len in [0, 1, 16, 48, query.len() - 1] {
        assert!(is_malformed(&r.answer(&query[..len]), "bytes"));
    }
    assert!(is_malformed(&r.answer(&[&query[..], &[0]].concat()), "bytes"));
    for len in [0, 1, 16, answer.len() - 1] {
        assert!(is_malformed(&r.decrypt(&answer[..len]), "bytes"));
    }
    let changed = |bytes: &[u8], at: usize, mask: u8| {
        let mut bad = bytes.to_vec();
        bad[at] ^= mask;
        bad
    };
    assert!(is_malformed(&r.answer(&changed(&query, 0, 1)), "other parameters or another layer"));
    assert!(is_malformed(&r.answer(&changed(&query, 8, 1)), "another key"));
    assert!(is_malformed(&r.decrypt(&changed(&answer, 0, 1)), "another layer"));
    assert!(is_malformed(&r.decrypt(&changed(&answer, 8, 1)), "another key"));
    // Bit 10 of a coefficient of a moves results by half a step.
    assert!(is_malformed(&r.decrypt(&changed(&answer, 16 + 1, 4)), "noise"));
    let mut bad = query.clone();
    bad[48..56].fill(0xff);
    assert!(is_malformed(&r.answer(&bad), "residue"));

    // Other fields, layers and keys.
    let mut other = run(&SlotParams::for_bits(36).unwrap(), &layer, 1);
    assert!(is_malformed(&r.answer(&other.query()), "other parameters"));
    let mut other = run(&params, &conv(1, 3, 10, 4, 3, 1, 0), 1);
    assert!(is_malformed(&r.answer(&other.query()), "another layer"));
    let mut other = run(&params, &layer, 2);
    assert!(is_malformed(&r.answer(&other.query()), "another key"));
    let theirs = other.query();
    let mut forged = other.answer(&theirs).unwrap();
    forged[8..16].copy_from_slice(&answer[8..16]);
    assert!(is_malformed(&r.decrypt(&forged), "noise"));

    // The caller's mistakes.
    let short = r.shares[0][1..].to_vec();
    assert!(matches!(r.plan.encrypt_part(&r.secret, 0, &short, &mut r.rng), Err(Error::Length { .. })));
    assert!(matches!(r.plan.weights(&[1; 5]), Err(Error::Length { got: 5, .. })));
    assert!(is_malformed(&r.plan.answer(&r.keys, &r.weights, &[[0u8; 0]; 0], None, &mut r.rng), "messages"));
    assert!(is_malformed(&r.plan.decrypt(&r.secret, &[]), "messages"));
    r.weights = run(&params, &conv(1, 3, 10, 5, 3, 1, 1), 3).weights;
    assert!(matches!(r.answer(&query), Err(Error::Mismatch { what: "weights", .. })));
}

#[test]
fn rotation_keys_are_checked() {
    let params = params(37);
    let mut rng = rng(1);
    let (secret, public) = generate_keys(params.scheme(), &mut rng);
    let mut keys = RotationKeys::new(&params, &public).unwrap();
    let good = encode_rotation_key(&params, &secret, Rotation::Rows(3), &mut rng).unwrap();
    assert_eq!(good.len(), rotation_key_bytes(&params));
    assert!(!keys.contains(Rotation::Rows(3)));
    keys.insert(Rotation::Rows(3), &good).unwrap();
    assert!(keys.contains(Rotation::Rows(3)));
    for len in [0, 8, 52, good.len() - 1] {
        assert!(is_malformed(&keys.insert(Rotation::Rows(3), &good[..len]), "bytes"));
    }
    assert!(is_malformed(&keys.insert(Rotation::Rows(4), &good), "not for"));
    assert!(is_malformed(&keys.insert(Rotation::Swap, &good), "not for"));
    for (at, why) in [(0, "other parameters"), (8, "another key")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(is_malformed(&keys.insert(Rotation::Rows(3), &bad), why));
    }
    let mut bad = good.clone();
    bad[52..60].fill(0xff);
    assert!(is_malformed(&keys.insert(Rotation::Rows(3), &bad), "residue"));
    for none in [Rotation::Rows(0), Rotation::Rows(4096)] {
        assert!(matches!(encode_rotation_key(&params, &secret, none, &mut rng), Err(Error::Layer { .. })));
        assert!(matches!(keys.insert(none, &good), Err(Error::Layer { .. })));
    }
    let other = SlotParams::for_bits(36).unwrap();
    assert!(matches!(RotationKeys::new(&other, &public), Err(Error::Mismatch { .. })));
    assert!(matches!(encode_rotation_key(&other, &secret, Rotation::Swap, &mut rng), Err(Error::Mismatch { .. })));
    // A layer whose keys were not sent.
    let mut r = run(&params, &conv(1, 3, 10, 4, 3, 1, 1), 1);
    let query = r.query();
    r.keys = RotationKeys::new(&params, r.keys.public()).unwrap();
    assert!(matches!(r.answer(&query), Err(Error::Mismatch { what: "rotation keys", .. })));
}

/// Communication must not change unseen: the digest of everything sent, with fixed seeds.
#[test]
fn the_bytes_of_a_run_are_pinned() {
    let mut seen = Vec::new();
    for (bits, layer) in [(37, conv(1, 3, 10, 4, 3, 2, 1)), (41, Layer::fully_connected(2, 30, 9))] {
        let mut r = run(&params(bits), &layer, 11);
        let mut hasher = blake3::Hasher::new();
        for &rotation in r.plan.rotations() {
            hasher.update(&encode_rotation_key(r.plan.params(), &r.secret, rotation, &mut r.rng).unwrap());
        }
        let queries = r.plan.encrypt(&r.secret, &r.shares[0], &mut r.rng).unwrap();
        let (answers, _) = r.plan.answer(&r.keys, &r.weights, &queries, Some(&r.shares[1]), &mut r.rng).unwrap();
        queries.iter().chain(&answers).for_each(|message| {
            hasher.update(message);
        });
        seen.push(hasher.finalize().to_hex()[..16].to_owned());
    }
    assert_eq!(seen, ["572b699990b8593d", "ed2ab74e376e62b9"]);
}
