//! Where the weights of the zoo's models come from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use serde::Deserialize;

use super::{Entry, wrong};
use crate::sketch::Sketch;
use crate::weights_file::shapes;
use crate::widen::widen;
use crate::{Error, Graph, Layer, Result, Weights, onnx, pickle, sha256_mismatch};

/// Weights that are part of the program.
const EMBEDDED: [(&str, &[u8]); 3] = [
    ("embedded/mnist-cnn4.safetensors", include_bytes!("../../embedded/mnist-cnn4.safetensors")),
    ("embedded/mnist-cnn4-low.safetensors", include_bytes!("../../embedded/mnist-cnn4-low.safetensors")),
    ("embedded/mnist-dnn4-square.safetensors", include_bytes!("../../embedded/mnist-dnn4-square.safetensors")),
];

/// Environment variable that names another folder of fetched files than `models/files`.
pub const DIRECTORY_VARIABLE: &str = "SI_MODELS_DIR";

/// Where weights come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
        /// What every number is multiplied with, 1 unless given.
        gain: Option<f32>,
    },
    /// A fetched pickle of NumPy arrays: lists of a kernel (height, width, in, out) and a bias by the name of the layer,
    /// with `/` for `.`.
    Pickle {
        /// The file, seen from `models/files`.
        file: String,
        /// Its SHA-256.
        sha256: String,
        /// Whether the network has only some of the file's layers.
        #[serde(default)]
        part: bool,
    },
    /// A fetched ONNX file of the same network under other names.
    Onnx {
        /// The file, seen from `models/files`.
        file: String,
        /// Its SHA-256.
        sha256: String,
    },
    /// Another model, widened to this one's layers so that it computes the same (Net2Wider).
    Widened {
        /// The name of the other model.
        of: String,
        /// The seed of the noise that cancels.
        seed: u64,
    },
}

/// Where fetched files are looked for: `models/files`, or what [`DIRECTORY_VARIABLE`] says.
#[must_use]
pub fn files_directory() -> PathBuf {
    std::env::var_os(DIRECTORY_VARIABLE)
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("files"), PathBuf::from)
}

/// The weights of `graph` as the entry pins them, before the input is scaled; `sketch` is what the graph was built from.
pub(super) fn load(entry: &Entry, sketch: &Sketch, graph: &Graph, files: &Path) -> Result<Weights> {
    match &entry.weights {
        Source::Embedded { file, sha256 } => {
            let (_, bytes) = (EMBEDDED.iter().find(|(path, _)| path == file))
                .ok_or_else(|| wrong(format!("{file} is not part of the program")))?;
            Weights::from_safetensors(&format!("models/{file}"), bytes, Some(sha256), graph)
        }
        Source::Random { seed, gain } => Ok(Weights::random_with_gain(graph, *seed, gain.unwrap_or(1.0))),
        Source::Pickle { file, sha256, part } => {
            let (path, bytes) = fetched(files, file, sha256)?;
            from_pickle(&bytes, graph, *part).map_err(|why| Error::File { path, why })
        }
        Source::Onnx { file, sha256 } => {
            let (path, bytes) = fetched(files, file, sha256)?;
            let imported = onnx::read(&bytes).map_err(|why| Error::File { path: path.clone(), why })?;
            sketch.adopt(&imported.sketch.rewritten(), imported.weights).ok_or_else(|| Error::File {
                path,
                why: format!("another network than the '{}' of models/zoo.toml", entry.architecture),
            })
        }
        Source::Widened { of, seed } => {
            let thin = super::entry(of)?;
            let (thin_sketch, thin_graph) = super::build(super::zoo()?, thin)?;
            let weights = load(thin, &thin_sketch, &thin_graph, files)?;
            widen(&thin_graph, &weights, graph, *seed)
                .ok_or_else(|| wrong(format!("'{}' is not '{of}' with every layer doubled", entry.name)))
        }
    }
}

fn fetched(files: &Path, file: &str, sha256: &str) -> Result<(String, Vec<u8>)> {
    let path = files.join(file);
    let shown = path.display().to_string();
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Error::NotFetched { path: shown }),
        Err(e) => return Err(Error::File { path: shown, why: e.to_string() }),
    };
    match sha256_mismatch(&bytes, sha256) {
        None => Ok((shown, bytes)),
        Some(why) => Err(Error::File { path: shown, why: format!("{why}; run `make fetch`") }),
    }
}

fn from_pickle(bytes: &[u8], graph: &Graph, part: bool) -> std::result::Result<Weights, String> {
    let mut arrays = pickle::numpy_arrays(bytes)?;
    let mut layers = BTreeMap::new();
    for (name, shape) in shapes(graph) {
        let stored = name.replace('.', "/");
        let pair = arrays.remove(&stored).ok_or_else(|| format!("no arrays '{stored}'"))?;
        let (&[out, inputs, h, w], [kernel, bias]) = (shape.as_slice(), pair.as_slice()) else {
            return Err(format!("'{stored}' is no kernel and bias of a convolution"));
        };
        if kernel.shape != [h, w, inputs, out] || bias.shape != [out] {
            let (is, bias) = (&kernel.shape, &bias.shape);
            return Err(format!(
                "'{stored}' has the shapes {is:?} and {bias:?}, not {:?} and [{out}]",
                [h, w, inputs, out]
            ));
        }
        // (h, w, in, out) to (out, in, h, w).
        let at = |o: usize, i: usize, tap: usize| kernel.data[(tap * inputs + i) * out + o];
        let weights =
            (0..out).flat_map(|o| (0..inputs).flat_map(move |i| (0..h * w).map(move |tap| at(o, i, tap)))).collect();
        layers.insert(name, Layer { weights, bias: bias.data.clone() });
    }
    match arrays.keys().next().filter(|_| !part) {
        None => Ok(Weights { layers }),
        Some(left) => Err(format!("the network has no layer '{left}'")),
    }
}

impl Weights {
    /// Random weights for a graph: uniform with variance 2 / fan-in, so that values keep their size through ReLUs;
    /// biases as weights of fan-in 32. The same seed gives the same weights.
    #[must_use]
    pub fn random(graph: &Graph, seed: u64) -> Self {
        Self::random_with_gain(graph, seed, 1.0)
    }

    /// As [`Self::random`], every number times `gain`: below 1, sums of many branches keep their size.
    #[must_use]
    pub(crate) fn random_with_gain(graph: &Graph, seed: u64, gain: f32) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut draw = |n: usize, fan_in: usize| -> Vec<f32> {
            let bound = gain * (6.0 / fan_in as f32).sqrt();
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
    use crate::zoo::{graph, model_from};

    #[test]
    fn random_weights_are_pinned() {
        let graph = graph("tiny").unwrap();
        let file = Weights::random(&graph, 1).to_safetensors(&graph).unwrap();
        assert_eq!(crate::sha256_hex(&file), "59f9fdb23d0a84f24c9d020420700e22a5bfe5e4eebe2310a349e6fb181a756b");
        assert_ne!(Weights::random(&graph, 1), Weights::random(&graph, 2));
    }

    #[test]
    fn a_file_that_was_not_fetched_is_named_with_the_remedy() {
        let e = model_from("resnet50", Path::new("no/such/folder")).unwrap_err();
        assert_eq!(e.to_string(), "no/such/folder/open-nsfw.onnx is not there: run `make fetch`");
    }
}
