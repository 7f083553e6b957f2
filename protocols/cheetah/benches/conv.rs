//! Linear layers as Cheetah runs them, in CPU time (of one thread with `RAYON_NUM_THREADS=1`), both parties together: encrypt, transform the weights,
//! multiply, flood, decrypt. Nothing is sent; bytes and windows are printed. The sum over all layers of ResNet50:
//! `cargo run --release -p si-cheetah --example linear_layers`.
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a failed step fails the benchmark")]

#[path = "../../primitives/rlwe/benches/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use common::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::{CostWeights, Layer, LinearPlan, Params, generate_keys};

fn conv(c: usize, hw: usize, m: usize, k: usize, stride: usize) -> Layer {
    Layer {
        batch: 1,
        in_channels: c,
        in_hw: [hw; 2],
        out_channels: m,
        kernel: [k; 2],
        stride: [stride; 2],
        padding: [k / 2; 4],
        groups: 1,
    }
}

fn numbers(len: usize, bits: u32) -> Vec<u64> {
    (1..=len as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)).collect()
}

/// Ring 2^37, weights of 9 bits and a sign. One inference is one element: throughput compares batches.
fn layers(c: &mut Criterion<CpuTime>) {
    let params = Params::for_ring(37).unwrap();
    let mut group = c.benchmark_group("cheetah/conv");
    group.sample_size(10);
    for (name, layer) in [
        ("3x3-64-64-56", conv(64, 56, 64, 3, 1)),
        ("3x3-256-256-14", conv(256, 14, 256, 3, 1)),
        ("1x1-1024-256-14", conv(1024, 14, 256, 1, 1)),
        ("1x1-64-256-56", conv(64, 56, 256, 1, 1)),
        ("7x7s2-3-64-224", conv(3, 224, 64, 7, 2)),
        ("fc-2048-1000", Layer::fully_connected(1, 2048, 1000)),
        ("3x3-256-256-14/batch=8", Layer { batch: 8, ..conv(256, 14, 256, 3, 1) }),
        ("1x1-1024-256-14/batch=8", Layer { batch: 8, ..conv(1024, 14, 256, 1, 1) }),
        ("fc-2048-1000/batch=8", Layer::fully_connected(8, 2048, 1000)),
    ] {
        let plan = LinearPlan::new(&params, &layer, &CostWeights::default()).unwrap();
        eprintln!("cheetah/conv/{name}: {:?} {:?}", plan.window(), plan.cost());
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (secret, public) = generate_keys(&params, &mut rng);
        let share = numbers(plan.input_len(), 37);
        let plain: Vec<i64> = numbers(plan.weight_len(), 10).iter().map(|&w| w as i64 - 512).collect();
        group.throughput(Throughput::Elements(layer.batch as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let weights = plan.defer_weights(black_box(&plain)).unwrap();
                let queries = plan.encrypt(&secret, &share, &mut rng).unwrap();
                let (answers, _) = plan.answer(&public, &weights, &queries, Some(&share), &mut rng).unwrap();
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
        .warm_up_time(Duration::from_millis(200))
}

criterion_group! { name = benches; config = short(); targets = layers }
criterion_main!(benches);
