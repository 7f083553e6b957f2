//! Answers against the oracle: a time counts only if the answers are right.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use si_api::{Model, Rounding};
use si_models::{label, run_fixed, score_tolerance};

use crate::inputs::Source;
use crate::job::AnswerLine;

/// What the fixed-point executor says about the images of a data set, remembered.
pub(crate) struct Oracle {
    model: Arc<Model>,
    /// What one-bit rounding may do to a score.
    tolerance_ulp: u64,
    scores: HashMap<usize, Vec<i64>>,
}

/// Result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Answers compared.
    pub(crate) checked: u64,
    /// Answers whose label is the oracle's.
    pub(crate) equal: u64,
    /// Greatest distance of a score, if scores are revealed.
    pub(crate) max_error_ulp: Option<u64>,
    /// What is allowed.
    pub(crate) tolerance_ulp: u64,
    /// Answers whose label is the data set's, if it has labels.
    pub(crate) correct: Option<u64>,
    /// The first wrong answer, if any.
    pub(crate) wrong: Option<String>,
}

impl Oracle {
    /// An oracle for this model.
    pub(crate) fn new(model: Arc<Model>) -> Self {
        Self { tolerance_ulp: score_tolerance(&model).unsigned_abs(), model, scores: HashMap::new() }
    }

    /// How far one-bit rounding may take a score from the exact one.
    pub(crate) fn tolerance_ulp(&self) -> u64 {
        self.tolerance_ulp
    }

    /// Makes sure that the scores of these images are known.
    ///
    /// # Errors
    /// If an image does not fit the model or a value leaves its range.
    pub(crate) fn learn(&mut self, source: &Source, positions: &[usize]) -> Result<()> {
        let new: Vec<_> = positions.iter().copied().filter(|p| !self.scores.contains_key(p)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let images = source.images(self.model.graph(), &new)?;
        let scores = run_fixed(&self.model, &images).context("the fixed-point oracle")?;
        self.scores.extend(new.into_iter().zip(scores.rows().into_iter().map(|r| r.to_vec())));
        Ok(())
    }

    /// The label of an image if no rounding can change it, and if it is the data set's where that has labels: what a
    /// client may expect of an honest server.
    ///
    /// # Errors
    /// As [`Self::learn`].
    pub(crate) fn sure_label(&mut self, source: &Source, position: usize) -> Result<Option<usize>> {
        self.learn(source, &[position])?;
        let tolerance = self.tolerance_ulp;
        let Some(scores) = self.scores.get(&position) else { return Ok(None) };
        let best = label(scores.iter().copied());
        let sure = scores.iter().enumerate().all(|(i, s)| i == best || scores[best].abs_diff(*s) > 2 * tolerance);
        Ok((sure && source.label(position).is_none_or(|l| l == best)).then_some(best))
    }
}

impl Oracle {
    /// Compares answers to the images at `positions`, in order.
    ///
    /// # Errors
    /// If the oracle cannot compute the images.
    pub(crate) fn check(
        &mut self,
        source: &Source,
        positions: &[usize],
        answers: &[AnswerLine],
        rounding: Rounding,
        scores_revealed: bool,
    ) -> Result<Verdict> {
        self.learn(source, positions)?;
        let tolerance_ulp = match rounding {
            Rounding::Exact => 0,
            Rounding::OneBit => self.tolerance_ulp,
        };
        let expected: Vec<_> = positions.iter().filter_map(|p| self.scores.get(p)).map(Vec::as_slice).collect();
        let truth: Vec<_> = positions.iter().map(|p| source.label(*p)).collect();
        Ok(compare(&expected, &truth, answers, tolerance_ulp, scores_revealed))
    }
}

/// `expected` holds the oracle's scores, `truth` the data set's labels.
fn compare(
    expected: &[&[i64]],
    truth: &[Option<usize>],
    answers: &[AnswerLine],
    tolerance_ulp: u64,
    scores_revealed: bool,
) -> Verdict {
    let mut v = Verdict { tolerance_ulp, ..Verdict::default() };
    let mut complain = |what: String| v.wrong = v.wrong.take().or(Some(what));
    if answers.len() != expected.len() {
        complain(format!("{} answers to {} queries", answers.len(), expected.len()));
    }
    let (mut equal, mut correct, mut labelled, mut worst) = (0, 0, false, None);
    for (i, ((answer, scores), truth)) in answers.iter().zip(expected).zip(truth).enumerate() {
        let best = label(scores.iter().copied());
        equal += u64::from(answer.label == best);
        labelled |= truth.is_some();
        correct += u64::from(*truth == Some(answer.label));
        // Both scores may be off by the tolerance, in opposite directions.
        match scores.get(answer.label) {
            Some(s) if scores[best].abs_diff(*s) <= 2 * tolerance_ulp => {}
            _ => complain(format!("answer {i} is label {}, the oracle says {best}", answer.label)),
        }
        match &answer.scores {
            Some(got) if got.len() == scores.len() => {
                let error = got.iter().zip(*scores).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
                worst = worst.max(Some(error));
                if error > tolerance_ulp {
                    complain(format!("answer {i} has a score {error} ulp off the oracle's, {tolerance_ulp} allowed"));
                }
                if label(got.iter().copied()) != answer.label {
                    complain(format!("answer {i} is label {}, its own scores say another", answer.label));
                }
            }
            Some(got) => complain(format!("answer {i} has {} scores, not {}", got.len(), scores.len())),
            None if scores_revealed => complain(format!("answer {i} has no scores")),
            None => {}
        }
        if answer.scores.is_some() && !scores_revealed {
            complain(format!("answer {i} reveals scores where only the label was agreed on"));
        }
    }
    v.checked = answers.len().min(expected.len()) as u64;
    v.equal = equal;
    v.correct = labelled.then_some(correct);
    v.max_error_ulp = worst;
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [i64; 3] = [10, 50, 47];

    fn answer(label: usize, scores: &[i64]) -> AnswerLine {
        AnswerLine { label, scores: (!scores.is_empty()).then(|| scores.to_vec()) }
    }

    fn one(a: AnswerLine, tolerance: u64, revealed: bool) -> Verdict {
        compare(&[&SCORES], &[Some(1)], &[a], tolerance, revealed)
    }

    #[test]
    fn right_answers_pass() {
        let v = one(answer(1, &SCORES), 0, true);
        assert_eq!((v.checked, v.equal, v.max_error_ulp, v.correct, v.wrong), (1, 1, Some(0), Some(1), None));
        let v = one(answer(1, &[]), 0, false);
        assert_eq!((v.equal, v.max_error_ulp, v.wrong), (1, None, None));
        let v = one(answer(2, &[10, 48, 49]), 2, true);
        assert_eq!((v.equal, v.correct, v.max_error_ulp, v.wrong), (0, Some(0), Some(2), None), "a near tie");
    }

    #[test]
    fn wrong_answers_do_not() {
        let wrong = |a, tolerance, revealed, expect: &str| {
            let v = one(a, tolerance, revealed);
            assert!(v.wrong.as_ref().is_some_and(|w| w.contains(expect)), "{v:?}");
        };
        wrong(answer(2, &[]), 0, false, "label 2, the oracle says 1");
        wrong(answer(2, &[]), 1, false, "label 2");
        wrong(answer(7, &[]), 100, false, "label 7");
        wrong(answer(1, &[10, 51, 47]), 0, true, "1 ulp off");
        wrong(answer(1, &[10, 53, 47]), 2, true, "3 ulp off");
        wrong(answer(1, &[10, 50]), 9, true, "2 scores, not 3");
        wrong(answer(1, &[]), 9, true, "has no scores");
        wrong(answer(1, &SCORES), 9, false, "reveals scores");
        wrong(answer(2, &SCORES), 9, true, "its own scores say another");
        let v = compare(&[&SCORES, &SCORES], &[None, None], &[answer(1, &SCORES)], 0, true);
        assert!(v.wrong.unwrap().contains("1 answers to 2 queries"));
    }
}
