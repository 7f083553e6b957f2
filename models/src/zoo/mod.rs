//! Models by name, as `models/zoo.toml` lists them, or by the path of an ONNX file.

mod divisors;
mod layers;
mod photograph;
mod user;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use serde::Deserialize;

pub use crate::architectures::Generated;
use crate::sketch::Sketch;
use crate::{Error, FixedPoint, Graph, Model, Result, Shape, ValueId};
use divisors::Divisors;
use layers::LayerEntry;
pub use photograph::{ChannelOrder, Photograph};
pub use weights::{DIRECTORY_VARIABLE, Source, files_directory};

const ZOO: &str = include_str!("../../zoo.toml");

/// What the zoo says about a model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    /// The data set whose labels it answers with, if any.
    pub dataset: Option<String>,
    /// What is made of a photograph before the network sees it, if it is for photographs.
    pub photograph: Option<Photograph>,
    /// Licence of the weights.
    pub licence: String,
    /// Where the weights come from.
    pub provenance: String,
    /// Where to find the weights.
    pub weights: Source,
    /// Queries are divided by this power of two and the first layers' weights multiplied by it: the same network, whose
    /// queries fit the fixed-point format. 1 unless given.
    pub input_divisor: Option<f32>,
    /// What the layers hand on is divided by this power of two, and the last layer's weights are multiplied by it: the
    /// same network, whose values fit the ring. 1 unless given.
    pub value_divisor: Option<f32>,
    ring_bits: u32,
    scale_bits: u32,
}

impl Entry {
    fn divisors(&self) -> Divisors {
        Divisors { input: self.input_divisor.unwrap_or(1.0), values: self.value_divisor.unwrap_or(1.0) }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Architecture {
    name: String,
    /// Layers written as a loop in the program...
    generated: Option<Generated>,
    /// ...or listed here, for a query of this shape.
    input: Option<Shape>,
    #[serde(default)]
    layers: Vec<LayerEntry>,
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
        // Only earlier ones, so that no model is made of itself.
        if let Source::Widened { of, .. } = &entry.weights
            && !zoo.model[..i].iter().any(|other| other.name == *of)
        {
            return Err(wrong(format!("'{}' is made of '{of}', which does not stand before it", entry.name)));
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

/// What is known about a model of the zoo, without building it.
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

/// The public part of a model: of the zoo by its name, which needs no weights, or of an ONNX file by its path, which ends
/// in `.onnx` (its weights are read past).
///
/// # Errors
/// If there is no such model or file, or it makes no sense.
pub fn graph(name_or_path: &str) -> Result<Arc<Graph>> {
    if user::is_path(name_or_path) {
        return user::load(name_or_path).map(|model| Arc::clone(model.graph()));
    }
    build(zoo()?, entry(name_or_path)?).map(|(_, graph)| Arc::new(graph))
}

/// A model with its weights, by name or by path as [`graph()`].
///
/// # Errors
/// As [`graph()`], or if the weights are not those that the entry pins. [`Error::NotFetched`] if they are in a file that
/// `make fetch` has not brought.
pub fn model(name_or_path: &str) -> Result<Arc<Model>> {
    if user::is_path(name_or_path) {
        return user::load(name_or_path).map(Arc::new);
    }
    model_from(name_or_path, &files_directory())
}

/// As [`model()`] of a name, with fetched files in `directory`.
///
/// # Errors
/// As [`model()`].
pub fn model_from(name: &str, directory: &Path) -> Result<Arc<Model>> {
    let entry = entry(name)?;
    let (sketch, graph) = build(zoo()?, entry)?;
    let mut weights = weights::load(entry, &sketch, &graph, directory)?;
    let count = weights.parameters();
    if count != entry.parameters {
        return Err(wrong(format!("'{name}' has {count} parameters, not {}", entry.parameters)));
    }
    let divided = entry.divisors().apply(&sketch, &mut weights);
    divided.map_err(|why| wrong(format!("'{name}': {why}")))?;
    Model::new(Arc::new(graph), weights).map(Arc::new)
}

/// What is made of a photograph before a model sees it: the model's own numbers divided by its input divisor. `None` for
/// models that are not for photographs.
///
/// # Errors
/// As [`graph()`].
pub fn photograph(name_or_path: &str) -> Result<Option<Photograph>> {
    let (photograph, divisors) = if user::is_path(name_or_path) {
        let settings = user::settings(name_or_path)?;
        (settings.photograph.clone(), settings.divisors())
    } else {
        let entry = entry(name_or_path)?;
        (entry.photograph.clone(), entry.divisors())
    };
    Ok(photograph.map(|p| p.divided_by(divisors.input)))
}

/// The rewritten layers of a model and the graph they give.
fn build(zoo: &Zoo, entry: &Entry) -> Result<(Sketch, Graph)> {
    let architecture = (zoo.architecture.iter().find(|a| a.name == entry.architecture))
        .ok_or_else(|| wrong(format!("'{}' has the unknown architecture '{}'", entry.name, entry.architecture)))?;
    let format = FixedPoint { ring_bits: entry.ring_bits, scale_bits: entry.scale_bits };
    let sketch = architecture.sketch()?;
    let graph = sketch.build(&entry.name, format)?;
    Ok((sketch, graph))
}

impl Architecture {
    /// Its layers: generated ones rewritten, listed ones as they are listed.
    fn sketch(&self) -> Result<Sketch> {
        let input = match (self.generated, self.input) {
            (Some(generated), None) if self.layers.is_empty() => return Ok(generated.sketch().rewritten()),
            (None, Some(input)) => input,
            _ => return Err(wrong(format!("architecture '{}' needs 'input' and 'layers', or 'generated'", self.name))),
        };
        let mut sketch = Sketch::new(input);
        let mut values: BTreeMap<&str, ValueId> = BTreeMap::from([("input", 0)]);
        let mut previous = 0;
        for layer in &self.layers {
            let of = match &layer.of {
                None => vec![previous],
                Some(names) => {
                    names.iter().map(|n| values.get(n.as_str()).copied()).collect::<Option<_>>().ok_or_else(|| {
                        wrong(format!("layer '{}' is of a layer that does not stand before it", layer.name))
                    })?
                }
            };
            previous = layer.push(&mut sketch, &of)?;
            values.insert(&layer.name, previous);
        }
        Ok(sketch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_loads() {
        for name in names().unwrap() {
            assert_eq!(graph(name).unwrap().name(), name);
            match model(name) {
                Ok(model) => assert_eq!(model.weights().parameters(), entry(name).unwrap().parameters),
                Err(e @ Error::NotFetched { .. }) => println!("{name} not checked: {e}"),
                Err(e) => panic!("{name}: {e}"),
            }
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
        assert_eq!(
            e,
            "unknown model 'resnet': choose one of mnist-cnn4, mnist-cnn4-low, mnist-dnn4-square, tiny, squeezenet, \
             squeezenet-head, resnet50-half, resnet50, resnet50-random"
        );
    }

    /// The zoo with one text in place of another.
    fn changed(from: &str, to: &str) -> Result<Graph> {
        assert!(ZOO.contains(from));
        let zoo = parse(&ZOO.replacen(from, to, 1))?;
        build(&zoo, &zoo.model[0]).map(|(_, graph)| graph)
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
