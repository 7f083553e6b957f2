//! Every operation gives what it says, at every size and for every extension.

use si_ring::Ring;
use si_wire::Phase;

use super::*;
use crate::{Error, METER_LABEL, Table, setup_on_lane};

const SIZES: [usize; 7] = [0, 1, 127, 128, 129, 1000, 20_000];

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

#[test]
fn stocks_refill_at_any_size() {
    for config in configs() {
        let batch = match config.extension {
            Extension::Ferret(p) | Extension::FerretMalicious(p) => p.part(),
            _ => 1 << 14,
        };
        let sizes = [batch - 1, 2, batch, batch + 1, 1];
        let (sent, received) = run(
            config,
            |s, ch| (s.delta(), sizes.map(|n| s.correlations(ch, n).unwrap().to_vec()), s.used(), s.available()),
            |r, ch| (sizes.map(|n| r.correlations(ch, n).unwrap().to_vec()), r.used(), r.available()),
        );
        for (q, v) in sent.1.iter().flatten().zip(received.0.iter().flatten()) {
            assert_eq!(q ^ v, sent.0 & (v & 1).wrapping_neg());
            assert_eq!(q & 1, 0);
        }
        assert_eq!((sent.2, sent.3), (received.1, received.2));
        assert_eq!(sent.2, sizes.iter().sum::<usize>() as u64);
    }
}

/// Choices and blocks look random: each bit is set in half of the OTs, to 6 standard deviations; no block twice.
#[test]
fn correlations_look_random_over_more_than_an_iteration() {
    let params = FerretParams::SMALL;
    let n = params.output() + params.part();
    for extension in [Extension::Ferret(params), Extension::FerretMalicious(params)] {
        let (sent, received) = run(
            OtConfig::new(extension),
            |s, ch| (s.delta(), s.correlations(ch, n).unwrap().to_vec()),
            |r, ch| r.correlations(ch, n).unwrap().to_vec(),
        );
        let mut ones = [0u32; 128];
        for (q, v) in sent.1.iter().zip(&received) {
            assert_eq!(q ^ v, sent.0 & (v & 1).wrapping_neg());
            ones.iter_mut().enumerate().for_each(|(i, c)| *c += (v >> i) as u32 & 1);
        }
        for (i, c) in ones.iter().enumerate() {
            assert!((f64::from(*c) - n as f64 / 2.0).abs() < 3.0 * (n as f64).sqrt(), "bit {i}: {c} of {n}");
        }
        let mut sorted = received;
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), n, "a block came twice");
    }
}

#[test]
fn large_parameters_start_from_small_ones() {
    let params = FerretParams::LARGE;
    let n = 3 * params.part() + 5;
    let (sent, received) = run(
        OtConfig::new(Extension::Ferret(params)),
        |s, ch| (s.delta(), s.correlations(ch, n).unwrap().to_vec()),
        |r, ch| r.correlations(ch, n).unwrap().to_vec(),
    );
    assert!(sent.1.iter().zip(&received).all(|(q, v)| q ^ v == sent.0 & (v & 1).wrapping_neg()));
}

#[test]
fn pads_of_a_thousand_ots_are_balanced() {
    for config in configs() {
        let n = 1 << 14;
        let ((m0, m1), (choices, _)) =
            run(config, |s, ch| s.random_bits(ch, n).unwrap(), |r, ch| r.random_bits(ch, n).unwrap());
        for bits in [&m0, &m1, &choices, &m0.xor(&m1), &m0.xor(&choices)] {
            let ones: u32 = bits.words().iter().map(|w| w.count_ones()).sum();
            assert!((f64::from(ones) - n as f64 / 2.0).abs() < 3.0 * (n as f64).sqrt(), "{ones} of {n}");
        }
    }
}

#[test]
fn both_directions_share_the_rounds() {
    let (mut ch_a, mut ch_b) = Channel::memory_pair(Duration::from_secs(20));
    let config = OtConfig::default();
    let ring = Ring::new(37).unwrap();
    let n = 300;
    // Each party: its endpoints, set up in the same order at both; then receive and send in one go.
    let party = |s: &mut OtSender, r: &mut OtReceiver, ch: &mut Channel, seed: u64| {
        let before = ch.meter().totals().rounds;
        let pending = r.correlated_begin(ch, &bits(seed, n)).unwrap();
        let many = r.one_of_many_begin(ch, 4, &vec![seed as u8; n]).unwrap();
        let requested = {
            let mine = s.correlated(ch, ring, &words(seed, n)).unwrap();
            (mine, s.one_of_many_read(ch, 4, n).unwrap())
        };
        let messages: Vec<u8> = (0..n << 4).map(|i| (i & 3) as u8).collect();
        s.one_of_many_answer(ch, 2, requested.1, &messages).unwrap();
        let received = r.correlated_finish(ch, ring, pending).unwrap();
        assert_eq!(r.one_of_many_finish(ch, 4, 2, many).unwrap(), vec![seed as u8 & 3; n]);
        ch.flush().unwrap();
        (requested.0, received, ch.meter().totals().rounds - before)
    };
    let (a, b) = std::thread::scope(|scope| {
        let b = scope.spawn(|| {
            let mut r = OtReceiver::setup(&mut ch_b, &mut rng(1), &config).unwrap();
            let mut s = OtSender::setup(&mut ch_b, &mut rng(2), &config).unwrap();
            r.reserve(&mut ch_b, 2000).unwrap();
            s.reserve(&mut ch_b, 2000).unwrap();
            party(&mut s, &mut r, &mut ch_b, 11)
        });
        let mut s = OtSender::setup(&mut ch_a, &mut rng(3), &config).unwrap();
        let mut r = OtReceiver::setup(&mut ch_a, &mut rng(4), &config).unwrap();
        s.reserve(&mut ch_a, 2000).unwrap();
        r.reserve(&mut ch_a, 2000).unwrap();
        (party(&mut s, &mut r, &mut ch_a, 10), b.join().unwrap())
    });
    for ((mine, seed), (theirs, choices)) in [((&a.0, 10), (&b.1, 11)), ((&b.0, 11), (&a.1, 10))] {
        for (((r, x), got), c) in mine.iter().zip(words(seed, n)).zip(theirs).zip(bits(choices, n).iter()) {
            assert_eq!(ring.add(*r, ring.reduce(x * c)), *got);
        }
    }
    assert!(a.2 <= 3 && b.2 <= 3, "{} and {} rounds", a.2, b.2);
}

#[test]
fn triples_multiply_and_may_share_an_operand() {
    for config in configs() {
        let (mut ch_a, mut ch_b) = Channel::memory_pair(Duration::from_secs(20));
        let n = 1001;
        let ((t0, s0), (t1, s1)) = std::thread::scope(|scope| {
            let b = scope.spawn(|| {
                let mut r = OtReceiver::setup(&mut ch_b, &mut rng(1), &config).unwrap();
                let mut s = OtSender::setup(&mut ch_b, &mut rng(2), &config).unwrap();
                r.reserve(&mut ch_b, 2 * n).unwrap();
                s.reserve(&mut ch_b, 2 * n).unwrap();
                let t = crate::triples(&mut ch_b, &mut s, &mut r, n).unwrap();
                (t, crate::shared_triples::<3>(&mut ch_b, &mut s, &mut r, n).unwrap())
            });
            let mut s = OtSender::setup(&mut ch_a, &mut rng(3), &config).unwrap();
            let mut r = OtReceiver::setup(&mut ch_a, &mut rng(4), &config).unwrap();
            let early = crate::triples(&mut ch_a, &mut s, &mut r, 1);
            assert!(matches!(early, Err(Error::Limit { limit: 0, .. })), "nothing in stock");
            s.reserve(&mut ch_a, 2 * n).unwrap();
            r.reserve(&mut ch_a, 2 * n).unwrap();
            let t = crate::triples(&mut ch_a, &mut s, &mut r, n).unwrap();
            let out = (t, crate::shared_triples::<3>(&mut ch_a, &mut s, &mut r, n).unwrap());
            (out, b.join().unwrap())
        });
        assert_eq!(t0.a.xor(&t1.a).and(&t0.b.xor(&t1.b)), t0.c.xor(&t1.c));
        for ((b0, c0), (b1, c1)) in s0.products.iter().zip(&s1.products) {
            assert_eq!(s0.a.xor(&s1.a).and(&b0.xor(b1)), c0.xor(c1));
        }
    }
}

#[test]
fn requests_above_the_limit_are_errors_before_anything_is_sent() {
    for config in configs() {
        let config = OtConfig { max_buffered: 1000, ..config };
        let (a, b) = run(
            config,
            |s, ch| {
                let before = ch.meter().totals();
                let errors = [
                    s.reserve(ch, 1001).unwrap_err(),
                    s.reserve(ch, usize::MAX).unwrap_err(),
                    s.random_bits(ch, usize::MAX / 2).unwrap_err(),
                    s.one_of_many_read(ch, 8, usize::MAX / 2).err().unwrap(),
                ];
                assert_eq!((ch.meter().totals().sent_bytes, s.available()), (before.sent_bytes, 0));
                errors
            },
            |r, ch| {
                assert_eq!(r.available(), 0);
                [r.reserve(ch, 1001).unwrap_err(), r.random_bits(ch, usize::MAX / 2).unwrap_err()]
            },
        );
        for e in a.iter().chain(&b) {
            assert!(matches!(e, Error::Limit { limit: 1000, .. }), "{e}");
        }
    }
}

fn lookups_of<const W: usize, T: Table + Send + Sync>(config: OtConfig, m: u32, n: usize, of: fn(u128) -> T) {
    let entries = 1usize << m;
    let width = entries * W;
    let all = words(u64::from(m), 2 * n);
    let wide = all.chunks_exact(2).map(|t| (u128::from(t[0]) << 64 | u128::from(t[1])) & ((1 << width) - 1));
    let tables: Vec<u128> = wide.collect();
    let indices: Vec<u8> = words(9, n).iter().map(|x| (x % entries as u64) as u8).collect();
    let (sent, received) = run(
        config,
        |s, ch| {
            let requested = s.lookups_read(ch, m, n).unwrap();
            s.lookups_answer::<W, T>(ch, requested, tables.iter().map(|t| of(*t))).unwrap()
        },
        |r, ch| {
            let pending = r.lookups_begin::<W, T>(ch, m, indices.clone()).unwrap();
            r.lookups_finish(ch, pending).unwrap()
        },
    );
    for (w, (sent, received)) in sent.iter().zip(&received).enumerate() {
        assert_eq!((sent.len(), received.len()), (n, n));
        let expect: Bits = (0..n).map(|i| tables[i] >> (usize::from(indices[i]) * W + w) & 1 == 1).collect();
        assert_eq!(sent.xor(received), expect, "m {m}, bit {w} of {W}, {n} instances");
        // Shares are random, whatever the table: neither all zero nor all one.
        let ones: u64 = sent.iter().sum();
        assert!(n < 1000 || (n as u64 * 2 / 5..n as u64 * 3 / 5).contains(&ones), "{ones} of {n}");
    }
}

#[test]
fn lookups_share_entries_of_tables() {
    for config in configs() {
        for n in [0, 1, 63, 64, 65, 1000] {
            for m in 1..=4 {
                lookups_of::<1, _>(config, m, n, |t| t as u32);
                lookups_of::<2, _>(config, m, n, |t| t as u32);
                lookups_of::<3, u128>(config, m, n, |t| t);
                lookups_of::<6, u128>(config, m, n, |t| t);
            }
            lookups_of::<1, _>(config, 5, n, |t| t as u32);
        }
    }
}

/// Runs two parties that each have a lane for both directions; returns their results and their meters.
fn run_on_lanes<A: Send, B: Send>(
    config: OtConfig,
    a: impl FnOnce(OtSender, OtReceiver, Channel) -> A + Send,
    b: impl FnOnce(OtSender, OtReceiver, Channel) -> B + Send,
) -> (A, B) {
    let [(ch_a, ch_b), (lane_a, lane_b)] = [(); 2].map(|()| Channel::memory_pair(Duration::from_secs(20)));
    std::thread::scope(|scope| {
        let b = scope.spawn(move || {
            let (s, r) = setup_on_lane(lane_b, false, &mut rng(2), &config).unwrap();
            b(s, r, ch_b)
        });
        let (s, r) = setup_on_lane(lane_a, true, &mut rng(1), &config).unwrap();
        (a(s, r, ch_a), b.join().unwrap())
    })
}

/// A lane makes OTs of both directions ahead of time, in any order and while other messages pass.
#[test]
fn lanes_work_ahead() {
    let part = FerretParams::SMALL.part();
    let ring = Ring::new(20).unwrap();
    for config in configs() {
        let (a, b) = run_on_lanes(
            config,
            |mut s, mut r, mut ch| {
                assert!(matches!(r.prefetch(usize::MAX), Err(Error::Limit { .. })));
                s.prefetch(part).unwrap();
                r.prefetch(1).unwrap();
                s.prefetch(part + 1).unwrap();
                assert_eq!((s.available(), s.coming(), r.coming()), (0, Some(part + 1), Some(1)));
                assert_eq!(ch.recv(20).unwrap(), b"meanwhile");
                let sent = s.correlations(&mut ch, part + 1).unwrap().to_vec();
                let received = r.correlations(&mut ch, 3).unwrap().to_vec();
                s.correlated(&mut ch, ring, &[1; 10]).unwrap();
                ch.flush().unwrap();
                (s.delta(), sent, received)
            },
            |mut s, mut r, mut ch| {
                r.prefetch(part).unwrap();
                s.prefetch(1).unwrap();
                r.prefetch(part + 1).unwrap();
                ch.send(b"meanwhile").unwrap();
                let received = r.correlations(&mut ch, part + 1).unwrap().to_vec();
                let sent = s.correlations(&mut ch, 3).unwrap().to_vec();
                let pending = r.correlated_begin(&mut ch, &bits(1, 10)).unwrap();
                r.correlated_finish(&mut ch, ring, pending).unwrap();
                (s.delta(), sent, received)
            },
        );
        for (delta, sent, received) in [(a.0, &a.1, &b.2), (b.0, &b.1, &a.2)] {
            assert!(sent.len() == received.len() && !sent.is_empty());
            assert!(sent.iter().zip(received).all(|(q, v)| *v == q ^ if v & 1 == 1 { delta } else { 0 }));
        }
    }
}

/// Nothing of what a lane does counts under what the main thread does meanwhile.
#[test]
fn a_lane_counts_by_itself() {
    let [(lane_a, lane_b), (mut ch_a, mut ch_b)] = [(); 2].map(|()| Channel::memory_pair(Duration::from_secs(20)));
    let party = |lane: Channel, first, ch: &mut Channel| {
        let meter = lane.meter().clone();
        let (mut s, mut r) = setup_on_lane(lane, first, &mut rng(first.into()), &OtConfig::default()).unwrap();
        let setup = meter.totals();
        let online = meter.enter(Phase::Online, "main");
        if first {
            s.reserve(ch, 1).unwrap();
            r.reserve(ch, 1).unwrap();
        } else {
            r.reserve(ch, 1).unwrap();
            s.reserve(ch, 1).unwrap();
        }
        drop(online);
        let entry = |label| meter.entries().into_iter().find(|e| e.label == label).unwrap();
        let lane = entry(METER_LABEL);
        assert_eq!((lane.phase, lane.totals.calls), (Phase::Online, 2));
        assert!(lane.totals.cpu_ns > 0 && lane.totals.wall_ns == 0);
        assert_eq!(entry("main").totals.sent_bytes, 0);
        assert_eq!(meter.totals().sent_bytes, setup.sent_bytes + lane.totals.sent_bytes);
    };
    std::thread::scope(|scope| {
        scope.spawn(|| party(lane_b, false, &mut ch_b));
        party(lane_a, true, &mut ch_a);
    });
}

#[test]
fn a_lane_whose_peer_is_gone_reports_it_once_and_then_that_it_ended() {
    let (lane_s, mut lane_r) = Channel::memory_pair(Duration::from_millis(300));
    let config = OtConfig::new(Extension::Kos);
    let (mut ch, _other) = Channel::memory_pair(Duration::from_secs(1));
    let (mut s, mut r) = std::thread::scope(|scope| {
        scope.spawn(move || {
            drop(OtReceiver::setup(&mut lane_r, &mut rng(2), &config).unwrap());
            drop(OtSender::setup(&mut lane_r, &mut rng(3), &config).unwrap());
        });
        setup_on_lane(lane_s, true, &mut rng(1), &config).unwrap()
    });
    s.prefetch(1).unwrap();
    // Whichever endpoint asks first is told.
    assert!(matches!(r.reserve(&mut ch, 1), Err(Error::Wire(_))));
    assert!(matches!(r.reserve(&mut ch, 1), Err(Error::Ended)));
    assert!(matches!(s.reserve(&mut ch, 1), Err(Error::Ended)));
}

#[test]
fn endpoints_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<OtSender>();
    is_send::<OtReceiver>();
}

#[test]
fn keys_agree_where_chosen_and_expand_alike() {
    for config in configs() {
        let pads = |expand: &dyn Fn(u128, &mut [u128]), keys: &[u128]| -> Vec<Vec<u128>> {
            let one = |(i, key): (usize, &u128)| {
                let mut out = vec![0; i % 5];
                expand(*key, &mut out);
                out
            };
            keys.iter().enumerate().map(one).collect()
        };
        let (sent, received) = run(
            config,
            |s, ch| {
                SIZES.map(|n| {
                    let (zeros, ones) = s.keys(ch, n).unwrap();
                    let expand = |key, out: &mut [u128]| s.expand(key, out);
                    (pads(&expand, &zeros), pads(&expand, &ones))
                })
            },
            |r, ch| {
                SIZES.map(|n| {
                    let keys = r.keys(ch, &bits(6, n)).unwrap();
                    pads(&|key, out| r.expand(key, out), &keys)
                })
            },
        );
        for (((zeros, ones), got), n) in sent.iter().zip(&received).zip(SIZES) {
            for (i, b) in bits(6, n).iter().enumerate() {
                let (chosen, other) = if b == 1 { (&ones[i], &zeros[i]) } else { (&zeros[i], &ones[i]) };
                assert_eq!(*chosen, got[i]);
                assert!(got[i].iter().zip(other).all(|(a, b)| a != b));
            }
        }
    }
}
