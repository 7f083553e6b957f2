//! Kernels beside those of `fhe`, same parameters (N = 4096, the same two primes of 50 bits, t = 2^37), one run, CPU time of one
//! thread. Ours include the bytes on the wire; `fhe` runs with the same family of transforms (`tfhe-ntt`).
#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros, and a failed step fails the benchmark")]

#[path = "../../benches/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use common::CpuTime;
use criterion::{Criterion, criterion_group, criterion_main};
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::{CostWeights, Layer, LinearPlan, Params, Products, Window, generate_keys};
use si_rlwe_oracle::Fhe;

fn conv(c: usize, hw: usize, m: usize, k: usize, padding: usize) -> Layer {
    Layer {
        batch: 1,
        in_channels: c,
        in_hw: [hw; 2],
        out_channels: m,
        kernel: [k; 2],
        stride: [1; 2],
        padding: [padding; 4],
        groups: 1,
    }
}

/// A full polynomial encrypted and decrypted; 64 products into 8 sums; 64 weight polynomials of a 3x3 kernel.
fn oracle(c: &mut Criterion<CpuTime>) {
    let params = Params::for_ring(37).unwrap();
    let mut fhe = Fhe::new(params.n(), &params.moduli(), 1 << 37, 1).unwrap();
    let mut group = c.benchmark_group("oracle");

    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (secret, public) = generate_keys(&params, &mut rng);
    let plan = LinearPlan::new(&params, &conv(1, 64, 1, 1, 0), &CostWeights::default()).unwrap();
    let share: Vec<u64> = (1..=4096u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 27).collect();
    group.bench_function("encrypt/ours", |b| {
        b.iter(|| plan.encrypt_part(&secret, 0, black_box(&share), &mut rng).unwrap());
    });
    group.bench_function("encrypt/fhe", |b| b.iter(|| fhe.encrypt(black_box(&share)).unwrap()));

    let one = plan.encode_weights(&[1]).unwrap();
    let query = plan.encrypt_part(&secret, 0, &share, &mut rng).unwrap();
    let (answers, _) = plan.answer(&public, &one, &[query], None, &mut rng).unwrap();
    group.bench_function("decrypt/ours", |b| {
        b.iter(|| plan.decrypt(&secret, black_box(&answers)).unwrap());
    });
    let fresh = fhe.encrypt(&share).unwrap();
    group.bench_function("decrypt/fhe", |b| b.iter(|| fhe.decrypt(black_box(&fresh)).unwrap()));

    let mut products = Products::new(&params, 1, 8, 8);
    group.bench_function("products-64/ours", |b| b.iter(|| products.run()));
    let window = Window { filters: 1, channels: 1, images: 1, out_rows: 56, out_cols: 56, align: 1 };
    let weights_plan = LinearPlan::with_window(&params, &conv(8, 56, 8, 3, 1), window).unwrap();
    let kernels: Vec<i64> = (0..weights_plan.weight_len() as i64).map(|i| i * i % 511 - 255).collect();
    let polynomials: Vec<Vec<i64>> = kernels
        .chunks_exact(9)
        .map(|kernel| {
            let mut polynomial = vec![0; 2 * 57 + 3];
            kernel.iter().enumerate().for_each(|(i, &w)| polynomial[(2 - i / 3) * 57 + 2 - i % 3] = w);
            polynomial
        })
        .collect();
    let ciphertexts: Vec<_> = (0..8).map(|_| fhe.encrypt(&share).unwrap()).collect();
    let plain: Vec<_> = polynomials.iter().map(|p| fhe.weights(p).unwrap()).collect();
    group.bench_function("products-64/fhe", |b| {
        b.iter(|| plain.chunks_exact(8).map(|p| Fhe::dot(black_box(&ciphertexts), p).unwrap()).collect::<Vec<_>>());
    });

    group.bench_function("weights-64/ours", |b| {
        b.iter(|| weights_plan.encode_weights(black_box(&kernels)).unwrap());
    });
    group.bench_function("weights-64/fhe", |b| {
        b.iter(|| black_box(&polynomials).iter().map(|p| fhe.weights(p).unwrap()).collect::<Vec<_>>());
    });
    group.finish();
}

fn short() -> Criterion<CpuTime> {
    Criterion::default()
        .with_measurement(CpuTime)
        .measurement_time(Duration::from_secs(1))
        .warm_up_time(Duration::from_millis(300))
}

criterion_group! { name = benches; config = short(); targets = oracle }
criterion_main!(benches);
