//! How often a protocol catches a cheating server, and whether that is as often as theory says.

use std::sync::Arc;

use ndarray::Array3;
use si_api::{Error, Model, Options, Protocol, Role, Rounding};
use si_models::score_tolerance;

use crate::conformance::check_answers;
use crate::pair::{Conditions, Failed, Seeds, run};
use crate::{Failure, Verdict};

/// One run with a server that may cheat.
pub struct Trial {
    /// Whose client runs.
    pub client: Arc<dyn Protocol>,
    /// Whose server runs.
    pub server: Arc<dyn Protocol>,
    /// The model that the server should use.
    pub model: Arc<Model>,
    /// One batch.
    pub queries: Vec<Array3<i64>>,
    /// What the parties agree on.
    pub options: Options,
    /// The parties' randomness.
    pub seeds: Seeds,
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client aborted and accused the server.
    Caught,
    /// The client accepted answers of which at least one is wrong.
    Fooled,
    /// The client accepted, and every answer is right.
    Unharmed,
}

/// How trials ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Trials that ended with [`End::Caught`].
    pub caught: u64,
    /// Trials that ended with [`End::Fooled`].
    pub fooled: u64,
    /// Trials that ended with [`End::Unharmed`].
    pub unharmed: u64,
}

impl Trial {
    /// Runs it. Right is what the oracle says, as the rounding on the client's card allows.
    ///
    /// # Errors
    /// If a party fails in any other way than an abort that accuses the server.
    pub fn run(&self) -> Verdict<End> {
        let conditions = Conditions::new(self.options, self.seeds);
        let batches = [self.queries.clone()];
        let outcome = run(&self.client, &self.server, &self.model, &batches, conditions, &|c, s| (c, s));
        let answers = match outcome.client {
            Err(Failed::Error(Error::Abort { accused: Role::Server(0), .. })) => return Ok(End::Caught),
            Err(failed) => {
                let server = outcome.server.err().map_or("no error".to_owned(), |e| e.to_string());
                return Err(Failure::new(format!("the client failed: {failed}; the server: {server}")));
            }
            Ok(answers) => answers.concat(),
        };
        outcome.server.map_err(|failed| Failure::new(format!("the server failed: {failed}")))?;
        let tolerance = match self.client.card().rounding {
            Rounding::Exact => 0,
            Rounding::OneBit => score_tolerance(&self.model),
        };
        let right = check_answers(&self.model, &self.queries, &answers, self.options.reveal, tolerance);
        Ok(if right.is_ok() { End::Unharmed } else { End::Fooled })
    }
}

impl Tally {
    /// Runs a trial for each seed.
    ///
    /// # Errors
    /// At the first trial that fails.
    pub fn of(seeds: std::ops::Range<u64>, trial: impl Fn(u64) -> Trial) -> Verdict<Self> {
        let mut tally = Self::default();
        for seed in seeds {
            match trial(seed).run().map_err(|f| f.at(format!("trial {seed}")))? {
                End::Caught => tally.caught += 1,
                End::Fooled => tally.fooled += 1,
                End::Unharmed => tally.unharmed += 1,
            }
        }
        Ok(tally)
    }

    /// Number of trials.
    #[must_use]
    pub fn trials(&self) -> u64 {
        self.caught + self.fooled + self.unharmed
    }
}

/// Checks that `hits` of `trials` is what a probability makes likely: neither so few nor so many have a probability
/// below `doubt`, for instance 5e-4 for a 99.9 % interval.
///
/// # Errors
/// If one has.
pub fn consistent(hits: u64, trials: u64, probability: f64, doubt: f64) -> Verdict {
    let (at_most, at_least) = binomial_tails(hits, trials, probability);
    if at_most.min(at_least) >= doubt {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{hits} of {trials} where {:.1} are expected: so few have probability {at_most:.1e}, so many {at_least:.1e}",
        probability * trials as f64
    )))
}

/// Pr[X <= hits] and Pr[X >= hits] for the number X of successes.
#[must_use]
pub fn binomial_tails(hits: u64, trials: u64, probability: f64) -> (f64, f64) {
    // 0 ln 0 is 0 here.
    let power = |ln_p: f64, n: u64| if n == 0 { 0.0 } else { n as f64 * ln_p };
    let (ln_hit, ln_miss) = (probability.ln(), (1.0 - probability).ln());
    let mut ln_ways = 0.0;
    let (mut at_most, mut at_least) = (0.0, 0.0);
    for x in 0..=trials {
        let p = (ln_ways + power(ln_hit, x) + power(ln_miss, trials - x)).exp();
        at_most += if x <= hits { p } else { 0.0 };
        at_least += if x >= hits { p } else { 0.0 };
        ln_ways += ((trials - x) as f64).ln() - ((x + 1) as f64).ln();
    }
    (at_most, at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_of_four_coins() {
        let (at_most, at_least) = binomial_tails(1, 4, 0.5);
        assert!((at_most - 5.0 / 16.0).abs() < 1e-12 && (at_least - 15.0 / 16.0).abs() < 1e-12);
        let (at_most, at_least) = binomial_tails(4, 4, 1.0);
        assert!((at_most - 1.0).abs() < 1e-12 && (at_least - 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_unlikely_is_not_consistent() {
        assert!(consistent(100, 200, 0.5, 5e-4).is_ok());
        assert!(consistent(70, 200, 0.5, 5e-4).is_err());
        assert!(consistent(130, 200, 0.5, 5e-4).is_err());
        assert!(consistent(200, 200, 1.0, 5e-4).is_ok());
        assert!(consistent(199, 200, 1.0, 5e-4).is_err());
        assert!(consistent(1, 200, 0.0, 5e-4).is_err());
    }
}
