//! Figures, as SVG and PNG.

mod accuracy;
mod axis;
mod canvas;
mod detection;
mod font;
mod fusion_cost;
mod measured;
mod panel;
mod soundness;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::cells::Cell;
use super::cheating::Judged;
use super::fusion_cost::prices;
use super::operators;

/// A figure that was written: the name of its files and what it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) caption: String,
}

/// Writes every figure that the cells and the trials allow into a folder.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(cells: &[Cell<'_>], trials: &[Judged<'_>], dir: &Path) -> Result<Vec<Figure>> {
    let mut written = Vec::new();
    let mut add = |name: String, caption: String, drawing: Option<canvas::Drawing>| -> Result<()> {
        if let Some(d) = drawing {
            d.write(dir, &name)?;
            written.push(Figure { name, caption });
        }
        Ok(())
    };
    let models: BTreeSet<&str> = cells.iter().map(|c| c.setting().model.as_str()).collect();
    let all_prices = prices(cells);
    for model in models {
        let of_model: Vec<&Cell<'_>> = cells.iter().filter(|c| c.setting().model == model).collect();
        add(file_name(&["time", model]), format!("Time of one query, {model}"), measured::time(&of_model))?;
        let amortised = measured::amortised(&of_model);
        add(file_name(&["amortised", model]), format!("Amortised cost of one query, {model}"), amortised)?;
        let priced: Vec<_> = all_prices.iter().filter(|p| p.cell.setting().model == model).collect();
        let figure = fusion_cost::fusion_cost(&priced);
        add(file_name(&["fusion-cost", model]), format!("The price of Fusion, {model}"), figure)?;
    }
    add("detection".into(), "Detection, measured and computed".into(), detection::detection(trials))?;
    add("accuracy".into(), "The accuracy test".into(), accuracy::accuracy(trials))?;
    // Bytes do not depend on the link: one figure for each protocol and model.
    let mut seen = BTreeSet::new();
    for c in operators::shown(cells) {
        let r = c.setting();
        if seen.insert((&r.protocol, &r.model)) {
            let name = file_name(&["bytes", &r.protocol, &r.model]);
            add(name, format!("Communication by operator, {}, {}", r.protocol, r.model), measured::bytes(c))?;
        }
    }
    written.extend(computed(dir)?);
    Ok(written)
}

/// Writes the figures that need no records.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn computed(dir: &Path) -> Result<Vec<Figure>> {
    let figures = [
        ("fusion-soundness", "Fusion's soundness and its price (computed)", soundness::soundness()),
        (
            "fusion-accuracy-test",
            "Fusion's public samples as a test of accuracy (computed)",
            soundness::accuracy_test(),
        ),
    ];
    let written = figures.into_iter().map(|(name, caption, drawing)| {
        drawing.write(dir, name)?;
        Ok(Figure { name: name.to_owned(), caption: caption.to_owned() })
    });
    written.collect()
}

/// The name of a figure's files: letters, digits and dashes.
pub(crate) fn file_name(parts: &[&str]) -> String {
    let dashed = parts.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    dashed.split('-').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::cheating::judged;
    use super::*;
    use crate::record::{Folder, samples};

    fn folders() -> Vec<Folder> {
        let mut f = samples::folder("a");
        for link in ["lan", "wan"] {
            for protocol in ["plain", "cheetah", "fusion(cheetah)"] {
                for (n, repetition) in [(1, 1), (1, 2), (1, 3), (8, 1), (32, 1)] {
                    samples::add(&mut f, samples::batch(protocol, link, n, repetition));
                }
            }
        }
        samples::add(&mut f, samples::composed(1));
        f.trials.extend(samples::trials());
        vec![f]
    }

    #[test]
    fn every_figure_is_written_and_legible() {
        let folders = folders();
        let all = cells(&folders);
        let trials = judged(&folders);
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = write(&all, &trials, dir.path()).unwrap().into_iter().map(|f| f.name).collect();
        let expect = [
            "time-mnist-cnn4",
            "amortised-mnist-cnn4",
            "fusion-cost-mnist-cnn4",
            "detection",
            "accuracy",
            "bytes-cheetah-mnist-cnn4",
            "bytes-fusion-cheetah-mnist-cnn4",
            "bytes-plain-mnist-cnn4",
            "fusion-soundness",
            "fusion-accuracy-test",
        ];
        assert_eq!(names, expect);
        for name in names {
            for kind in ["svg", "png"] {
                assert!(std::fs::metadata(dir.path().join(format!("{name}.{kind}"))).unwrap().len() > 1000);
            }
        }
        let of_model: Vec<_> = all.iter().collect();
        measured::time(&of_model).unwrap().assert_legible();
        measured::amortised(&of_model).unwrap().assert_legible();
        measured::bytes(&all[0]).unwrap().assert_legible();
        soundness::soundness().assert_legible();
        soundness::accuracy_test().assert_legible();
        fusion_cost::fusion_cost(&prices(&all).iter().collect::<Vec<_>>()).unwrap().assert_legible();
        detection::detection(&trials).unwrap().assert_legible();
        accuracy::accuracy(&trials).unwrap().assert_legible();
    }

    #[test]
    fn figures_without_data_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<_> = write(&[], &[], dir.path()).unwrap().into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["fusion-soundness", "fusion-accuracy-test"]);
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::run("cheetah", "lan", 1));
        let folders = [f];
        let all = cells(&folders);
        let one: Vec<_> = all.iter().collect();
        assert!(measured::amortised(&one).is_none(), "one size gives no curve");
        assert!(measured::time(&one).is_some());
    }

    #[test]
    fn figures_show_what_was_measured() {
        let folders = folders();
        let all = cells(&folders);
        let of_model: Vec<_> = all.iter().collect();
        let texts = measured::time(&of_model).unwrap().texts();
        for expect in
            ["lan", "wan", "400 Mbit/s, 40 ms RTT", "0.102 s", "fusion(cheetah), R=512, B=5, T=100 (composed)"]
        {
            assert!(texts.iter().any(|t| t == expect), "{expect}: {texts:?}");
        }
        let texts = measured::bytes(operators::shown(&all)[0]).unwrap().texts();
        assert!(texts.iter().any(|t| t == "137 KiB, 1 round"), "{texts:?}");
    }

    #[test]
    fn file_names_are_plain() {
        assert_eq!(file_name(&["bytes", "fusion(cheetah)", "mnist/cnn4"]), "bytes-fusion-cheetah-mnist-cnn4");
    }
}
