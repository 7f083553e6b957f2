//! Ours beside others': paper · ours · ours/paper, in three bands. First what does not depend on the machine, then ratios
//! between protocols, then seconds, which are context.

use std::fmt::Write;

use si_api::Options;

use super::cells::Cell;
use super::markdown::{Table, number, thousands};
use super::oles;
use super::paper::{Comparison, Others, Peer, Published, Quantity};
use crate::cost;
use crate::stats::{Ratio, ratio};

/// What we measured for a published figure: in its unit, per query, with the interval of a ratio or the range of a
/// figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ours {
    pub(crate) model: String,
    pub(crate) link: String,
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// How our numbers came about, and of which load.
    pub(crate) method: String,
    /// Our machine.
    pub(crate) machine: String,
}

/// The cell that stands for a protocol on a model and a link: one inference if that was run; for plans, the largest,
/// run in full before composed.
fn representative<'c, 'a>(cells: &[&'c Cell<'a>]) -> Option<&'c Cell<'a>> {
    let counted = cells.iter().filter(|c| c.good().next().is_some());
    counted.copied().max_by_key(|c| {
        let r = c.setting();
        let size = if c.is_fusion() { r.queries as i64 } else { -(r.queries as i64) };
        (c.is_measured(), size, c.is_fusion().then(|| c.plan_rank()))
    })
}

/// The representatives of a protocol, one for each model and link that fit (empty: any).
fn representatives<'c, 'a>(cells: &'c [Cell<'a>], protocol: &str, model: &str, link: &str) -> Vec<&'c Cell<'a>> {
    let fits = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
    let mut groups: Vec<Vec<&Cell<'_>>> = Vec::new();
    for c in cells {
        let r = c.setting();
        // A link's profile stands for all means of making it.
        let of_profile = r.link.strip_prefix(link).is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("));
        if r.protocol == protocol && fits(model, &r.model) && (link.is_empty() || of_profile) {
            let same = |g: &&mut Vec<&Cell<'_>>| {
                let s = g[0].setting();
                (&s.model, &s.link, &g[0].folder.machine.name) == (&r.model, &r.link, &c.folder.machine.name)
            };
            match groups.iter_mut().find(same) {
                Some(group) => group.push(c),
                None => groups.push(vec![c]),
            }
        }
    }
    groups.iter().filter_map(|g| representative(g)).collect()
}

/// An absolute figure of ours, in `unit`.
fn absolute(cell: &Cell<'_>, quantity: Quantity, unit: &str) -> Option<Ours> {
    let unit = quantity.unit(unit)?;
    let metric = quantity.metric()?;
    let memory = matches!(quantity, Quantity::ServerMemory | Quantity::ClientMemory);
    let s = if memory { cell.total(metric)? } else { cell.per_query(metric)? };
    let r = cell.setting();
    Some(Ours {
        model: r.model.clone(),
        link: r.link.clone(),
        value: s.median / unit,
        low: s.min / unit,
        high: s.max / unit,
        method: format!("{}, {}", cell.load(), cell.method()),
        machine: cell.folder.machine.cpu.clone(),
    })
}

/// Everything of ours that a published figure can be compared with: one entry for each model and link that fit.
pub(crate) fn ours(p: &Published, cells: &[Cell<'_>]) -> Vec<Ours> {
    if p.metric == Quantity::PassiveOles {
        return oles::ours(cells, &p.protocol);
    }
    let own = representatives(cells, &p.protocol, &p.model, &p.link);
    if p.over.is_empty() {
        return own.iter().filter_map(|c| absolute(c, p.metric, &p.unit)).collect();
    }
    let Some(metric) = p.metric.metric() else { return Vec::new() };
    let mut found = Vec::new();
    for under in own {
        let r = under.setting();
        for over in opponents(cells, &p.over, under) {
            let ratio = ratio(&over.values_per_query(metric), &under.values_per_query(metric));
            if let Some(Ratio { ratio, low, high }) = ratio {
                found.push(Ours {
                    model: r.model.clone(),
                    link: r.link.clone(),
                    value: ratio,
                    low,
                    high,
                    method: format!("{}, {} against {}, {}", over.load(), over.method(), under.load(), under.method()),
                    machine: under.folder.machine.cpu.clone(),
                });
            }
        }
    }
    found
}

/// What stands against a cell: the other protocol on the same network, link (made by the same means) and machine. A plan
/// of Fusion's is amortised over its queries, so every batch of the other is set against it.
fn opponents<'c, 'a>(cells: &'c [Cell<'a>], protocol: &str, under: &Cell<'_>) -> Vec<&'c Cell<'a>> {
    let place = |c: &Cell<'_>| (c.setting().model.clone(), c.setting().link.clone(), c.folder.machine.name.clone());
    let reveal = &under.setting().reveal;
    let fits =
        |c: &&Cell<'_>| c.setting().protocol == protocol && c.setting().reveal == *reveal && place(c) == place(under);
    let mut found: Vec<_> = cells.iter().filter(fits).filter(|c| c.good().next().is_some()).collect();
    if !under.is_fusion() || found.iter().any(|c| c.is_fusion()) {
        return representative(&found).into_iter().collect();
    }
    found.sort_by_key(|c| c.setting().queries);
    found
}

/// What a protocol's own formulas say of a cost that was not run, where they price everything that is sent.
fn extrapolated(p: &Published) -> Option<Ours> {
    let unit = p.metric.unit(&p.unit)?;
    let declared = cost::declared(&p.protocol, &p.model, 1, Options::default()).ok().filter(|d| d.is_whole)?;
    let value = match p.metric {
        Quantity::Bytes => declared.total.up_bytes + declared.total.down_bytes,
        Quantity::Rounds => declared.total.rounds,
        _ => return None,
    };
    let value = value as f64 / unit;
    let (model, link) = (p.model.clone(), any(&p.link));
    let method = "extrapolated: declared, not run".to_owned();
    Some(Ours { model, link, value, low: value, high: value, method, machine: String::new() })
}

/// The figure as printed: `< 2.5 min`, `23–29 x`.
pub(crate) fn figure(p: &Published) -> String {
    let exact = |x: f64| if x.fract() == 0.0 { thousands(x as i64) } else { x.to_string() };
    let range = if p.low == p.high { exact(p.low) } else { format!("{}–{}", exact(p.low), exact(p.high)) };
    let sign = match p.comparison {
        Comparison::About => "",
        Comparison::AtMost => "< ",
        Comparison::UpTo => "up to ",
    };
    format!("{sign}{range} {}", p.unit)
}

/// ours/paper, with the paper's range as a range.
fn quotient(p: &Published, o: &Ours) -> String {
    if p.low == p.high {
        number(o.value / p.low)
    } else {
        format!("{}–{}", number(o.value / p.high), number(o.value / p.low))
    }
}

pub(crate) fn interval(o: &Ours) -> String {
    let (value, low, high) = (number(o.value), number(o.low), number(o.high));
    if low == high { value } else { format!("{value} [{low}..{high}]") }
}

pub(crate) fn any(name: &str) -> String {
    if name.is_empty() { "any".into() } else { name.to_owned() }
}

/// The three bands, then the rivals.
pub(crate) fn bands(others: &Others, cells: &[Cell<'_>]) -> String {
    let machine_free = |q: Quantity| !matches!(q, Quantity::Seconds | Quantity::CpuSeconds | Quantity::Other);
    let mut out = String::from("# Papers · ours · ours/paper\n\n## Communication and other counts\n\n");
    out += "Independent of the machine. Per query. *Extrapolated* figures are those of `bench cost`.\n\n";
    let absolute: Vec<_> = others.published.iter().filter(|p| p.over.is_empty()).collect();
    let _ = writeln!(out, "{}", published(absolute.iter().filter(|p| machine_free(p.metric)), cells, false));
    out += "## Ratios between protocols\n\n";
    out += "How many times as much the second protocol needs as the first. Ours with the interval that holds the ratio of \
            medians in 95 % of resamples.\n\n";
    let _ = writeln!(out, "{}", ratios(others, cells));
    out += "## Seconds\n\nContext only: different machines.\n\n";
    let _ = writeln!(out, "{}", published(absolute.iter().filter(|p| p.metric == Quantity::Seconds), cells, true));
    out += "# Rivals measured · ours · ours/rival\n\n";
    out += "One inference, both parties on loopback, one thread a party; see `results/paper/README.md`. Ours without set-up, \
            which happens once and stands on the report's first page.\n\n";
    out += "## Communication, rounds and memory\n\n";
    let _ = writeln!(out, "{}", peers(others.peers.iter().filter(|p| machine_free(p.metric)), cells, false));
    out += "## CPU time and seconds\n\nSeconds are compared on an unshaped link only; CPU time on any.\n\n";
    let _ = writeln!(out, "{}", peers(others.peers.iter().filter(|p| !machine_free(p.metric)), cells, true));
    out
}

fn published<'p>(rows: impl Iterator<Item = &'p &'p Published>, cells: &[Cell<'_>], machines: bool) -> Table {
    let mut head = vec!["figure", "protocol", "model", "link", "method", "paper", "ours", "ours/paper"];
    if machines {
        head.extend(["paper's machine", "our machine"]);
    }
    let mut t = Table::new(5, &head);
    for p in rows {
        let mut line = |model: &str, link: &str, o: Option<&Ours>| {
            let mut row = vec![
                format!("{}: {}", p.system, p.metric.name()),
                p.protocol.clone(),
                any(model),
                any(link),
                o.map_or_else(|| p.not_run().into(), |o| o.method.clone()),
                figure(p),
                o.map_or_else(|| "not run".into(), interval),
                o.map_or_else(|| "not run".into(), |o| quotient(p, o)),
            ];
            if machines {
                row.extend([p.machine.clone(), o.map_or_else(|| "not run".into(), |o| o.machine.clone())]);
            }
            t.row(row);
        };
        let mut found = ours(p, cells);
        if found.is_empty() {
            found.extend(extrapolated(p));
        }
        match found.as_slice() {
            [] => line(&p.model, &p.link, None),
            found => found.iter().for_each(|o| line(&o.model, &o.link, Some(o))),
        }
    }
    t
}

fn ratios(others: &Others, cells: &[Cell<'_>]) -> Table {
    let head = ["quantity", "first", "second", "model", "link", "method", "paper", "ours", "ours/paper"];
    let mut t = Table::new(6, &head);
    for p in others.published.iter().filter(|p| !p.over.is_empty()) {
        let mut line = |model: &str, link: &str, o: Option<&Ours>| {
            t.row(vec![
                p.metric.name().into(),
                p.protocol.clone(),
                p.over.clone(),
                any(model),
                any(link),
                o.map_or_else(|| p.not_run().into(), |o| o.method.clone()),
                figure(p),
                o.map_or_else(|| "not run".into(), interval),
                o.map_or_else(|| "not run".into(), |o| quotient(p, o)),
            ]);
        };
        match ours(p, cells).as_slice() {
            [] => line(&p.model, &p.link, None),
            found => found.iter().for_each(|o| line(&o.model, &o.link, Some(o))),
        }
    }
    t
}

fn peers<'p>(rows: impl Iterator<Item = &'p Peer>, cells: &[Cell<'_>], machines: bool) -> Table {
    let mut head =
        vec!["rival", "model", "quantity", "conditions", "our protocol", "our link", "rival's", "ours", "ours/rival"];
    if machines {
        head.extend(["rival's machine", "our machine"]);
    }
    let mut t = Table::new(6, &head);
    for p in rows {
        let mut candidates = representatives(cells, &p.protocol, &p.model, "");
        candidates.retain(|c| p.metric != Quantity::Seconds || c.setting().link_means == "none");
        // Bytes and CPU hardly depend on the link: the nearest stands for all, and cells come nearest first.
        let o = candidates.first().and_then(|c| absolute(c, p.metric, &p.unit));
        let mut row = vec![
            p.system.clone(),
            p.model.clone(),
            p.metric.name().into(),
            if p.conditions.is_empty() { "none".into() } else { p.conditions.clone() },
            p.protocol.clone(),
            o.as_ref().map_or_else(|| "not run".into(), |o| o.link.clone()),
            format!("{} {}", p.value, p.unit),
            o.as_ref().map_or_else(|| "not run".into(), interval),
            o.as_ref().map_or_else(|| "not run".into(), |o| number(o.value / p.value)),
        ];
        if machines {
            row.extend([p.machine.clone(), o.map_or_else(|| "not run".into(), |o| o.machine)]);
        }
        t.row(row);
    }
    t
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::super::paper::tests::real;
    use super::*;
    use crate::record::{Folder, samples};

    fn folders() -> Vec<Folder> {
        let mut f = samples::folder("a");
        for n in 1..=3 {
            samples::add(&mut f, samples::run("cheetah", "loopback", n));
            samples::add(&mut f, samples::run("cheetah", "lan", n));
            samples::add(&mut f, samples::batch("cheetah", "lan", 8, n));
            samples::add(&mut f, samples::batch("leviosa", "lan", 50, n));
            samples::add(&mut f, samples::composed(n));
        }
        vec![f]
    }

    fn median_of(cell: &Cell<'_>, quantity: Quantity) -> f64 {
        cell.per_query(quantity.metric().unwrap()).unwrap().median
    }

    fn squeezed(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn one_inference_stands_for_a_protocol_and_the_largest_plan_for_fusion() {
        let folders = folders();
        let all = cells(&folders);
        let loads = |p: &str, link: &str| {
            representatives(&all, p, "mnist-cnn4", link).iter().map(|c| c.load()).collect::<Vec<_>>()
        };
        assert_eq!(loads("cheetah", "lan"), ["batch 1"]);
        assert_eq!(loads("cheetah", ""), ["batch 1", "batch 1"]);
        assert_eq!(loads("fusion(cheetah)", ""), ["R=512, B=5, T=100"]);
        assert_eq!(loads("cheetah", "wan"), [""; 0]);
    }

    #[test]
    fn rivals_seconds_need_an_unshaped_link_and_bytes_do_not() {
        let mut folders = folders();
        let text = squeezed(&bands(&real(), &cells(&folders)));
        let row = "| SPU 0.9.5 Cheetah | mnist-cnn4 | time | 64-bit ring | cheetah | loopback | 1.15 s | 0.102 [0.101..0.103] | 0.0887 | \
                   2 cores AMD Zen 5 with AVX-512 IFMA; 24 GiB; loopback | Imaginary 9000 |";
        assert!(text.contains(row), "{text}");
        folders[0].runs.retain(|r| r.link != "loopback");
        let text = squeezed(&bands(&real(), &cells(&folders)));
        assert!(text.contains("| time | 64-bit ring | cheetah | not run | 1.15 s | not run | not run |"), "{text}");
        assert!(text.contains("| communication | 64-bit ring | cheetah | lan | 4.06 MB | 0.302 | 0.0744 |"), "{text}");
    }

    #[test]
    fn ratios_are_per_query_and_what_was_not_run_says_so() {
        let folders = folders();
        let all = cells(&folders);
        let text = squeezed(&bands(&real(), &all));
        let fusion = representatives(&all, "fusion(cheetah)", "", "")[0];
        let leviosa = representatives(&all, "leviosa", "", "")[0];
        let expect = number(median_of(leviosa, Quantity::Bytes) / median_of(fusion, Quantity::Bytes));
        let row = format!(
            "| communication | fusion(cheetah) | leviosa | mnist-cnn4 | lan | batch 50, measured against R=512, B=5, T=100, \
             composed (32 of 2,660) | 30.9 x | {expect} |"
        );
        assert!(text.contains(&row), "{row}\n{text}");
        assert!(
            text.contains("| time | simc | muse | any | any | not built | up to 11.4 x | not run | not run |"),
            "{text}"
        );
        assert!(
            text.contains("| communication | simc | muse | any | any | not built | 23–29 x | not run | not run |"),
            "{text}"
        );
        assert!(
            text.contains(
                "| Cheetah: time | cheetah | resnet50 | wan | not run | < 2.5 min | not run | not run | not public | not run |"
            )
        );
    }

    #[test]
    fn a_cost_that_was_not_run_is_extrapolated_where_all_of_it_is_declared() {
        let text = squeezed(&bands(&real(), &cells(&folders())));
        let row = "| CrypTFlow2 (SCI_OT): communication | cryptflow2-ot | resnet50 | any | extrapolated: declared, not run | \
                   376,212 MiB | ";
        assert!(text.contains(row), "{text}");
        let p = real().published.into_iter().find(|p| p.id == "cryptflow2-ot-resnet50-bytes").unwrap();
        // The products of its 4.1 G multiplications are nine tenths of it, in ours and in the authors'.
        let quotient = extrapolated(&p).unwrap().value / p.low;
        assert!((0.9..1.0).contains(&quotient), "{quotient}");
        // Cheetah declares nothing of its silent OTs, and no protocol its seconds.
        for id in ["cheetah-resnet50-bytes", "cryptflow2-ot-resnet50-time"] {
            assert_eq!(extrapolated(&real().published.into_iter().find(|p| p.id == id).unwrap()), None);
        }
    }

    #[test]
    fn machines_are_not_mixed_in_a_ratio() {
        let mut folders = folders();
        let mut other = folders[0].clone();
        folders[0].runs.retain(|r| r.protocol != "leviosa");
        other.runs.retain(|r| r.protocol == "leviosa");
        other.machine.name = "elsewhere".into();
        folders.push(other);
        let all = cells(&folders);
        let p = real().published.into_iter().find(|p| p.id == "fusion-bytes-leviosa").unwrap();
        assert_eq!(ours(&p, &all), []);
    }
}
