//! Cost by operator: what an inference spends where.

use std::collections::BTreeMap;
use std::fmt::Write;

use si_models::Graph;

use super::cells::{Cell, MIB, SECOND};
use super::markdown::{Table, short, thousands};
use crate::record::PhaseRow;
use crate::stats::median;

/// Networks with more operators than this are shown by kind of operator.
const MAX_LINES: usize = 30;

/// One operator, or one kind of operator: medians over the repetitions of a cell. Raw: not scaled to a plan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) phase: String,
    pub(crate) operator: String,
    /// Scopes entered by the client; of a kind, all its operators'.
    pub(crate) calls: f64,
    /// As the client sees it, waiting for the others included, in ns.
    pub(crate) wall_ns: f64,
    /// All parties.
    pub(crate) cpu_ns: f64,
    pub(crate) up_bytes: f64,
    pub(crate) down_bytes: f64,
    pub(crate) rounds: f64,
}

/// Where an operator stands in a run: those of the network in its order, with what surrounds them. A model that this
/// version does not know gives no order among them; `mix` and `check` are Fusion's.
fn place(graph: Option<&Graph>, operator: &str) -> usize {
    let nodes = graph.map_or(0, |g| g.nodes().len());
    match operator {
        "mix" => 0,
        "input" => 1,
        "answer" => nodes + 3,
        "check" => nodes + 4,
        "other" => nodes + 5,
        _ => 2 + graph.and_then(|g| g.nodes().iter().position(|n| n.name == operator)).unwrap_or(nodes),
    }
}

/// The operators of a cell in the order of a run.
pub(crate) fn lines(cell: &Cell<'_>) -> Vec<Line> {
    let good: Vec<&str> = cell.good().map(|r| r.run_id.as_str()).collect();
    let mut order: Vec<(&str, &str)> = Vec::new();
    let mut by_operator: BTreeMap<(&str, &str), Vec<&PhaseRow>> = BTreeMap::new();
    for p in cell.folder.phases.iter().filter(|p| good.contains(&p.run_id.as_str())) {
        let key = (p.phase.as_str(), p.operator.as_str());
        if !by_operator.contains_key(&key) {
            order.push(key);
        }
        by_operator.entry(key).or_default().push(p);
    }
    let graph = si_models::zoo::graph(&cell.setting().model).ok();
    order.sort_by_key(|(phase, operator)| {
        let phase = ["setup", "offline", "online", "verify"].iter().position(|p| p == phase);
        (phase, place(graph.as_deref(), operator))
    });
    let line = |key: &(&str, &str)| {
        let rows = &by_operator[key];
        // One sum per repetition, then the median over them.
        let mid = |client: Option<bool>, of: fn(&PhaseRow) -> u64| {
            let sum = |id: &&str| {
                let of_run = rows.iter().filter(|p| p.run_id == **id);
                of_run.filter(|p| client.is_none_or(|c| c == (p.party == "client"))).map(|p| of(p) as f64).sum::<f64>()
            };
            median(&good.iter().map(sum).collect::<Vec<_>>()).unwrap_or(0.0)
        };
        Line {
            phase: key.0.to_owned(),
            operator: key.1.to_owned(),
            calls: mid(Some(true), |p| p.calls),
            wall_ns: mid(Some(true), |p| p.wall_ns),
            cpu_ns: mid(None, |p| p.cpu_ns),
            up_bytes: mid(Some(true), |p| p.sent_bytes),
            down_bytes: mid(Some(true), |p| p.recv_bytes),
            rounds: mid(Some(true), |p| p.rounds),
        }
    };
    order.iter().map(line).collect()
}

/// At most [`MAX_LINES`] lines: by operator if they fit, else by kind: that of the model's node, or for what is no node
/// the name without its number.
pub(crate) fn grouped(model: &str, lines: Vec<Line>) -> Vec<Line> {
    if lines.len() <= MAX_LINES {
        return lines;
    }
    let graph = si_models::zoo::graph(model).ok();
    let node = |name: &str| graph.as_ref()?.nodes().iter().find(|n| n.name == name).map(|n| n.op.name());
    let mut kinds: Vec<Line> = Vec::new();
    for l in lines {
        let kind = node(&l.operator).unwrap_or_else(|| kind(&l.operator)).to_owned();
        match kinds.iter_mut().find(|k| k.phase == l.phase && k.operator == kind) {
            None => kinds.push(Line { operator: kind, ..l }),
            Some(k) => {
                k.calls += l.calls;
                k.wall_ns += l.wall_ns;
                k.cpu_ns += l.cpu_ns;
                k.up_bytes += l.up_bytes;
                k.down_bytes += l.down_bytes;
                k.rounds += l.rounds;
            }
        }
    }
    kinds
}

/// `relu` of `layer1.0.relu2`.
fn kind(operator: &str) -> &str {
    let last = operator.rsplit(['.', '/']).find(|s| s.contains(char::is_alphabetic)).unwrap_or(operator);
    let name = last.trim_end_matches(|c: char| c.is_ascii_digit() || " _-".contains(c));
    if name.is_empty() { operator } else { name }
}

/// The cells whose operators are shown: for each protocol, model and link, the smallest load that was run in full.
pub(crate) fn shown<'c, 'a>(cells: &'c [Cell<'a>]) -> Vec<&'c Cell<'a>> {
    let mut seen = std::collections::BTreeSet::new();
    // Cells are sorted by size within a protocol.
    let fits = |c: &&Cell<'_>| c.is_measured() && c.good().next().is_some();
    let new = |c: &&Cell<'_>| {
        let r = c.setting();
        seen.insert((r.protocol.clone(), r.model.clone(), r.link.clone()))
    };
    cells.iter().filter(fits).filter(new).collect()
}

/// A table for each cell of [`shown`].
pub(crate) fn tables(cells: &[Cell<'_>]) -> String {
    let mut out = String::new();
    for c in shown(cells) {
        let r = c.setting();
        let _ = writeln!(out, "## {} · {} · {} · {}\n", r.protocol, r.model, r.link, c.load());
        let lines = grouped(&r.model, lines(c));
        let sum = |of: fn(&Line) -> f64| lines.iter().filter(|l| l.phase != "setup").map(of).sum::<f64>();
        // One unit a table, so that rows can be compared.
        let (time, time_unit) = if sum(|l| l.wall_ns) < 10.0 * SECOND { (1e6, "ms") } else { (SECOND, "s") };
        let traffic = sum(|l| l.up_bytes + l.down_bytes);
        let (bytes, bytes_unit) = if traffic < 10.0 * MIB { (1024.0, "KiB") } else { (MIB, "MiB") };
        let in_time = |name: &str| format!("{name} {time_unit}");
        let in_bytes = |name: &str| format!("{name} {bytes_unit}");
        let head = [in_time("time"), in_time("CPU"), in_bytes("up"), in_bytes("down")];
        let [wall, cpu, up, down] = head.each_ref().map(String::as_str);
        let mut t = Table::new(2, &["phase", "operator", "count", wall, cpu, up, down, "rounds"]);
        let whole = |x: f64| thousands(x.round() as i64);
        for l in &lines {
            t.row(vec![
                l.phase.clone(),
                l.operator.clone(),
                whole(l.calls),
                short(l.wall_ns / time),
                short(l.cpu_ns / time),
                short(l.up_bytes / bytes),
                short(l.down_bytes / bytes),
                whole(l.rounds),
            ]);
        }
        t.row(vec![
            "sum".into(),
            "without set-up".into(),
            whole(sum(|l| l.calls)),
            short(sum(|l| l.wall_ns) / time),
            short(sum(|l| l.cpu_ns) / time),
            short(sum(|l| l.up_bytes) / bytes),
            short(sum(|l| l.down_bytes) / bytes),
            whole(sum(|l| l.rounds)),
        ]);
        let _ = writeln!(out, "{t}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::cells::cells;
    use super::*;
    use crate::record::{Folder, samples};

    fn folder() -> Vec<Folder> {
        let mut f = samples::folder("a");
        for n in 1..=3 {
            samples::add(&mut f, samples::batch("cheetah", "lan", 8, n));
            samples::add(&mut f, samples::run("cheetah", "lan", n));
        }
        vec![f]
    }

    #[test]
    fn operators_are_medians_over_repetitions_of_sums_over_parties() {
        let mut folders = folder();
        // A disturbed repetition moves no median.
        folders[0].phases.iter_mut().filter(|p| p.run_id.ends_with("b1#2")).for_each(|p| p.cpu_ns *= 100);
        let all = cells(&folders);
        let lines = lines(shown(&all)[0]);
        let names: Vec<_> = lines.iter().map(|l| l.operator.as_str()).collect();
        assert_eq!(names, ["keys", "input", "conv1", "relu1", "fc3", "answer"]);
        let conv = &lines[2];
        assert_eq!((conv.cpu_ns, conv.wall_ns, conv.calls), (16e6, 10e6, 1.0));
        assert_eq!((conv.up_bytes, conv.down_bytes, conv.rounds), (1e5, 4e4, 1.0));
    }

    #[test]
    fn the_smallest_load_is_shown_and_its_sum_leaves_set_up_out() {
        let folders = folder();
        let text = tables(&cells(&folders));
        assert!(text.starts_with("## cheetah · mnist-cnn4 · lan · batch 1\n") && text.matches("## ").count() == 1);
        let squeezed = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(squeezed.contains("| sum | without set-up | 5 | 50.0 | 80.0 | 176 | 119 | 11 |"), "{squeezed}");
    }

    #[test]
    fn operators_stand_in_the_order_of_the_network() {
        let mut folders = folder();
        folders[0].phases.reverse();
        let all = cells(&folders);
        let lines = lines(shown(&all)[0]);
        let names: Vec<_> = lines.iter().map(|l| l.operator.as_str()).collect();
        assert_eq!(names, ["keys", "input", "conv1", "relu1", "fc3", "answer"]);
        let graph = si_models::zoo::graph("mnist-cnn4").unwrap();
        let mut names = ["other", "answer", "fc1", "relu2", "conv2", "pool1", "input", "mix", "check", "strange"];
        names.sort_by_key(|n| place(Some(&graph), n));
        assert_eq!(names, ["mix", "input", "pool1", "conv2", "relu2", "fc1", "strange", "answer", "check", "other"]);
    }

    #[test]
    fn many_operators_are_shown_by_kind() {
        for (name, expect) in [
            ("relu12", "relu"),
            ("conv 3", "conv"),
            ("layer1.0.relu2", "relu"),
            ("layer1.0", "layer"),
            ("block/7", "block"),
            ("answer", "answer"),
            ("42", "42"),
        ] {
            assert_eq!(kind(name), expect, "{name}");
        }
        let line = |i: usize| Line {
            phase: "online".into(),
            operator: format!("relu{i}"),
            calls: 1.0,
            wall_ns: 1.0,
            cpu_ns: 2.0,
            up_bytes: 3.0,
            down_bytes: 4.0,
            rounds: 5.0,
        };
        assert_eq!(grouped("mnist-cnn4", (0..30).map(line).collect()).len(), 30);
        let named: Vec<_> = ["conv1", "conv1.rescale", "pool1", "fc1", "conv2", "answer"].map(str::to_owned).into();
        let named = (0..31).map(|i| Line { operator: named[i % 6].clone(), ..line(i) }).collect();
        let kinds: Vec<_> = grouped("mnist-cnn4", named).into_iter().map(|l| (l.operator, l.calls)).collect();
        let expect = [("conv", 11.0), ("rescale", 5.0), ("maxpool", 5.0), ("fc", 5.0), ("answer", 5.0)];
        assert_eq!(kinds, expect.map(|(k, n)| (k.to_owned(), n)));
        let kinds = grouped("no such model", (0..31).map(line).collect());
        assert_eq!((kinds.len(), kinds[0].operator.as_str(), kinds[0].rounds), (1, "relu", 155.0));
    }
}
