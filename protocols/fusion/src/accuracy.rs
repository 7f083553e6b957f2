//! The public samples as a hypothesis test of the model's accuracy.
//!
//! A deterministic substitute model answers all copies of a query alike; only this test sees it. Each public sample is
//! taken as an independent draw that the model gets right with a probability equal to its accuracy.

use serde::Serialize;

use crate::PlanError;
use crate::ln_factorial::ln_binomial;

/// Accept if and only if at least `threshold` of `public` samples are answered rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AccuracyTest {
    /// Number of samples, T.
    pub public: usize,
    /// Right answers needed, c.
    pub threshold: usize,
}

impl AccuracyTest {
    /// The strictest test of `public` samples that refuses an honest model of accuracy `honest` with a probability of
    /// at most `refusal`.
    ///
    /// # Errors
    /// [`PlanError::NoTest`] if even a test that asks for a single right answer refuses it more often, so that no test
    /// is left.
    pub fn for_honest(public: usize, honest: f64, refusal: f64) -> Result<Self, PlanError> {
        let mut refused = 0.0;
        let mut threshold = 0;
        for right in 0..public {
            refused += exactly(public, right, honest);
            if refused > refusal {
                break;
            }
            threshold = right + 1;
        }
        if threshold == 0 { Err(PlanError::NoTest { public, honest, refusal }) } else { Ok(Self { public, threshold }) }
    }

    /// The number of wrong public samples that the test allows: a plan's tolerance m.
    #[must_use]
    pub fn tolerance(&self) -> usize {
        self.public - self.threshold
    }

    /// The probability that a model of accuracy `accuracy` passes.
    #[must_use]
    pub fn pass_probability(&self, accuracy: f64) -> f64 {
        (self.threshold..=self.public).map(|right| exactly(self.public, right, accuracy)).sum::<f64>().min(1.0)
    }
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
            assert!(1.0 - test.pass_probability(honest) <= 1e-3);
            let stricter = AccuracyTest { threshold: threshold + 1, ..test };
            assert!(1.0 - stricter.pass_probability(honest) > 1e-3);
            for (worse, passes) in powers {
                let is = test.pass_probability(worse);
                assert!((is / passes - 1.0).abs() < 0.05, "T={public}, accuracy {worse}: {is} instead of {passes}");
            }
        }
    }

    #[test]
    fn certain_models_are_judged_without_logarithms_of_zero() {
        let test = AccuracyTest::for_honest(10, 1.0, 1e-3).unwrap();
        assert_eq!((test.threshold, test.tolerance()), (10, 0));
        assert_eq!((test.pass_probability(1.0), test.pass_probability(0.0)), (1.0, 0.0));
    }

    #[test]
    fn a_hopeless_test_is_refused() {
        assert!(matches!(AccuracyTest::for_honest(3, 0.5, 1e-3), Err(PlanError::NoTest { public: 3, .. })));
        assert!(matches!(AccuracyTest::for_honest(0, 0.9, 1e-3), Err(PlanError::NoTest { public: 0, .. })));
    }
}
