//! Every protocol's answers against the fixed-point oracle.
//!
//! ```no_run
//! # fn protocol() -> std::sync::Arc<dyn si_api::Protocol> { unimplemented!() }
//! si_testing::conformance::Conformance::new(protocol()).check().unwrap();
//! ```

use std::sync::Arc;

use ndarray::{Array2, Array3};
use si_api::{Answer, Options, Protocol, Reveal, Rounding, Truncation};
use si_models::{Model, run_fixed, score_error_bound};

use crate::graphs::{CASES, Case, random_queries, stacked};
use crate::pair::{Conditions, Failed, PartyFailed, Seeds, run_batches};
use crate::{Failure, Verdict, declared_cost_matches};

/// The suite: every case of [`CASES`], batches of one to three, both reveals, two batches in one session; the declared
/// cost of each run, if the protocol declares any.
pub struct Conformance {
    protocol: Arc<dyn Protocol>,
    truncation: Truncation,
    without: Vec<(&'static str, &'static str)>,
    seeds: std::ops::Range<u64>,
    batches: Vec<usize>,
}

impl Conformance {
    /// The whole suite.
    #[must_use]
    pub fn new(protocol: Arc<dyn Protocol>) -> Self {
        Self { protocol, truncation: Truncation::default(), without: Vec::new(), seeds: 0..2, batches: vec![1, 3, 2] }
    }

    /// With another truncation in the options.
    #[must_use]
    pub fn truncation(self, truncation: Truncation) -> Self {
        Self { truncation, ..self }
    }

    /// Without a case that the protocol refuses with [`si_api::Error::Unsupported`], for a reason that its card gives.
    /// That it does refuse is checked.
    #[must_use]
    pub fn without(mut self, case: &'static str, reason_on_the_card: &'static str) -> Self {
        self.without.push((case, reason_on_the_card));
        self
    }

    /// With other weights and queries: the suite runs once for each seed.
    #[must_use]
    pub fn seeds(self, seeds: std::ops::Range<u64>) -> Self {
        Self { seeds, ..self }
    }

    /// With other sizes for the batches, which follow each other in one session.
    #[must_use]
    pub fn batches(self, batches: &[usize]) -> Self {
        Self { batches: batches.to_vec(), ..self }
    }

    /// Runs the suite.
    ///
    /// # Errors
    /// At the first run that fails, or whose answers or costs are not what they should be.
    pub fn check(&self) -> Verdict {
        let id = &self.protocol.card().id;
        for (name, _) in &self.without {
            if CASES.iter().all(|c| c.name != *name) {
                return Err(Failure::new(format!("there is no case '{name}' to leave out")));
            }
        }
        for case in CASES {
            for seed in self.seeds.clone() {
                for reveal in [Reveal::Scores, Reveal::Label] {
                    let options = Options { reveal, truncation: self.truncation };
                    let place = || format!("{id} on case '{}', seed {seed}, {options:?}", case.name);
                    match self.without.iter().find(|w| w.0 == case.name) {
                        None => self.run(case, seed, options).map_err(|f| f.at(place()))?,
                        Some((_, reason)) => self.refuses(case, reason, options).map_err(|f| f.at(place()))?,
                    }
                }
            }
        }
        Ok(())
    }

    fn run(&self, case: &Case, seed: u64, options: Options) -> Verdict {
        let model = case.model(seed);
        let mut next = seed << 8;
        let batches: Vec<_> = (self.batches.iter())
            .map(|n| {
                next += 1;
                random_queries(model.graph(), *n, next)
            })
            .collect();
        let conditions = Conditions::new(options, Seeds::from_number(seed));
        let run = run_batches(&self.protocol, &model, &batches, conditions)?;
        for (queries, answers) in batches.iter().zip(&run.answers) {
            check_answers(&model, queries, answers, options.reveal, self.protocol.card().rounding)?;
        }
        match self.protocol.cost(model.graph(), 1, options) {
            Err(si_api::Error::Unsupported { .. }) => Ok(()),
            _ => declared_cost_matches(&*self.protocol, model.graph(), &self.batches, options, &run),
        }
    }

    fn refuses(&self, case: &Case, reason: &str, options: Options) -> Verdict {
        let model = case.model(0);
        let queries = random_queries(model.graph(), 1, 0);
        if !self.protocol.card().gaps.iter().any(|gap| gap.contains(reason)) {
            return Err(Failure::new(format!("the card's gaps do not mention '{reason}'")));
        }
        let conditions = Conditions::new(options, Seeds::from_number(0));
        match run_batches(&self.protocol, &model, &[queries], conditions) {
            Err(PartyFailed { how: Failed::Error(si_api::Error::Unsupported { .. }), .. }) => Ok(()),
            Err(e) => Err(Failure::new(format!("not refused as unsupported: {e}"))),
            Ok(_) => Err(Failure::new("left out of the suite, but it runs")),
        }
    }
}

/// Compares answers with the oracle: bit for bit for [`Rounding::Exact`]; else scores within
/// [`si_models::score_error_bound`] (on networks this small, the worst case is a few units), and a label whose oracle score is that close (from both sides) to the greatest.
///
/// # Errors
/// At the first answer that is wrong or has the wrong form.
pub fn check_answers(
    model: &Model,
    queries: &[Array3<i64>],
    answers: &[Answer],
    reveal: Reveal,
    rounding: Rounding,
) -> Verdict {
    let oracle: Array2<i64> = run_fixed(model, &stacked(model.graph(), queries))
        .map_err(|e| Failure::new(format!("the oracle itself refuses the query: {e}")))?;
    if answers.len() != queries.len() {
        return Err(Failure::new(format!("{} answers to {} queries", answers.len(), queries.len())));
    }
    let tolerance = match rounding {
        Rounding::Exact => 0,
        Rounding::OneBit => score_error_bound(model),
    };
    for (i, (expected, answer)) in oracle.rows().into_iter().zip(answers).enumerate() {
        let wrong = |why: String| {
            Err(Failure::new(format!("answer {i}: {why}; the oracle's scores are {expected} within {tolerance}")))
        };
        if answer.scores.is_some() != (reveal == Reveal::Scores) {
            return wrong(format!("scores are {:?} where {reveal:?} was asked", answer.scores));
        }
        if answer.label >= expected.len() {
            return wrong(format!("label {}", answer.label));
        }
        let greatest = expected.iter().max().copied().unwrap_or(0);
        if greatest - expected[answer.label] > 2 * tolerance {
            return wrong(format!("label {}", answer.label));
        }
        if rounding == Rounding::Exact && expected.iter().position(|s| *s == greatest) != Some(answer.label) {
            return wrong(format!("label {} breaks a tie the wrong way", answer.label));
        }
        if let Some(scores) = &answer.scores {
            let apart = scores.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
            if scores.len() != expected.len() || apart > tolerance.unsigned_abs() {
                return wrong(format!("scores {scores:?}"));
            }
            if scores[answer.label] != scores.iter().max().copied().unwrap_or(0) {
                return wrong(format!("label {} is not that of the scores {scores:?}", answer.label));
            }
        }
    }
    Ok(())
}
