//! Answers against the oracle: a time counts only if the answers are right.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use si_api::{Graph, Model, Rounding};
use si_models::{encode_input, label, run_fixed, run_float, score_tolerance};

use crate::inputs::Source;
use crate::job::AnswerLine;
use crate::record::AnswerRow;

/// What a network says in the clear about the images of a data set, remembered.
pub(crate) struct Oracle {
    model: Arc<Model>,
    /// What one-bit rounding may do to a score.
    tolerance_ulp: u64,
    known: HashMap<usize, Clear>,
}

/// Scores of one image.
#[derive(Clone, Debug, PartialEq)]
struct Clear {
    /// In floating point.
    float: Vec<f32>,
    /// In fixed point: what a protocol's answer must be.
    fixed: Vec<i64>,
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
    /// Each of the answers compared; the run's name is left out.
    pub(crate) answers: Vec<AnswerRow>,
}

impl Oracle {
    /// An oracle for this model.
    pub(crate) fn new(model: Arc<Model>) -> Self {
        Self { tolerance_ulp: score_tolerance(&model).unsigned_abs(), model, known: HashMap::new() }
    }

    /// The public part of the model.
    pub(crate) fn graph(&self) -> &Graph {
        self.model.graph()
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
        let new: Vec<_> = positions.iter().copied().filter(|p| !self.known.contains_key(p)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let images = source.images(self.graph(), &new)?;
        let float = run_float(&self.model, &images).context("the network in floating point")?;
        let encoded = encode_input(self.graph(), &images);
        let fixed = run_fixed(&self.model, &encoded).context("the fixed-point oracle")?;
        let scores = float.rows().into_iter().zip(fixed.rows());
        let clear = scores.map(|(float, fixed)| Clear { float: float.to_vec(), fixed: fixed.to_vec() });
        self.known.extend(new.into_iter().zip(clear));
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
        let Some(Clear { fixed: scores, .. }) = self.known.get(&position) else { return Ok(None) };
        let best = label(scores.iter().copied());
        let sure = scores.iter().enumerate().all(|(i, s)| i == best || scores[best].abs_diff(*s) > 2 * tolerance);
        Ok((sure && source.label(self.graph(), position).is_none_or(|l| l == best)).then_some(best))
    }

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
        let clear: Vec<_> = positions.iter().filter_map(|p| self.known.get(p)).collect();
        let expected: Vec<_> = clear.iter().map(|c| c.fixed.as_slice()).collect();
        let truth: Vec<_> = positions.iter().map(|p| source.label(self.graph(), *p)).collect();
        let mut verdict = compare(&expected, &truth, answers, tolerance_ulp, scores_revealed);
        let lines = positions.iter().zip(clear).zip(truth).zip(answers);
        verdict.answers = lines.map(|(((image, clear), truth), a)| clear.beside(*image, truth, a)).collect();
        Ok(verdict)
    }
}

impl Clear {
    /// The row of an answer to this image.
    fn beside(&self, image: usize, expected: Option<usize>, answer: &AnswerLine) -> AnswerRow {
        let scores = answer.scores.as_ref().filter(|s| s.len() == self.fixed.len());
        AnswerRow {
            run_id: String::new(),
            image: image as u64,
            expected_label: expected.map(|l| l as u64),
            float_label: label(self.float.iter().copied()) as u64,
            float_rank: expected.and_then(|l| rank(&self.float, l)),
            fixed_label: label(self.fixed.iter().copied()) as u64,
            fixed_rank: expected.and_then(|l| rank(&self.fixed, l)),
            secure_label: answer.label as u64,
            secure_rank: scores.zip(expected).and_then(|(s, l)| rank(s, l)),
            score_error_ulp: scores.and_then(|s| error_ulp(s, &self.fixed)),
        }
    }
}

/// The place of a label among the scores, from 1: a tie goes to the lower index.
fn rank<T: PartialOrd>(scores: &[T], label: usize) -> Option<u64> {
    let own = scores.get(label)?;
    let before = |(i, s): (usize, &T)| s > own || (s == own && i < label);
    Some(1 + scores.iter().enumerate().filter(|(i, s)| before((*i, s))).count() as u64)
}

/// The greatest distance between two lists of scores.
fn error_ulp(a: &[i64], b: &[i64]) -> Option<u64> {
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max()
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
                let error = error_ulp(got, scores).unwrap_or(0);
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
    fn answers_stand_beside_what_the_network_says_in_the_clear() {
        let clear = Clear { float: vec![0.2, 0.7, 0.9, 0.7], fixed: vec![10, 50, 47, 47] };
        let row = clear.beside(3, Some(3), &answer(2, &[10, 46, 48, 48]));
        assert_eq!((row.image, row.expected_label, row.score_error_ulp), (3, Some(3), Some(4)));
        assert_eq!((row.float_label, row.fixed_label, row.secure_label), (2, 1, 2));
        // The fourth class: behind 0.9 and the earlier 0.7; behind 50 and the earlier 47; behind the earlier 48.
        assert_eq!((row.float_rank, row.fixed_rank, row.secure_rank), (Some(3), Some(3), Some(2)));
        let row = clear.beside(3, None, &answer(2, &[]));
        assert_eq!(
            (row.expected_label, row.float_rank, row.secure_rank, row.score_error_ulp),
            (None, None, None, None)
        );
        assert_eq!(rank(&[1, 3, 3], 9), None);
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
