//! How many inferences of which kind: public to both parties.

use serde::{Deserialize, Serialize};

use crate::search::Remedy;
use crate::soundness::{Bound, bound};
use crate::{AccuracyGoal, AccuracyTest};

/// Most inferences of one plan (local): the bound and the mixing keep a few words for each.
pub(crate) const MOST_INFERENCES: usize = 1 << 26;

/// Most terms that the bound of a plan may sum (local): seconds of computing. The numbers come from files and flags.
const MOST_TERMS: usize = 1 << 28;

/// A plan: R queries with B copies each and T public samples, of which up to m may come out wrong. The server knows
/// it; only the order of the positions is secret.
///
/// **m and accuracy are one number.** Asking for c right answers of T is allowing m = T - c wrong ones, whoever made
/// them: an honest model that errs, or a server that cheats. With m = 0 *every* public sample must come out right, so
/// an honest model must be certain of each of them; with a test of accuracy on samples that the model may miss, the
/// bound is that of the test's m ([`Self::with_test`]). A small T that was enough for m = 0 may then be too weak (R = 512,
/// B = 5, T = 4: 2^-40.7 with m = 0, 2^-29.4 with m = 1); a T that tests accuracy at all is large enough to bear its own
/// m (T = 100, c = 93: 2^-40.97 like m = 0, for the copies of a single query are the server's best choice in both).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Numbers", into = "Numbers")]
pub struct Plan(Numbers);

/// A plan's numbers before they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbers {
    queries: usize,
    copies: usize,
    public: usize,
    #[serde(default)]
    tolerance: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    chunk: Option<usize>,
}

/// Why a plan is not accepted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A number that must not be zero is.
    #[error("a plan with {queries} queries, {copies} copies and chunks of {chunk} inferences: all must be at least 1")]
    Zero {
        /// R.
        queries: usize,
        /// B.
        copies: usize,
        /// Inferences of a chunk.
        chunk: usize,
    },
    /// The public check could not fail.
    #[error("{tolerance} of {public} public samples may be wrong: that is no check, allow fewer")]
    Tolerance {
        /// m.
        tolerance: usize,
        /// T.
        public: usize,
    },
    /// More right answers asked for than there are samples.
    #[error("{threshold} right answers of {public} public samples: no model meets that, ask for at most {public}")]
    Threshold {
        /// c.
        threshold: usize,
        /// T.
        public: usize,
    },
    /// More inferences than are supported.
    #[error("{queries} x {copies} + {public} inferences are more than the {most} of one plan: split the queries")]
    TooLarge {
        /// R.
        queries: usize,
        /// B.
        copies: usize,
        /// T.
        public: usize,
        /// The most there may be.
        most: usize,
    },
    /// The bound would take too long to compute.
    #[error(
        "R={queries}, B={copies}, m={tolerance}: the bound on a cheating server sums {terms} terms, at most {most} are \
         computed; take a smaller tolerance, or split the queries"
    )]
    TooManyTerms {
        /// R.
        queries: usize,
        /// B.
        copies: usize,
        /// m.
        tolerance: usize,
        /// Of the bound.
        terms: usize,
        /// Allowed.
        most: usize,
    },
    /// A test of accuracy with more samples than a plan can have.
    #[error("{public} public samples are more than the {most} inferences of one plan: take fewer")]
    TooManySamples {
        /// T.
        public: usize,
        /// Allowed.
        most: usize,
    },
    /// The bound is above what was asked.
    #[error(
        "{plan}: a cheating server wins with probability 2^{log2_probability:.2} by corrupting {corrupted} positions, \
         {:.2} bits short of the {security_bits} asked for; {remedy}",
        f64::from(*security_bits) + log2_probability
    )]
    TooWeak {
        /// The plan.
        plan: Plan,
        /// The bound's logarithm.
        log2_probability: f64,
        /// Where it is reached.
        corrupted: usize,
        /// What was asked.
        security_bits: u32,
        /// What would be enough.
        remedy: Remedy,
    },
    /// No plan within the limits is enough.
    #[error(
        "no plan for {queries} queries reaches 2^-{security_bits} with up to {tolerance} wrong public samples, at most \
         {most_public} public samples and {most_copies} copies"
    )]
    NoneFound {
        /// R.
        queries: usize,
        /// What was asked.
        security_bits: f64,
        /// m.
        tolerance: usize,
        /// Greatest T tried.
        most_public: usize,
        /// Greatest B tried.
        most_copies: usize,
    },
    /// No plan with a test of accuracy within the limits is enough.
    #[error(
        "no plan for {queries} queries reaches 2^-{security_bits} with a test of accuracy (T from {least_public} to \
         {most_public}) and at most {most_copies} copies: every sample that an honest model of accuracy {} may miss is one \
         that a cheating server may spoil",
        goal.honest
    )]
    NoneWithTest {
        /// R.
        queries: usize,
        /// What was asked.
        security_bits: f64,
        /// What was asked of the test.
        goal: AccuracyGoal,
        /// Least T with that power.
        least_public: usize,
        /// Greatest T tried.
        most_public: usize,
        /// Greatest B tried.
        most_copies: usize,
    },
    /// No test of accuracy is both passed by the honest model and failed by any.
    #[error(
        "{public} public samples cannot test accuracy: a model of accuracy {honest} would fail any test with a \
         probability above {refusal}; take more samples"
    )]
    NoTest {
        /// T.
        public: usize,
        /// The honest model's accuracy.
        honest: f64,
        /// How often it may be refused.
        refusal: f64,
    },
    /// An honest model misses the threshold too often.
    #[error(
        "{} of {} public samples right: an honest model of accuracy {honest} is refused with probability {refusal:.3}, \
         {allowed} allowed; ask for at most {strictest}, or for samples that the model is certain of",
        test.threshold, test.public
    )]
    HonestRefused {
        /// The test.
        test: AccuracyTest,
        /// The honest model's accuracy.
        honest: f64,
        /// How often it is refused.
        refusal: f64,
        /// How often it may be.
        allowed: f64,
        /// The greatest threshold that it meets.
        strictest: usize,
    },
    /// No number of samples tells the models apart.
    #[error(
        "no test of up to {most_public} public samples refuses a model of accuracy {} but for a probability of {}, and \
         one of {} at most with probability {}; take more samples, or models further apart",
        goal.worse, goal.pass, goal.honest, goal.refusal
    )]
    NoPower {
        /// What was asked.
        goal: AccuracyGoal,
        /// Greatest T tried.
        most_public: usize,
    },
    /// The model that must not pass is as good as the honest one.
    #[error("a model of accuracy {} is not worse than an honest one of {}: no test refuses it", goal.worse, goal.honest)]
    NotWorse {
        /// What was asked.
        goal: AccuracyGoal,
    },
    /// A number that must be a probability is none.
    #[error("{name} is {value}: it must be between 0 and 1")]
    NotAProbability {
        /// What it is.
        name: &'static str,
        /// Its value.
        value: f64,
    },
}

impl Plan {
    /// A plan of R = `queries`, B = `copies`, T = `public`, m = `tolerance`, run as one batch.
    ///
    /// # Errors
    /// If a number is out of range; whether the plan is secure is another question, see [`Self::secure`].
    pub fn new(queries: usize, copies: usize, public: usize, tolerance: usize) -> Result<Self, PlanError> {
        Self::try_from(Numbers { queries, copies, public, tolerance, chunk: None })
    }

    /// A plan whose public samples are a test of accuracy: T samples, m = T - c.
    ///
    /// # Errors
    /// As [`Self::new`], which refuses a test that asks for no right answer; [`PlanError::Threshold`] if it asks for
    /// more than there are samples.
    pub fn with_test(queries: usize, copies: usize, test: AccuracyTest) -> Result<Self, PlanError> {
        let AccuracyTest { public, threshold } = test;
        let tolerance = public.checked_sub(threshold).ok_or(PlanError::Threshold { threshold, public })?;
        Self::new(queries, copies, public, tolerance)
    }

    /// The same plan, run in chunks of at most `chunk` inferences each, to bound the memory that a batch takes.
    ///
    /// # Errors
    /// If `chunk` is 0.
    pub fn in_chunks(self, chunk: usize) -> Result<Self, PlanError> {
        Self::try_from(Numbers { chunk: Some(chunk), ..self.0 })
    }

    /// R, the greatest number of queries in one run.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.0.queries
    }

    /// B, copies of each query.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.0.copies
    }

    /// T, public samples.
    #[must_use]
    pub fn public(&self) -> usize {
        self.0.public
    }

    /// m, public samples that may be wrong.
    #[must_use]
    pub fn tolerance(&self) -> usize {
        self.0.tolerance
    }

    /// The test that the public samples are: at least c = T - m of them must come out right.
    #[must_use]
    pub fn test(&self) -> AccuracyTest {
        AccuracyTest { public: self.0.public, threshold: self.0.public - self.0.tolerance }
    }

    /// N = R B + T, inferences of one run.
    #[must_use]
    pub fn inferences(&self) -> usize {
        self.0.queries * self.0.copies + self.0.public
    }

    /// Inferences for each query, N / R.
    #[must_use]
    pub fn amortised(&self) -> f64 {
        self.inferences() as f64 / self.0.queries as f64
    }

    /// Whether a run is more than one batch of the inner protocol.
    #[must_use]
    pub fn is_chunked(&self) -> bool {
        self.chunks().len() > 1
    }

    /// Sizes of the batches in which the N inferences run: as few as the chunk size allows, and as equal as possible.
    #[must_use]
    pub fn chunks(&self) -> Vec<usize> {
        let all = self.inferences();
        let count = all.div_ceil(self.0.chunk.unwrap_or(all));
        (0..count).map(|i| (i + 1) * all / count - i * all / count).collect()
    }

    /// The server's best chance of passing off wrong answers.
    #[must_use]
    pub fn bound(&self) -> Bound {
        bound(self)
    }

    /// The bound, if it is at most 2^-`security_bits`.
    ///
    /// # Errors
    /// [`PlanError::TooWeak`], with the numbers.
    pub fn secure(&self, security_bits: u32) -> Result<Bound, PlanError> {
        let Bound { log2_probability, corrupted } = self.bound();
        if log2_probability <= -f64::from(security_bits) {
            Ok(Bound { log2_probability, corrupted })
        } else {
            let remedy = Remedy::of(self, f64::from(security_bits));
            Err(PlanError::TooWeak { plan: *self, log2_probability, corrupted, security_bits, remedy })
        }
    }
}

/// R = 512, B = 5, T = 100, m = 0: 2^-40.97 at 5.195 inferences a query.
impl Default for Plan {
    fn default() -> Self {
        Self(Numbers { queries: 512, copies: 5, public: 100, tolerance: 0, chunk: None })
    }
}

impl TryFrom<Numbers> for Plan {
    type Error = PlanError;

    fn try_from(n: Numbers) -> Result<Self, PlanError> {
        let Numbers { queries, copies, public, tolerance, chunk } = n;
        if queries == 0 || copies == 0 || chunk == Some(0) {
            return Err(PlanError::Zero { queries, copies, chunk: chunk.unwrap_or(1) });
        }
        if tolerance > 0 && tolerance >= public {
            return Err(PlanError::Tolerance { tolerance, public });
        }
        let inferences = queries.checked_mul(copies).and_then(|n| n.checked_add(public));
        if inferences.is_none_or(|n| n > MOST_INFERENCES) {
            return Err(PlanError::TooLarge { queries, copies, public, most: MOST_INFERENCES });
        }
        // One sum for each number of corrupted positions, over the queries that may be hit by it.
        let terms = (queries * copies + tolerance).saturating_mul(tolerance / copies + 1);
        if terms > MOST_TERMS {
            return Err(PlanError::TooManyTerms { queries, copies, tolerance, terms, most: MOST_TERMS });
        }
        Ok(Self(n))
    }
}

impl From<Plan> for Numbers {
    fn from(plan: Plan) -> Self {
        plan.0
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Numbers { queries, copies, public, tolerance, .. } = self.0;
        write!(f, "R={queries}, B={copies}, T={public}, m={tolerance}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_that_make_no_sense_are_refused_with_their_numbers() {
        assert!(matches!(Plan::new(0, 5, 1, 0), Err(PlanError::Zero { queries: 0, .. })));
        assert!(matches!(Plan::new(1, 0, 1, 0), Err(PlanError::Zero { copies: 0, .. })));
        assert!(matches!(Plan::default().in_chunks(0), Err(PlanError::Zero { chunk: 0, .. })));
        assert!(matches!(Plan::new(1, 1, 3, 3), Err(PlanError::Tolerance { tolerance: 3, public: 3 })));
        assert!(matches!(Plan::new(usize::MAX, 2, 0, 0), Err(PlanError::TooLarge { .. })));
        assert!(matches!(Plan::new(1 << 20, 1 << 10, 0, 0), Err(PlanError::TooLarge { .. })));
    }

    #[test]
    fn a_weak_plan_is_told_by_how_much() {
        let weak = Plan::new(512, 5, 4, 1).unwrap();
        let error = weak.secure(40).unwrap_err().to_string();
        assert!(error.contains("2^-29.39") && error.contains("10.61 bits short"), "{error}");
        assert!(error.contains("B=59 copies") && error.contains("or T=6 public"), "{error}");
        assert!(Plan::default().secure(40).is_ok());
        assert!(Plan::default().secure(41).is_err());
    }

    #[test]
    fn a_test_of_accuracy_is_a_tolerance() {
        let of = |public| Plan::with_test(512, 5, AccuracyTest::for_honest(public, 0.98, 1e-3).unwrap()).unwrap();
        assert_eq!((of(100).tolerance(), of(100).test()), (7, AccuracyTest { public: 100, threshold: 93 }));
        // A test that can tell anything bears its own tolerance; a small T that was enough without one does not.
        assert!((of(100).bound().log2_probability - Plan::default().bound().log2_probability).abs() < 1e-9);
        assert_eq!(of(4).tolerance(), 2);
        assert!(Plan::new(512, 5, 4, 0).unwrap().secure(40).is_ok());
        assert!(matches!(of(4).secure(40), Err(PlanError::TooWeak { .. })));
        assert_eq!(Plan::default().test(), AccuracyTest { public: 100, threshold: 100 });
        let refusal = |threshold| Plan::with_test(512, 5, AccuracyTest { public: 10, threshold }).unwrap_err();
        assert!(matches!(refusal(0), PlanError::Tolerance { tolerance: 10, public: 10 }));
        assert!(refusal(11).to_string().contains("11 right answers of 10"));
    }

    /// The numbers come from files and flags: none makes the bound run for hours.
    #[test]
    fn a_bound_that_takes_too_long_is_refused_with_the_numbers() {
        let half = MOST_INFERENCES / 2;
        for (queries, copies, public, tolerance) in [(half, 1, half, half - 1), (100_000, 5, 10_000, 5_000)] {
            let e = Plan::new(queries, copies, public, tolerance).unwrap_err();
            assert!(matches!(e, PlanError::TooManyTerms { .. }) && e.to_string().contains("smaller tolerance"), "{e}");
        }
        Plan::new(MOST_INFERENCES - 1, 1, 1, 0).unwrap();
        Plan::new(1, 1, 4096, 4095).unwrap();
    }

    #[test]
    fn chunks_are_alike_and_add_up() {
        let plan = Plan::new(64, 7, 30, 0).unwrap();
        assert_eq!((plan.chunks(), plan.is_chunked()), (vec![478], false));
        let chunks = plan.in_chunks(32).unwrap().chunks();
        assert_eq!((chunks.len(), chunks.iter().sum::<usize>()), (15, 478));
        assert!(chunks.iter().all(|n| [31, 32].contains(n)), "{chunks:?}");
        assert_eq!(plan.in_chunks(1000).unwrap().chunks(), [478]);
    }
}
