//! Is a folder whole: are its bytes those that the run left, and is there a row for every repetition of its experiment?

use std::collections::BTreeSet;

use super::{Finding, Findings};
use crate::experiment::Experiment;
use crate::orchestrate::{order, run_id};
use crate::record::seal::{self, SHA256SUMS};
use crate::record::{EXPERIMENT_TOML, Folder, RUNS_CSV};

pub(super) fn check(folder: &Folder, found: &mut Vec<Finding>) {
    let f = &mut Findings { place: SHA256SUMS, found };
    match seal::differences(&folder.dir) {
        Ok(None) => f.caution(
            "there is no hash list: the run was killed, or still goes on; end it with bench run --resume".into(),
        ),
        Ok(Some(changes)) => changes.into_iter().for_each(|change| f.require(false, || change)),
        Err(e) => f.require(false, || format!("{e:#}")),
    }
    match Experiment::parse(&folder.experiment, EXPERIMENT_TOML) {
        Ok(experiment) => rows(folder, &experiment, found),
        Err(e) => Findings { place: EXPERIMENT_TOML, found }
            .caution(format!("this version cannot read it, so absent rows are not looked for: {e:#}")),
    }
}

/// Repetitions are run one after the other in one order. So a row that is absent before one that is there was taken out;
/// rows that are absent at the end were not run yet.
fn rows(folder: &Folder, experiment: &Experiment, found: &mut Vec<Finding>) {
    let cells = experiment.cells();
    let expected: Vec<String> = order(&cells).map(|(repetition, cell)| run_id(cell, repetition)).collect();
    let there: BTreeSet<&str> = folder.runs.iter().map(|r| r.run_id.as_str()).collect();
    let done = expected.iter().rposition(|id| there.contains(id.as_str())).map_or(0, |i| i + 1);
    let f = &mut Findings { place: RUNS_CSV, found };
    if done == 0 && !there.is_empty() {
        return f.caution("its cells have the names of another version, so absent rows are not looked for".into());
    }
    for id in expected[..done].iter().filter(|id| !there.contains(id.as_str())) {
        f.require(false, || format!("the row of '{id}' is absent, though later ones are there"));
    }
    if done < expected.len() {
        let (rest, all) = (expected.len() - done, expected.len());
        f.caution(format!(
            "{rest} of the experiment's {all} repetitions were not run yet: bench run {} --resume {}",
            experiment.name,
            folder.dir.display()
        ));
    }
    let planned: BTreeSet<&str> = expected.iter().map(String::as_str).collect();
    for id in there.iter().filter(|id| !planned.contains(**id)) {
        f.require(false, || format!("'{id}' is no repetition of the experiment in {EXPERIMENT_TOML}"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;
    use crate::record::{Recorder, samples};

    const TEXT: &str = "name = \"x\"\ntitle = \"t\"\nprotocols = [\"plain\", \"cheetah\"]\nmodels = [\"mnist-cnn4\"]\n\
                        dataset = \"mnist\"\nlinks = [\"lan\"]\nrepetitions = 2\ntimeout_s = 9\n";

    /// A folder with the rows of `TEXT` that are named.
    fn found(ids: &[&str], seal: bool) -> Vec<(Severity, String)> {
        let root = tempfile::tempdir().unwrap();
        let mut r = Recorder::create(&root.path().join("f"), &samples::machine(), TEXT).unwrap();
        for id in ids {
            let (mut run, mut phases) = samples::run("cheetah", "lan", 1);
            (run.run_id, run.cell) = ((*id).to_owned(), id.split('#').next().unwrap().to_owned());
            phases.iter_mut().for_each(|p| p.run_id = (*id).to_owned());
            r.append(&run, &phases, &samples::answers(&run)).unwrap();
        }
        if seal {
            r.seal().unwrap();
        }
        let mut found = Vec::new();
        check(&Folder::read(r.dir()).unwrap(), &mut found);
        found.into_iter().map(|f| (f.severity, f.what)).collect()
    }

    const IDS: [&str; 4] = [
        "plain/mnist-cnn4/lan/batch1#1",
        "cheetah/mnist-cnn4/lan/batch1#1",
        "plain/mnist-cnn4/lan/batch1#2",
        "cheetah/mnist-cnn4/lan/batch1#2",
    ];

    fn one(ids: &[&str], seal: bool, severity: Severity, expect: &str) {
        let found = found(ids, seal);
        assert!(found.len() == 1 && found[0].0 == severity && found[0].1.contains(expect), "{expect}: {found:?}");
    }

    #[test]
    fn a_whole_record_has_no_findings_and_a_killed_one_is_cautioned() {
        assert_eq!(found(&IDS, true), []);
        one(&IDS, false, Severity::Caution, "there is no hash list");
    }

    #[test]
    fn rows_that_were_taken_out_are_told_from_those_that_were_not_run() {
        one(&IDS[..3], true, Severity::Caution, "1 of the experiment's 4 repetitions were not run yet");
        for absent in &IDS[..3] {
            let rest: Vec<&str> = IDS.iter().copied().filter(|id| id != absent).collect();
            one(&rest, true, Severity::Problem, &format!("the row of '{absent}' is absent"));
        }
        one(&["plain/mnist-cnn4/lan/b1#1"], true, Severity::Caution, "the names of another version");
        let more = [&IDS[..], &["plain/mnist-cnn4/lan/batch1#3"]].concat();
        one(&more, true, Severity::Problem, "batch1#3' is no repetition");
    }
}
