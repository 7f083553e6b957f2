//! The two checks. Both always run to the end over all answers, so that neither the outcome nor its time says more
//! than one bit.

use serde::{Deserialize, Serialize};
use si_api::{Answer, Error, Role};

use crate::Plan;

/// When copies of a query agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Agreement {
    /// Equal labels. Scores are not compared, and so not handed out.
    Labels,
    /// Scores of each class at most `apart` units in the last place from each other.
    Scores {
        /// Greatest distance.
        apart: u64,
    },
}

impl Agreement {
    fn holds(self, copies: &[Answer]) -> bool {
        match self {
            Self::Labels => copies.windows(2).all(|pair| pair[0].label == pair[1].label),
            Self::Scores { apart } => {
                let Some(scores) = copies.iter().map(|a| a.scores.as_deref()).collect::<Option<Vec<_>>>() else {
                    return false;
                };
                let classes = scores.first().map_or(0, |s| s.len());
                let spread = |class: usize| {
                    let of_class = || scores.iter().map(|s| s[class]);
                    of_class().max().unwrap_or(0).abs_diff(of_class().min().unwrap_or(0))
                };
                scores.iter().all(|s| s.len() == classes) && (0..classes).filter(|c| spread(*c) > apart).count() == 0
            }
        }
    }
}

/// Checks one run, and takes the answer to each of the first `queries` queries from its first copy.
///
/// # Errors
/// [`Error::Abort`], accusing the server, if copies differ or too many public samples are wrong.
pub(crate) fn check(
    plan: &Plan,
    agreement: Agreement,
    queries: usize,
    copies: Vec<Vec<Answer>>,
    public: &[(Answer, usize)],
) -> si_api::Result<Vec<Answer>> {
    let apart = copies.iter().filter(|copies| !agreement.holds(copies)).count();
    let wrong = public.iter().filter(|(answer, label)| answer.label != *label).count();
    if apart > 0 || wrong > plan.tolerance() {
        let check = format!(
            "mix and check ({plan}): the copies of {apart} queries differ (0 allowed), {wrong} public samples are wrong \
             ({} allowed)",
            plan.tolerance()
        );
        return Err(Error::Abort { accused: Role::Server(0), check });
    }
    let first = |mut copies: Vec<Answer>| {
        let answer = copies.swap_remove(0);
        if agreement == Agreement::Labels { Answer { scores: None, ..answer } } else { answer }
    };
    Ok(copies.into_iter().take(queries).map(first).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(scores: &[i64]) -> Answer {
        let label = (0..scores.len()).rev().max_by_key(|i| scores[*i]).unwrap();
        Answer { label, scores: Some(scores.to_vec()) }
    }

    fn outcome(agreement: Agreement, copies: &[Vec<Answer>], wrong_public: usize) -> si_api::Result<Vec<Answer>> {
        let plan = Plan::new(copies.len(), 2, 3, 1).unwrap();
        let public: Vec<_> = (0..3).map(|i| (answer(&[1, 0]), usize::from(i < wrong_public))).collect();
        check(&plan, agreement, copies.len(), copies.to_vec(), &public)
    }

    fn says(outcome: si_api::Result<Vec<Answer>>, what: &str) {
        match outcome {
            Err(Error::Abort { accused: Role::Server(0), check }) => assert!(check.contains(what), "{check}"),
            other => panic!("{other:?} instead of an abort"),
        }
    }

    #[test]
    fn labels_agree_or_not() {
        let alike = vec![answer(&[5, 1]), answer(&[4, 3])];
        let answers = outcome(Agreement::Labels, &[alike.clone(), alike.clone()], 1).unwrap();
        assert_eq!(answers, vec![Answer { label: 0, scores: None }; 2]);
        let differ = vec![answer(&[5, 1]), answer(&[4, 6])];
        says(outcome(Agreement::Labels, &[alike, differ], 0), "copies of 1 queries");
    }

    #[test]
    fn scores_agree_within_the_tolerance() {
        let copies = vec![answer(&[5, 1]), answer(&[3, 1])];
        let answers = outcome(Agreement::Scores { apart: 2 }, std::slice::from_ref(&copies), 0).unwrap();
        assert_eq!(answers, [answer(&[5, 1])]);
        says(outcome(Agreement::Scores { apart: 1 }, &[copies], 0), "copies of 1 queries");
        let lost = vec![answer(&[5, 1]), Answer { label: 0, scores: None }];
        says(outcome(Agreement::Scores { apart: 9 }, &[lost], 0), "copies of 1 queries");
        let short = vec![answer(&[5, 1]), answer(&[5])];
        says(outcome(Agreement::Scores { apart: 9 }, &[short], 0), "copies of 1 queries");
    }

    #[test]
    fn the_extremes_are_no_overflow() {
        let copies = vec![answer(&[i64::MAX, 0]), answer(&[i64::MIN, 0])];
        says(outcome(Agreement::Scores { apart: u64::MAX - 1 }, &[copies], 0), "copies of 1 queries");
    }

    #[test]
    fn public_samples_are_tolerated_up_to_the_plan() {
        let alike = vec![answer(&[5, 1]); 2];
        assert!(outcome(Agreement::Labels, std::slice::from_ref(&alike), 1).is_ok());
        says(outcome(Agreement::Labels, &[alike], 2), "2 public samples are wrong (1 allowed)");
    }
}
