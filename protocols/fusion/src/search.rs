//! The cheapest plan for what is asked: every candidate is computed, none inferred from its neighbours. With a
//! tolerance the bound need not fall with every public sample added, and the power of a test of accuracy moves in steps.

use std::fmt;
use std::ops::RangeInclusive;

use crate::soundness::is_enough;
use crate::{AccuracyGoal, Plan, PlanError};

/// More copies than this are not searched (local): a single query needs 19 for 40 bits.
const MOST_COPIES: usize = 64;

/// More public samples than this are not tried as a remedy for a weak plan (local).
const MOST_PUBLIC: usize = 1 << 13;

/// The plan with the fewest inferences for `queries` queries whose bound is at most 2^-`security_bits`, with a number
/// of public samples from `public`, up to `tolerance` of which may be wrong; of equally large plans the one with the
/// fewest copies.
///
/// An honest model must be wrong on at most `tolerance` of the public samples: with 0, it must be certain of each. See
/// [`search_with_test`] for samples that it may miss.
///
/// # Errors
/// [`PlanError::NoneFound`], or if the numbers make no plan at all.
pub fn search(
    queries: usize,
    security_bits: f64,
    tolerance: usize,
    public: RangeInclusive<usize>,
) -> Result<Plan, PlanError> {
    let least_public = (*public.start()).max(tolerance.saturating_add(usize::from(tolerance > 0)));
    let most_public = *public.end();
    let none = PlanError::NoneFound { queries, security_bits, tolerance, most_public, most_copies: MOST_COPIES };
    cheapest(queries, security_bits, (least_public..=most_public).map(|public| (public, tolerance)))?.ok_or(none)
}

/// The plan with the fewest inferences whose public samples, up to `most_public`, are a test of accuracy that achieves
/// `goal`, and whose bound with the tolerance of that test, m = T - c, is at most 2^-`security_bits`.
///
/// # Errors
/// [`PlanError::NoPower`] if no such number of samples tests accuracy as well as that; [`PlanError::NoneWithTest`] if
/// none of those that do gives the soundness; or if the numbers make no plan at all.
pub fn search_with_test(
    queries: usize,
    security_bits: f64,
    goal: &AccuracyGoal,
    most_public: usize,
) -> Result<Plan, PlanError> {
    let smallest = goal.smallest_test(most_public)?;
    let tests: Vec<_> = goal.tests(most_public).map(|test| (test.public, test.tolerance())).collect();
    let none = PlanError::NoneWithTest {
        queries,
        security_bits,
        goal: *goal,
        least_public: smallest.public,
        most_public,
        most_copies: MOST_COPIES,
    };
    cheapest(queries, security_bits, tests.into_iter())?.ok_or(none)
}

/// The cheapest plan with one of these (T, m), in the order of T.
fn cheapest(
    queries: usize,
    security_bits: f64,
    public: impl Iterator<Item = (usize, usize)> + Clone,
) -> Result<Option<Plan>, PlanError> {
    let mut best: Option<Plan> = None;
    for copies in 1..=MOST_COPIES {
        for (public, tolerance) in public.clone() {
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
    Ok(best)
}

/// What would make a weak plan strong enough, one number changed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// The least B at the same R, T and m, if there is one.
    pub copies: Option<usize>,
    /// The least T at the same R, B and m, if there is one.
    pub public: Option<usize>,
}

impl Remedy {
    /// Looks for both.
    pub(crate) fn of(weak: &Plan, security_bits: f64) -> Self {
        let (queries, copies, public, tolerance) = (weak.queries(), weak.copies(), weak.public(), weak.tolerance());
        let enough = |copies, public| {
            Plan::new(queries, copies, public, tolerance).is_ok_and(|plan| is_enough(&plan, security_bits))
        };
        Self {
            copies: (copies + 1..=MOST_COPIES).find(|b| enough(*b, public)),
            public: (public + 1..=MOST_PUBLIC).find(|t| enough(copies, *t)),
        }
    }
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.copies, self.public) {
            (Some(b), Some(t)) => write!(f, "B={b} copies would do, or T={t} public samples with the same m"),
            (Some(b), None) => write!(f, "B={b} copies would do, no T up to {MOST_PUBLIC} with these copies"),
            (None, Some(t)) => write!(f, "T={t} public samples with the same m would do, no B up to {MOST_COPIES}"),
            (None, None) => write!(
                f,
                "neither a B up to {MOST_COPIES} nor a T up to {MOST_PUBLIC} alone would do: change both, or take a \
                 smaller tolerance"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccuracyTest;
    use crate::soundness::bound;

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
    fn no_public_sample_is_no_plan() {
        assert!(matches!(search(8, 40.0, 0, 0..=0), Err(PlanError::NoneFound { .. })));
        assert!(matches!(search(8, 40.0, usize::MAX, 0..=9), Err(PlanError::NoneFound { .. })));
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

    const GOAL: AccuracyGoal = AccuracyGoal { honest: 0.98, refusal: 1e-3, worse: 0.90, pass: 0.01 };

    #[test]
    fn a_plan_with_a_test_of_accuracy_achieves_both() {
        for queries in [1, 16, 512] {
            let found = search_with_test(queries, 40.0, &GOAL, 1000).unwrap();
            assert!(bound(&found).log2_probability <= -40.0, "{found}");
            let test = found.test();
            assert_eq!(test, AccuracyTest::for_honest(found.public(), GOAL.honest, GOAL.refusal).unwrap());
            assert!(test.pass_probability(GOAL.worse) <= GOAL.pass, "{found}");
            assert!(found.public() >= GOAL.smallest_test(1000).unwrap().public);
            // Cheaper than by any other number of copies.
            for copies in 1..=found.copies() + 2 {
                for test in (1..=1000).filter_map(|public| GOAL.test(public)) {
                    let other = Plan::with_test(queries, copies, test).unwrap();
                    assert!(other.inferences() >= found.inferences() || !is_enough(&other, 40.0), "{other}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_the_numbers() {
        let error = search_with_test(16, 40.0, &GOAL, 50).unwrap_err().to_string();
        assert!(error.contains("up to 50 public samples"), "{error}");
        let error = search_with_test(1, 4000.0, &GOAL, 300).unwrap_err().to_string();
        assert!(error.contains("2^-4000") && error.contains("64 copies"), "{error}");
    }

    #[test]
    fn remedies_are_the_least_that_do() {
        let weak = plan(512, 5, 4, 1);
        let remedy = Remedy::of(&weak, 40.0);
        let (b, t) = (remedy.copies.unwrap(), remedy.public.unwrap());
        assert!(is_enough(&plan(512, b, 4, 1), 40.0) && !is_enough(&plan(512, b - 1, 4, 1), 40.0));
        assert!(is_enough(&plan(512, 5, t, 1), 40.0) && !is_enough(&plan(512, 5, t - 1, 1), 40.0));
        // A single copy is corrupted without anybody noticing, whatever T.
        let single = Remedy::of(&plan(512, 1, 100, 0), 40.0);
        assert!(single.public.is_none() && single.copies.is_some() && single.to_string().contains("no T up to"));
        let none = Remedy::of(&plan(1, 2, 0, 0), 4000.0);
        assert!(none.copies.is_none() && none.public.is_none() && none.to_string().contains("neither"), "{none:?}");
    }
}
