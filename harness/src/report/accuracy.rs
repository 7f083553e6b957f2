//! Accuracy side by side: the network in floating point, in fixed point, and under a protocol.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cells::Cell;
use super::markdown::Table;
use crate::record::AnswerRow;

/// Networks with more images than this are not listed image by image.
const MAX_IMAGES: usize = 30;

/// Answers by protocol, model and data set, over all links and loads; only data sets of images.
type Groups<'a> = BTreeMap<[&'a str; 3], Vec<&'a AnswerRow>>;

fn groups<'a>(cells: &[Cell<'a>]) -> Groups<'a> {
    let mut groups = Groups::new();
    for c in cells {
        let r = c.setting();
        let good: Vec<&str> = c.good().map(|r| r.run_id.as_str()).collect();
        let answers = c.folder.answers.iter().flatten().filter(|a| good.contains(&a.run_id.as_str()));
        let key = [r.model.as_str(), r.dataset.as_str(), r.protocol.as_str()];
        groups.entry(key).or_default().extend(answers);
    }
    groups.retain(|key, answers| key[1] != crate::inputs::RANDOM && !answers.is_empty());
    groups
}

/// Why there is no rank.
fn none(answers: &[&AnswerRow]) -> String {
    if answers.iter().all(|a| a.expected_label.is_none()) { "no label" } else { "label only" }.into()
}

/// One row for each protocol and network. Nothing if there are no answers to show.
pub(crate) fn summary(cells: &[Cell<'_>]) -> String {
    let head = [
        "model",
        "data set",
        "protocol",
        "answers",
        "images",
        "top-1 float",
        "top-1 fixed",
        "top-1 secure",
        "top-5 float",
        "top-5 fixed",
        "top-5 secure",
        "label = fixed",
        "score error, ulp",
    ];
    let mut t = Table::new(3, &head);
    for ([model, dataset, protocol], answers) in groups(cells) {
        let within = |rank: fn(&AnswerRow) -> Option<u64>, best: u64| {
            let ranks: Vec<u64> = answers.iter().filter_map(|a| rank(a)).collect();
            let good = ranks.iter().filter(|r| **r <= best).count();
            if ranks.is_empty() { none(&answers) } else { format!("{good} of {}", ranks.len()) }
        };
        let sides: [fn(&AnswerRow) -> Option<u64>; 3] = [|a| a.float_rank, |a| a.fixed_rank, |a| a.secure_rank];
        let equal = answers.iter().filter(|a| a.secure_label == a.fixed_label).count();
        let images: std::collections::BTreeSet<u64> = answers.iter().map(|a| a.image).collect();
        let error = answers.iter().filter_map(|a| a.score_error_ulp).max();
        let mut row = vec![model.to_owned(), dataset.to_owned(), protocol.to_owned()];
        row.extend([answers.len().to_string(), images.len().to_string()]);
        for best in [1, 5] {
            row.extend(sides.map(|side| within(side, best)));
        }
        row.push(format!("{equal} of {}", answers.len()));
        row.push(error.map_or_else(|| "label only".to_owned(), |e| e.to_string()));
        t.row(row);
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// Every image of networks that were asked about few.
pub(crate) fn images(cells: &[Cell<'_>]) -> String {
    let mut out = String::new();
    for ([model, dataset, protocol], answers) in groups(cells) {
        let by_image: BTreeMap<u64, &AnswerRow> = answers.iter().map(|a| (a.image, *a)).collect();
        if by_image.len() > MAX_IMAGES {
            continue;
        }
        let head = ["image", "expected label", "float", "fixed", "secure", "rank float", "rank fixed", "rank secure"];
        let mut t = Table::new(0, &head);
        for a in by_image.values() {
            let labels = [a.image, a.float_label, a.fixed_label, a.secure_label].map(|x| x.to_string());
            let [image, float, fixed, secure] = labels;
            let or_why = |x: Option<u64>| x.map_or_else(|| none(&[a]), |x| x.to_string());
            let ranks = [a.float_rank, a.fixed_rank, a.secure_rank].map(or_why);
            t.row([image, or_why(a.expected_label), float, fixed, secure].into_iter().chain(ranks).collect());
        }
        let _ = writeln!(out, "### {protocol} · {model} · {dataset}\n\n{t}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::record::samples;

    #[test]
    fn every_side_is_counted_by_itself() {
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::batch("cheetah", "lan", 8, 1));
        let answers = f.answers.as_mut().unwrap();
        (answers[0].fixed_label, answers[0].fixed_rank) = (3, Some(2));
        (answers[1].secure_label, answers[1].secure_rank) = (3, Some(6));
        (answers[2].expected_label, answers[2].float_rank) = (None, None);
        (answers[2].fixed_rank, answers[2].secure_rank) = (None, None);
        let folders = [f];
        let all = cells(&folders);
        let squeezed = summary(&all).split_whitespace().collect::<Vec<_>>().join(" ");
        let row = "| mnist-cnn4 | mnist-sample | cheetah | 8 | 8 | 7 of 7 | 6 of 7 | 6 of 7 | 7 of 7 | 7 of 7 | 6 of 7 | 6 of 8 | 3 |";
        assert!(squeezed.contains(row), "{squeezed}");
        let text = images(&all).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("| 1 | 1 | 1 | 1 | 3 | 1 | 1 | 6 |")
                && text.contains("| 2 | no label | 2 | 2 | 2 | no label |"),
            "{text}"
        );
        let mut old = folders.to_vec();
        old[0].answers = None;
        assert_eq!((summary(&cells(&old)), images(&cells(&old))), (String::new(), String::new()));
    }
}
