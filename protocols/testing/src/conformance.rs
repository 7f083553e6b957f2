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

use crate::graphs::{CASES, random_queries, stacked};
use crate::pair::{Conditions, Failed, PartyFailed, Seeds, run_batches};
use crate::{Failure, Verdict, declared_cost_matches};

type MakeProtocol = Box<dyn Fn(&Arc<Model>) -> Arc<dyn Protocol>>;

/// The suite: every case of [`CASES`], batches of one to three, both reveals, two batches in one session; the declared
/// cost of each run, if the protocol declares any.
pub struct Conformance {
    protocol: MakeProtocol,
    truncation: Truncation,
    reveals: Vec<Reveal>,
    without: Vec<(&'static str, &'static str)>,
    seeds: std::ops::Range<u64>,
    batches: Vec<usize>,
    lanes: usize,
}

impl Conformance {
    /// The whole suite.
    #[must_use]
    pub fn new(protocol: Arc<dyn Protocol>) -> Self {
        Self::with(move |_| Arc::clone(&protocol))
    }

    /// The whole suite for a protocol that is set up for each model.
    #[must_use]
    pub fn with(protocol: impl Fn(&Arc<Model>) -> Arc<dyn Protocol> + 'static) -> Self {
        let protocol = Box::new(protocol);
        let (truncation, batches) = (Truncation::default(), vec![1, 3, 2]);
        let reveals = vec![Reveal::Scores, Reveal::Label];
        Self { protocol, truncation, reveals, without: Vec::new(), seeds: 0..2, batches, lanes: 1 }
    }

    /// With more lanes between the parties.
    #[must_use]
    pub fn lanes(self, lanes: usize) -> Self {
        Self { lanes, ..self }
    }

    /// With another truncation in the options.
    #[must_use]
    pub fn truncation(self, truncation: Truncation) -> Self {
        Self { truncation, ..self }
    }

    /// With these reveals only, where the protocol refuses the others.
    #[must_use]
    pub fn reveals(self, reveals: &[Reveal]) -> Self {
        Self { reveals: reveals.to_vec(), ..self }
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
        for (name, _) in &self.without {
            if CASES.iter().all(|c| c.name != *name) {
                return Err(Failure::new(format!("there is no case '{name}' to leave out")));
            }
        }
        for case in CASES {
            for seed in self.seeds.clone() {
                let model = case.model(seed);
                let protocol = (self.protocol)(&model);
                for &reveal in &self.reveals {
                    let options = Options { reveal, truncation: self.truncation };
                    match self.without.iter().find(|w| w.0 == case.name) {
                        None => self.conforms(&protocol, &model, seed, options),
                        Some((_, reason)) => refuses(&protocol, &model, reason, options),
                    }
                    .map_err(|f| {
                        f.at(format!("{} on '{}', seed {seed}, {options:?}", protocol.card().id, case.name))
                    })?;
                }
            }
        }
        Ok(())
    }

    fn conforms(&self, protocol: &Arc<dyn Protocol>, model: &Arc<Model>, seed: u64, options: Options) -> Verdict {
        let batch = |(i, n): (usize, &usize)| random_queries(model.graph(), *n, seed << 8 | i as u64);
        let batches: Vec<_> = self.batches.iter().enumerate().map(batch).collect();
        let conditions = Conditions::new(options, Seeds::from_number(seed)).with_lanes(self.lanes);
        let run = run_batches(protocol, model, &batches, conditions)?;
        let tolerance = match protocol.card().rounding {
            Rounding::Exact => 0,
            Rounding::OneBit => score_error_bound(model), // a few units: the networks are small
        };
        for (queries, answers) in batches.iter().zip(&run.answers) {
            check_answers(model, queries, answers, options.reveal, tolerance)?;
        }
        match protocol.cost(model.graph(), 1, options) {
            Err(si_api::Error::Unsupported { .. }) => Ok(()),
            _ => declared_cost_matches(&**protocol, model.graph(), &self.batches, options, &run),
        }
    }
}

fn refuses(protocol: &Arc<dyn Protocol>, model: &Arc<Model>, reason: &str, options: Options) -> Verdict {
    if !protocol.card().gaps.iter().any(|gap| gap.contains(reason)) {
        return Err(Failure::new(format!("the card's gaps do not mention '{reason}'")));
    }
    let queries = random_queries(model.graph(), 1, 0);
    match run_batches(protocol, model, &[queries], Conditions::new(options, Seeds::from_number(0))) {
        Err(PartyFailed { how: Failed::Error(si_api::Error::Unsupported { .. }), .. }) => Ok(()),
        Err(e) => Err(Failure::new(format!("not refused as unsupported: {e}"))),
        Ok(_) => Err(Failure::new("left out of the suite, but it runs")),
    }
}

/// Compares answers with the oracle. Every score must be within `tolerance` of it, and a label's score within twice
/// that of the greatest, as both may be off. With a tolerance of 0, everything must be equal, ties included.
///
/// # Errors
/// At the first answer that is wrong or has the wrong form.
pub fn check_answers(
    model: &Model,
    queries: &[Array3<i64>],
    answers: &[Answer],
    reveal: Reveal,
    tolerance: i64,
) -> Verdict {
    let oracle: Array2<i64> = run_fixed(model, &stacked(model.graph(), queries))
        .map_err(|e| Failure::new(format!("the oracle itself refuses the query: {e}")))?;
    if answers.len() != queries.len() {
        return Err(Failure::new(format!("{} answers to {} queries", answers.len(), queries.len())));
    }
    for (i, (expected, answer)) in oracle.rows().into_iter().zip(answers).enumerate() {
        let wrong = |why: String| {
            Err(Failure::new(format!("answer {i}: {why}; the oracle says {expected} within {tolerance}")))
        };
        if answer.scores.is_some() != (reveal == Reveal::Scores) {
            return wrong(format!("scores are {:?} where {reveal:?} was asked", answer.scores));
        }
        if answer.label >= expected.len() {
            return wrong(format!("label {}", answer.label));
        }
        let greatest = expected.iter().max().copied().unwrap_or(0);
        if greatest - expected[answer.label] > tolerance.saturating_mul(2) {
            return wrong(format!("label {}", answer.label));
        }
        if tolerance == 0 && expected.iter().position(|s| *s == greatest) != Some(answer.label) {
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
