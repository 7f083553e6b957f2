//! `bench report`: from record folders to tables, figures and the headline of a page.
//!
//! Everything is derived anew from the records each time; nothing here is measured, and nothing is typed in.

mod accuracy;
mod beside;
mod cells;
mod cheating;
mod claims;
mod compare;
mod diff;
mod fusion_cost;
mod html;
mod judged;
mod markdown;
mod metric;
mod oles;
mod operators;
mod pages;
mod paper;
mod plot;
mod soundness;
mod splice;
mod sweep;
mod table;
mod threads;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rayon::prelude::*;

use crate::check::{self, Severity};
use crate::commands::print;
use crate::record::{Folder, RUNS_CSV, Status, TrialRow};
use cells::cells;
pub(crate) use diff::diff;
use html::Page;
use pages::Source;
use paper::Others;
use plot::Data;

/// What to report from, and where to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Record folders, or a folder of them, of which the newest of each experiment is taken, from the machine that
    /// measured last
    #[arg(long, value_name = "DIR", num_args = 1.., default_value = "results/records")]
    pub(crate) records: Vec<PathBuf>,
    /// Only this part; without it both, and all of it on one page, index.html
    #[arg(long, value_name = "PART")]
    pub(crate) part: Option<Part>,
    /// Folder for tables and figures
    #[arg(long, value_name = "DIR", default_value = "results/report")]
    pub(crate) out: PathBuf,
    /// Page that the headline tables are put into, between its markers
    #[arg(long, value_name = "FILE", default_value = "README.md")]
    pub(crate) readme: PathBuf,
    /// Folder of the figures of papers and rivals
    #[arg(long, value_name = "DIR", default_value = "results/paper")]
    pub(crate) paper: PathBuf,
}

/// What of the report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Markdown pages, and the tables in the main page.
    Tables,
    /// SVG and PNG.
    Figures,
}

/// Writes the report and prints what it wrote.
///
/// # Errors
/// If there are no records, a record or a figure of others is unsound, or something cannot be written.
pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    // It takes seconds and depends on no record.
    let plans = std::thread::spawn(soundness::page);
    let folders = choose(&args.records)?;
    let cautions = sound(&folders)?;
    let others = Others::read(&args.paper)?;
    let every = cells(&folders);
    let judged = judged::judged(&folders);
    ensure!(!every.is_empty() || !cheating::page(&folders).is_empty(), "no runs in {}", shown(&folders));
    // Points of a sweep are many and of no paper: they have a page of their own. So have series over threads.
    let single = every.iter().filter(|c| !threads::is_threaded(c)).cloned();
    let (swept, all): (Vec<_>, Vec<_>) = single.partition(sweep::is_swept);
    let over_threads = threads::series(&folders);

    let out = &args.out;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let data = Data { swept: &swept, front: &all, threads: &over_threads, trials: &judged, others: &others };
    let figures = plot::draw(&data);
    if args.part != Some(Part::Tables) {
        figures.par_iter().try_for_each(|f| f.write(out))?;
        for f in &figures {
            print(&format!("{0}/{1}.svg and {0}/{1}.png", out.display(), f.name))?;
        }
    }
    if args.part == Some(Part::Figures) {
        return Ok(());
    }
    plans.join().map_err(|_| anyhow!("the page of Fusion's plans could not be computed"))??;
    let command = command(args);
    let source = Source { folders: &folders, all: &all, swept: &swept, figures: &figures, others: &others };
    let pages = source.pages(&cautions)?;
    for (name, text) in &pages {
        let made = format!("<!-- Made by `{command}`; changes will be lost. -->\n\n");
        write(&out.join(name), &format!("{made}{}\n", text.trim_end()))?;
    }
    splice::splice_file(&args.readme, &source.main_page(args, &command))?;
    print(&format!("{}: tables", args.readme.display()))?;
    if args.part.is_none() {
        let by_people = [("METHOD.md", include_str!("../../../results/METHOD.md")), ("BIAS.md", BIAS)];
        let pages = pages.iter().map(|(file, text)| (*file, text.as_str())).chain(by_people);
        let pages: Vec<_> = pages.map(|(file, markdown)| Page { file, markdown }).collect();
        write(&out.join("index.html"), &html::page(TITLE, &pages, out)?)?;
    }
    Ok(())
}

const TITLE: &str = "Secure neural-network inference, measured";

const BIAS: &str = include_str!("../../../results/BIAS.md");

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    print(&path.display().to_string())?;
    Ok(())
}

/// `bench soundness` without a plan: the page on Fusion's plans, printed, and written into `out` with its figures.
///
/// # Errors
/// If something cannot be written.
pub(crate) fn soundness(out: &Path) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let page = soundness::page()?;
    let path = out.join("soundness.md");
    let text = format!("<!-- Made by `bench soundness`; changes will be lost. -->\n\n{}\n", page.trim_end());
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    print(&format!("{page}\n{}", path.display()))?;
    for f in plot::computed() {
        f.write(out)?;
        print(&format!("{0}/{1}.svg and {0}/{1}.png", out.display(), f.name))?;
    }
    Ok(())
}

/// The short table of one folder, for the end of a run.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn totals(dir: &Path) -> Result<String> {
    let folders = [named_by_means(Folder::read(dir)?)];
    Ok(format!("{}\n{}", table::headline(&cells(&folders), table::Detail::Short), cheating::page(&folders)))
}

/// Whether theory lies in the interval of what was measured, if there is a theory of this adversary.
pub(crate) fn agrees_with_theory(trials: &TrialRow) -> Option<bool> {
    judged::Judged::new(trials).agrees()
}

/// The profile of a link that may be named by its means.
fn profile(link: &str) -> &str {
    link.split(" (").next().unwrap_or(link)
}

/// A link that the kernel made is another link than the model's of the same name: all tables, figures and comparisons
/// tell them apart, and show which is which.
fn named_by_means(mut folder: Folder) -> Folder {
    for r in folder.runs.iter_mut().filter(|r| ["netem", "tun"].contains(&r.link_means.as_str())) {
        r.link = format!("{} ({})", r.link, r.link_means);
    }
    folder
}

/// The folders that are named, and of each folder of folders the newest of each experiment with the same protocols,
/// models and links, on the machine that measured last.
fn choose(named: &[PathBuf]) -> Result<Vec<Folder>> {
    let mut chosen = Vec::new();
    for path in named {
        if path.join(RUNS_CSV).is_file() {
            chosen.push(named_by_means(Folder::read(path)?));
            continue;
        }
        let entries = fs::read_dir(path).with_context(|| {
            format!("no records in {}: run an experiment first (bench run, or make bench-lan)", path.display())
        })?;
        let mut newest: BTreeMap<_, Folder> = BTreeMap::new();
        for entry in entries {
            let dir = entry.with_context(|| path.display().to_string())?.path();
            if !dir.join(RUNS_CSV).is_file() {
                continue;
            }
            let folder = named_by_means(Folder::read(&dir)?);
            let Some(experiment) = folder.experiment_name() else { continue };
            // An experiment that was narrowed on the command line does not displace the whole one, nor does one of which
            // a part was skipped.
            let run = folder.runs.iter().filter(|r| r.status != Status::Skipped);
            let runs = run.map(|r| (r.protocol.clone(), r.model.clone(), r.link.clone()));
            let covers: BTreeSet<_> =
                runs.chain(folder.trials.iter().map(|t| (t.setting.clone(), String::new(), String::new()))).collect();
            let key = (experiment, folder.machine.name.clone(), covers);
            let begun = |f: &Folder| (f.begun_utc(), f.name());
            if newest.get(&key).is_none_or(|n| begun(n) < begun(&folder)) {
                newest.insert(key, folder);
            }
        }
        if newest.is_empty() {
            bail!("no records in {}: run an experiment first (bench run, or make bench-lan)", path.display());
        }
        // Times of two machines in one table would be read as a comparison; a folder that is named is always taken.
        let machine = newest.values().max_by_key(|f| f.begun_utc()).map(|f| f.machine.name.clone());
        chosen.extend(newest.into_values().filter(|f| Some(&f.machine.name) == machine.as_ref()));
    }
    Ok(chosen)
}

/// Refuses folders with problems; returns what a reader must know of the others.
fn sound(folders: &[Folder]) -> Result<Vec<String>> {
    let mut cautions = Vec::new();
    for f in folders {
        for finding in check::folder(f) {
            match finding.severity {
                Severity::Problem => {
                    bail!("{}: {finding}; see all with bench check", f.dir.display());
                }
                Severity::Caution => cautions.push(format!("{}: {}", finding.place, finding.what)),
            }
        }
    }
    Ok(cautions)
}

fn shown(folders: &[Folder]) -> String {
    folders.iter().map(|f| f.dir.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The command that makes this report again.
fn command(args: &ReportArgs) -> String {
    let list = |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ");
    let mut text = format!("bench report --records {}", list(&args.records));
    for (option, path, default) in [("--out", &args.out, "results/report"), ("--paper", &args.paper, "results/paper")] {
        if path.as_path() != Path::new(default) {
            let _ = write!(text, " {option} {}", path.display());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Recorder, RunRow, samples};

    struct World {
        root: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let world = Self { root: tempfile::tempdir().unwrap() };
            let page = "# X\n<!-- bench:claims begin --><!-- bench:claims end -->\n\
                        <!-- bench:headline begin -->\n<!-- bench:headline end -->\n\
                        <!-- bench:amortised begin -->\n<!-- bench:amortised end -->\n\
                        <!-- bench:others begin --><!-- bench:others end -->\n";
            fs::write(world.root.path().join("README.md"), page).unwrap();
            world
        }

        fn record(&self, name: &str, spoil: fn(&mut RunRow)) {
            let dir = self.root.path().join("records").join(name);
            let mut r = Recorder::create(&dir, &samples::machine(), "").unwrap();
            for repetition in 1..=3 {
                for protocol in ["plain", "cheetah"] {
                    for n in [1, 8] {
                        let (mut run, phases) = samples::batch(protocol, "lan", n, repetition);
                        spoil(&mut run);
                        r.append(&run, &phases, &samples::answers(&run)).unwrap();
                    }
                }
                let (mut run, phases) = samples::composed(repetition);
                spoil(&mut run);
                r.append(&run, &phases, &samples::answers(&run)).unwrap();
            }
        }

        fn args(&self) -> ReportArgs {
            let at = |name: &str| self.root.path().join(name);
            let paper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/paper");
            ReportArgs { records: vec![at("records")], part: None, out: at("report"), readme: at("README.md"), paper }
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.root.path().join(name)).unwrap()
        }
    }

    #[test]
    fn a_report_is_made_from_records_alone_and_made_again_it_is_the_same() {
        let w = World::new();
        w.record("2025-01-31-testbox-01234567", |_| {});
        run(&w.args()).unwrap();
        let readme = w.text("README.md");
        assert!(readme.contains("| cheetah") && readme.contains("Made by `bench report --records "), "{readme}");
        assert!(readme.contains("composed (32 of 2,660)") && readme.contains("-40.97"), "{readme}");
        assert!(readme.contains("(report/time-mnist-cnn4.svg)"), "{readme}");
        assert!(
            readme.contains("(report/amortised-mnist-cnn4.svg)") && !readme.contains("fusion-soundness"),
            "{readme}"
        );
        assert!(readme.contains("**mnist-cnn4**, one query") && readme.contains("Not run: "), "{readme}");
        assert!(w.text("report/accuracy.md").contains("### cheetah · mnist-cnn4"));
        let index = w.text("report/README.md");
        for name in ["time-mnist-cnn4", "amortised-mnist-cnn4", "bytes-cheetah-mnist-cnn4", "fusion-soundness"] {
            assert!(index.contains(&format!("({name}.svg)")), "{name}");
            assert!(w.root.path().join(format!("report/{name}.png")).is_file(), "{name}");
        }
        assert!(w.text("report/operators.md").contains("## cheetah · mnist-cnn4 · lan · batch 1"));
        assert!(w.text("report/comparison.md").contains("ours/paper"));
        assert!(w.text("report/claims.md").contains("not run"));
        let (figure, html) = (w.text("report/time-mnist-cnn4.svg"), w.text("report/index.html"));
        for part in ["<svg", "id=\"claims\"", "id=\"bias\"", "Imaginary 9000"] {
            assert!(html.contains(part), "{part}");
        }
        run(&w.args()).unwrap();
        assert_eq!((w.text("README.md"), w.text("report/time-mnist-cnn4.svg")), (readme, figure));
        assert_eq!(w.text("report/index.html"), html);
    }

    #[test]
    fn tables_and_figures_can_be_made_by_themselves() {
        let w = World::new();
        w.record("a", |_| {});
        let there = |name: &str| w.root.path().join("report").join(name).exists();
        run(&ReportArgs { part: Some(Part::Figures), ..w.args() }).unwrap();
        assert!(there("time-mnist-cnn4.svg") && !there("README.md") && !there("index.html"));
        fs::remove_dir_all(w.root.path().join("report")).unwrap();
        run(&ReportArgs { part: Some(Part::Tables), ..w.args() }).unwrap();
        assert!(!there("time-mnist-cnn4.svg") && there("README.md") && !there("index.html"));
    }

    #[test]
    fn the_sealed_records_of_the_repository_are_as_they_were_and_make_a_report() {
        let w = World::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/records");
        let all = fs::read_dir(root).unwrap().map(|e| e.unwrap().path());
        let records: Vec<_> = all.filter(|dir| dir.join(crate::record::seal::SHA256SUMS).is_file()).collect();
        records.iter().for_each(|dir| check::run(dir).unwrap());
        run(&ReportArgs { records, part: Some(Part::Tables), ..w.args() }).unwrap();
    }

    #[test]
    fn the_pages_of_the_repository_have_the_markers() {
        let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
        for name in ["headline", "amortised", "others"] {
            splice::splice(&readme, name, "x").unwrap();
        }
    }

    #[test]
    fn the_newest_folder_of_an_experiment_is_taken() {
        let w = World::new();
        w.record("a", |r| r.started_utc = "2025-03-01T00:00:00Z".into());
        w.record("b", |r| r.started_utc = "2025-02-01T00:00:00Z".into());
        w.record("c", |r| r.experiment = "other".into());
        let names = |dirs: &[PathBuf]| choose(dirs).unwrap().iter().map(Folder::name).collect::<Vec<_>>();
        assert_eq!(names(&w.args().records), ["c", "a"]);
        assert_eq!(names(&[w.args().records[0].join("b")]), ["b"], "a folder that is named is taken");
        w.record("narrow", |r| (r.link, r.started_utc) = ("wan".into(), "2025-04-01T00:00:00Z".into()));
        assert_eq!(names(&w.args().records), ["c", "a", "narrow"], "another link displaces nothing");
        w.record("skipped", |r| {
            (r.status, r.reason) = (Status::Skipped, "not fetched".into());
            r.started_utc = "2025-05-01T00:00:00Z".into();
        });
        assert!(names(&w.args().records).contains(&"a".to_owned()), "what was skipped displaces nothing");
    }

    #[test]
    fn unsound_or_missing_records_are_refused_in_one_line() {
        let w = World::new();
        let refusal = || format!("{:#}", run(&w.args()).unwrap_err());
        assert!(refusal().contains("run an experiment first"), "{}", refusal());
        fs::create_dir(&w.args().records[0]).unwrap();
        assert!(refusal().contains("run an experiment first"), "{}", refusal());
        w.record("bad", |r| r.labels_checked = None);
        assert!(refusal().contains("were not compared with the oracle; see all with bench check"), "{}", refusal());
        assert!(!w.root.path().join("report").exists(), "nothing is written");
    }

    #[test]
    fn cautions_are_printed() {
        let w = World::new();
        w.record("a", |r| r.link_gate = crate::record::LinkGate::Fail);
        run(&w.args()).unwrap();
        assert!(w.text("report/README.md").contains("- lan/mnist-cnn4/plain/b1#1: the link was not as set"));
    }
}
