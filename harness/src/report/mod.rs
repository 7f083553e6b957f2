//! `bench report`: from record folders to tables, figures and the headline of a page.
//!
//! Everything is derived anew from the records each time; nothing here is measured, and nothing is typed in.

mod accuracy;
mod beside;
mod cells;
mod cheating;
mod claims;
mod compare;
mod fusion;
mod fusion_cost;
mod markdown;
mod operators;
mod paper;
mod plot;
mod soundness;
mod splice;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::check::{self, Severity};
use crate::record::{Folder, RUNS_CSV, Status, TrialRow};
use cells::{Cell, cells, smallest_loads};
use paper::Others;
use plot::Figure;
use table::Detail;

/// What to report from, and where to.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// Record folders, or a folder of them, of which the newest of each experiment is taken, from the machine that
    /// measured last
    #[arg(long, value_name = "DIR", num_args = 1.., default_value = "results/records")]
    pub(crate) records: Vec<PathBuf>,
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

/// Writes the report and prints what it wrote.
///
/// # Errors
/// If there are no records, a record or a figure of others is unsound, or something cannot be written.
pub(crate) fn run(args: &ReportArgs) -> Result<()> {
    let folders = choose(&args.records)?;
    let cautions = sound(&folders)?;
    let others = Others::read(&args.paper)?;
    let all = cells(&folders);
    let cheating = cheating::page(&folders);
    ensure!(!all.is_empty() || !cheating.is_empty(), "no runs in {}", shown(&folders));

    let out = &args.out;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let figures = plot::write(&all, &cheating::judged(&folders), out)?;
    let command = command(args);
    let or_none = |text: String| if text.is_empty() { "No records yet.".to_owned() } else { text };
    let of_kind = |kind: &str| in_page(&figures, kind);
    let detection =
        format!("# Cheating servers\n\n{}\n{}", or_none(cheating), of_kind("detection") + &of_kind("accuracy"));
    let cost = format!("# The price of Fusion\n\n{}\n{}", or_none(fusion_cost::page(&all)), of_kind("fusion-cost"));
    let pages = [
        ("cheating.md", detection),
        ("fusion-cost.md", cost),
        ("README.md", index(&folders, &all, &figures, &cautions)),
        ("accuracy.md", format!("# Accuracy\n\n{ACCURACY_NOTE}\n\n{}", accuracy::images(&all))),
        ("operators.md", format!("# Cost by operator\n\n{OPERATORS_NOTE}\n\n{}", operators::tables(&all))),
        ("comparison.md", compare::bands(&others, &all)),
        ("claims.md", claims::page(&others, &all)),
        ("soundness.md", soundness::page()?.to_owned()),
    ];
    for (name, text) in pages {
        let path = out.join(name);
        let made = format!("<!-- Made by `{command}`; changes will be lost. -->\n\n");
        fs::write(&path, format!("{made}{}\n", text.trim_end()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    for f in &figures {
        println!("{0}/{1}.svg and {0}/{1}.png", out.display(), f.name);
    }
    let shaped: Vec<_> = all.iter().filter(|c| c.setting().link_means != "none").cloned().collect();
    let front = if shaped.is_empty() { &all } else { &shaped };
    let first: Vec<_> = smallest_loads(&front.iter().collect::<Vec<_>>()).into_iter().cloned().collect();
    let shown = |kind: &str| pictures(args, &figures, kind, front);
    let texts = [
        ("headline", format!("{}\n\n{}", headline(&folders, &first, &command), shown("time"))),
        ("amortised", format!("{}\n{}{}", table::amortised(front), multiples(front), shown("amortised"))),
        ("others", beside(&others, front)),
    ];
    splice::splice_file(&args.readme, &texts)?;
    println!("{}: headline tables", args.readme.display());
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
    println!("{page}\n{}", path.display());
    for f in plot::computed(out)? {
        println!("{0}/{1}.svg and {0}/{1}.png", out.display(), f.name);
    }
    Ok(())
}

/// The short table of one folder, for the end of a run.
///
/// # Errors
/// If the folder cannot be read.
pub(crate) fn totals(dir: &Path) -> Result<String> {
    let folders = [named_by_means(Folder::read(dir)?)];
    Ok(format!("{}\n{}", table::headline(&cells(&folders), Detail::Short), cheating::page(&folders)))
}

/// Whether theory lies in the interval of what was measured, if there is a theory of this adversary.
pub(crate) fn agrees_with_theory(trials: &TrialRow) -> Option<bool> {
    cheating::Judged::new(trials).agrees()
}

const OPERATORS_NOTE: &str = "Medians over the repetitions. Time as the client sees it, waiting for the other party \
    included; CPU time of all parties; up is from the client. Where a network has many operators, they are summed by kind.";

const ACCURACY_NOTE: &str = "What each network answers in floating point, in fixed point (the oracle of every run), and \
    under a protocol, beside the data set's label. A rank is the label's place among the scores: 1 is top-1, 5 and less \
    top-5. Networks whose classes are not the data set's have no expected label.";

/// The networks that others ran too, accuracy, and what silent OT saves, for the main page.
fn beside(others: &Others, cells: &[Cell<'_>]) -> String {
    let parts = [
        ("", beside::tables(others, cells)),
        ("Accuracy, in floating point, fixed point and under the protocol:", accuracy::summary(cells)),
        ("Silent OT extension (Ferret) against IKNP:", beside::ot_extension(cells)),
    ];
    let there = parts.into_iter().filter(|(_, table)| !table.is_empty());
    there.map(|(title, table)| format!("{title}\n\n{table}\n")).collect()
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
            chosen.push(Folder::read(path)?);
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
        for finding in check::check(f) {
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

/// What a reader must know to read the tables.
const LEGEND: &str = "**time** barrier released until the client holds checked answers, offline phase included, set-up \
    excluded: median [fastest..slowest] · **link s** what bytes and rounds take by \
    arithmetic, rounds · RTT + bytes / rate, of the busiest connection: an upper bound, for a round in which both parties send \
    at once takes half (≤: of all connections, which work side by side) · **CPU** of all parties · **MiB** sent by all parties, our framing included, TCP/IP \
    excluded · **rounds** the client's · **peak** resident memory of a process · **answers right** compared with the network in the clear, in fixed point · **load** \
    queries in one batch, or Fusion's plan: R queries, B copies of each, T public samples · **link** made by the model in the \
    transport, unless (netem) or (tun) says that the kernel's TCP ran over a shaped interface";

/// The part of the main page: links that papers use, not the development machine's loopback, if there are any.
fn headline(folders: &[Folder], all: &[Cell<'_>], command: &str) -> String {
    format!(
        "{}\n{LEGEND}.\n\nRecords:\n\n{}\nMade by `{command}`.",
        table::headline(all, Detail::Short),
        table::provenance(folders, all)
    )
}

/// The figures whose names begin with a word, for a page of the report.
fn in_page(figures: &[Figure], kind: &str) -> String {
    let of_kind = figures.iter().filter(|f| f.name.starts_with(kind));
    of_kind.map(|f| format!("![{}]({}.svg)\n\n", f.caption, f.name)).collect()
}

/// The figures of a kind, one a model, if they can be reached from the page.
fn pictures(args: &ReportArgs, figures: &[Figure], kind: &str, cells: &[Cell<'_>]) -> String {
    let beside = args.readme.parent().unwrap_or(Path::new(""));
    let Ok(out) = args.out.strip_prefix(beside) else { return String::new() };
    let models: BTreeSet<_> = cells.iter().map(|c| plot::file_name(&[kind, &c.setting().model])).collect();
    let mut text = String::new();
    for f in figures.iter().filter(|f| models.contains(&f.name)) {
        let _ = writeln!(text, "![{}]({}/{}.svg)\n", f.caption, out.display(), f.name);
    }
    text
}

/// Fusion beside its inner protocol, if there is any of it.
fn multiples(all: &[Cell<'_>]) -> String {
    let table = fusion::multiples(all);
    if table.is_empty() { table } else { format!("{MULTIPLES_NOTE}\n\n{table}\n") }
}

const MULTIPLES_NOTE: &str = "A query of Fusion as a multiple of one inference of its inner protocol by itself (batch 1, the \
    same link and machine), beside r = (R·B + T) / R, and what mixing, checking and the journal take of a measured run.";

fn index(folders: &[Folder], all: &[Cell<'_>], figures: &[Figure], cautions: &[String]) -> String {
    let mut out = String::from("# Report\n\n");
    let _ = writeln!(out, "{}", table::provenance(folders, all));
    out += "Other pages: [cost by operator](operators.md), [papers and rivals beside ours](comparison.md), \
            [claims of the papers](claims.md), [accuracy image by image](accuracy.md), [cheating servers](cheating.md), \
            [the price of Fusion](fusion-cost.md), [Fusion's plans](soundness.md).\n\n";
    let _ = writeln!(out, "## Totals\n\n{LEGEND}.\n\n{}", table::headline(all, Detail::Full));
    let _ = writeln!(out, "## Cost of one query\n\n{}", table::amortised(all));
    out += &multiples(all);
    let _ = writeln!(out, "## Accuracy\n\n{ACCURACY_NOTE}\n\n{}", accuracy::summary(all));
    let _ = writeln!(out, "## Silent OT against IKNP\n\n{}", beside::ot_extension(all));
    let _ = writeln!(out, "## Set-up, once for two parties\n\n{}", table::setup(all));
    let _ = writeln!(
        out,
        "## Links as set and as seen\n\nMedian [least..greatest] of the probes before the runs.\n\n{}",
        table::links(all)
    );
    if !cautions.is_empty() {
        let _ = writeln!(out, "## Cautions\n\n- {}\n", cautions.join("\n- "));
    }
    out += "## Figures\n\n";
    for f in figures {
        let _ = writeln!(out, "![{}]({}.svg)\n", f.caption, f.name);
    }
    out
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
            let page = "# X\n<!-- bench:headline begin -->\n<!-- bench:headline end -->\n\
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
            ReportArgs { records: vec![at("records")], out: at("report"), readme: at("README.md"), paper }
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
        assert!(
            readme.contains("**mnist-cnn4**, one query") && readme.contains("Accuracy, in floating point"),
            "{readme}"
        );
        assert!(w.text("report/accuracy.md").contains("### cheetah · mnist-cnn4"));
        let index = w.text("report/README.md");
        for name in ["time-mnist-cnn4", "amortised-mnist-cnn4", "bytes-cheetah-mnist-cnn4", "fusion-soundness"] {
            assert!(index.contains(&format!("({name}.svg)")), "{name}");
            assert!(w.root.path().join(format!("report/{name}.png")).is_file(), "{name}");
        }
        assert!(w.text("report/operators.md").contains("## cheetah · mnist-cnn4 · lan · batch 1"));
        assert!(w.text("report/comparison.md").contains("ours/paper"));
        assert!(w.text("report/claims.md").contains("not run"));
        let figure = w.text("report/time-mnist-cnn4.svg");
        run(&w.args()).unwrap();
        assert_eq!((w.text("README.md"), w.text("report/time-mnist-cnn4.svg")), (readme, figure));
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
