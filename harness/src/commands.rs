//! The commands that answer at once, and `bench run`'s frame. Each answers for people, or as JSON for scripts.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use si_netem::{Means, Profile};

use crate::begun::Begun;
use crate::cli::{ListArgs, RunArgs};
use crate::estimate::{Estimator, Expectation};
use crate::experiment::{Experiment, Size};
use crate::orchestrate::CutShort;
use crate::record::RUNS_CSV;
use crate::{by_hand, inputs, links, orchestrate, registry, report};

/// How `bench run` ended.
pub(crate) enum End {
    /// All repetitions are ok or skipped.
    Good,
    /// Some are not.
    Failures,
    /// The user stopped it.
    Stopped,
}

/// `bench run`.
///
/// # Errors
/// If nothing could be run or recorded. Repetitions that fail are rows, not errors.
pub(crate) fn run(args: &RunArgs) -> Result<End> {
    let find = |name: &String| Experiment::find(name)?.with(args.overrides());
    let names: Vec<String> = match args.all {
        true => Experiment::embedded()?.into_iter().map(|e| e.name).collect(),
        false => args.experiments.clone(),
    };
    let mut experiments = names.iter().map(find).collect::<Result<Vec<_>>>()?;
    ensure!(
        experiments.len() == 1 || (args.resume.is_none() && !args.print_job),
        "--resume and --print-job are for one experiment, {} are named",
        experiments.len()
    );
    if args.print_job {
        // Parties that are started by hand are in no namespaces, unless somebody sees to it and says so.
        experiments[0] = experiments[0].clone().by(Means::Model);
        print(&serde_json::to_string_pretty(&by_hand::first_job(&experiments[0])?)?)?;
        return Ok(End::Good);
    }
    if experiments.iter().any(Experiment::leaves_means_open) {
        let choice = si_netem::choose();
        print(&links::told(&choice))?;
        experiments = experiments.into_iter().map(|e| e.by(choice.means)).collect();
    }
    let estimator = Estimator::of_records(&args.records);
    let begun: Vec<Begun> = match args.go_on {
        true => experiments.iter().map(|e| Begun::find(&args.records, e)).collect::<Result<_>>()?,
        false => experiments.iter().map(|_| Begun::default()).collect(),
    };
    if experiments.len() > 1 {
        let missing = |(e, begun): (&Experiment, &Begun)| {
            let cells = e.cells();
            estimator.of(orchestrate::order(&cells).filter(|(r, c)| !begun.has(c, *r)).map(|(_, c)| c))
        };
        let all = experiments.iter().zip(&begun).fold(Expectation::default(), |sum, both| sum.plus(&missing(both)));
        let names: Vec<_> = experiments.iter().map(|e| e.name.as_str()).collect();
        print(&format!("expected for {}: {all}", names.join(" and ")))?;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let wish = Arc::clone(&stop);
    ctrlc::set_handler(move || wish.store(true, Ordering::Relaxed)).context("handler for Ctrl-C")?;
    let mut end = End::Good;
    for ((name, experiment), begun) in names.iter().zip(&experiments).zip(&begun) {
        if let (true, Some(folder)) = (begun.is_complete(experiment)?, &begun.folder) {
            print(&format!("{name}: done already, in {}", folder.display()))?;
            continue;
        }
        let resume = args.resume.as_deref().or(begun.folder.as_deref());
        let summary = orchestrate::run(experiment, &args.records, resume, &estimator, &stop)?;
        let folder = summary.folder.display();
        let (written, rest) = (summary.written, args.rest(name, &summary.folder));
        match summary.cut_short {
            Some(CutShort::Stopped) => {
                eprintln!("stopped after {written} rows; the rest: {rest}");
                return Ok(End::Stopped);
            }
            Some(CutShort::DiskFull(why)) => {
                bail!("a disk is full: {why}; this run's {written} rows are kept in {folder}; make room, then: {rest}");
            }
            None => {}
        }
        print(&format!("\n{}\nrecords: {folder}", report::totals(&summary.folder)?.trim_end()))?;
        if summary.failed > 0 {
            let failed = summary.failed;
            eprintln!(
                "error: {failed} of {written} repetitions failed; their rows in {folder}/runs.csv say why, more is in log.txt"
            );
            end = End::Failures;
        }
    }
    Ok(end)
}

/// `bench check`: one record folder, or all those in a folder; with `seal`, each without a hash list gets one.
///
/// # Errors
/// If one cannot be read or has a problem; the others are checked first.
pub(crate) fn check(folder: &Path, seal: bool) -> Result<()> {
    let one = if seal { crate::check::seal } else { crate::check::run };
    let records = |p: &PathBuf| p.join(RUNS_CSV).is_file();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut inside: Vec<_> = entries.filter_map(|e| e.ok().map(|e| e.path())).filter(records).collect();
    if records(&folder.to_path_buf()) || inside.is_empty() {
        return one(folder);
    }
    inside.sort();
    let mut all = Ok(());
    for record in &inside {
        all = all.and(one(record)); // each prints what it finds; the first problem decides
    }
    all
}

/// `bench list`.
///
/// # Errors
/// If something embedded is invalid.
pub(crate) fn list(args: &ListArgs) -> Result<()> {
    let experiments = Experiment::embedded()?;
    let cards = registry::cards()?;
    let models: Vec<_> = si_models::zoo::names()?.into_iter().map(si_models::zoo::entry).collect::<Result<_, _>>()?;
    let datasets: Vec<_> = si_datasets::names()?.into_iter().map(si_datasets::describe).collect::<Result<_, _>>()?;
    let links = Profile::built_in()?;
    if args.json {
        let link = |l: &Profile| {
            json!({
                "name": l.name, "means": l.means.to_string(), "rate_bits_per_s": l.rate_bits_per_s, "rtt_us": l.rtt_us,
                "tcp_slow_start": l.tcp_slow_start, "tcp_window_bytes": l.tcp_window_bytes, "source": l.source,
            })
        };
        let named = |name: &str, title: &str| json!({ "name": name, "title": title });
        let answer = json!({
            "experiments": experiments.iter().map(|e| {
                let names = |size| Experiment { size, ..e.clone() }.cells().iter().map(|c| c.name()).collect::<Vec<_>>();
                json!({ "name": e.name, "title": e.title, "cells": names(Size::Normal), "cells_full": names(Size::Full) })
            }).collect::<Vec<_>>(),
            "protocols": cards,
            "models": models.iter().map(|m| {
                json!({ "name": m.name, "title": m.title, "parameters": m.parameters, "dataset": m.dataset, "licence": m.licence })
            }).collect::<Vec<_>>(),
            "datasets": datasets.iter().map(|d| {
                json!({ "name": d.name, "title": d.title, "images": d.images, "classes": d.classes, "licence": d.licence })
            }).chain([named(inputs::RANDOM, RANDOM_TITLE)]).collect::<Vec<_>>(),
            "links": links.iter().map(link).collect::<Vec<_>>(),
        });
        return print(&serde_json::to_string_pretty(&answer)?);
    }
    let section = |title: &str, lines: Vec<(String, String)>| {
        let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let body: String = lines.iter().map(|(name, what)| format!("  {name:width$}  {what}\n")).collect();
        print(&format!("{title}\n{body}"))
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    section("experiments", experiments.iter().map(|e| pair(&e.name, &e.title)).collect())?;
    section("protocols", cards.iter().map(|c| pair(&c.id, &c.title)).collect())?;
    section("models", models.iter().map(|m| pair(&m.name, &m.title)).collect())?;
    let random = pair(inputs::RANDOM, RANDOM_TITLE);
    section("data sets", datasets.iter().map(|d| pair(&d.name, &d.title)).chain([random]).collect())?;
    section("links", links.iter().map(|l| pair(&l.name, &l.source)).collect())
}

const RANDOM_TITLE: &str = "uniformly random images of the model's shape, without labels";

/// Adds the fields of one object to another.
pub(crate) fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(a), Value::Object(b)) = (into, from) {
        a.extend(b);
    }
}

/// A line on standard output; a reader that has gone away is an error, not a panic.
pub(crate) fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{text}").context("standard output")
}
