//! The public samples as a hypothesis test of the model's accuracy.
//!
//! A deterministic substitute model answers all copies of a query alike; only this test sees it. Each public sample is
//! taken as an independent draw that the model gets right with a probability equal to its accuracy, so the number of
//! right answers is binomial.
//!
//! **The threshold is the tolerance.** A test of T samples that asks for c right answers lets a server spoil up to
//! m = T - c of them, so a plan with this test has the soundness of that m and no better: see
//! [`crate::Plan::with_test`]. A plan with m = 0 tests for c = T, which only a model that is always right on the public
//! samples passes: their labels must then be what the honest model is *certain* to answer, not merely the truth.

use serde::Serialize;

use crate::PlanError;
use crate::ln_factorial::ln_binomial;
use crate::plan::MOST_INFERENCES;

/// Terms of a tail smaller than this part of the sum so far are left out (local: below the rounding of f64).
const NEGLIGIBLE: f64 = 1e-18;

/// Accept if and only if at least `threshold` of `public` samples are answered rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AccuracyTest {
    /// Number of samples, T.
    pub public: usize,
    /// Right answers needed, c.
    pub threshold: usize,
}

/// What a test of accuracy has to achieve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AccuracyGoal {
    /// Accuracy of the model that was promised.
    pub honest: f64,
    /// How often that model may be refused, at most.
    pub refusal: f64,
    /// Accuracy of a model that must not pass.
    pub worse: f64,
    /// How often that one may pass, at most.
    pub pass: f64,
}

impl AccuracyTest {
    /// The strictest test of `public` samples that refuses an honest model of accuracy `honest` with a probability of
    /// at most `refusal`.
    ///
    /// # Errors
    /// [`PlanError::NoTest`] if even a test that asks for a single right answer refuses it more often, so that no test
    /// is left; [`PlanError::NotAProbability`]; [`PlanError::TooManySamples`].
    pub fn for_honest(public: usize, honest: f64, refusal: f64) -> Result<Self, PlanError> {
        probability("the honest model's accuracy", honest)?;
        probability("the honest model's chance to be refused", refusal)?;
        if public > MOST_INFERENCES {
            return Err(PlanError::TooManySamples { public, most: MOST_INFERENCES });
        }
        // The greatest threshold that is still met: the chance to miss it grows with it.
        let (mut met, mut missed) = (0, public + 1);
        while met + 1 < missed {
            let threshold = usize::midpoint(met, missed);
            if below(public, threshold, honest) <= refusal { met = threshold } else { missed = threshold }
        }
        if met == 0 { Err(PlanError::NoTest { public, honest, refusal }) } else { Ok(Self { public, threshold: met }) }
    }

    /// The number of wrong public samples that the test allows: a plan's tolerance m = T - c.
    #[must_use]
    pub fn tolerance(&self) -> usize {
        self.public.saturating_sub(self.threshold)
    }

    /// The probability that a model of accuracy `accuracy` passes.
    #[must_use]
    pub fn pass_probability(&self, accuracy: f64) -> f64 {
        let mean = accuracy * self.public as f64;
        sum(self.threshold..=self.public, |right| right as f64 > mean, |right| exactly(self.public, right, accuracy))
    }

    /// The probability that a model of accuracy `accuracy` is refused.
    #[must_use]
    pub fn refusal_probability(&self, accuracy: f64) -> f64 {
        below(self.public, self.threshold, accuracy)
    }

    /// Checks that an honest model of accuracy `honest` is refused with a probability of at most `refusal`.
    ///
    /// # Errors
    /// [`PlanError::HonestRefused`], with how often it would be and the greatest threshold that it meets, or
    /// [`PlanError::NoTest`] if there is none.
    pub fn for_model(self, honest: f64, refusal: f64) -> Result<Self, PlanError> {
        let strictest = Self::for_honest(self.public, honest, refusal)?.threshold;
        if self.threshold <= strictest {
            return Ok(self);
        }
        let is = self.refusal_probability(honest);
        Err(PlanError::HonestRefused { test: self, honest, refusal: is, allowed: refusal, strictest })
    }
}

impl AccuracyGoal {
    /// The test of the fewest samples, up to `most_public`, that achieves it.
    ///
    /// # Errors
    /// [`PlanError::NoPower`] if none does; [`PlanError::NotAProbability`].
    pub fn smallest_test(&self, most_public: usize) -> Result<AccuracyTest, PlanError> {
        self.check()?;
        self.tests(most_public).next().ok_or(PlanError::NoPower { goal: *self, most_public })
    }

    /// The tests of up to `most_public` samples that achieve it, in the order of T.
    pub(crate) fn tests(self, most_public: usize) -> impl Iterator<Item = AccuracyTest> {
        let mut threshold = 0;
        (1..=most_public).filter_map(move |public| {
            // One sample more raises the strictest threshold by one or not at all.
            threshold += usize::from(below(public, threshold + 1, self.honest) <= self.refusal);
            let test = AccuracyTest { public, threshold };
            (threshold > 0 && test.pass_probability(self.worse) <= self.pass).then_some(test)
        })
    }

    /// The strictest test of `public` samples that the honest model meets, if it is strict enough.
    ///
    /// More samples are not always better: the threshold is a whole number, so the power moves in steps.
    #[must_use]
    pub fn test(&self, public: usize) -> Option<AccuracyTest> {
        let test = AccuracyTest::for_honest(public, self.honest, self.refusal).ok()?;
        (test.pass_probability(self.worse) <= self.pass).then_some(test)
    }

    pub(crate) fn check(&self) -> Result<(), PlanError> {
        probability("the honest model's accuracy", self.honest)?;
        probability("the honest model's chance to be refused", self.refusal)?;
        probability("the worse model's accuracy", self.worse)?;
        probability("the worse model's chance to pass", self.pass)?;
        if self.worse < self.honest { Ok(()) } else { Err(PlanError::NotWorse { goal: *self }) }
    }
}

fn probability(name: &'static str, value: f64) -> Result<(), PlanError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(PlanError::NotAProbability { name, value }) }
}

/// The probability of fewer than `threshold` right answers out of `public`.
fn below(public: usize, threshold: usize, accuracy: f64) -> f64 {
    let mean = accuracy * public as f64;
    sum((0..threshold).rev(), |right| (right as f64) < mean, |right| exactly(public, right, accuracy))
}

/// The sum of a binomial's terms, up to where they are `beyond` the mean and too small to count.
fn sum(terms: impl Iterator<Item = usize>, beyond: impl Fn(usize) -> bool, of: impl Fn(usize) -> f64) -> f64 {
    let mut total = 0.0;
    for right in terms {
        let term = of(right);
        total += term;
        if beyond(right) && term <= total * NEGLIGIBLE {
            break;
        }
    }
    total.min(1.0)
}

/// The probability of exactly `right` right answers out of `public`.
fn exactly(public: usize, right: usize, accuracy: f64) -> f64 {
    // 0 ln 0 is 0 here.
    let power = |p: f64, n: usize| if n == 0 { 0.0 } else { n as f64 * p.ln() };
    (ln_binomial(public, right) + power(accuracy, right) + power(1.0 - accuracy, public - right)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_thresholds_and_powers() {
        for (honest, public, threshold, powers) in [
            (0.98, 100, 93, vec![(0.95, 0.87), (0.90, 0.21), (0.80, 2.8e-4)]),
            (0.98, 500, 479, vec![(0.95, 0.24), (0.90, 1.2e-6)]),
            (0.76, 100, 62, vec![(0.65, 0.77), (0.50, 0.010)]),
            (0.76, 1000, 718, vec![(0.70, 0.11), (0.65, 2.7e-6)]),
        ] {
            let test = AccuracyTest::for_honest(public, honest, 1e-3).unwrap();
            assert_eq!(test, AccuracyTest { public, threshold });
            assert!(test.refusal_probability(honest) <= 1e-3);
            let stricter = AccuracyTest { threshold: threshold + 1, ..test };
            assert!(stricter.refusal_probability(honest) > 1e-3);
            for (worse, passes) in powers {
                let is = test.pass_probability(worse);
                assert!((is / passes - 1.0).abs() < 0.05, "T={public}, accuracy {worse}: {is} instead of {passes}");
            }
        }
    }

    #[test]
    fn the_tails_are_whole() {
        for (public, accuracy) in [(1, 0.3), (7, 0.5), (100, 0.98), (1000, 0.76), (5000, 0.999)] {
            for threshold in [1, public / 2, public * 9 / 10, public].into_iter().filter(|t| *t > 0) {
                let test = AccuracyTest { public, threshold };
                let one = test.pass_probability(accuracy) + test.refusal_probability(accuracy);
                assert!((one - 1.0).abs() < 1e-9, "{test:?}, {accuracy}: {one}");
                let all: f64 = (0..threshold).map(|right| exactly(public, right, accuracy)).sum();
                assert!((all - test.refusal_probability(accuracy)).abs() <= 1e-12 * all, "{test:?}, {accuracy}");
            }
        }
    }

    #[test]
    fn certain_models_are_judged_without_logarithms_of_zero() {
        let test = AccuracyTest::for_honest(10, 1.0, 1e-3).unwrap();
        assert_eq!((test.threshold, test.tolerance()), (10, 0));
        assert_eq!((test.pass_probability(1.0), test.pass_probability(0.0)), (1.0, 0.0));
        assert_eq!((test.refusal_probability(1.0), test.refusal_probability(0.0)), (0.0, 1.0));
    }

    #[test]
    fn the_smallest_test_is_the_first_that_is_strict_enough() {
        let goal = AccuracyGoal { honest: 0.98, refusal: 1e-3, worse: 0.90, pass: 0.01 };
        let test = goal.smallest_test(2000).unwrap();
        assert!(test.refusal_probability(0.98) <= 1e-3 && test.pass_probability(0.90) <= 0.01, "{test:?}");
        for public in 1..test.public {
            let smaller = AccuracyTest::for_honest(public, 0.98, 1e-3);
            assert!(smaller.is_err() || smaller.unwrap().pass_probability(0.90) > 0.01, "T={public}");
        }
        assert!((100..300).contains(&test.public), "{test:?}");
        assert!(goal.tests(700).eq((1..=700).filter_map(|public| goal.test(public))));
    }

    #[test]
    fn a_hopeless_test_is_refused() {
        assert!(matches!(AccuracyTest::for_honest(3, 0.5, 1e-3), Err(PlanError::NoTest { public: 3, .. })));
        assert!(matches!(AccuracyTest::for_honest(0, 0.9, 1e-3), Err(PlanError::NoTest { public: 0, .. })));
        let goal = AccuracyGoal { honest: 0.98, refusal: 1e-3, worse: 0.90, pass: 0.01 };
        let error = goal.smallest_test(100).unwrap_err().to_string();
        assert!(error.contains("100 public samples") && error.contains("0.9") && error.contains("0.98"), "{error}");
        let error = AccuracyGoal { worse: 0.98, ..goal }.smallest_test(100).unwrap_err().to_string();
        assert!(error.contains("not worse"), "{error}");
        for (bad, name) in
            [(AccuracyGoal { honest: 1.1, ..goal }, "honest"), (AccuracyGoal { pass: -0.1, ..goal }, "pass")]
        {
            let error = bad.smallest_test(100).unwrap_err().to_string();
            assert!(error.contains("between 0 and 1") && error.contains(name), "{error}");
        }
        assert!(AccuracyTest::for_honest(9, f64::NAN, 1e-3).is_err());
        let error = AccuracyTest::for_honest(usize::MAX, 0.9, 1e-3).unwrap_err().to_string();
        assert!(error.contains("public samples are more than the 67108864"), "{error}");
    }

    #[test]
    fn a_threshold_that_no_honest_model_meets_is_refused_with_the_numbers() {
        let test = AccuracyTest { public: 100, threshold: 93 };
        assert_eq!(test.for_model(0.98, 1e-3), Ok(test));
        let error = AccuracyTest { threshold: 98, ..test }.for_model(0.98, 1e-3).unwrap_err().to_string();
        assert!(error.contains("98 of 100") && error.contains("0.323") && error.contains("at most 93"), "{error}");
    }
}
