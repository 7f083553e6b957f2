//! Fusion beside its inner protocol: a query as a multiple of one stand-alone inference, and what mixing and checking
//! take of the time.

use super::cells::{Cell, Metric};
use super::markdown::{Table, number};
use super::table::soundness;

/// The meter's labels of what Fusion does itself, at the client.
const OWN: [&str; 3] = ["mix", "check", "journal"];

/// One row a plan: its inferences a query, r, beside the multiples of one inner inference by itself (a batch of one over
/// the same link, on the same machine) that a query takes. Empty if there is no plan.
pub(crate) fn multiples(cells: &[Cell<'_>]) -> String {
    let head = [
        "protocol",
        "model",
        "link",
        "load",
        "method",
        "r",
        "log2 Pr[cheat]",
        "time: x one inference",
        "CPU: x",
        "bytes: x",
        "mix, check, journal: % of time",
    ];
    let mut t = Table::new(5, &head);
    for c in cells.iter().filter(|c| c.is_fusion() && c.good().next().is_some()) {
        let (r, alone) = (c.setting(), alone(cells, c));
        let times = |metric| {
            let ratio = alone.and_then(|a| Some(c.per_query(metric)?.median / a.per_query(metric)?.median));
            ratio.map_or_else(|| "–".into(), |x| format!("{x:.2}"))
        };
        t.row(vec![
            r.protocol.clone(),
            r.model.clone(),
            r.link.clone(),
            c.load(),
            c.method(),
            format!("{:.3}", r.inferences as f64 / r.queries.max(1) as f64),
            soundness(r).map_or_else(|| "–".into(), |b| format!("{b:.2}")),
            times(Metric::Wall),
            times(Metric::Cpu),
            times(Metric::Bytes),
            own_share(c).map_or_else(|| "–".into(), |x| number(100.0 * x)),
        ]);
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

/// The inner protocol by itself, one query at a time, in the same setting.
fn alone<'c, 'a>(cells: &'c [Cell<'a>], fusion: &Cell<'a>) -> Option<&'c Cell<'a>> {
    let f = fusion.setting();
    let inner = f.protocol.strip_prefix("fusion(")?.strip_suffix(')')?;
    cells.iter().find(|c| {
        let r = c.setting();
        let same = (&r.model, &r.link, &r.dataset, &r.reveal, &r.truncation, r.threads)
            == (&f.model, &f.link, &f.dataset, &f.reveal, &f.truncation, f.threads);
        same && r.protocol == inner && r.inferences == 1 && c.folder.machine.name == fusion.folder.machine.name
    })
}

/// The part of the time in which the client mixes, checks and keeps its journal; the median over the repetitions. None
/// if none of it was run, as in a composed plan.
fn own_share(c: &Cell<'_>) -> Option<f64> {
    let of = |run_id: &str, wall_ns: u64| {
        let own = c
            .folder
            .phases
            .iter()
            .filter(|p| p.run_id == run_id && p.party == "client" && OWN.contains(&p.operator.as_str()));
        let own: Vec<u64> = own.map(|p| p.wall_ns).collect();
        (!own.is_empty() && wall_ns > 0).then(|| own.iter().sum::<u64>() as f64 / wall_ns as f64)
    };
    let clean = c.good().filter(|r| r.resumed_inferences.is_none());
    let shares: Vec<f64> = clean.filter_map(|r| of(&r.run_id, r.run_wall_ns?)).collect();
    crate::stats::summary(&shares).map(|s| s.median)
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::record::{Method, samples};

    #[test]
    fn a_query_is_a_multiple_of_one_inference_by_itself() {
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::run("cheetah", "lan", 1));
        samples::add(&mut f, samples::composed(1));
        let (mut run, mut phases) = samples::composed(1);
        (run.run_id, run.cell, run.method, run.composed_from) = ("m#1".into(), "m".into(), Method::Measured, None);
        run.fusion_chunk = Some(32);
        phases.iter_mut().for_each(|p| p.run_id = "m#1".into());
        let (mix, check) = (phases.len() - 2, phases.len() - 4);
        for (i, operator) in [(mix, "mix"), (check, "check")] {
            (phases[i].operator, phases[i].wall_ns) = (operator.into(), 8_002_500);
        }
        samples::add(&mut f, (run, phases));
        let folders = [f];
        let text = multiples(&cells(&folders)).split_whitespace().collect::<Vec<_>>().join(" ");
        // 32 inferences of 3.201 s stand for 2,660: 0.520 s a query, one alone takes 0.101 s.
        assert!(text.contains("| composed (32 of 2,660) | 5.195 | -40.97 | 5.15 |"), "{text}");
        assert!(text.contains("| 5.20 | – |"), "bytes, and no share: {text}");
        assert!(text.contains("| measured | 5.195 | -40.97 |") && text.contains("| 0.500 |"), "{text}");
    }

    #[test]
    fn without_the_inner_protocol_there_is_no_multiple() {
        let mut f = samples::folder("a");
        samples::add(&mut f, samples::run("cheetah", "wan", 1));
        assert_eq!(multiples(&cells(&[f.clone()])), "");
        samples::add(&mut f, samples::composed(1));
        let folders = [f];
        assert!(multiples(&cells(&folders)).contains("–"));
    }
}
