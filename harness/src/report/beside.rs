//! One table a network, in three bands: ours, rivals that were run here, and what papers print, in the same units.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cells::{Cell, MIB, Metric, SECOND, smallest_loads};
use super::compare::figure;
use super::markdown::{Table, number};
use super::paper::{Others, Published, Quantity};

const HEAD: [&str; 11] = [
    "band",
    "who",
    "secure against",
    "link",
    "time s",
    "link s",
    "CPU s",
    "MiB",
    "rounds of all",
    "peak MiB server / client",
    "notes",
];

const BANDS: &str = "**measured**: ours, run here, every answer verified. **rival**: the authors' own code, run on a machine of \
    this kind, not verified. **printed**: what a paper or a public source says; machines are not public.";

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
        let mut t = Table::new(4, &HEAD);
        let mut notes = Notes::default();
        ours.iter().for_each(|c| t.row(own(c, &mut notes)));
        rivals(others, model, &mut t, &mut notes);
        published(others, model, &mut t, &mut notes);
        let _ = writeln!(out, "**{model}**, one query\n\n{t}\n{notes}");
    }
    if out.is_empty() { out } else { format!("{BANDS}\n\n{out}") }
}

/// What stands below a table, so that its cells stay narrow.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    /// The number of a note, which is the same for the same text.
    fn number(&mut self, text: String) -> usize {
        let place = self.0.iter().position(|n| *n == text).unwrap_or_else(|| {
            self.0.push(text);
            self.0.len() - 1
        });
        place + 1
    }

    /// `1, 3`
    fn numbers(&mut self, texts: impl IntoIterator<Item = String>) -> String {
        texts.into_iter().map(|t| self.number(t).to_string()).collect::<Vec<_>>().join(", ")
    }
}

impl std::fmt::Display for Notes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().enumerate().try_for_each(|(i, n)| writeln!(f, "{}. {n}", i + 1))
    }
}

fn own(c: &Cell<'_>, notes: &mut Notes) -> Vec<String> {
    let r = c.setting();
    let mut texts = vec![c.load()];
    texts.extend((!c.is_measured()).then(|| c.method()));
    texts.extend((c.good().count() < c.rows.len()).then(|| c.outcome()));
    vec![
        "measured".into(),
        format!("**{}**", r.protocol),
        super::table::adversary(&r.adversary).to_owned(),
        r.link.clone(),
        c.shown_per_query(Metric::Wall, SECOND),
        c.link_time(Cell::per_query),
        c.middle_per_query(Metric::Cpu, SECOND),
        c.middle_per_query(Metric::Bytes, MIB),
        c.rounds(),
        c.peaks(),
        notes.numbers(texts),
    ]
}

/// Figures of one rival stand in one row; conditions that hold for one of them only stand behind it.
fn rivals(others: &Others, model: &str, t: &mut Table, notes: &mut Notes) {
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
            ours.map_or_else(|| "not measured".to_owned(), number)
        };
        let mut conditions: Vec<String> = Vec::new();
        for (p, one) in
            rows().flat_map(|p| p.conditions.split("; ").map(move |c| (p, c))).filter(|(_, c)| !c.is_empty())
        {
            let shared = rows().all(|o| o.conditions.split("; ").any(|c| c == one));
            let text = if shared { one.to_owned() } else { format!("{}: {one}", p.metric.name()) };
            if !conditions.contains(&text) {
                conditions.push(text);
            }
        }
        let conditions = if conditions.is_empty() { "as its authors ship it".into() } else { conditions.join("; ") };
        t.row(vec![
            "rival".into(),
            system.to_owned(),
            "semi-honest parties".into(),
            "loopback".into(),
            figure(Quantity::Seconds, SECOND),
            "no link set".into(),
            figure(Quantity::CpuSeconds, SECOND),
            figure(Quantity::Bytes, MIB),
            figure(Quantity::Rounds, 1.0),
            format!("{} / {}", figure(Quantity::ServerMemory, MIB), figure(Quantity::ClientMemory, MIB)),
            notes.numbers([conditions]),
        ]);
    }
}

/// Figures that one source prints of one system stand in one row.
fn published(others: &Others, model: &str, t: &mut Table, notes: &mut Notes) {
    let of_model = |p: &&Published| p.model == model && p.over.is_empty() && p.metric != Quantity::Other;
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for p in others.published.iter().filter(of_model) {
        if seen.contains(&(&p.system, &p.source)) {
            continue;
        }
        seen.push((&p.system, &p.source));
        let rows =
            || others.published.iter().filter(of_model).filter(|q| (&q.system, &q.source) == (&p.system, &p.source));
        let place = |quantity| {
            let found = rows().find(|q| q.metric == quantity);
            found.map_or_else(|| "not printed".to_owned(), figure)
        };
        let link = rows().map(|q| q.link.as_str()).find(|l| !l.is_empty()).unwrap_or("not printed");
        let memory = match [Quantity::ServerMemory, Quantity::ClientMemory].map(place) {
            [server, client] if server == client => server, // neither is printed
            [server, client] => format!("{server} / {client}"),
        };
        let statements = rows().map(|q| q.statement.as_str()).collect::<std::collections::BTreeSet<_>>();
        let statements = statements.into_iter().collect::<Vec<_>>().join("; ");
        t.row(vec![
            "printed".into(),
            p.system.clone(),
            "see its paper".into(),
            link.to_owned(),
            place(Quantity::Seconds),
            "not printed".into(),
            place(Quantity::CpuSeconds),
            place(Quantity::Bytes),
            place(Quantity::Rounds),
            memory,
            notes.numbers([format!("{}: {statements}; machine {}", p.source, p.machine)]),
        ]);
    }
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
            row.extend([over, under].map(|c| c.middle(metric, unit)));
            row.push(ratio.map_or_else(|| "not measured".into(), number));
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
        let ours = "| measured | **cheetah** | semi-honest parties | lan | 0.101 | ≤ 0.00411 | 0.0800 | 0.288 | 11 |";
        let rival = "| SPU 0.9.5 Cheetah | semi-honest parties | loopback | 1.15 | no link set | 0.980 | 3.87 | not measured | 1,136 / 1,087 |";
        assert!(text.contains("**mnist-cnn4**") && text.contains(ours) && text.contains(rival), "{text}");
        assert!(!text.contains("plain"), "the insecure reference is no rival: {text}");
        folders[0].runs.iter_mut().for_each(|r| r.model = "resnet50".into());
        let text = squeezed(&tables(&real(), &cells(&folders)));
        assert!(text.contains("| 97.8 | no link set | 131 | 1,815 | 1,062 | 2,077 / 975 |"), "{text}");
        assert!(
            text.contains(
                "| printed | Cheetah | see its paper | wan | < 2.5 min | not printed | not printed | 2.3 GB | not printed |"
            ) && text.contains("USENIX Security 2022"),
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
