//! Every operation on both sides of a channel.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_ring::{Bits, Ring};
use si_wire::Channel;

use crate::{Extension, FerretParams, OtConfig, OtReceiver, OtSender};

const SIZES: [usize; 7] = [0, 1, 127, 128, 129, 1000, 20_000];

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Runs a sender and a receiver of one direction.
fn run<A: Send, B: Send>(
    config: OtConfig,
    sender: impl FnOnce(&mut OtSender, &mut Channel) -> A + Send,
    receiver: impl FnOnce(&mut OtReceiver, &mut Channel) -> B + Send,
) -> (A, B) {
    let (mut ch_s, mut ch_r) = Channel::memory_pair(Duration::from_secs(20));
    std::thread::scope(|s| {
        let b = s.spawn(move || {
            let mut r = OtReceiver::setup(&mut ch_r, &mut rng(2), &config).unwrap();
            let out = receiver(&mut r, &mut ch_r);
            ch_r.flush().unwrap();
            out
        });
        let mut o = OtSender::setup(&mut ch_s, &mut rng(1), &config).unwrap();
        let a = sender(&mut o, &mut ch_s);
        ch_s.flush().unwrap();
        (a, b.join().unwrap())
    })
}

fn configs() -> Vec<OtConfig> {
    let small = FerretParams::SMALL;
    let all = [
        Extension::Iknp,
        Extension::Kos,
        Extension::SoftSpoken,
        Extension::Ferret(small),
        Extension::FerretMalicious(small),
    ];
    all.map(OtConfig::new).to_vec()
}

fn bits(seed: u64, n: usize) -> Bits {
    let mut r = rng(seed);
    Bits::from_lsb((0..n).map(|_| r.next_u64()))
}

fn words(seed: u64, n: usize) -> Vec<u64> {
    let mut r = rng(seed);
    (0..n).map(|_| r.next_u64()).collect()
}

#[test]
fn random_bits_agree_where_chosen() {
    for config in configs() {
        let (sent, received) = run(
            config,
            |s, ch| SIZES.map(|n| s.random_bits(ch, n).unwrap()),
            |r, ch| SIZES.map(|n| r.random_bits(ch, n).unwrap()),
        );
        for ((m0, m1), (choices, m)) in sent.iter().zip(&received) {
            assert_eq!(m0.xor(&m0.xor(m1).and(choices)), *m);
        }
    }
}

#[test]
fn correlated_over_every_kind_of_ring() {
    for config in configs() {
        for l in [1, 37, 64] {
            let ring = Ring::new(l).unwrap();
            let (sent, received) = run(
                config,
                |s, ch| SIZES.map(|n| s.correlated(ch, ring, &words(5, n)).unwrap()),
                |r, ch| {
                    SIZES.map(|n| {
                        let pending = r.correlated_begin(ch, &bits(6, n)).unwrap();
                        r.correlated_finish(ch, ring, pending).unwrap()
                    })
                },
            );
            for ((r, got), n) in sent.iter().zip(&received).zip(SIZES) {
                let choices = bits(6, n);
                let expect = r.iter().zip(words(5, n)).zip(choices.iter());
                let expect: Vec<u64> = expect.map(|((r, x), b)| ring.add(*r, ring.reduce(x * b))).collect();
                assert_eq!(*got, expect);
            }
        }
    }
}

#[test]
fn chosen_messages() {
    for config in configs() {
        for l in [1, 37, 64] {
            let low = u64::MAX >> (64 - l);
            let (_, received) = run(
                config,
                |s, ch| SIZES.map(|n| s.chosen(ch, l, &words(5, n), &words(7, n)).unwrap()),
                |r, ch| {
                    SIZES.map(|n| {
                        let pending = r.chosen_begin(ch, &bits(6, n)).unwrap();
                        r.chosen_finish(ch, l, pending).unwrap()
                    })
                },
            );
            for (got, n) in received.iter().zip(SIZES) {
                let choices = bits(6, n);
                let expect = words(5, n).into_iter().zip(words(7, n)).zip(choices.iter());
                let expect: Vec<u64> = expect.map(|((a, b), c)| if c == 1 { b & low } else { a & low }).collect();
                assert_eq!(*got, expect);
            }
        }
    }
}

#[test]
fn one_of_many_messages() {
    for config in configs() {
        for m in 1..=8u32 {
            for l in [1, 2, 8] {
                let sizes = [0, 1, 127, 128, 129];
                let low = (u64::MAX >> (64 - l)) as u8;
                let messages = |n: usize| words(8, n << m).iter().map(|w| *w as u8).collect::<Vec<_>>();
                let indices = |n: usize| words(9, n).iter().map(|w| (w & ((1 << m) - 1)) as u8).collect::<Vec<_>>();
                let (_, received) = run(
                    config,
                    |s, ch| sizes.map(|n| s.one_of_many(ch, m, l, &messages(n)).unwrap()),
                    |r, ch| {
                        sizes.map(|n| {
                            let pending = r.one_of_many_begin(ch, m, &indices(n)).unwrap();
                            r.one_of_many_finish(ch, m, l, pending).unwrap()
                        })
                    },
                );
                for (got, n) in received.iter().zip(sizes) {
                    let all = messages(n);
                    let expect: Vec<u8> =
                        indices(n).iter().enumerate().map(|(i, c)| all[i << m | usize::from(*c)] & low).collect();
                    assert_eq!(*got, expect, "m {m} bits {l} n {n}");
                }
            }
        }
    }
}
