//! Every operator against the clear, with its declared cost, over several primes and both extensions.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_ot::{Extension, OtConfig};
use si_ring::Bits;

use super::*;
use crate::tests::run_with;
use crate::{Known, Tally};

/// 37 bits and near 2^37 as in CrypTFlow2, 37 bits near 2^36, and a small one.
const PRIMES: [u64; 3] = [137_438_822_401, 68_719_476_767, 40_961];

const SIZES: [usize; 5] = [0, 1, 2, 5, 131];

fn on_shares<T: Send>(
    declared: Tally,
    x: &[u64],
    field: Field,
    op: impl Fn(&mut Engine, &[u64]) -> T + Send + Sync,
) -> (T, T) {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut x0: Vec<u64> = x.iter().map(|_| field.random(&mut rng)).collect();
    // Shares at the ends of their range, at either party.
    let corners = [0, field.p() - 1, field.half(), field.half() - 1];
    x0.iter_mut().skip(1).step_by(2).zip(corners.iter().cycle()).for_each(|(x, c)| *x = *c);
    let x1: Vec<u64> = x.iter().zip(&x0).map(|(x, r)| field.sub(*x, *r)).collect();
    let [ots, leaves] = [Extension::Iknp, Extension::SoftSpoken2].map(OtConfig::new);
    run_with(&ots, Some(&leaves), declared, |e| op(e, &x0), |e| op(e, &x1))
}

fn sum(field: Field, shares: (Vec<u64>, Vec<u64>)) -> Vec<i64> {
    shares.0.iter().zip(&shares.1).map(|(a, b)| field.to_signed(field.add(*a, *b))).collect()
}

fn tally(f: impl FnOnce(&mut Tally)) -> Tally {
    let mut t = Tally::default();
    f(&mut t);
    t
}

/// Signed numbers over the whole field, with its corners, and their elements.
fn values(field: Field, n: usize, least: i64) -> (Vec<i64>, Vec<u64>) {
    let mut rng = ChaCha20Rng::seed_from_u64(field.p() + n as u64);
    let most = (field.p() / 2) as i64;
    let corners = [0, -1, 1, most, -most, 2, 4095, 4096, -4096, -4097];
    let signed: Vec<i64> = (0..n)
        .map(|i| corners.get(i).copied().unwrap_or_else(|| field.to_signed(field.random(&mut rng))).max(least))
        .collect();
    let words = signed.iter().map(|v| field.from_signed(*v)).collect();
    (signed, words)
}

fn fields() -> impl Iterator<Item = Field> {
    PRIMES.into_iter().map(|p| Field::new(p).unwrap())
}

#[test]
fn arithmetic_of_elements() {
    for field in fields().chain([Field::new(3).unwrap(), Field::new((1 << 44) - 17).unwrap()]) {
        let (p, mut rng) = (field.p(), ChaCha20Rng::seed_from_u64(1));
        for i in 0..2000 {
            let corner = [0, 1, p - 1, field.half()];
            let mut draw = |k: usize| corner.get(i >> (2 * k) & 7).copied().unwrap_or_else(|| rng.next_u64() % p);
            let (a, b) = (draw(0), draw(1));
            assert_eq!(field.mul(a, b), (u128::from(a) * u128::from(b) % u128::from(p)) as u64);
            assert_eq!((field.add(a, b), field.sub(a, b)), ((a + b) % p, (a + p - b) % p));
            assert_eq!(field.from_signed(field.to_signed(a)), a);
            assert_eq!(field.to_signed(a) < 0, a > p / 2);
        }
    }
    for p in [0, 1, 2, 10, 1 << 44, (1 << 44) + 7] {
        assert!(Field::new(p).is_err(), "{p}");
    }
}

#[test]
fn wraps_and_signs() {
    for field in fields() {
        for n in SIZES {
            let (signed, x) = values(field, n, i64::MIN);
            let op = |e: &mut Engine, x: &[u64]| (x.to_vec(), e.field_signs(x, field).unwrap());
            let ((x0, (w0, s0)), (x1, (w1, s1))) = on_shares(tally(|t| t.field_signs(n, field)), &x, field, op);
            let wraps: Bits = x0.iter().zip(&x1).map(|(a, b)| a + b >= field.p()).collect();
            assert_eq!(w0.xor(&w1), wraps);
            assert_eq!(s0.xor(&s1), signed.iter().map(|v| *v < 0).collect());
        }
    }
}

#[test]
fn relu_and_its_cost() {
    for field in fields() {
        for n in SIZES {
            let (signed, x) = values(field, n, i64::MIN);
            let declared = tally(|t| t.field_relu(n, field));
            let out = on_shares(declared, &x, field, |e, x| e.field_relu(x, field).unwrap());
            assert_eq!(sum(field, out), signed.iter().map(|v| *v.max(&0)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn truncation_of_the_whole_field() {
    for field in fields() {
        for (known, least) in [(Known::Nothing, i64::MIN), (Known::NonNegative, 0)] {
            for drop in [1, 12] {
                for n in [1, 2, 131] {
                    let (signed, x) = values(field, n, least);
                    let declared = tally(|t| t.field_truncate(n, field, drop, known));
                    let out = on_shares(declared, &x, field, |e, x| e.field_truncate(x, field, drop, known).unwrap());
                    let exact: Vec<i64> = signed.iter().map(|v| v >> drop).collect();
                    assert_eq!(sum(field, out), exact, "{field:?} {known:?} {drop}");
                }
            }
        }
    }
}

#[test]
fn maximum_and_argmax() {
    for field in fields() {
        for k in [1, 2, 3, 9] {
            let n = 7;
            let (mut signed, _) = values(field, n * k, i64::MIN);
            signed.iter_mut().for_each(|v| *v /= 2); // differences fit
            (0..k).for_each(|c| signed[c * n] = 5); // a tie
            let x: Vec<u64> = signed.iter().map(|v| field.from_signed(*v)).collect();
            let split = |x: &[u64]| -> Vec<Vec<u64>> { x.chunks(n).map(<[u64]>::to_vec).collect() };
            let column = |i: usize| (0..k).map(move |c| c * n + i);
            let declared = tally(|t| t.field_max(n, k, field));
            let out = on_shares(declared, &x, field, |e, x| e.field_max(split(x), field).unwrap());
            let most: Vec<i64> = (0..n).map(|i| column(i).map(|j| signed[j]).max().unwrap()).collect();
            assert_eq!(sum(field, out), most);
            let declared = tally(|t| t.field_argmax(n, k, field));
            let (client, server) = on_shares(declared, &x, field, |e, x| e.field_argmax(split(x), field).unwrap());
            let best = |i: usize| (0..k).rev().max_by_key(|c| signed[c * n + i]).unwrap();
            assert_eq!((client, server), (Some((0..n).map(best).collect()), None), "{k} candidates");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let field = Field::new(PRIMES[2]).unwrap();
    let _ = on_shares(Tally::default(), &[1, 2], field, |e, x| {
        for drop in [0, 15, 60] {
            assert!(matches!(e.field_truncate(x, field, drop, Known::Nothing), Err(Error::Width { .. })), "{drop}");
        }
        assert!(e.field_max(vec![], field).is_err());
        assert!(e.field_argmax(vec![x.to_vec(), vec![]], field).is_err());
    });
}

#[test]
fn words_that_are_no_elements_are_refused() {
    let field = Field::new(PRIMES[2]).unwrap();
    let declared = tally(|t| t.field_open_to_client(3, field));
    let open = |e: &mut Engine, x: &[u64]| e.field_open_to_client(x, field);
    let (client, server) =
        run_with(&OtConfig::default(), None, declared, |e| open(e, &[1, 2, 3]), |e| open(e, &[0, field.p(), 0]));
    assert!(client.unwrap_err().to_string().contains("not reduced"));
    assert_eq!(server.unwrap(), None);
}

#[test]
fn costs_are_near_those_of_cryptflow2() {
    // Bytes an element at 37 bits, OT extension by IKNP and for leaves SoftSpokenOT (k = 2) included: the authors' code
    // sends 971 and 1451 (measured).
    let (n, field) = (1u32 << 16, Field::new(PRIMES[0]).unwrap());
    let each = |t: Tally| {
        let (all, leaves) = (t.client_ots + t.server_ots, t.client_leaf_ots + t.server_leaf_ots);
        let ots = ((all - leaves) * 127 + leaves * 63) as f64 / 8.0;
        ((t.up_bytes + t.down_bytes) as f64 + ots) / f64::from(n)
    };
    let n = n as usize;
    let relu = each(tally(|t| t.field_relu(n, field)));
    let truncation = each(tally(|t| t.field_truncate(n, field, 12, Known::Nothing)));
    assert!((0.85 * 971.0..971.0).contains(&relu), "{relu}");
    assert!((0.85 * 1451.0..1451.0).contains(&truncation), "{truncation}");
}
