//! The report's pages, put together from their tables and figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use anyhow::Result;

use super::cells::{Cell, smallest_loads};
use super::paper::Others;
use super::plot::{self, Figure};
use super::table::Detail;
use super::{
    ReportArgs, accuracy, beside, cheating, claims, compare, fusion_cost, operators, soundness, sweep, table, threads,
};
use crate::record::Folder;

/// What pages are made of.
pub(crate) struct Source<'s, 'a> {
    pub(crate) folders: &'a [Folder],
    /// Cells on links of the field.
    pub(crate) all: &'s [Cell<'a>],
    /// Points of link sweeps.
    pub(crate) swept: &'s [Cell<'a>],
    pub(crate) figures: &'s [Figure],
    pub(crate) others: &'s Others,
}

const OPERATORS_NOTE: &str = "Medians over the repetitions. Time as the client sees it, waiting for the other party \
    included; CPU time of all parties; up is from the client. Where a network has many operators, they are summed by kind.";

const ACCURACY_NOTE: &str = "What each network answers in floating point, in fixed point (the oracle of every run), and \
    under a protocol, beside the data set's label. A rank is the label's place among the scores: 1 is top-1, 5 and less \
    top-5. Networks whose classes are not the data set's have no expected label.";

const MEMORY_NOTE: &str = "Greatest resident memory of a process in MiB, loading of network and images included: median \
    [least..greatest repetition].";

const THREADS_NOTE: &str = "Time of one query with pools of one and of more threads, both parties on the machine of the \
    record: they share its cores, so a second thread gains only where the other party waits. Median [least..greatest \
    repetition]; the ratio with the interval that holds it in 95 % of resamples. A protocol whose card says that it computes \
    with one thread is not run with more. All other tables are of one thread a party.";

/// What a reader must know to read the tables.
const LEGEND: &str = "**time** barrier released until the client holds checked answers, offline phase included, set-up \
    excluded: median [fastest..slowest] · **link s** what bytes and rounds take by \
    arithmetic: one-way trips that had to be waited for · RTT/2 + bytes / rate, computation left out (≤: a bound, where the record \
    does not tell which rounds had to be waited for) · **CPU** of all parties · **MiB** sent by all parties, our framing included, TCP/IP \
    excluded · **rounds** the client's · **peak** resident memory of a process · **answers right** compared with the network in the clear, in fixed point · **load** \
    queries in one batch, or Fusion's plan: R queries, B copies of each, T public samples · **link** made by the model in the \
    transport, unless (netem) or (tun) says that the kernel's TCP ran over a shaped interface";

/// What stands below a title, or that nothing was recorded, and which experiment would.
fn or_not_run(body: &str, experiment: &str) -> String {
    if body.trim().is_empty() {
        return format!("Not run: there are no records of it. `bench run {experiment}` makes one.\n");
    }
    body.to_owned()
}

/// A page with a title.
fn page(title: &str, note: &str, body: &str, experiment: &str) -> String {
    format!("# {title}\n\n{note}\n\n{}\n", or_not_run(body, experiment))
}

impl Source<'_, '_> {
    /// Every page: the name of its file and its Markdown, in the order of reading.
    ///
    /// # Errors
    /// If a plan that a page computes makes no sense, which the tests exclude.
    pub(crate) fn pages(&self, cautions: &[String]) -> Result<Vec<(&'static str, String)>> {
        let (all, others) = (self.all, self.others);
        let with_figures = |body: String, kinds: &[&str]| {
            let figures: String = kinds.iter().map(|kind| self.in_page(kind)).collect();
            if body.is_empty() { body } else { format!("{body}\n{figures}") }
        };
        let cheating = with_figures(cheating::page(self.folders), &["detection", "accuracy"]);
        let cost = with_figures(fusion_cost::page(all), &["fusion-cost"]);
        let links = with_figures(sweep::page(self.swept), &["links-"]);
        let threads = with_figures(threads::page(self.folders), &["threads-"]);
        Ok(vec![
            ("README.md", self.index(cautions)),
            ("comparison.md", compare::bands(others, all)),
            ("claims.md", claims::page(others, all)),
            ("links.md", page("Time against the link", "", &links, "link-sweep")),
            ("threads.md", page("More threads", THREADS_NOTE, &threads, "threads")),
            ("fusion-cost.md", page("The price of Fusion", "", &cost, "fusion-cost")),
            ("cheating.md", page("Cheating servers", "", &cheating, "fusion-detection")),
            ("soundness.md", soundness::page()?.to_owned()),
            ("operators.md", page("Cost by operator", OPERATORS_NOTE, &operators::tables(all), "mnist-lan")),
            ("accuracy.md", page("Accuracy", ACCURACY_NOTE, &accuracy::images(all), "imagenet")),
        ])
    }

    /// The texts between the markers of the main page, which is for a first reader: links made in one way, the one with the
    /// most rows, and of those that papers use, if there are any. All others stand on the report's pages.
    pub(crate) fn main_page(&self, args: &ReportArgs, command: &str) -> [(&'static str, String); 4] {
        let front = self.main_means();
        let first: Vec<_> = smallest_loads(&front.iter().collect::<Vec<_>>()).into_iter().cloned().collect();
        let pictures = |kind: &str| self.pictures(args, kind, &front);
        let headline = format!(
            "{}\n{LEGEND}.\n\nMeasured on:\n\n{}\nMade by `{command}`.\n\n{}",
            table::headline(&first, Detail::Short),
            table::provenance(self.folders, &first),
            pictures("time")
        );
        // All plans stand on the page of Fusion's price; here those of the headline, beside every batch.
        let plan = |c: &Cell<'_>| {
            first.iter().any(|f| f.setting().run_id == c.setting().run_id && f.folder.dir == c.folder.dir)
        };
        let chosen: Vec<_> = front.iter().filter(|c| !c.is_fusion() || plan(c)).cloned().collect();
        let amortised = format!("{}\n{}", fusion_cost::page(&chosen), pictures("amortised"));
        let claims = claims::summary(self.others, &front);
        [
            ("claims", claims),
            ("headline", headline),
            ("amortised", amortised),
            ("others", beside::tables(self.others, &front)),
        ]
    }

    /// The cells of shaped links, if there are any, and of those the ones whose links were made as most were.
    fn main_means(&self) -> Vec<Cell<'_>> {
        let mut count: BTreeMap<&str, usize> = BTreeMap::new();
        for c in self.all {
            *count.entry(c.setting().link_means.as_str()).or_default() += 1;
        }
        let most = count.into_iter().max_by_key(|&(means, n)| (means != "none", n)).map(|(means, _)| means);
        self.all.iter().filter(|c| Some(c.setting().link_means.as_str()) == most).cloned().collect()
    }

    /// The figures whose names begin with a word, for a page of the report.
    fn in_page(&self, kind: &str) -> String {
        let of_kind = self.figures.iter().filter(|f| f.name.starts_with(kind));
        of_kind.map(|f| format!("![{}]({}.svg)\n\n", f.caption, f.name)).collect()
    }

    /// The figures of a kind, one a model, if they can be reached from the main page.
    fn pictures(&self, args: &ReportArgs, kind: &str, cells: &[Cell<'_>]) -> String {
        let beside = args.readme.parent().unwrap_or(Path::new(""));
        let Ok(out) = args.out.strip_prefix(beside) else { return String::new() };
        let models: BTreeSet<_> = cells.iter().map(|c| plot::file_name(&[kind, &c.setting().model])).collect();
        let mut text = String::new();
        for f in self.figures.iter().filter(|f| models.contains(&f.name)) {
            let _ = writeln!(text, "![{}]({}/{}.svg)\n", f.caption, out.display(), f.name);
        }
        text
    }

    fn index(&self, cautions: &[String]) -> String {
        let all = self.all;
        let mut out = String::from("# Report\n\n");
        let _ = writeln!(out, "{}", table::provenance(self.folders, all));
        out += "All of it on one page: `index.html`. Other pages: [papers and rivals beside ours](comparison.md), [claims of \
                the papers](claims.md), [time against the link](links.md), [more threads](threads.md), [the price of Fusion](fusion-cost.md), [cheating \
                servers](cheating.md), [Fusion's plans](soundness.md), [cost by operator](operators.md), [accuracy image by \
                image](accuracy.md), [how it was measured](../METHOD.md), [why to distrust it](../BIAS.md).\n\n";
        let _ = writeln!(out, "## Totals\n\n{LEGEND}.\n\n{}", table::headline(all, Detail::Full));
        let _ = writeln!(out, "## Cost of one query\n\n{}", table::amortised(all));
        let memory = or_not_run(&table::memory(all), "memory");
        let _ = writeln!(out, "## Memory\n\n{MEMORY_NOTE}\n\n{memory}\n{}", self.in_page("memory-"));
        let _ = writeln!(out, "## Accuracy\n\n{ACCURACY_NOTE}\n\n{}", or_not_run(&accuracy::summary(all), "imagenet"));
        let _ = writeln!(out, "## Silent OT against IKNP\n\n{}", or_not_run(&beside::ot_extension(all), "mnist-lan"));
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
        for f in self.figures {
            let _ = writeln!(out, "![{}]({}.svg)\n", f.caption, f.name);
        }
        out
    }
}
