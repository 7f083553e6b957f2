//! Models by name, as `models/zoo.toml` lists them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde::Deserialize;

use crate::weights_file::shapes;
use crate::{Error, FixedPoint, Graph, GraphBuilder, Layer, Model, Result, Shape, ValueId, Weights, Window};

const ZOO: &str = include_str!("../zoo.toml");

/// Weights that are part of the program.
const EMBEDDED: [(&str, &[u8]); 2] = [
    ("embedded/mnist-cnn4.safetensors", include_bytes!("../embedded/mnist-cnn4.safetensors")),
    ("embedded/mnist-cnn4-low.safetensors", include_bytes!("../embedded/mnist-cnn4-low.safetensors")),
];

/// What the zoo says about a model.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The name to ask for it by.
    pub name: String,
    /// One line for a reader.
    pub title: String,
    /// Name of its layers; models of the same architecture and format can use each other's weights.
    pub architecture: String,
    /// Number of weights and biases.
    pub parameters: usize,
    /// The data set it was trained for, if any.
    pub dataset: Option<String>,
    /// Licence of the weights.
    pub licence: String,
    /// Where the weights come from.
    pub provenance: String,
    /// Where to find the weights.
    pub weights: Source,
    ring_bits: u32,
    scale_bits: u32,
}

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Source {
    /// A safetensors file that is part of the program.
    Embedded {
        /// The file, seen from `models/`.
        file: String,
        /// Its SHA-256.
        sha256: String,
    },
    /// Drawn at random.
    Random {
        /// The seed.
        seed: u64,
    },
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Architecture {
    name: String,
    input: Shape,
    layers: Vec<LayerEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayerEntry {
    name: String,
    op: Kind,
    of: Option<Vec<String>>,
    out_channels: Option<usize>,
    out_features: Option<usize>,
    kernel: Option<usize>,
    stride: Option<usize>,
    /// Top, left, bottom, right.
    padding: Option<[usize; 4]>,
    groups: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Conv,
    Fc,
    Relu,
    MaxPool,
    AvgPool,
    Add,
    Concat,
    Flatten,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Zoo {
    architecture: Vec<Architecture>,
    model: Vec<Entry>,
}

fn parse(text: &str) -> Result<Zoo> {
    let zoo: Zoo = toml::from_str(text).map_err(|e| wrong(e.message().to_owned()))?;
    for (i, entry) in zoo.model.iter().enumerate() {
        if zoo.model[..i].iter().any(|other| other.name == entry.name) {
            return Err(wrong(format!("two models are named '{}'", entry.name)));
        }
    }
    Ok(zoo)
}

fn wrong(why: String) -> Error {
    Error::File { path: "models/zoo.toml".to_owned(), why }
}

fn zoo() -> Result<&'static Zoo> {
    static PARSED: OnceLock<Zoo> = OnceLock::new();
    if let Some(parsed) = PARSED.get() {
        return Ok(parsed);
    }
    let parsed = parse(ZOO)?;
    Ok(PARSED.get_or_init(|| parsed))
}

/// The names of all models.
///
/// # Errors
/// If the zoo's list is malformed.
pub fn names() -> Result<Vec<&'static str>> {
    Ok(zoo()?.model.iter().map(|m| m.name.as_str()).collect())
}

/// What is known about a model, without building it.
///
/// # Errors
/// If there is none of this name.
pub fn entry(name: &str) -> Result<&'static Entry> {
    let models = &zoo()?.model;
    models.iter().find(|m| m.name == name).ok_or_else(|| Error::Unknown {
        name: name.to_owned(),
        known: models.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

/// The public part of a model, which needs no weights.
///
/// # Errors
/// If there is no model of this name, or its entry makes no sense.
pub fn graph(name: &str) -> Result<Arc<Graph>> {
    build(zoo()?, entry(name)?).map(Arc::new)
}

/// A model with its weights.
///
/// # Errors
/// As [`graph()`], or if the weights are not those that the entry pins.
pub fn model(name: &str) -> Result<Arc<Model>> {
    let entry = entry(name)?;
    let graph = graph(name)?;
    let weights = match &entry.weights {
        Source::Embedded { file, sha256 } => {
            let (_, bytes) = (EMBEDDED.iter().find(|(path, _)| path == file))
                .ok_or_else(|| wrong(format!("{file} is not part of the program")))?;
            Weights::from_safetensors(&format!("models/{file}"), bytes, Some(sha256), &graph)?
        }
        Source::Random { seed } => Weights::random(&graph, *seed),
    };
    let count = weights.parameters();
    if count != entry.parameters {
        return Err(wrong(format!("'{name}' has {count} parameters, not {}", entry.parameters)));
    }
    Model::new(graph, weights).map(Arc::new)
}

fn build(zoo: &Zoo, entry: &Entry) -> Result<Graph> {
    let architecture = (zoo.architecture.iter().find(|a| a.name == entry.architecture))
        .ok_or_else(|| wrong(format!("'{}' has the unknown architecture '{}'", entry.name, entry.architecture)))?;
    let format = FixedPoint { ring_bits: entry.ring_bits, scale_bits: entry.scale_bits };
    let mut builder = GraphBuilder::new(&entry.name, architecture.input, format)?;
    let mut values: BTreeMap<&str, ValueId> = BTreeMap::from([("input", 0)]);
    let mut previous = 0;
    for layer in &architecture.layers {
        let of = match &layer.of {
            None => vec![previous],
            Some(names) => {
                names.iter().map(|n| values.get(n.as_str()).copied()).collect::<Option<_>>().ok_or_else(|| {
                    wrong(format!("layer '{}' is of a layer that does not stand before it", layer.name))
                })?
            }
        };
        previous = layer.push(&mut builder, &of)?;
        values.insert(&layer.name, previous);
    }
    builder.build()
}

impl LayerEntry {
    fn push(&self, builder: &mut GraphBuilder, of: &[ValueId]) -> Result<ValueId> {
        let Self { name, op, .. } = self;
        let given = [
            ("out_channels", self.out_channels.is_some(), *op == Kind::Conv),
            ("out_features", self.out_features.is_some(), *op == Kind::Fc),
            ("kernel", self.kernel.is_some(), matches!(op, Kind::Conv | Kind::MaxPool | Kind::AvgPool)),
        ];
        if let Some((key, given, _)) = given.iter().find(|(_, given, needed)| given != needed) {
            let verb = if *given { "cannot have" } else { "needs" };
            return Err(wrong(format!("layer '{name}' {verb} '{key}'")));
        }
        let sliding = self.kernel.is_some();
        if !sliding && (self.stride.is_some() || self.padding.is_some()) || *op != Kind::Conv && self.groups.is_some() {
            return Err(wrong(format!("layer '{name}' cannot have 'stride', 'padding' or 'groups'")));
        }
        let window = Window {
            padding: self.padding.unwrap_or_default(),
            ..Window::square(self.kernel.unwrap_or_default(), self.stride.unwrap_or(1))
        };
        match (op, of) {
            (Kind::Conv, [x]) => {
                builder.conv(name, *x, self.out_channels.unwrap_or_default(), window, self.groups.unwrap_or(1))
            }
            (Kind::Fc, [x]) => builder.fc(name, *x, self.out_features.unwrap_or_default()),
            (Kind::Relu, [x]) => builder.relu(name, *x),
            (Kind::MaxPool, [x]) => builder.max_pool(name, *x, window),
            (Kind::AvgPool, [x]) => builder.avg_pool(name, *x, window),
            (Kind::Add, [a, b]) => builder.add(name, *a, *b),
            (Kind::Concat, parts) => builder.concat(name, parts),
            (Kind::Flatten, [x]) => builder.flatten(name, *x),
            _ => Err(wrong(format!("layer '{name}' cannot take {} inputs", of.len()))),
        }
    }
}

impl Weights {
    /// Random weights for a graph: uniform with variance 2 / fan-in, so that values keep their size through ReLUs;
    /// biases as weights of fan-in 32. The same seed gives the same weights.
    #[must_use]
    pub fn random(graph: &Graph, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut draw = |n: usize, fan_in: usize| -> Vec<f32> {
            let bound = (6.0 / fan_in as f32).sqrt();
            // 24 bits are exact in f32; the result is uniform in [-bound, bound).
            (0..n).map(|_| ((rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0) * bound).collect()
        };
        let mut layers = BTreeMap::new();
        for (name, shape) in shapes(graph) {
            let fan_in: usize = shape[1..].iter().product();
            layers.insert(name, Layer { weights: draw(shape[0] * fan_in, fan_in), bias: draw(shape[0], 32) });
        }
        Self { layers }
    }

    /// Number of weights and biases.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.layers.values().map(|l| l.weights.len() + l.bias.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_loads() {
        for name in names().unwrap() {
            let model = model(name).unwrap();
            assert_eq!(model.graph().name(), name);
            assert_eq!(model.weights().parameters(), entry(name).unwrap().parameters);
        }
    }

    #[test]
    fn mnist_cnn4_is_as_described() {
        let graph = graph("mnist-cnn4").unwrap();
        let nodes: Vec<_> = graph.nodes().iter().map(|n| (n.name.as_str(), n.shape)).collect();
        let rescaled = |name, shape| [(name, shape), ("", shape)];
        let expected = [
            &rescaled("conv1", [16, 24, 24])[..],
            &[("relu1", [16, 24, 24]), ("pool1", [16, 12, 12])],
            &rescaled("conv2", [16, 8, 8]),
            &[("relu2", [16, 8, 8]), ("pool2", [16, 4, 4])],
            &rescaled("fc1", [100, 1, 1]),
            &[("relu3", [100, 1, 1])],
            &rescaled("fc2", [10, 1, 1]),
        ]
        .concat();
        assert_eq!(nodes.len(), expected.len());
        for (i, ((name, shape), (expected, expected_shape))) in nodes.iter().zip(&expected).enumerate() {
            assert_eq!(shape, expected_shape, "{name}");
            assert!(name == expected || *name == format!("{}.rescale", nodes[i - 1].0), "{name}");
        }
        assert_eq!(graph.format(), FixedPoint::CHEETAH);
    }

    #[test]
    fn low_quality_weights_fit_the_honest_graph() {
        let low = model("mnist-cnn4-low").unwrap();
        assert!(Model::new(graph("mnist-cnn4").unwrap(), low.weights().clone()).is_ok());
        assert_ne!(low.weights(), model("mnist-cnn4").unwrap().weights());
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let e = model("resnet").unwrap_err().to_string();
        assert_eq!(e, "unknown model 'resnet': choose one of mnist-cnn4, mnist-cnn4-low, tiny");
    }

    #[test]
    fn random_weights_are_pinned() {
        let graph = graph("tiny").unwrap();
        let file = Weights::random(&graph, 1).to_safetensors(&graph).unwrap();
        assert_eq!(crate::sha256_hex(&file), "59f9fdb23d0a84f24c9d020420700e22a5bfe5e4eebe2310a349e6fb181a756b");
        assert_ne!(Weights::random(&graph, 1), Weights::random(&graph, 2));
    }

    /// The zoo with one text in place of another.
    fn changed(from: &str, to: &str) -> Result<Graph> {
        assert!(ZOO.contains(from));
        let zoo = parse(&ZOO.replacen(from, to, 1))?;
        build(&zoo, &zoo.model[0])
    }

    #[test]
    fn entries_that_make_no_sense_are_refused() {
        assert!(changed("input", "input").is_ok());
        for (from, to, complaint) in [
            ("ring_bits", "rings", "unknown field"),
            ("kernel = 5 }", "kernel = 5, dilation = 2 }", "unknown field"),
            ("kernel = 5 }", "stride = 1 }", "needs 'kernel'"),
            ("name = \"relu1\"", "name = \"relu1\", kernel = 2", "cannot have 'kernel'"),
            ("name = \"relu1\"", "name = \"relu1\", groups = 2", "cannot have 'stride', 'padding' or 'groups'"),
            ("name = \"relu1\"", "name = \"relu1\", of = [\"relu2\"]", "does not stand before it"),
            ("name = \"relu1\"", "name = \"relu1\", of = [\"conv1\", \"conv1\"]", "cannot take 2 inputs"),
            ("op = \"relu\"", "op = \"gelu\"", "unknown variant"),
            ("architecture = \"cnn4\"", "architecture = \"cnn5\"", "unknown architecture"),
            ("ring_bits = 37", "ring_bits = 20", "take a larger ring"),
            ("name = \"mnist-cnn4-low\"", "name = \"mnist-cnn4\"", "two models"),
        ] {
            let e = changed(from, to).unwrap_err().to_string();
            assert!(e.contains(complaint) && !e.contains('\n'), "{to}: {e}");
        }
    }
}
