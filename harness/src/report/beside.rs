//! One table a network: ours, rivals that were measured, and what papers print, in the same units.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cells::{Cell, MIB, Metric, SECOND, smallest_loads};
use super::compare::figure;
use super::markdown::{Table, middle, number, spread, thousands};
use super::paper::{Others, Published, Quantity};

const HEAD: [&str; 10] = [
    "who",
    "secure against",
    "link",
    "time s",
    "link s",
    "CPU s",
    "MiB",
    "rounds",
    "peak MiB server / client",
    "what it is",
];

/// A table for each network that we ran and others did too. Nothing if there is none.
pub(crate) fn tables(others: &Others, cells: &[Cell<'_>]) -> String {
    let mut by_model: BTreeMap<&str, Vec<&Cell<'_>>> = BTreeMap::new();
    for c in cells.iter().filter(|c| c.setting().adversary != "insecure") {
        by_model.entry(c.setting().model.as_str()).or_default().push(c);
    }
    let mut out = String::new();
    for (model, cells) in by_model {
        let known = others.peers.iter().any(|p| p.model == model)
            || others.published.iter().any(|p| p.model == model && p.over.is_empty());
        let ours = smallest_loads(&cells);
        if !known || ours.iter().all(|c| c.good().next().is_none()) {
            continue;
        }
        let mut t = Table::new(3, &HEAD);
        ours.iter().for_each(|c| t.row(own(c)));
        rivals(others, model, &mut t);
        for p in others.published.iter().filter(|p| p.model == model && p.over.is_empty()) {
            published(p, &mut t);
        }
        let _ = writeln!(out, "**{model}**, one query\n\n{t}");
    }
    out
}

fn own(c: &Cell<'_>) -> Vec<String> {
    let r = c.setting();
    let method = if c.is_measured() { String::new() } else { format!(", {}", c.method()) };
    let runs = c.good().count();
    let what = if runs == 0 { c.outcome() } else { format!("measured and verified here: {}{method}", c.load()) };
    vec![
        format!("**{}**", r.protocol),
        super::table::adversary(&r.adversary).to_owned(),
        r.link.clone(),
        spread(c.per_query(Metric::Wall), SECOND),
        c.link_time(Cell::per_query),
        middle(c.per_query(Metric::Cpu), SECOND),
        middle(c.per_query(Metric::Bytes), MIB),
        c.total(Metric::Rounds).map_or_else(|| "–".into(), |s| thousands(s.median.round() as i64)),
        peaks(c),
        what,
    ]
}

/// `1,300 / 600`
pub(crate) fn peaks(c: &Cell<'_>) -> String {
    let peak = |metric| c.total(metric).map_or_else(|| "–".into(), |s| thousands((s.max / MIB).round() as i64));
    format!("{} / {}", peak(Metric::ServerPeak), peak(Metric::ClientPeak))
}

/// Figures of one rival stand in one row; conditions that hold for one of them only stand behind it.
fn rivals(others: &Others, model: &str, t: &mut Table) {
    let mut systems: Vec<&str> = Vec::new();
    for p in others.peers.iter().filter(|p| p.model == model) {
        if !systems.contains(&p.system.as_str()) {
            systems.push(&p.system);
        }
    }
    for system in systems {
        let rows = || others.peers.iter().filter(|p| p.model == model && p.system == system);
        let figure = |quantity: Quantity, unit: f64| {
            let found = rows().find(|p| p.metric == quantity);
            let ours = found.and_then(|p| Some(p.value * quantity.unit(&p.unit)? / unit));
            ours.map_or_else(|| "–".to_owned(), number)
        };
        let mut conditions: Vec<String> = Vec::new();
        for p in rows().filter(|p| !p.conditions.is_empty()) {
            let shared = rows().all(|o| o.conditions == p.conditions);
            let text = if shared { p.conditions.clone() } else { format!("{}: {}", p.metric.name(), p.conditions) };
            if !conditions.contains(&text) {
                conditions.push(text);
            }
        }
        let what = [&["run on a machine of this kind, not verified".to_owned()], &conditions[..]].concat().join("; ");
        t.row(vec![
            system.to_owned(),
            "semi-honest parties".into(),
            "loopback".into(),
            figure(Quantity::Seconds, SECOND),
            "–".to_owned(),
            figure(Quantity::CpuSeconds, SECOND),
            figure(Quantity::Bytes, MIB),
            figure(Quantity::Rounds, 1.0),
            format!("{} / {}", figure(Quantity::ServerMemory, MIB), figure(Quantity::ClientMemory, MIB)),
            what,
        ]);
    }
}

fn published(p: &Published, t: &mut Table) {
    let dash = || "–".to_owned();
    let place = |quantity| if p.metric == quantity { figure(p) } else { dash() };
    if p.metric == Quantity::Other {
        return;
    }
    t.row(vec![
        p.system.clone(),
        dash(),
        if p.link.is_empty() { dash() } else { p.link.clone() },
        place(Quantity::Seconds),
        dash(),
        place(Quantity::CpuSeconds),
        place(Quantity::Bytes),
        place(Quantity::Rounds),
        dash(),
        format!("printed: {}; {}; machine {}", p.source, p.statement, p.machine),
    ]);
}

/// What silent OT saves: a protocol beside itself over IKNP, where both were run. Nothing if neither was.
pub(crate) fn ot_extension(cells: &[Cell<'_>]) -> String {
    let head = [
        "protocol",
        "model",
        "link",
        "load",
        "CPU s: IKNP",
        "CPU s: Ferret",
        "ratio",
        "MiB: IKNP",
        "MiB: Ferret",
        "ratio",
    ];
    let mut t = Table::new(4, &head);
    for over in cells.iter().filter(|c| c.good().next().is_some()) {
        let r = over.setting();
        let Some(name) = r.protocol.strip_suffix("+iknp") else { continue };
        let same = |c: &&Cell<'_>| {
            let s = c.setting();
            let setting = (s.protocol.as_str(), &s.model, &s.link, s.queries, &s.truncation, &c.folder.machine.name);
            setting == (name, &r.model, &r.link, r.queries, &r.truncation, &over.folder.machine.name)
        };
        let Some(under) = cells.iter().filter(|c| c.good().next().is_some()).find(same) else { continue };
        let mut row = vec![name.to_owned(), r.model.clone(), r.link.clone(), over.load()];
        for (metric, unit) in [(Metric::Cpu, SECOND), (Metric::Bytes, MIB)] {
            let [iknp, ferret] = [over, under].map(|c| c.total(metric));
            let ratio = iknp.zip(ferret).map(|(a, b)| a.median / b.median);
            row.extend([middle(iknp, unit), middle(ferret, unit), ratio.map_or_else(|| "–".into(), number)]);
        }
        t.row(row);
    }
    if t.is_empty() { String::new() } else { t.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::paper::tests::real;
    use super::*;
    use crate::record::{Folder, samples};

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn folder() -> Folder {
        let mut f = samples::folder("a");
        for protocol in ["cheetah", "cheetah+iknp", "plain"] {
            samples::add(&mut f, samples::run(protocol, "lan", 1));
        }
        f.runs[1].server_cpu_ns = f.runs[1].server_cpu_ns.map(|ns| ns + 80_000_000);
        f.runs[1].client_sent_bytes = f.runs[1].client_sent_bytes.map(|b| b + 302_080);
        f.runs[2].adversary = "insecure".into();
        f
    }

    #[test]
    fn ours_rivals_and_papers_stand_in_one_table_in_one_unit() {
        let mut folders = [folder()];
        let text = squeezed(&tables(&real(), &cells(&folders)));
        let ours = "| **cheetah** | semi-honest parties | lan | 0.101 | 0.00411 | 0.0800 | 0.288 | 11 |";
        let rival =
            "| SPU 0.9.5 Cheetah | semi-honest parties | loopback | 1.15 | – | 0.980 | 3.87 | – | 1,136 / 1,087 |";
        assert!(text.contains("**mnist-cnn4**") && text.contains(ours) && text.contains(rival), "{text}");
        assert!(!text.contains("plain"), "the insecure reference is no rival: {text}");
        folders[0].runs.iter_mut().for_each(|r| r.model = "resnet50".into());
        let text = squeezed(&tables(&real(), &cells(&folders)));
        assert!(text.contains("| 97.8 | – | 131 | 1,815 | 1,062 | 2,077 / 975 |"), "{text}");
        assert!(
            text.contains("| Cheetah | – | wan | < 2.5 min | – |") && text.contains("USENIX Security 2022"),
            "{text}"
        );
        folders[0].runs.iter_mut().for_each(|r| r.model = "other".into());
        assert_eq!(tables(&real(), &cells(&folders)), "");
    }

    #[test]
    fn silent_ot_stands_beside_iknp() {
        let folders = [folder()];
        let text = squeezed(&ot_extension(&cells(&folders)));
        assert!(
            text.contains("| cheetah | mnist-cnn4 | lan | batch 1 | 0.160 | 0.0800 | 2.00 | 0.576 | 0.288 | 2.00 |"),
            "{text}"
        );
        let alone: Vec<Cell<'_>> = cells(&folders).into_iter().filter(|c| c.setting().protocol != "cheetah").collect();
        assert_eq!(ot_extension(&alone), "");
    }
}
