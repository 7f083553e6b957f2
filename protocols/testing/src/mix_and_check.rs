//! Cheating servers against a mix-and-check wrapper such as Fusion, over any inner protocol: is the server caught as
//! often as theory says?
//!
//! The wrapper is a parameter, and the probabilities are computed here by counting, apart from the wrapper's own
//! formulas. So that the counts apply exactly, queries and public samples are chosen such that a corrupted inference
//! always gives a wrong label and an honest one never does, whatever the inner protocol's rounding.

use std::sync::Arc;

use ndarray::Array3;
use si_api::{Model, Options, Protocol, Reveal, Rounding};
use si_models::{run_fixed, score_tolerance};

use crate::chances::{choose, everywhere_passes, random_classes};
use crate::cheats::{Cheat, OpenServer, Positions, cheating_server};
use crate::detection::{Tally, Trial, consistent};
use crate::graphs::{random_queries, stacked};
use crate::pair::Seeds;
use crate::{Failure, Verdict};

/// A doubt that is reasonable: every frequency is compared from both sides, and tests run with fixed seeds.
const DOUBT: f64 = 5e-4;

/// Sizes of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// R.
    pub queries: usize,
    /// B.
    pub copies: usize,
    /// T.
    pub public: usize,
    /// m, public samples that may be wrong.
    pub tolerance: usize,
}

/// What a wrapper is made of.
pub struct Setup {
    /// The inner protocol.
    pub inner: Arc<dyn Protocol>,
    /// The plan.
    pub sizes: Sizes,
    /// Public samples.
    pub inputs: Vec<Array3<i64>>,
    /// Their labels.
    pub labels: Vec<usize>,
}

/// Makes the wrapped protocol.
pub type Wrap = Box<dyn Fn(Setup) -> Arc<dyn Protocol>>;

/// The drivers.
pub struct MixAndCheck {
    /// The honest inner protocol.
    pub inner: Arc<dyn Protocol>,
    /// Opens its server, if cheats from inside are to be tried.
    pub open: Option<OpenServer>,
    /// The wrapper.
    pub wrap: Wrap,
    /// The model that is promised.
    pub model: Arc<Model>,
    /// What the parties agree on. Scores only if the wrapper hands them out: one that compares labels may keep them.
    pub options: Options,
}

impl Sizes {
    /// R B + T.
    #[must_use]
    pub fn inferences(&self) -> usize {
        self.queries * self.copies + self.public
    }

    /// Probabilities that a server which corrupts `k` random positions fools the client, and that it does no harm and
    /// is accepted.
    #[must_use]
    pub fn fooled_and_unharmed(&self, k: usize) -> (f64, f64) {
        let all = choose(self.inferences(), k);
        let ways = |groups: usize| {
            let public = k.checked_sub(groups * self.copies).filter(|p| *p <= self.tolerance);
            public.map_or(0.0, |p| choose(self.queries, groups) * choose(self.public, p))
        };
        ((1..=self.queries).map(ways).sum::<f64>() / all, ways(0) / all)
    }
}

/// Always the same positions: that they hold something else each time is up to the client's mixing.
fn first(k: usize) -> Positions {
    Positions::these(0..k)
}

impl MixAndCheck {
    /// An honest server is never accused in `trials` runs.
    ///
    /// # Errors
    /// If it is, or an accepted answer is wrong.
    pub fn honest(&self, sizes: Sizes, trials: u64) -> Verdict {
        let clear = self.choose(sizes.queries + sizes.public, |_, _| true)?;
        let tally = Tally::of(0..trials, |seed| self.trial(sizes, &clear, Arc::clone(&self.inner), seed))?;
        if tally == (Tally { unharmed: trials, ..Tally::default() }) {
            Ok(())
        } else {
            Err(Failure::new(format!("an honest server, {sizes:?}: {tally:?}")))
        }
    }

    /// One class forced at `k` positions.
    ///
    /// # Errors
    /// If the server is not caught as often as theory says.
    pub fn flipped_labels(&self, sizes: Sizes, k: usize, trials: u64) -> Verdict {
        let class = self.rarest_class()?;
        let samples = self.choose(sizes.queries + sizes.public, |label, _| label != class)?;
        self.some(sizes, k, trials, &samples, |at| Cheat::FlipLabel { class, at })
    }

    /// How runs end in which one class is forced where a cheat says, the class being nobody's. The client's own order
    /// decides what stands there, so a server that chooses well would be caught less often than theory says.
    ///
    /// # Errors
    /// If a run fails.
    pub fn forced_where(&self, sizes: Sizes, trials: u64, cheat: &dyn Fn(usize) -> Cheat) -> Verdict<Tally> {
        let class = self.rarest_class()?;
        let samples = self.choose(sizes.queries + sizes.public, |label, _| label != class)?;
        Tally::of(0..trials, |seed| {
            let server = cheating_server(Arc::clone(&self.inner), self.open.clone(), cheat(class), seed);
            self.trial(sizes, &samples, server, seed)
        })
    }

    /// Another bias in the last layer at `k` positions: another model for some of them.
    ///
    /// # Errors
    /// If the server is not caught as often as theory says.
    pub fn other_bias(&self, sizes: Sizes, k: usize, trials: u64) -> Verdict {
        let graph = self.model.graph();
        let eight = graph.format().encode(8.0);
        let bias: Vec<i64> = (0..graph.classes() as i64).map(|class| if class % 2 == 0 { eight } else { 0 }).collect();
        let biased = |label: usize, scores: &[i64]| {
            let moved: Vec<i64> = scores.iter().zip(&bias).map(|(s, b)| s + b).collect();
            let (other, margin) = label_and_margin(&moved);
            other != label && margin > self.least_margin()
        };
        let samples = self.choose(sizes.queries + sizes.public, biased)?;
        self.some(sizes, k, trials, &samples, |at| Cheat::OtherBias(bias.clone(), at))
    }

    /// A wholly different model at `k` positions; only where the server sees the values.
    ///
    /// # Errors
    /// If the server is not caught as often as theory says.
    pub fn other_model_for_some(&self, other: &Arc<Model>, sizes: Sizes, k: usize, trials: u64) -> Verdict {
        let samples = self.differing(other, true, sizes.queries + sizes.public)?;
        self.some(sizes, k, trials, &samples, |at| Cheat::OtherModelAt(Arc::clone(other), at))
    }

    /// A wholly different model for all: copies agree, so only the public samples can tell. The client draws its T from
    /// a pool, of which the other model gets `wrong_in_pool` wrong and twice as many right.
    ///
    /// # Errors
    /// If the server is not caught as often as theory says.
    pub fn other_model_for_all(&self, other: &Arc<Model>, sizes: Sizes, wrong_in_pool: usize, trials: u64) -> Verdict {
        let mut samples = self.differing(other, true, sizes.queries + wrong_in_pool)?;
        samples.extend(self.differing(other, false, 2 * wrong_in_pool)?);
        let server = cheating_server(Arc::clone(&self.inner), None, Cheat::OtherModel(Arc::clone(other)), 0);
        let tally = Tally::of(0..trials, |seed| self.trial(sizes, &samples, Arc::clone(&server), seed))?;
        let fooled = everywhere_passes(sizes, 3 * wrong_in_pool, 2 * wrong_in_pool);
        compare(tally, fooled, 0.0).map_err(|f| f.at(format!("another model for all, {sizes:?}, {tally:?}")))
    }

    /// A random class at one position, labels only: caught unless the class happens to be right, or the position
    /// holds a public sample and one may be wrong.
    ///
    /// # Errors
    /// If the server is not caught as often as theory says.
    pub fn random_answer(&self, sizes: Sizes, trials: u64) -> Verdict {
        let samples = self.choose(sizes.queries + sizes.public, |_, _| true)?;
        let tally = Tally::of(0..trials, |seed| {
            let cheat = Cheat::RandomAnswer(first(1));
            let server = cheating_server(Arc::clone(&self.inner), self.open.clone(), cheat, seed);
            let trial = self.trial(sizes, &samples, server, seed);
            Trial { options: Options { reveal: Reveal::Label, ..self.options }, ..trial }
        })?;
        let chances = random_classes(sizes, 1, self.model.graph().classes());
        let (fooled, unharmed) = (chances.fooled, chances.unharmed);
        compare(tally, fooled, unharmed).map_err(|f| f.at(format!("a random answer, {sizes:?}, {tally:?}")))
    }

    fn some(
        &self,
        sizes: Sizes,
        k: usize,
        trials: u64,
        samples: &[Sample],
        cheat: impl Fn(Positions) -> Cheat,
    ) -> Verdict {
        let tally = Tally::of(0..trials, |seed| {
            let server = cheating_server(Arc::clone(&self.inner), self.open.clone(), cheat(first(k)), seed);
            self.trial(sizes, samples, server, seed)
        })?;
        let (fooled, unharmed) = sizes.fooled_and_unharmed(k);
        compare(tally, fooled, unharmed).map_err(|f| f.at(format!("{k} positions, {sizes:?}, {tally:?}")))
    }

    /// The first R samples are the queries, the others public.
    fn trial(&self, sizes: Sizes, samples: &[Sample], server: Arc<dyn Protocol>, seed: u64) -> Trial {
        let (queries, public) = samples.split_at(sizes.queries);
        let wrapped = |inner| {
            let inputs = public.iter().map(|s| s.input.clone()).collect();
            let labels = public.iter().map(|s| s.label).collect();
            (self.wrap)(Setup { inner, sizes, inputs, labels })
        };
        Trial {
            client: wrapped(Arc::clone(&self.inner)),
            server: wrapped(server),
            model: Arc::clone(&self.model),
            queries: queries.iter().map(|s| s.input.clone()).collect(),
            options: self.options,
            seeds: Seeds::from_number(seed),
        }
    }
}

/// An input and the label that the promised model gives it.
struct Sample {
    input: Array3<i64>,
    label: usize,
}

/// Inputs looked at before a search for suitable ones is given up (local).
const MOST_INPUTS: u64 = 4096;

impl MixAndCheck {
    /// Scores nearer to each other than this may change places by rounding.
    fn least_margin(&self) -> i64 {
        match self.inner.card().rounding {
            Rounding::Exact => 0,
            Rounding::OneBit => 2 * score_tolerance(&self.model),
        }
    }

    /// Random inputs whose label is beyond doubt, and of whose label and scores `keep` approves.
    fn choose(&self, count: usize, keep: impl Fn(usize, &[i64]) -> bool) -> Verdict<Vec<Sample>> {
        self.search(count, |_, label, scores| Ok(keep(label, scores)))
    }

    /// Random inputs to which another model gives another label, or the same.
    fn differing(&self, other: &Model, differ: bool, count: usize) -> Verdict<Vec<Sample>> {
        self.search(count, |input, label, _| {
            let scores = scores(other, input)?;
            let (other_label, margin) = label_and_margin(&scores);
            Ok((other_label != label) == differ && margin > self.least_margin())
        })
    }

    fn search(
        &self,
        count: usize,
        keep: impl Fn(&Array3<i64>, usize, &[i64]) -> Verdict<bool>,
    ) -> Verdict<Vec<Sample>> {
        let mut found = Vec::with_capacity(count);
        for seed in 0..MOST_INPUTS {
            if found.len() == count {
                return Ok(found);
            }
            for input in random_queries(self.model.graph(), 1, seed) {
                let scores = scores(&self.model, &input)?;
                let (label, margin) = label_and_margin(&scores);
                if margin > self.least_margin() && keep(&input, label, &scores)? {
                    found.push(Sample { input, label });
                }
            }
        }
        Err(Failure::new(format!("of {MOST_INPUTS} random inputs, {} of {count} are suitable", found.len())))
    }

    /// The class that random inputs have least often.
    fn rarest_class(&self) -> Verdict<usize> {
        let mut seen = vec![0; self.model.graph().classes()];
        for input in random_queries(self.model.graph(), 128, 0) {
            seen[label_and_margin(&scores(&self.model, &input)?).0] += 1;
        }
        Ok((0..seen.len()).min_by_key(|class| seen[*class]).unwrap_or(0))
    }
}

fn scores(model: &Model, input: &Array3<i64>) -> Verdict<Vec<i64>> {
    let input = stacked(model.graph(), std::slice::from_ref(input));
    let scores = run_fixed(model, &input).map_err(|e| Failure::new(format!("the oracle: {e}")))?;
    Ok(scores.into_iter().collect())
}

/// The class with the greatest score, and how far ahead of the others it is.
fn label_and_margin(scores: &[i64]) -> (usize, i64) {
    let label = si_models::label(scores.iter().copied());
    let second = scores.iter().enumerate().filter(|(class, _)| *class != label).map(|(_, score)| *score).max();
    (label, second.map_or(i64::MAX, |second| scores[label].saturating_sub(second)))
}

/// Compares all three frequencies with their probabilities.
fn compare(tally: Tally, fooled: f64, unharmed: f64) -> Verdict {
    let caught = (1.0 - fooled - unharmed).max(0.0);
    for (what, hits, probability) in
        [("caught", tally.caught, caught), ("fooled", tally.fooled, fooled), ("unharmed", tally.unharmed, unharmed)]
    {
        consistent(hits, tally.trials(), probability, DOUBT).map_err(|f| f.at(what))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_a_plan_small_enough_to_count_by_hand() {
        // Positions: two copies each of two queries, one public sample. Ten pairs, of which two are groups.
        let sizes = Sizes { queries: 2, copies: 2, public: 1, tolerance: 0 };
        assert_eq!(sizes.fooled_and_unharmed(1), (0.0, 0.0));
        assert_eq!(sizes.fooled_and_unharmed(2), (0.2, 0.0));
        assert_eq!(sizes.fooled_and_unharmed(4), (0.2, 0.0));
        assert_eq!(sizes.fooled_and_unharmed(5), (0.0, 0.0));
        let sizes = Sizes { public: 2, tolerance: 1, ..sizes };
        assert_eq!(sizes.fooled_and_unharmed(1), (0.0, 2.0 / 6.0));
        assert_eq!(sizes.fooled_and_unharmed(3), (4.0 / 20.0, 0.0));
    }

    #[test]
    fn frequencies_that_are_off_are_refused() {
        let tally = |caught, fooled, unharmed| Tally { caught, fooled, unharmed };
        assert!(compare(tally(80, 20, 0), 0.2, 0.0).is_ok());
        assert!(compare(tally(60, 40, 0), 0.2, 0.0).is_err());
        assert!(compare(tally(99, 0, 1), 0.0, 0.0).is_err());
        assert!(compare(tally(99, 1, 0), 0.0, 0.0).is_err());
    }
}
