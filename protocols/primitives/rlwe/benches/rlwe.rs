//! Kernels and whole layers in CPU time (of one thread with `RAYON_NUM_THREADS=1`). Layers: both parties together.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a failed step fails the benchmark")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use common::CpuTime;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::slots::{RotationBench, RotationKeys, SlotParams, SlotPlan, encode_rotation_key};
use si_rlwe::{CostWeights, Layer, LinearPlan, Params, Products, Window, generate_keys};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn conv(c: usize, hw: usize, m: usize, k: usize, stride: usize, padding: usize) -> Layer {
    Layer {
        batch: 1,
        in_channels: c,
        in_hw: [hw; 2],
        out_channels: m,
        kernel: [k; 2],
        stride: [stride; 2],
        padding: [padding; 4],
        groups: 1,
    }
}

fn numbers(len: usize, bits: u32) -> Vec<u64> {
    (1..=len as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)).collect()
}

fn weights(len: usize) -> Vec<i64> {
    numbers(len, 9).iter().map(|&w| w as i64 - 256).collect()
}

/// One polynomial each way, every coefficient used: the cost of a ciphertext.
fn kernels(c: &mut Criterion<CpuTime>) {
    for bits in [37, 41, 64] {
        let params = Params::for_ring(bits).unwrap();
        let id = |op: &str| BenchmarkId::new(op, format!("n={},primes={},bits={bits}", params.n(), params.primes()));
        let mut rng = rng();
        let (secret, public) = generate_keys(&params, &mut rng);
        let layer = conv(1, if params.n() == 4096 { 64 } else { 90 }, 1, 1, 1, 0);
        let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
        assert_eq!(plan.cost().products, 1);
        let share = numbers(plan.input_len(), bits);
        let encoded = plan.encode_weights(&[4096]).unwrap();
        let query = plan.encrypt_part(&secret, 0, &share, &mut rng).unwrap();
        let queries = [query];
        let (answers, _) = plan.answer(&public, &encoded, &queries, Some(&share), &mut rng).unwrap();
        let mut group = c.benchmark_group("rlwe");
        group.bench_function(id("encrypt"), |b| {
            b.iter(|| plan.encrypt_part(&secret, 0, black_box(&share), &mut rng).unwrap());
        });
        group.bench_function(id("decrypt"), |b| {
            b.iter(|| plan.decrypt(&secret, black_box(&answers)).unwrap());
        });
        group.bench_function(id("answer"), |b| {
            b.iter(|| plan.answer(&public, &encoded, black_box(&queries), Some(&share), &mut rng).unwrap());
        });
        group.finish();
    }
}

/// Whole layers: encrypt, answer, decrypt; with weights transformed beforehand, or within.
fn layers(c: &mut Criterion<CpuTime>) {
    let params = Params::for_ring(37).unwrap();
    let named = [
        ("cnn4-conv1-5x5-1-16-28", conv(1, 28, 16, 5, 1, 0)),
        ("cnn4-conv2-5x5-16-16-12", conv(16, 12, 16, 5, 1, 0)),
        ("cnn4-fc1-256-100", Layer::fully_connected(1, 256, 100)),
        ("cnn4-fc2-100-10", Layer::fully_connected(1, 100, 10)),
        ("3x3-64-64-56", conv(64, 56, 64, 3, 1, 1)),
        ("3x3-256-256-14", conv(256, 14, 256, 3, 1, 1)),
        ("1x1-1024-256-14", conv(1024, 14, 256, 1, 1, 0)),
        ("1x1-64-256-56", conv(64, 56, 256, 1, 1, 0)),
        ("7x7s2-3-64-224", conv(3, 224, 64, 7, 2, 3)),
    ];
    for (name, layer) in named {
        let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
        eprintln!("{name}: {:?} {:?}", plan.window(), plan.cost());
        let mut rng = rng();
        let (secret, public) = generate_keys(&params, &mut rng);
        let share = numbers(plan.input_len(), 37);
        let plain = weights(plan.weight_len());
        let mut group = c.benchmark_group("rlwe/conv");
        group.sample_size(10);
        for kind in ["weights-ready", "weights-deferred"] {
            let ready = kind == "weights-ready";
            let weights = if ready { plan.encode_weights(&plain) } else { plan.defer_weights(&plain) }.unwrap();
            group.bench_function(format!("{name}/{kind}"), |b| {
                b.iter(|| {
                    let queries = plan.encrypt(&secret, &share, &mut rng).unwrap();
                    let (answers, _) = plan.answer(&public, &weights, &queries, Some(&share), &mut rng).unwrap();
                    plan.decrypt(&secret, &answers).unwrap()
                });
            });
        }
        group.finish();
    }
}

/// 64 products and 8 answers, which stay in the second cache; and 64 weight polynomials of a 3x3 kernel and of 1x1 kernels.
fn products(c: &mut Criterion<CpuTime>) {
    let params = Params::for_ring(37).unwrap();
    let mut group = c.benchmark_group("rlwe");
    for step in [1, 4, 16] {
        let mut products = Products::new(&params, step, 8, 8);
        group.bench_function(format!("mac/products=64,answers=8,step={step}"), |b| b.iter(|| products.run()));
    }
    let window = |filters, channels, hw| Window { filters, channels, images: 1, out_rows: hw, out_cols: hw, align: 1 };
    for (name, layer, window) in [
        ("3x3@56", conv(8, 56, 8, 3, 1, 1), window(1, 1, 56)),
        ("1x1@14", conv(40, 14, 32, 1, 1, 0), window(4, 5, 14)),
        ("1x1@28", conv(8, 28, 40, 1, 1, 0), window(5, 1, 28)),
    ] {
        let plan = LinearPlan::with_window(&params, &layer, window).unwrap();
        assert_eq!(plan.cost().weight_polys, 64);
        let plain = weights(plan.weight_len());
        group.bench_function(format!("encode_weights/polys=64,{name}"), |b| {
            b.iter(|| plan.encode_weights(black_box(&plain)).unwrap());
        });
    }
    group.finish();
}

/// Rotations of four ciphertexts at once: three of each sharing the digits, or one; per rotation a quarter or a twelfth.
fn rotations(c: &mut Criterion<CpuTime>) {
    let params = SlotParams::for_bits(37).unwrap();
    let mut group = c.benchmark_group("rlwe/slots/rotate");
    for (name, keys) in [("plain", 1), ("hoisted", 3)] {
        let mut bench = RotationBench::new(&params, keys, &mut rng()).unwrap();
        group.bench_function(format!("{name}/ciphertexts=4,keys={keys}"), |b| b.iter(|| bench.run()));
    }
    group.finish();
}

/// Whole layers on slots over a field of 37 bits: encrypt, answer, decrypt; keys made before.
fn slot_layers(c: &mut Criterion<CpuTime>) {
    let params = SlotParams::for_bits(37).unwrap();
    let named = [
        ("3x3-64-64-56", conv(64, 56, 64, 3, 1, 1)),
        ("3x3-256-256-14", conv(256, 14, 256, 3, 1, 1)),
        ("1x1-1024-256-14", conv(1024, 14, 256, 1, 1, 0)),
        ("7x7s2-3-64-224", conv(3, 224, 64, 7, 2, 3)),
        ("fc-2048-1000", Layer::fully_connected(1, 2048, 1000)),
    ];
    let mut group = c.benchmark_group("rlwe/slots/conv");
    group.sample_size(10);
    for (name, layer) in named {
        let plan = SlotPlan::new(&params, &layer).unwrap();
        eprintln!("{name}: {:?}", plan.cost());
        let mut rng = rng();
        let (secret, public) = generate_keys(params.scheme(), &mut rng);
        let mut keys = RotationKeys::new(&params, &public).unwrap();
        for &rotation in plan.rotations() {
            keys.insert(rotation, &encode_rotation_key(&params, &secret, rotation, &mut rng).unwrap()).unwrap();
        }
        let share = numbers(plan.input_len(), 36);
        let weights = plan.weights(&weights(plan.weight_len())).unwrap();
        group.bench_function(name, |b| {
            b.iter(|| {
                let queries = plan.encrypt(&secret, &share, &mut rng).unwrap();
                let (answers, _) = plan.answer(&keys, &weights, &queries, Some(&share), &mut rng).unwrap();
                plan.decrypt(&secret, &answers).unwrap()
            });
        });
    }
    group.finish();
}

fn short() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(300))
}

criterion_group! { name = benches; config = short(); targets = kernels, products, layers, rotations, slot_layers }
criterion_main!(benches);
