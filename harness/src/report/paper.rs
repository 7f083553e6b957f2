//! Figures of others: what papers print, and rivals that were measured. `results/paper/README.md` explains the files.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::cells::Metric;
use crate::registry;

/// Name of the file of published figures.
const PUBLISHED_CSV: &str = "published.csv";
/// Name of the file of measured rivals.
const PEERS_CSV: &str = "peers.csv";

/// What a figure is of, for one query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Quantity {
    Seconds,
    CpuSeconds,
    Bytes,
    Rounds,
    /// Greatest resident memory of the server's process.
    ServerMemory,
    /// Of the client's.
    ClientMemory,
    /// Passive oblivious linear evaluations for one product of the network.
    PassiveOles,
    /// Nothing that this program measures.
    Other,
}

/// How the figure is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Comparison {
    About,
    AtMost,
    UpTo,
}

/// A row of `published.csv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    pub(crate) id: String,
    flag: String,
    pub(crate) system: String,
    pub(crate) source: String,
    pub(crate) statement: String,
    pub(crate) metric: Quantity,
    pub(crate) protocol: String,
    pub(crate) over: String,
    pub(crate) model: String,
    pub(crate) link: String,
    pub(crate) comparison: Comparison,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) unit: String,
    pub(crate) machine: String,
}

/// A row of `peers.csv`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Peer {
    pub(crate) id: String,
    pub(crate) system: String,
    pub(crate) protocol: String,
    pub(crate) model: String,
    pub(crate) metric: Quantity,
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) conditions: String,
    pub(crate) machine: String,
}

/// Both files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Others {
    pub(crate) published: Vec<Published>,
    pub(crate) peers: Vec<Peer>,
}

impl Quantity {
    /// What we measure it by.
    pub(crate) fn metric(self) -> Option<Metric> {
        match self {
            Self::Seconds => Some(Metric::Wall),
            Self::CpuSeconds => Some(Metric::Cpu),
            Self::Bytes => Some(Metric::Bytes),
            Self::Rounds => Some(Metric::Rounds),
            Self::ServerMemory => Some(Metric::ServerPeak),
            Self::ClientMemory => Some(Metric::ClientPeak),
            Self::PassiveOles | Self::Other => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Seconds => "time",
            Self::CpuSeconds => "CPU time",
            Self::Bytes => "communication",
            Self::Rounds => "rounds",
            Self::ServerMemory => "memory of the server",
            Self::ClientMemory => "memory of the client",
            Self::PassiveOles => "passive OLEs a product",
            Self::Other => "other",
        }
    }

    /// How many of our units (ns, bytes, rounds) one of `unit` is.
    pub(crate) fn unit(self, unit: &str) -> Option<f64> {
        let factor = match (self, unit) {
            (Self::Seconds | Self::CpuSeconds, "s") => 1e9,
            (Self::Seconds | Self::CpuSeconds, "min") => 60e9,
            (Self::Bytes | Self::ServerMemory | Self::ClientMemory, unit) => match unit {
                "MB" => 1e6,
                "GB" => 1e9,
                "MiB" => (1u64 << 20) as f64,
                "GiB" => (1u64 << 30) as f64,
                _ => return None,
            },
            (Self::Rounds, "rounds") | (Self::PassiveOles, "OLEs") => 1.0,
            _ => return None,
        };
        Some(factor)
    }
}

impl Published {
    /// Why nothing of ours stands beside it, if nothing does.
    pub(crate) fn not_run(&self) -> &'static str {
        let built = |p: &str| p.is_empty() || registry::check(p).is_ok();
        match (self.metric, built(&self.protocol) && built(&self.over)) {
            (Quantity::Other, _) => "no measure of this program",
            (_, false) => "not built",
            (_, true) => "not run",
        }
    }
}

impl Others {
    /// Reads both files of a folder.
    ///
    /// # Errors
    /// If one is missing, or a row does not follow the folder's README: above all, if a figure is not flagged as public.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let others = Self { published: rows(&dir.join(PUBLISHED_CSV))?, peers: rows(&dir.join(PEERS_CSV))? };
        let shown = dir.display();
        for p in &others.published {
            let at = || format!("{shown}/{PUBLISHED_CSV}: '{}'", p.id);
            ensure!(p.flag == "P", "{}: flag is '{}': only public figures (P) may be printed", at(), p.flag);
            let range = p.low <= p.high && p.low > 0.0 && p.high.is_finite();
            ensure!(range, "{}: {} to {} is no range", at(), p.low, p.high);
            filled(&[("system", &p.system), ("source", &p.source), ("statement", &p.statement)], at)?;
            let known = match (p.metric, p.over.is_empty()) {
                (Quantity::Other, _) => true,
                (m, true) => m.unit(&p.unit).is_some(),
                (_, false) => p.unit == "x",
            };
            ensure!(known, "{}: unit '{}' does not fit", at(), p.unit);
            ensure!((p.metric == Quantity::Other) == p.protocol.is_empty(), "{}: metric and protocol disagree", at());
        }
        for p in &others.peers {
            let at = || format!("{shown}/{PEERS_CSV}: '{}'", p.id);
            ensure!(p.metric.unit(&p.unit).is_some(), "{}: unit '{}' does not fit", at(), p.unit);
            ensure!(p.value > 0.0 && p.value.is_finite(), "{}: {} is no figure", at(), p.value);
            let texts =
                [("system", &p.system), ("protocol", &p.protocol), ("model", &p.model), ("machine", &p.machine)];
            filled(&texts, at)?;
        }
        let mut ids: Vec<&str> =
            others.published.iter().map(|p| p.id.as_str()).chain(others.peers.iter().map(|p| p.id.as_str())).collect();
        ids.sort_unstable();
        if let Some(w) = ids.windows(2).find(|w| w[0] == w[1]) {
            anyhow::bail!("{shown}: '{}' stands twice", w[0]);
        }
        Ok(others)
    }
}

/// Refuses empty texts, which would be empty cells of tables.
fn filled(texts: &[(&str, &String)], at: impl Fn() -> String) -> Result<()> {
    let empty = texts.iter().find(|(_, text)| ["", "-", "–"].contains(&text.trim()));
    empty.map_or(Ok(()), |(column, _)| Err(anyhow!("{}: {column} is empty", at())))
}

fn rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let mut reader = csv::Reader::from_path(path).with_context(|| format!("cannot read {}", path.display()))?;
    reader.deserialize().map(|r| r.map_err(|e| anyhow!("{}: {e}", path.display()))).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    /// The files of the repository.
    pub(crate) fn real() -> Others {
        Others::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../results/paper"))).unwrap()
    }

    #[test]
    fn the_files_of_the_repository_are_sound_and_hold_the_headline_figures() {
        let others = real();
        let value = |id: &str| {
            let p = others.published.iter().find(|p| p.id == id).unwrap();
            (p.low, p.unit.as_str())
        };
        assert_eq!(value("fusion-time-leviosa"), (48.06, "x"));
        assert_eq!(value("fusion-bytes-leviosa"), (30.90, "x"));
        assert_eq!(value("fusion-resnet50-time"), (8.678, "min"));
        assert_eq!(value("fusion-resnet50-bytes"), (10.117, "GiB"));
        assert_eq!(value("cheetah-resnet50-bytes"), (2.3, "GB"));
        assert!(others.peers.iter().any(|p| p.id == "spu-mnist-cpu" && p.value == 0.98));
    }

    #[test]
    fn what_is_not_public_or_not_sound_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let head = "id,flag,system,source,statement,metric,protocol,over,model,link,comparison,low,high,unit,machine\n";
        let peers = "id,system,protocol,model,metric,value,unit,conditions,machine\n";
        let refused = |published: &str, peer: &str, expect: &str| {
            fs::write(dir.path().join(PUBLISHED_CSV), format!("{head}{published}\n")).unwrap();
            fs::write(dir.path().join(PEERS_CSV), format!("{peers}{peer}\n")).unwrap();
            let e = format!("{:#}", Others::read(dir.path()).unwrap_err());
            assert!(e.contains(expect), "{e}");
        };
        let good = "a,P,X,x,s,bytes,cheetah,,m,lan,about,1,2,GB,-";
        let peer = "p,X,cheetah,m,bytes,1,MB,,here";
        refused(&good.replace(",P,", ",U,"), peer, "flag is 'U'");
        refused(&good.replace(",P,", ",D,"), peer, "flag is 'D'");
        refused(&good.replace("1,2", "2,1"), peer, "no range");
        refused(&good.replace("GB", "s"), peer, "unit 's' does not fit");
        refused(&good.replace("cheetah,,", "cheetah,leviosa,"), peer, "unit 'GB' does not fit");
        refused(&good.replace("cheetah", ""), peer, "disagree");
        refused(&good.replace("about", "roughly"), peer, "roughly");
        refused(&good.replace("1,2", "1,inf"), peer, "no range");
        refused(&good.replace("1,2", "NaN,2"), peer, "no range");
        refused(&good.replace(",X,x,s,", ",X,x,,"), peer, "statement is empty");
        refused(good, &peer.replace(",here", ","), "machine is empty");
        refused(good, &peer.replace("MB", "furlong"), "unit 'furlong'");
        refused(good, &peer.replace(",1,", ",0,"), "no figure");
        refused(good, &peer.replace("p,X", "a,X"), "stands twice");
        fs::remove_file(dir.path().join(PEERS_CSV)).unwrap();
        assert!(Others::read(dir.path()).unwrap_err().to_string().contains(PEERS_CSV));
    }
}
