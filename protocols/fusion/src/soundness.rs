//! How likely a cheating server is to win, and which plans are enough.
//!
//! **Model.** R queries with B copies each and T public samples stand in uniformly random order. The server corrupts a
//! set of k positions, and each of these inferences gives a wrong label. The client notices unless every query has
//! either none or all of its copies corrupted (and those alike), and at most m public samples are wrong. So the server
//! wins exactly if its set is that of all copies of j >= 1 queries and of p <= m public samples, with j B + p = k:
//!
//! ```text
//! Pr[win | k] = sum over such (j, p) of C(R, j) C(T, p) / C(R B + T, k)
//! ```
//!
//! and [`bound`] is the greatest of these over k. It is exact for a server whose wrong answers to the copies of a
//! query agree; one whose answers differ fares worse. It includes a server that corrupts everything, as long as its
//! public answers are wrong too: whether those of a *worse model* are is the question of [`crate::AccuracyTest`].

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::ln_factorial::ln_binomial;
use crate::{Plan, PlanError};

/// More copies than this are not searched (local): a single query needs 19 for 40 bits.
const MOST_COPIES: usize = 64;

/// The server's best chance against a plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// Logarithm to base 2 of the probability that wrong answers are accepted.
    pub log2_probability: f64,
    /// Number of corrupted positions with which the server reaches it.
    pub corrupted: usize,
}

impl Bound {
    /// Bits of statistical security: the bound, rounded down.
    #[must_use]
    pub fn bits(&self) -> u32 {
        self.log2_probability.min(0.0).abs().floor() as u32
    }
}

/// The server's best chance against a plan. Takes about R (B + m) steps of constant time.
#[must_use]
pub fn bound(plan: &Plan) -> Bound {
    sets(plan)
        .map(|corrupted| Bound { log2_probability: log2_win(plan, corrupted), corrupted })
        .reduce(|best, b| if b.log2_probability > best.log2_probability { b } else { best })
        .unwrap_or(Bound { log2_probability: 0.0, corrupted: 0 })
}

/// Logarithm to base 2 of the probability that a server wins which corrupts `corrupted` positions; minus infinity if
/// it cannot.
#[must_use]
pub fn log2_win(plan: &Plan, corrupted: usize) -> f64 {
    let (copies, queries) = (plan.copies(), plan.queries());
    let least = corrupted.saturating_sub(plan.tolerance()).div_ceil(copies).max(1);
    let most = (corrupted / copies).min(queries);
    let ways = (least..=most).map(|j| ln_binomial(queries, j) + ln_binomial(plan.public(), corrupted - j * copies));
    (ln_sum(ways) - ln_binomial(plan.inferences(), corrupted)) / std::f64::consts::LN_2
}

/// Sizes of the sets with which a server may win.
fn sets(plan: &Plan) -> RangeInclusive<usize> {
    plan.copies()..=plan.queries() * plan.copies() + plan.tolerance()
}

/// Whether the bound is at most 2^-`security_bits`. A plan that is not enough shows it mostly with one query, or with
/// all of them, so these are tried first.
fn is_enough(plan: &Plan, security_bits: f64) -> bool {
    let all = sets(plan);
    let one_query = *all.start()..=all.start() + plan.tolerance();
    let all_queries = all.end() - plan.tolerance()..=*all.end();
    one_query.chain(all_queries).chain(all).all(|k| log2_win(plan, k) <= -security_bits)
}

/// The plan with the fewest inferences for `queries` queries whose bound is at most 2^-`security_bits`, with a number
/// of public samples from `public`; of equally large plans the one with the fewest copies.
///
/// Every candidate is computed, none inferred from its neighbours: with a tolerance, the bound need not fall with
/// every public sample added.
///
/// # Errors
/// [`PlanError::NoneFound`], or if the numbers make no plan at all.
pub fn search(
    queries: usize,
    security_bits: f64,
    tolerance: usize,
    public: RangeInclusive<usize>,
) -> Result<Plan, PlanError> {
    let mut best: Option<Plan> = None;
    let least_public = (*public.start()).max(tolerance + usize::from(tolerance > 0));
    for copies in 1..=MOST_COPIES {
        for public in least_public..=*public.end() {
            let plan = Plan::new(queries, copies, public, tolerance)?;
            if best.is_some_and(|b| plan.inferences() >= b.inferences()) {
                break; // more public samples only make it larger
            }
            if is_enough(&plan, security_bits) {
                best = Some(plan);
                break;
            }
        }
    }
    best.ok_or(PlanError::NoneFound {
        queries,
        security_bits,
        tolerance,
        most_public: *public.end(),
        most_copies: MOST_COPIES,
    })
}

/// The logarithm of a sum of numbers given by their logarithms.
fn ln_sum(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let greatest = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if greatest == f64::NEG_INFINITY {
        greatest
    } else {
        greatest + terms.map(|t| (t - greatest).exp()).sum::<f64>().ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(queries: usize, copies: usize, public: usize, tolerance: usize) -> Plan {
        Plan::new(queries, copies, public, tolerance).unwrap()
    }

    #[test]
    fn the_published_table_of_smallest_plans() {
        let table = [
            (1, 19, 25, 44.0, -40.36),
            (4, 13, 12, 16.0, -41.58),
            (16, 9, 8, 9.5, -42.41),
            (64, 7, 6, 7.094, -43.42),
            (128, 6, 5, 6.039, -41.05),
            (512, 5, 4, 5.008, -40.71),
            (1024, 5, 4, 5.004, -44.71),
            (4096, 4, 1750, 4.427, -40.00),
        ];
        for (queries, copies, public, amortised, log2) in table {
            let found = search(queries, 40.0, 0, 0..=4000).unwrap();
            assert_eq!(found, plan(queries, copies, public, 0));
            assert!((found.amortised() - amortised).abs() < 5.1e-4, "R={queries}: {}", found.amortised());
            let is = bound(&found).log2_probability;
            assert!((is - log2).abs() < 5.1e-3, "R={queries}: {is}");
        }
    }

    #[test]
    fn the_default_plan_and_a_weak_one() {
        let default = Plan::default();
        assert_eq!(default, plan(512, 5, 100, 0));
        assert!((bound(&default).log2_probability - -40.97).abs() < 5e-3);
        assert_eq!((bound(&default).bits(), bound(&default).corrupted), (40, 5));
        assert!((default.amortised() - 5.195).abs() < 5e-4);
        assert!((bound(&plan(512, 5, 4, 1)).log2_probability - -29.39).abs() < 5e-3);
    }

    #[test]
    fn no_public_sample_is_no_security() {
        assert!(bound(&plan(8, 20, 0, 0)).log2_probability.abs() < 1e-9);
        assert!(matches!(search(8, 40.0, 0, 0..=0), Err(PlanError::NoneFound { .. })));
    }

    #[test]
    fn a_search_respects_the_public_samples_asked_for() {
        assert_eq!(search(512, 40.0, 0, 100..=1000).unwrap(), plan(512, 5, 100, 0));
        for tolerance in 1..8 {
            let found = search(64, 40.0, tolerance, 0..=500).unwrap();
            assert!(bound(&found).log2_probability <= -40.0);
            let smaller = plan(64, found.copies(), found.public() - 1, tolerance);
            assert!(bound(&smaller).log2_probability > -40.0, "{found:?}");
        }
    }

    /// A natural number, least significant limb first.
    #[derive(Clone)]
    struct Natural(Vec<u32>);

    impl Natural {
        fn times(&mut self, by: usize) {
            let mut carry = 0;
            for limb in &mut self.0 {
                let x = u64::from(*limb) * by as u64 + carry;
                (*limb, carry) = (x as u32, x >> 32);
            }
            if carry > 0 {
                self.0.push(carry as u32);
            }
        }

        fn over(&mut self, by: usize) {
            let mut rest = 0;
            for limb in self.0.iter_mut().rev() {
                let x = rest << 32 | u64::from(*limb);
                (*limb, rest) = ((x / by as u64) as u32, x % by as u64);
            }
            assert_eq!(rest, 0, "binomial coefficients divide without remainder");
        }

        fn plus(&mut self, other: &Self) {
            self.0.resize(self.0.len().max(other.0.len()) + 1, 0);
            let mut carry = 0;
            for (i, limb) in self.0.iter_mut().enumerate() {
                let x = u64::from(*limb) + u64::from(other.0.get(i).copied().unwrap_or(0)) + carry;
                (*limb, carry) = (x as u32, x >> 32);
            }
        }

        fn times_binomial(mut self, n: usize, k: usize) -> Self {
            for i in 0..k {
                self.times(n - i);
                self.over(i + 1);
            }
            self
        }

        fn log2(&self) -> f64 {
            let top = self.0.iter().rposition(|limb| *limb != 0).unwrap();
            let digits =
                (0..=top).rev().take(4).map(|i| f64::from(self.0[i]) * 2f64.powi(32 * (i as i32 - top as i32)));
            digits.sum::<f64>().log2() + 32.0 * top as f64
        }
    }

    #[test]
    fn exact_integers_agree() {
        let plans = [
            plan(1, 3, 2, 0),
            plan(3, 2, 5, 2),
            plan(16, 2, 4, 1),
            plan(40, 5, 30, 3),
            plan(7, 2, 9, 8),
            plan(96, 3, 10, 1),
        ];
        for plan in plans {
            for k in sets(&plan) {
                let mut ways = Natural(vec![0]);
                for j in 1..=plan.queries() {
                    for p in 0..=plan.tolerance() {
                        if j * plan.copies() + p == k {
                            let one = Natural(vec![1]).times_binomial(plan.queries(), j);
                            ways.plus(&one.times_binomial(plan.public(), p));
                        }
                    }
                }
                let is = log2_win(&plan, k);
                if ways.0.iter().all(|limb| *limb == 0) {
                    assert_eq!(is, f64::NEG_INFINITY);
                    continue;
                }
                let expected = ways.log2() - Natural(vec![1]).times_binomial(plan.inferences(), k).log2();
                assert!((is - expected).abs() < 1e-9, "{plan:?}, k={k}: {is} instead of {expected}");
            }
        }
    }
}
