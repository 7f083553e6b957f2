//! Rules of `answers.csv`, alone and beside `runs.csv`. Folders of earlier versions have no such file.

use std::collections::BTreeMap;

use super::{Finding, Findings};
use crate::record::{ANSWERS_CSV, AnswerRow, Folder, RunRow, Status};

pub(super) fn check(folder: &Folder, found: &mut Vec<Finding>) {
    let Some(answers) = &folder.answers else { return };
    let mut by_run: BTreeMap<&str, Vec<&AnswerRow>> = BTreeMap::new();
    for a in answers {
        by_run.entry(&a.run_id).or_default().push(a);
    }
    for row in &folder.runs {
        let answers = by_run.remove(row.run_id.as_str()).unwrap_or_default();
        let f = &mut Findings { place: &row.run_id, found };
        ranks(&answers, f);
        if row.status == Status::Ok {
            sums(row, &answers, f);
        }
    }
    for run in by_run.keys() {
        let f = &mut Findings { place: ANSWERS_CSV, found };
        f.require(false, || format!("answers of '{run}', which runs.csv does not have"));
    }
}

/// A rank of 1 and the expected label go together, and neither goes without a label that is expected.
fn ranks(answers: &[&AnswerRow], f: &mut Findings<'_>) {
    for a in answers {
        let sides = [
            ("float", a.float_label, a.float_rank),
            ("fixed", a.fixed_label, a.fixed_rank),
            ("secure", a.secure_label, a.secure_rank),
        ];
        for (side, label, rank) in sides {
            let holds = match (a.expected_label, rank) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(expected), Some(rank)) => rank > 0 && (rank == 1) == (label == expected),
            };
            f.require(holds, || format!("answer to image {}: {side}_rank and {side}_label disagree", a.image));
        }
    }
}

/// The run's row counts what stands here.
fn sums(row: &RunRow, answers: &[&AnswerRow], f: &mut Findings<'_>) {
    let count = |holds: fn(&AnswerRow) -> bool| answers.iter().filter(|a| holds(a)).count() as u64;
    let labelled = answers.iter().any(|a| a.expected_label.is_some());
    for (column, says, is) in [
        ("labels_checked", row.labels_checked, Some(answers.len() as u64)),
        ("labels_equal", row.labels_equal, Some(count(|a| a.secure_label == a.fixed_label))),
        ("correct_labels", row.correct_labels, labelled.then(|| count(|a| a.expected_label == Some(a.secure_label)))),
        ("max_score_error_ulp", row.max_score_error_ulp, answers.iter().filter_map(|a| a.score_error_ulp).max()),
    ] {
        f.require(says == is, || format!("{column} is {says:?}, the answers of the run give {is:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{check as check_all, testing};
    use super::*;

    fn caught(expect: &str, spoil: impl FnOnce(&mut Vec<AnswerRow>)) {
        let mut f = testing::folder();
        spoil(f.answers.as_mut().unwrap());
        let found: Vec<_> = check_all(&f).iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|x| x.contains(expect)), "{expect}: {found:#?}");
    }

    #[test]
    fn answers_and_runs_agree() {
        assert_eq!(check_all(&testing::folder()), []);
        caught("labels_checked is Some(1), the answers of the run give Some(2)", |a| a.push(a[0].clone()));
        caught("answers of 'x', which runs.csv does not have", |a| {
            let other = AnswerRow { run_id: "x".into(), ..a[0].clone() };
            a.push(other);
        });
        caught("labels_equal is Some(1)", |a| a[0].fixed_label = 4);
        caught("max_score_error_ulp is Some(3), the answers of the run give Some(2)", |a| {
            a[0].score_error_ulp = Some(2)
        });
        caught("float_rank and float_label disagree", |a| a[0].float_rank = Some(2));
        caught("float_rank and float_label disagree", |a| a[0].float_rank = Some(0));
        let mut f = testing::folder();
        f.answers = None;
        assert_eq!(check_all(&f), [], "a folder of an earlier version");
    }
}
