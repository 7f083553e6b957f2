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

use crate::Plan;
use crate::ln_factorial::ln_binomial;

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
pub(crate) fn is_enough(plan: &Plan, security_bits: f64) -> bool {
    let all = sets(plan);
    let one_query = *all.start()..=all.start() + plan.tolerance();
    let all_queries = all.end() - plan.tolerance()..=*all.end();
    one_query.chain(all_queries).chain(all).all(|k| log2_win(plan, k) <= -security_bits)
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
    use num_bigint::BigUint;

    use super::*;

    fn plan(queries: usize, copies: usize, public: usize, tolerance: usize) -> Plan {
        Plan::new(queries, copies, public, tolerance).unwrap()
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
    }

    /// C(n, k), exactly.
    fn choose(n: usize, k: usize) -> BigUint {
        let k = k.min(n.saturating_sub(k));
        (0..k).fold(BigUint::from(1u32), |ways, i| ways * (n - i) / (i + 1))
    }

    fn log2(x: &BigUint) -> f64 {
        let shift = x.bits().saturating_sub(64);
        let top = (x >> shift).iter_u64_digits().next().unwrap_or(0);
        (top as f64).log2() + shift as f64
    }

    /// The bound's formula in exact integers: ways to win, and ways to choose the set.
    fn exact(plan: &Plan, k: usize) -> Option<f64> {
        let ways = |p: usize| {
            let j = k.checked_sub(p).filter(|all| all.is_multiple_of(plan.copies()))? / plan.copies();
            (1..=plan.queries()).contains(&j).then(|| choose(plan.queries(), j) * choose(plan.public(), p))
        };
        let ways: BigUint = (0..=plan.tolerance()).filter_map(ways).sum();
        (ways > BigUint::ZERO).then(|| log2(&ways) - log2(&choose(plan.inferences(), k)))
    }

    fn assert_exact(plan: &Plan, k: usize) {
        let is = log2_win(plan, k);
        match exact(plan, k) {
            Some(expected) => assert!((is - expected).abs() < 1e-9, "{plan:?}, k={k}: {is} instead of {expected}"),
            None => assert_eq!(is, f64::NEG_INFINITY),
        }
    }

    #[test]
    fn exact_integers_agree_for_every_set() {
        for plan in [
            plan(1, 3, 2, 0),
            plan(3, 2, 5, 2),
            plan(16, 2, 4, 1),
            plan(40, 5, 30, 3),
            plan(7, 2, 9, 8),
            plan(96, 3, 10, 1),
        ] {
            sets(&plan).for_each(|k| assert_exact(&plan, k));
        }
    }

    #[test]
    fn exact_integers_agree_for_large_plans_where_it_matters() {
        for plan in [
            plan(128, 6, 5, 0),
            Plan::default(),
            plan(512, 5, 4, 1),
            plan(512, 7, 100, 7),
            plan(1024, 5, 4, 0),
            plan(4096, 4, 1750, 0),
        ] {
            let all = plan.queries() * plan.copies();
            let best = bound(&plan).corrupted;
            for k in [plan.copies(), 2 * plan.copies() + plan.tolerance(), all, all + plan.tolerance(), best] {
                assert_exact(&plan, k);
            }
        }
    }
}
