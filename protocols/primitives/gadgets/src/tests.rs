//! Every operator against the clear, with its declared cost.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_ot::OtConfig;
use si_ring::{Bits, Ring};
use si_wire::Channel;

use crate::{Engine, Error, Known, Mine, ScaledSums, Side, Tally};

/// Runs both parties' closures over memory; returns their results after comparing traffic and OTs with the declared
/// cost.
fn run<A: Send, B: Send>(
    declared: Tally,
    client: impl FnOnce(&mut Engine) -> A + Send,
    server: impl FnOnce(&mut Engine) -> B + Send,
) -> (A, B) {
    run_with(&OtConfig::default(), None, declared, client, server)
}

/// As [`run`], with another extension, and maybe one for the leaves of comparisons.
pub(crate) fn run_with<A: Send, B: Send>(
    config: &OtConfig,
    leaves: Option<&OtConfig>,
    declared: Tally,
    client: impl FnOnce(&mut Engine) -> A + Send,
    server: impl FnOnce(&mut Engine) -> B + Send,
) -> (A, B) {
    let (ch_client, ch_server) = Channel::memory_pair(Duration::from_secs(30));
    let start = |ch, side, seed| {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let mut e = match leaves {
            Some(leaves) => Engine::setup_with_leaves(ch, side, rng, config, leaves).unwrap(),
            None => Engine::setup(ch, side, rng, config).unwrap(),
        };
        e.expect_declared(&declared).unwrap();
        e.start_even().unwrap();
        let before = e.channel().meter().totals();
        (e, before)
    };
    std::thread::scope(|s| {
        let server = s.spawn(move || {
            let (mut e, _) = start(ch_server, Side::Server, 2);
            let out = server(&mut e);
            e.channel().flush().unwrap();
            out
        });
        let (mut e, before) = start(ch_client, Side::Client, 1);
        let a = client(&mut e);
        let after = e.channel().meter().totals();
        let b = server.join().unwrap();
        assert_eq!(after.sent_bytes - before.sent_bytes, declared.up_bytes, "bytes up");
        assert_eq!(after.recv_bytes - before.recv_bytes, declared.down_bytes, "bytes down");
        assert_eq!(after.rounds - before.rounds, declared.rounds, "rounds");
        assert_eq!(e.used_ots(), (declared.client_ots, declared.server_ots), "OTs");
        (a, b)
    })
}

/// One operator on shares of `x`, run by both parties.
fn on_shares<T: Send>(
    declared: Tally,
    x: &[u64],
    ring: Ring,
    op: impl Fn(&mut Engine, &[u64]) -> T + Send + Sync,
) -> (T, T) {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let x0: Vec<u64> = x.iter().map(|_| ring.reduce(rng.next_u64())).collect();
    let x1: Vec<u64> = x.iter().zip(&x0).map(|(x, r)| ring.sub(*x, *r)).collect();
    run(declared, |e| op(e, &x0), |e| op(e, &x1))
}

fn sum(ring: Ring, shares: (Vec<u64>, Vec<u64>)) -> Vec<i64> {
    shares.0.iter().zip(&shares.1).map(|(a, b)| ring.to_signed(ring.add(*a, *b))).collect()
}

fn tally(f: impl FnOnce(&mut Tally)) -> Tally {
    let mut t = Tally::default();
    f(&mut t);
    t
}

/// Values over the whole signed range of `bits`, with its corners.
fn values(ring: Ring, bits: u32, n: usize) -> (Vec<i64>, Vec<u64>) {
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(bits) * 1000 + n as u64);
    let half = 1i64 << (bits - 1);
    let corners = [0, -1, 1, half - 1, -half];
    let signed: Vec<i64> = (0..n)
        .map(|i| corners.get(i).copied().unwrap_or_else(|| (rng.next_u64() >> (64 - bits)) as i64 - half))
        .collect();
    let words = signed.iter().map(|v| ring.from_signed(*v)).collect();
    (signed, words)
}

const SIZES: [usize; 6] = [0, 1, 2, 5, 64, 131];

#[test]
fn and_of_bits() {
    for n in SIZES {
        let mut rng = ChaCha20Rng::seed_from_u64(n as u64);
        let mut bits = || -> Bits { (0..n).map(|_| rng.next_u32() & 1 == 1).collect() };
        let (x0, x1, y0, y1) = (bits(), bits(), bits(), bits());
        let (z0, z1) = run(tally(|t| t.and(n)), |e| e.and(&x0, &y0).unwrap(), |e| e.and(&x1, &y1).unwrap());
        assert_eq!(z0.xor(&z1), x0.xor(&x1).and(&y0.xor(&y1)));
    }
}

#[test]
fn ands_with_an_operand_in_common() {
    for (n, m) in [(1, 0), (1, 1), (70, 3), (131, 131), (64, 64)] {
        let mut rng = ChaCha20Rng::seed_from_u64(n as u64);
        let mut bits = |n| -> Bits { (0..n).map(|_| rng.next_u32() & 1 == 1).collect() };
        let (x, y, z) = ([bits(n), bits(n)], [bits(n), bits(n)], [bits(m), bits(m)]);
        let (a, b) = run(
            tally(|t| t.and_shared(n, m)),
            |e| e.and_shared(&x[0], &y[0], &z[0]).unwrap(),
            |e| e.and_shared(&x[1], &y[1], &z[1]).unwrap(),
        );
        let [x, y, z] = [x, y, z].map(|s| s[0].xor(&s[1]));
        assert_eq!(a.0.xor(&b.0), x.and(&y));
        assert_eq!(a.1.xor(&b.1), x.slice(0, m).and(&z));
    }
}

#[test]
fn a_comparison_takes_less_than_eight_bits_a_bit() {
    let n = 1 << 16;
    for bits in [23, 24, 36] {
        let t = tally(|t| t.carry(n, bits));
        let per_bit = (8 * (t.up_bytes + t.down_bytes)) as f64 / (n as f64 * f64::from(bits));
        assert!(per_bit < 8.0, "{per_bit} bits of traffic for each of {bits} compared bits");
    }
}

#[test]
fn carry_at_every_width() {
    for bits in (1..=13).chain([16, 23, 24, 36, 37, 63]) {
        let n = 17;
        let ring = Ring::new(bits).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(bits));
        let mut x0: Vec<u64> = (0..n).map(|_| ring.reduce(rng.next_u64())).collect();
        let mut x1: Vec<u64> = (0..n).map(|_| ring.reduce(rng.next_u64())).collect();
        // The corners: just a carry, just none, for both roles.
        for at in [0, n - 2] {
            x1[at] = ring.neg(x0[at]);
            x0[at + 1] |= 1;
            x1[at + 1] = ring.sub(ring.neg(x0[at + 1]), 1);
        }
        let (c0, c1) =
            run(tally(|t| t.carry(n, bits)), |e| e.carry(&x0, bits).unwrap(), |e| e.carry(&x1, bits).unwrap());
        let expect: Vec<u64> =
            x0.iter().zip(&x1).map(|(a, b)| u64::from((u128::from(*a) + u128::from(*b)) >> bits != 0)).collect();
        assert_eq!(c0.xor(&c1).iter().collect::<Vec<_>>(), expect, "{bits} bits");
    }
}

#[test]
fn relu_on_a_part_of_the_ring() {
    for (ring_bits, bits) in [(37, 37), (37, 25), (25, 24), (64, 64), (2, 2)] {
        for n in SIZES {
            let ring = Ring::new(ring_bits).unwrap();
            let (signed, x) = values(ring, bits.min(63), n);
            let out = on_shares(tally(|t| t.relu(n, ring_bits, bits)), &x, ring, |e, x| e.relu(x, ring, bits).unwrap());
            assert_eq!(sum(ring, out), signed.iter().map(|v| *v.max(&0)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn maximum_of_any_number_of_candidates() {
    let (ring, bits) = (Ring::new(25).unwrap(), 24);
    for k in 1..=9 {
        let n = 11;
        let (signed, x) = values(ring, bits, n * k);
        let split = |x: &[u64]| -> Vec<Vec<u64>> { x.chunks(n).map(<[u64]>::to_vec).collect() };
        let out = on_shares(tally(|t| t.max(n, k, 25, bits)), &x, ring, |e, x| e.max(split(x), ring, bits).unwrap());
        let expect: Vec<i64> = (0..n).map(|i| (0..k).map(|c| signed[c * n + i]).max().unwrap()).collect();
        assert_eq!(sum(ring, out), expect, "{k} candidates");
    }
}

#[test]
fn argmax_takes_the_lowest_index_on_a_tie() {
    let (ring, bits) = (Ring::new(25).unwrap(), 24);
    for k in [2, 3, 10, 17] {
        let n = 8;
        let (mut signed, _) = values(ring, bits, n * k);
        (0..k).for_each(|c| signed[c * n] = 5); // all equal
        if k > 2 {
            signed[n + 1] = signed[2 * n + 1].max(1 << 20); // a tie of two, near the top
            signed[2 * n + 1] = signed[n + 1];
        }
        let x: Vec<u64> = signed.iter().map(|v| ring.from_signed(*v)).collect();
        let split = |x: &[u64]| -> Vec<Vec<u64>> { x.chunks(n).map(<[u64]>::to_vec).collect() };
        let declared = tally(|t| t.argmax(n, k, 25, bits));
        let (client, server) = on_shares(declared, &x, ring, |e, x| e.argmax(split(x), ring, bits).unwrap());
        let expect: Vec<usize> = (0..n).map(|i| (0..k).rev().max_by_key(|c| signed[c * n + i]).unwrap()).collect();
        assert_eq!((client, server), (Some(expect), None), "{k} candidates");
    }
}

#[test]
fn truncation_local_and_exact() {
    let (ring, bits, drop) = (Ring::new(37).unwrap(), 36, 12);
    for n in SIZES {
        let (signed, x) = values(ring, bits, n);
        let exact: Vec<i64> = signed.iter().map(|v| v >> drop).collect();
        let out = on_shares(Tally::default(), &x, ring, |_, x| Engine::truncate_reduce_local(x, ring, drop).unwrap());
        let (small, out) = (out.0.1, (out.0.0, out.1.0));
        for (got, want) in sum(small, out).into_iter().zip(&exact) {
            assert!(got == *want || got == want - 1, "{got} for {want}");
        }
        let declared = tally(|t| t.truncate_reduce(n, 37, drop));
        let out = on_shares(declared, &x, ring, |e, x| e.truncate_reduce(x, ring, drop).unwrap().0);
        assert_eq!(sum(small, out), exact);
    }
}

#[test]
fn truncation_within_the_ring() {
    for (l, drop) in [(37, 12), (32, 10), (63, 20), (8, 7), (9, 1)] {
        let ring = Ring::new(l).unwrap();
        for known in [Known::Nothing, Known::NonNegative] {
            for n in SIZES {
                let (mut signed, _) = values(ring, l.min(63), n);
                if known == Known::NonNegative {
                    signed.iter_mut().for_each(|v| *v = if *v < 0 { !*v } else { *v });
                }
                let x: Vec<u64> = signed.iter().map(|v| ring.from_signed(*v)).collect();
                let exact: Vec<i64> = signed.iter().map(|v| v >> drop).collect();
                let declared = tally(|t| t.truncate(n, l, drop, known));
                let out = on_shares(declared, &x, ring, |e, x| e.truncate(x, ring, drop, known).unwrap());
                assert_eq!(sum(ring, out), exact, "{l} bits, {known:?}");
            }
        }
    }
}

#[test]
fn sums_of_scaled_vectors() {
    for (l, count, columns, rows) in [(37, 6, 5, 2), (32, 30, 1, 7), (64, 3, 40_000, 1), (5, 40, 3, 4), (37, 0, 3, 2)] {
        let ring = Ring::new(l).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(l));
        let mut words = |n: usize| -> Vec<u64> { (0..n).map(|_| ring.reduce(rng.next_u64())).collect() };
        let (scalars, vectors) = (words(count), words(count * columns));
        let row_of = |j: usize| j * 3 % rows;
        let mut expect = vec![0; rows * columns];
        for (j, s) in scalars.iter().enumerate() {
            for (x, y) in vectors[j * columns..][..columns].iter().zip(&mut expect[row_of(j) * columns..]) {
                *y = ring.add(*y, ring.mul(*s, *x));
            }
        }
        let vector = |j: usize, out: &mut [u64]| out.copy_from_slice(&vectors[j * columns..][..columns]);
        for scalars_at in [Side::Client, Side::Server] {
            let run_at = |e: &mut Engine| {
                let sums = ScaledSums { scalars_at, count, columns, rows, row_of: &row_of };
                let mine = if e.side() == scalars_at { Mine::Scalars(&scalars) } else { Mine::Vectors(&vector) };
                e.scaled_sums(ring, &sums, mine).unwrap()
            };
            let declared = tally(|t| t.scaled_sums(ring, scalars_at, count, columns));
            let (a, b) = run(declared, run_at, run_at);
            let got: Vec<u64> = a.iter().zip(&b).map(|(a, b)| ring.add(*a, *b)).collect();
            assert!(got == expect, "{l} bits, {count} x {columns}");
        }
    }
}

#[test]
fn extension_with_and_without_a_guard_bit() {
    let (from, to) = (Ring::new(25).unwrap(), Ring::new(37).unwrap());
    for bits in [10, 24, 25] {
        for n in SIZES {
            let (signed, x) = values(from, bits, n);
            let declared = tally(|t| t.extend(n, 25, 37, bits));
            let out = on_shares(declared, &x, from, |e, x| e.extend(x, from, to, bits).unwrap());
            assert_eq!(sum(to, out), signed, "{bits} bits");
        }
    }
}

#[test]
fn widths_that_do_not_fit_are_refused() {
    let ring = Ring::new(25).unwrap();
    let refused = |r: Result<(), Error>| assert!(matches!(r, Err(Error::Width { .. })), "{r:?}");
    let _ = on_shares(Tally::default(), &[1, 2], ring, |e, x| {
        refused(e.carry(x, 0).map(drop));
        refused(e.carry(x, 64).map(drop));
        refused(e.relu(x, ring, 26).map(drop));
        refused(e.max(vec![x.to_vec()], ring, 25).map(drop));
        refused(e.max(vec![], ring, 20).map(drop));
        refused(e.max(vec![x.to_vec(), vec![]], ring, 20).map(drop));
        refused(e.extend(x, ring, ring, 20).map(drop));
        refused(e.extend(x, ring, Ring::new(37).unwrap(), 26).map(drop));
        refused(e.truncate_reduce(x, ring, 25).map(drop));
        refused(e.truncate_reduce(x, ring, 0).map(drop));
        refused(e.truncate(x, ring, 0, Known::Nothing).map(drop));
        refused(e.truncate(x, ring, 25, Known::NonNegative).map(drop));
    });
}

#[test]
fn shares_of_the_outputs_are_fresh() {
    // The same input twice: a party's own output share must not repeat (masks come from fresh OTs).
    let ring = Ring::new(25).unwrap();
    let x = vec![77; 64];
    let mut declared = Tally::default();
    declared.relu(64, 25, 24);
    declared.relu(64, 25, 24);
    let ((a, b), _) =
        on_shares(declared, &x, ring, |e, x| (e.relu(x, ring, 24).unwrap(), e.relu(x, ring, 24).unwrap()));
    assert!(a.iter().zip(&b).filter(|(a, b)| a == b).count() < 4);
}

#[test]
fn a_batch_larger_than_the_buffers_refills_them() {
    // Buffers of a few thousand OTs, a batch that takes many times more.
    let config = OtConfig { max_buffered: 1 << 13, ..OtConfig::default() };
    let ring = Ring::new(25).unwrap();
    let party = |ch, side, seed| {
        let mut e = Engine::setup(ch, side, &mut ChaCha20Rng::seed_from_u64(seed), &config).unwrap();
        e.expect(1 << 20, 1 << 20).unwrap();
        assert!(matches!(e.reserve(1 << 20, 0), Err(Error::Ot(si_ot::Error::Limit { .. }))));
        let mut out = vec![3; 300];
        for _ in 0..40 {
            out = e.relu(&out, ring, 24).unwrap();
        }
        out
    };
    let (client, server) = Channel::memory_pair(Duration::from_secs(30));
    let (a, b) = std::thread::scope(|s| {
        let server = s.spawn(|| party(server, Side::Server, 2));
        (party(client, Side::Client, 1), server.join().unwrap())
    });
    assert_eq!(sum(ring, (a, b)), vec![6; 300]);
}

#[test]
fn a_lane_refills_the_buffers_while_operators_run() {
    // A batch that takes some three times what the buffers hold.
    let config = OtConfig { max_buffered: 1 << 19, ..OtConfig::default() };
    let (ring, n, times) = (Ring::new(25).unwrap(), 8192, 10);
    let declared = tally(|t| (0..times).for_each(|_| t.relu(n, 25, 24)));
    let party = |ch, lane, side, seed| {
        let mut e = Engine::setup_on_lane(ch, lane, side, &mut ChaCha20Rng::seed_from_u64(seed), &config).unwrap();
        e.expect(declared.client_ots as usize, declared.server_ots as usize).unwrap();
        e.await_stock().unwrap();
        let mut out = vec![3; n];
        for _ in 0..times {
            out = e.relu(&out, ring, 24).unwrap();
            let most = config.max_buffered + config.extension.batch();
            assert!(e.coming().iter().all(|coming| *coming <= most), "{:?}", e.coming());
        }
        e.channel().flush().unwrap();
        assert_eq!(e.used_ots(), (declared.client_ots, declared.server_ots));
        (out, e.channel().meter().totals())
    };
    let [(client, server), (client_lane, server_lane)] =
        [(); 2].map(|()| Channel::memory_pair(Duration::from_secs(30)));
    let ((a, seen), (b, _)) = std::thread::scope(|s| {
        let server = s.spawn(|| party(server, server_lane, Side::Server, 2));
        (party(client, client_lane, Side::Client, 1), server.join().unwrap())
    });
    assert_eq!(sum(ring, (a, b)), vec![6; n]);
    // The operators' own channel carries what is declared, and no refill.
    let traffic = (seen.sent_bytes, seen.recv_bytes, seen.rounds);
    assert_eq!(traffic, (declared.up_bytes, declared.down_bytes, declared.rounds));
}
