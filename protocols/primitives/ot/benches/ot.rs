//! What each operation costs: CPU time of one party's thread for one OT (or instance, or set of base OTs), both parties
//! running at once in memory, in steady state. The parties' figures are separate ids.

#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use cpu_time::ThreadTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main, measurement::WallTime};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_ot::{Extension, FerretParams, OtConfig, OtReceiver, OtSender};
use si_ring::{Bits, Ring};
use si_wire::Channel;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// Runs `iters` times `work` of both parties after one unmeasured time; CPU time of the sender's and the receiver's
/// thread.
fn both<S, R>(
    config: OtConfig,
    iters: u64,
    sender: impl Fn(&mut OtSender, &mut Channel) -> S + Sync,
    receiver: impl Fn(&mut OtReceiver, &mut Channel) -> R + Sync,
) -> [Duration; 2] {
    let (mut ch_s, mut ch_r) = Channel::memory_pair(Duration::from_secs(60));
    std::thread::scope(|s| {
        let r = s.spawn(|| {
            let mut r = OtReceiver::setup(&mut ch_r, &mut ChaCha20Rng::seed_from_u64(2), &config).unwrap();
            black_box(receiver(&mut r, &mut ch_r));
            let start = ThreadTime::now();
            for _ in 0..iters {
                black_box(receiver(&mut r, &mut ch_r));
            }
            ch_r.flush().unwrap();
            start.elapsed()
        });
        let mut o = OtSender::setup(&mut ch_s, &mut ChaCha20Rng::seed_from_u64(1), &config).unwrap();
        black_box(sender(&mut o, &mut ch_s));
        let start = ThreadTime::now();
        for _ in 0..iters {
            black_box(sender(&mut o, &mut ch_s));
        }
        ch_s.flush().unwrap();
        [start.elapsed(), r.join().unwrap()]
    })
}

/// Two ids, one for each party, of the time for one of `n` elements.
fn measure<S, R>(
    group: &mut Group<'_>,
    name: &str,
    config: OtConfig,
    n: usize,
    sender: impl Fn(&mut OtSender, &mut Channel) -> S + Sync,
    receiver: impl Fn(&mut OtReceiver, &mut Channel) -> R + Sync,
) {
    for (i, party) in ["sender", "receiver"].into_iter().enumerate() {
        group.bench_function(format!("{name}/{party}"), |b| {
            b.iter_custom(|iters| both(config, iters, &sender, &receiver)[i] / n as u32)
        });
    }
}

fn extensions(c: &mut Criterion) {
    let mut group = c.benchmark_group("ot");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(4));
    let ferret = |p: FerretParams| (Extension::Ferret(p), p.part() * (10_000_000 / p.part()));
    let malicious = |p: FerretParams| (Extension::FerretMalicious(p), ferret(p).1);
    let cases = [
        ("iknp", (Extension::Iknp, 1 << 20)),
        ("softspoken", (Extension::SoftSpoken, 1 << 20)),
        ("softspoken2", (Extension::SoftSpoken2, 1 << 20)),
        ("ferret-small", ferret(FerretParams::SMALL)),
        ("ferret-medium", ferret(FerretParams::MEDIUM)),
        ("ferret-large", ferret(FerretParams::LARGE)),
        ("ferret-huge", ferret(FerretParams::HUGE)),
        ("kos", (Extension::Kos, 1 << 20)),
        ("ferret-malicious-small", malicious(FerretParams::SMALL)),
        ("ferret-malicious-large", malicious(FerretParams::LARGE)),
        ("ferret-malicious-huge", malicious(FerretParams::HUGE)),
    ];
    for (name, (extension, n)) in cases {
        measure(
            &mut group,
            &format!("{name}/n={n}"),
            OtConfig::new(extension),
            n,
            |s, ch| s.correlations(ch, n).map(|b| b[0]).unwrap(),
            |r, ch| r.correlations(ch, n).map(|b| b[0]).unwrap(),
        );
    }
    group.finish();
}

/// Operations on OTs in stock: the time to make them is taken off by reserving in advance.
fn operations(c: &mut Criterion) {
    let mut group = c.benchmark_group("ot");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(2));
    let config = OtConfig::new(Extension::Ferret(FerretParams::SMALL));
    let n = 100_000;
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let x: Vec<u64> = (0..n).map(|_| rng.next_u64()).collect();
    let choices = Bits::from_lsb(x.iter().copied());
    let ring = Ring::new(37).unwrap();
    measure(
        &mut group,
        "correlated/bits=37",
        config,
        n,
        |s, ch| s.correlated(ch, ring, &x).unwrap(),
        |r, ch| {
            let pending = r.correlated_begin(ch, &choices).unwrap();
            r.correlated_finish(ch, ring, pending).unwrap()
        },
    );
    measure(
        &mut group,
        "random-bits",
        config,
        n,
        |s, ch| s.random_bits(ch, n).unwrap(),
        |r, ch| r.random_bits(ch, n).unwrap(),
    );
    let (m, bits) = (4, 2);
    let messages: Vec<u8> = (0..n << m).map(|_| rng.next_u32() as u8).collect();
    let indices: Vec<u8> = x.iter().map(|x| (x & 15) as u8).collect();
    measure(
        &mut group,
        "one-of-many/m=4,bits=2",
        config,
        n,
        |s, ch| s.one_of_many(ch, m, bits, &messages).unwrap(),
        |r, ch| {
            let pending = r.one_of_many_begin(ch, m, &indices).unwrap();
            r.one_of_many_finish(ch, m, bits, pending).unwrap()
        },
    );
    group.finish();
}

fn setup(c: &mut Criterion) {
    let mut group = c.benchmark_group("ot");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(2));
    for (i, party) in ["sender", "receiver"].into_iter().enumerate() {
        group.bench_function(format!("setup/iknp/{party}"), |b| {
            b.iter_custom(|iters| (0..iters).map(|seed| setup_once(seed)[i]).sum())
        });
    }
    group.finish();
}

fn setup_once(seed: u64) -> [Duration; 2] {
    let config = OtConfig::new(Extension::Iknp);
    let (mut ch_s, mut ch_r) = Channel::memory_pair(Duration::from_secs(60));
    std::thread::scope(|s| {
        let r = s.spawn(move || {
            let start = ThreadTime::now();
            black_box(OtReceiver::setup(&mut ch_r, &mut ChaCha20Rng::seed_from_u64(seed), &config).unwrap());
            start.elapsed()
        });
        let start = ThreadTime::now();
        black_box(OtSender::setup(&mut ch_s, &mut ChaCha20Rng::seed_from_u64(seed + 1), &config).unwrap());
        [start.elapsed(), r.join().unwrap()]
    })
}

criterion_group!(benches, setup, extensions, operations);
criterion_main!(benches);
