//! Figures, as SVG and PNG.

mod accuracy;
mod axis;
mod canvas;
mod detection;
mod dots;
mod font;
mod fusion_cost;
mod lines;
mod looks;
mod measured;
mod memory;
mod operators;
mod panel;
mod soundness;
mod sweep;
mod threads;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::cells::Cell;
use super::fusion_cost::prices;
use super::judged::Judged;
use super::operators::shown as cells_by_operator;
use super::paper::Others;
use super::sweep::sweeps;
use super::threads::Series;

/// A figure: the name of its files, what it shows, and itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) caption: String,
    drawing: canvas::Drawing,
}

impl Figure {
    /// Writes `NAME.svg` and `NAME.png` into a folder.
    ///
    /// # Errors
    /// If they cannot be written.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        self.drawing.write(dir, &self.name)
    }
}

/// What figures are drawn from.
pub(crate) struct Data<'d, 'a> {
    /// Points of link sweeps.
    pub(crate) swept: &'d [Cell<'a>],
    /// The other cells with one thread a party.
    pub(crate) front: &'d [Cell<'a>],
    /// Series over threads.
    pub(crate) threads: &'d [Series<'a>],
    pub(crate) trials: &'d [Judged<'a>],
    pub(crate) others: &'d Others,
}

/// Every figure that the data allow.
pub(crate) fn draw(data: &Data<'_, '_>) -> Vec<Figure> {
    let Data { swept, front, threads: over_threads, trials, others } = *data;
    let mut figures = Vec::new();
    let mut add = |name: String, caption: String, drawing: Option<canvas::Drawing>| {
        figures.extend(drawing.map(|drawing| Figure { name, caption, drawing }));
    };
    let models = swept.iter().chain(front).map(|c| c.setting().model.as_str());
    let models: BTreeSet<&str> = models.chain(over_threads.iter().map(|s| s.model.as_str())).collect();
    let (all_prices, all_sweeps) = (prices(front), sweeps(swept));
    for model in models {
        let of_model: Vec<&Cell<'_>> = front.iter().filter(|c| c.setting().model == model).collect();
        let named = |kind: &str, what: &str| (file_name(&[kind, model]), format!("{what}, {model}"));
        let (name, caption) = named("time", "Time of one query");
        add(name, caption, dots::time(&of_model, others));
        let (name, caption) = named("communication", "Communication of one query");
        add(name, caption, dots::communication(&of_model, others));
        let (name, caption) = named("amortised", "Amortised cost of one query");
        add(name, caption, measured::amortised(&of_model));
        let (name, caption) = named("links", "Time against the link");
        let of_sweep: Vec<_> = all_sweeps.iter().filter(|s| s.model == model).collect();
        add(name, caption, sweep::sweep(&of_sweep));
        let priced: Vec<_> = all_prices.iter().filter(|p| p.cell.setting().model == model).collect();
        let (name, caption) = named("fusion-cost", "The price of Fusion");
        add(name, caption, fusion_cost::fusion_cost(&priced));
        let (name, caption) = named("memory", "Memory against the batch");
        add(name, caption, memory::memory(&of_model));
        let (name, caption) = named("threads", "Time with more threads");
        let of_threads: Vec<_> = over_threads.iter().filter(|s| s.model == model).collect();
        add(name, caption, threads::threads(&of_threads));
    }
    add("detection".into(), "Detection, measured and computed".into(), detection::detection(trials));
    add("accuracy".into(), "The accuracy test".into(), accuracy::accuracy(trials));
    // Bytes do not depend on the link: one figure for each protocol and model.
    let mut seen = BTreeSet::new();
    for c in cells_by_operator(front) {
        let r = c.setting();
        if seen.insert((&r.protocol, &r.model)) {
            let name = file_name(&["bytes", &r.protocol, &r.model]);
            add(name, format!("Communication by operator, {}, {}", r.protocol, r.model), operators::bytes(c));
        }
    }
    figures.extend(computed());
    figures
}

/// The figures that need no records.
pub(crate) fn computed() -> Vec<Figure> {
    let figure = |name: &str, caption: &str, drawing| Figure { name: name.into(), caption: caption.into(), drawing };
    vec![
        figure("fusion-soundness", "Fusion's soundness and its price (computed)", soundness::soundness()),
        figure(
            "fusion-accuracy-test",
            "Fusion's public samples as a test of accuracy (computed)",
            soundness::accuracy_test(),
        ),
    ]
}

/// The name of a figure's files: letters, digits and dashes.
pub(crate) fn file_name(parts: &[&str]) -> String {
    let dashed = parts.join("-").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    dashed.split('-').filter(|s| !s.is_empty()).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::judged::judged;
    use super::super::paper::tests::real;
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
        let (mut smaller, phases) = samples::composed(1);
        (smaller.queries, smaller.cell, smaller.run_id) = (64, "smaller".into(), "smaller#1".into());
        samples::add(&mut f, (smaller, phases));
        f.trials.extend(samples::trials());
        vec![f]
    }

    #[test]
    fn every_figure_is_written_and_legible() {
        let folders = folders();
        let all = cells(&folders);
        let trials = judged(&folders);
        let dir = tempfile::tempdir().unwrap();
        let others = real();
        let figures = draw(&Data { swept: &all, front: &all, threads: &[], trials: &trials, others: &others });
        figures.iter().for_each(|f| f.write(dir.path()).unwrap());
        let names: Vec<_> = figures.into_iter().map(|f| f.name).collect();
        let expect = [
            "time-mnist-cnn4",
            "communication-mnist-cnn4",
            "amortised-mnist-cnn4",
            "fusion-cost-mnist-cnn4",
            "memory-mnist-cnn4",
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
        dots::time(&of_model, &others).unwrap().assert_legible();
        dots::communication(&of_model, &others).unwrap().assert_legible();
        measured::amortised(&of_model).unwrap().assert_legible();
        memory::memory(&of_model).unwrap().assert_legible();
        operators::bytes(&all[0]).unwrap().assert_legible();
        soundness::soundness().assert_legible();
        soundness::accuracy_test().assert_legible();
        fusion_cost::fusion_cost(&prices(&all).iter().collect::<Vec<_>>()).unwrap().assert_legible();
        detection::detection(&trials).unwrap().assert_legible();
        accuracy::accuracy(&trials).unwrap().assert_legible();
    }

    #[test]
    fn figures_without_data_are_left_out() {
        let others = real();
        let nothing = Data { swept: &[], front: &[], threads: &[], trials: &[], others: &others };
        let names: Vec<_> = draw(&nothing).into_iter().map(|f| f.name).collect();
        assert_eq!(names, ["fusion-soundness", "fusion-accuracy-test"]);
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::run("cheetah", "lan", 1));
        let folders = [f];
        let all = cells(&folders);
        let one: Vec<_> = all.iter().collect();
        assert!(measured::amortised(&one).is_none() && memory::memory(&one).is_none(), "one size gives no curve");
        assert!(dots::time(&one, &others).is_none(), "one row compares nothing");
    }

    #[test]
    fn figures_show_what_was_measured() {
        let folders = folders();
        let all = cells(&folders);
        let of_model: Vec<_> = all.iter().collect();
        let texts = dots::time(&of_model, &real()).unwrap().texts();
        for expect in ["lan", "wan", "400 Mbit/s, 40 ms RTT", "0.102 s", "fusion(cheetah), R=512, B=5, T=100"] {
            assert!(texts.iter().any(|t| t == expect), "{expect}: {texts:?}");
        }
        let texts = operators::bytes(cells_by_operator(&all)[0]).unwrap().texts();
        assert!(texts.iter().any(|t| t == "137 KiB, 1 round"), "{texts:?}");
    }

    #[test]
    fn what_papers_print_stands_in_the_figure() {
        let mut folders = folders();
        folders[0].runs.iter_mut().for_each(|r| r.model = "resnet50".into());
        let all = cells(&folders);
        let of_model: Vec<_> = all.iter().collect();
        let time = dots::time(&of_model, &real()).unwrap();
        time.assert_legible();
        let texts = time.texts();
        assert!(
            ["Fusion, printed", "8.678 min", "< 2.5 min"].iter().all(|e| texts.iter().any(|t| t == e)),
            "{texts:?}"
        );
        let bytes = dots::communication(&of_model, &real()).unwrap();
        bytes.assert_legible();
        assert!(bytes.texts().iter().any(|t| t == "10.117 GiB"));
    }

    #[test]
    fn sweeps_have_a_figure_of_their_own() {
        let folders = [crate::report::sweep::tests::folder()];
        let all = cells(&folders);
        let found = sweeps(&all);
        sweep::sweep(&found.iter().collect::<Vec<_>>()).unwrap().assert_legible();
        let data = Data { swept: &all, front: &[], threads: &[], trials: &[], others: &real() };
        assert_eq!(draw(&data)[0].name, "links-mnist-cnn4");
    }

    #[test]
    fn threads_have_a_figure_of_their_own() {
        let folders = [crate::report::threads::tests::folder()];
        let found = crate::report::threads::series(&folders);
        threads::threads(&found.iter().collect::<Vec<_>>()).unwrap().assert_legible();
        let data = Data { swept: &[], front: &[], threads: &found, trials: &[], others: &real() };
        assert_eq!(draw(&data)[0].name, "threads-mnist-cnn4");
        assert!(threads::threads(&[&found[1]]).is_none(), "cryptflow2 has one number alone");
    }

    #[test]
    fn file_names_are_plain() {
        assert_eq!(file_name(&["bytes", "fusion(cheetah)", "mnist/cnn4"]), "bytes-fusion-cheetah-mnist-cnn4");
    }
}
