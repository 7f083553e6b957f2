//! Rules of `trials.csv`.

use std::collections::BTreeSet;

use super::{Finding, Findings};
use crate::behaviour::Behaviour;
use crate::record::{Folder, TrialRow};
use crate::report::agrees_with_theory;
use crate::trials::{MOST_INFERENCES, MOST_TRIALS};

pub(super) fn check(folder: &Folder, found: &mut Vec<Finding>) {
    let mut seen = BTreeSet::new();
    for t in &folder.trials {
        let f = &mut Findings { place: &t.setting, found };
        f.require(seen.insert(&t.setting), || "the trials are recorded twice".into());
        names(t, f);
        // Theory is of what can be, and takes as long as the numbers are large.
        if counts(t, f) && agrees_with_theory(t) == Some(false) {
            f.caution("theory is outside of the 99 % interval of what was measured".into());
        }
    }
}

fn names(t: &TrialRow, f: &mut Findings<'_>) {
    if let Err(why) = Behaviour::try_from(t.server.clone()) {
        f.require(false, || why);
    }
    for (column, value) in [("protocol", &t.protocol), ("model", &t.model), ("dataset", &t.dataset)] {
        f.require(!value.is_empty(), || format!("{column} is empty"));
    }
    f.require(t.method == "in-process", || format!("method is '{}', not in-process", t.method));
    let hex = |s: &str| s.len() >= 7 && s.bytes().all(|b| b.is_ascii_hexdigit());
    for (column, value) in [("model_hash", &t.model_hash), ("data_hash", &t.data_hash), ("commit", &t.commit)] {
        f.require(hex(value), || format!("{column} is '{value}', not a hexadecimal digest"));
    }
}

/// Whether the counts can be those of trials.
fn counts(t: &TrialRow, f: &mut Findings<'_>) -> bool {
    let before = f.found.len();
    let inferences = t.queries.saturating_mul(t.fusion_copies).saturating_add(t.fusion_public);
    for (what, is, most) in [("trials", t.trials, MOST_TRIALS), ("inferences", inferences, MOST_INFERENCES)] {
        f.require((1..=most).contains(&is), || format!("{is} {what}, 1 to {most} can be"));
    }
    let ended = t.caught + t.fooled + t.unharmed + t.broken;
    f.require(ended == t.trials, || format!("{ended} of {} runs ended in one of the ways", t.trials));
    let (copies, public) = (t.caught_by_copies, t.caught_by_public);
    f.require(copies.max(public) <= t.caught && t.caught <= copies + public, || {
        format!("{} caught, {copies} by copies, {public} by public samples", t.caught)
    });
    f.require(t.corrupted.is_none_or(|k| k <= inferences), || {
        format!("more than the {inferences} inferences corrupted")
    });
    f.require(t.queries + t.fusion_public <= t.pool, || format!("a pool of {} images is too small", t.pool));
    f.require(t.pool_right.is_none_or(|right| right <= t.pool), || "more right images than images".into());
    f.require(t.fusion_tolerance < t.fusion_public.max(1), || "every public sample may be wrong".into());
    f.require(t.fusion_copies > 0 && t.classes > 0, || format!("{} copies, {} classes", t.fusion_copies, t.classes));
    f.found.len() == before
}

#[cfg(test)]
mod tests {
    use super::super::{Severity, check as check_all, testing};
    use crate::record::{TrialRow, samples};

    #[test]
    fn sound_trials_have_no_findings_and_spoilt_ones_have() {
        let found = |spoil: &dyn Fn(&mut [TrialRow; 2])| {
            let mut f = testing::folder();
            let mut trials = samples::trials();
            spoil(&mut trials);
            f.trials.extend(trials);
            check_all(&f)
        };
        assert_eq!(found(&|_| {}), []);
        let caught = |severity, expect: &str, spoil: &dyn Fn(&mut TrialRow)| {
            let all: Vec<_> = found(&|t| spoil(&mut t[0])).into_iter().filter(|f| f.severity == severity).collect();
            assert!(all.len() == 1 && all[0].what.contains(expect), "{expect}: {all:?}");
        };
        let problem = Severity::Problem;
        caught(problem, "999 of 1000 runs ended", &|t| t.fooled -= 1);
        caught(problem, "by copies", &|t| t.caught_by_copies = 2000);
        caught(problem, "more than the 36 inferences", &|t| t.corrupted = Some(37));
        caught(problem, "too small", &|t| t.pool = 10);
        caught(problem, "not in-process", &|t| t.method = "processes".into());
        caught(problem, "0 copies", &|t| (t.fusion_copies, t.corrupted) = (0, None));
        caught(problem, "model is empty", &|t| t.model.clear());
        // Numbers for which the chances would take years to compute.
        let huge = 1 << 50;
        caught(problem, "trials, 1 to 1048576 can be", &|t| {
            (t.trials, t.caught, t.caught_by_copies, t.fooled) = (huge, huge, huge, 0);
        });
        caught(problem, "inferences, 1 to 16384 can be", &|t| (t.queries, t.pool) = (huge, 2 * huge));
        caught(problem, "commit is 'unknown'", &|t| t.commit = "unknown".into());
        caught(problem, "write \"honest\" or", &|t| t.server = "evil".into());
        caught(Severity::Caution, "theory is outside", &|t| (t.caught, t.caught_by_copies, t.fooled) = (900, 900, 100));
        assert!(found(&|t| t[1].setting.clone_from(&t[0].setting.clone())).iter().any(|f| f.what.contains("twice")));
    }
}
