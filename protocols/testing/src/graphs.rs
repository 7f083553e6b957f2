//! Small networks with random weights that between them use every operator and every corner of its parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use ndarray::{Array3, Array4};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_models::{FixedPoint, Graph, GraphBuilder, Layer, Model, Op, Result, Shape, ValueId, Window};

/// A named small network.
#[derive(Clone, Copy)]
pub struct Case {
    /// What it is about.
    pub name: &'static str,
    input: Shape,
    format: FixedPoint,
    build: fn(&mut GraphBuilder) -> Result<ValueId>,
}

impl Case {
    /// Its graph.
    ///
    /// # Panics
    /// If it does not build, which a test of this crate excludes.
    #[must_use]
    pub fn graph(&self) -> Arc<Graph> {
        let build = || {
            let mut g = GraphBuilder::new(self.name, self.input, self.format)?;
            (self.build)(&mut g)?;
            g.build()
        };
        Arc::new(build().unwrap_or_else(|e| panic!("case '{}': {e}", self.name)))
    }

    /// It with random weights.
    ///
    /// # Panics
    /// As [`Self::graph`].
    #[must_use]
    pub fn model(&self, seed: u64) -> Arc<Model> {
        Arc::new(random_model(&self.graph(), seed))
    }
}

const CHEETAH: FixedPoint = FixedPoint::CHEETAH;

/// The cases that every protocol is expected to run.
pub const CASES: &[Case] = &[
    Case { name: "fc", input: [5, 1, 1], format: CHEETAH, build: |g| g.fc("fc", 0, 3) },
    Case {
        name: "conv-relu-fc",
        input: [1, 6, 6],
        format: CHEETAH,
        build: |g| {
            let x = g.conv("conv", 0, 2, Window::square(3, 1), 1)?;
            let x = g.relu("relu", x)?;
            g.fc("fc", x, 4)
        },
    },
    Case {
        name: "stride-and-padding",
        input: [2, 5, 7],
        format: CHEETAH,
        build: |g| {
            let window = Window { kernel: [2, 3], stride: [2, 1], padding: [1, 2, 0, 1] };
            let x = g.conv("conv", 0, 3, window, 1)?;
            let x = g.relu("relu", x)?;
            let x = g.conv("strided", x, 2, Window::square(3, 2).padded(1), 1)?;
            let x = g.flatten("flatten", x)?;
            g.fc("fc", x, 3)
        },
    },
    Case {
        name: "max-pool",
        input: [2, 6, 5],
        format: CHEETAH,
        build: |g| {
            let x = g.conv("conv", 0, 2, Window::square(1, 1), 1)?;
            let x = g.max_pool("overlapping", x, Window::square(3, 2).padded(1))?;
            let x = g.relu("relu", x)?;
            let x = g.max_pool("pool", x, Window { kernel: [2, 1], stride: [1, 2], padding: [0; 4] })?;
            g.fc("fc", x, 3)
        },
    },
    Case {
        name: "avg-pool",
        input: [2, 6, 6],
        format: CHEETAH,
        build: |g| {
            let x = g.avg_pool("first", 0, Window::square(2, 2))?;
            let x = g.conv("conv", x, 3, Window::square(2, 1), 1)?;
            let x = g.relu("relu", x)?;
            let x = g.avg_pool("padded", x, Window::square(3, 2).padded(1))?;
            g.fc("fc", x, 4)
        },
    },
    Case {
        name: "residual",
        input: [2, 4, 4],
        format: CHEETAH,
        build: |g| {
            let a = g.conv("a", 0, 2, Window::square(3, 1).padded(1), 1)?;
            let r = g.relu("r", a)?;
            let b = g.conv("b", r, 2, Window::square(1, 1), 1)?;
            let s = g.add("s", b, r)?;
            let s = g.relu("rs", s)?;
            let t = g.add("t", s, 0)?;
            let t = g.add("twice", t, t)?;
            let t = g.relu("rt", t)?;
            g.fc("fc", t, 3)
        },
    },
    Case {
        name: "two-fc",
        input: [1, 4, 3],
        format: CHEETAH,
        build: |g| {
            let x = g.flatten("flatten", 0)?;
            let x = g.fc("fc1", x, 7)?;
            let x = g.relu("relu", x)?;
            g.fc("fc2", x, 10)
        },
    },
    Case {
        name: "relu-of-the-input",
        input: [1, 3, 3],
        format: CHEETAH,
        build: |g| {
            let x = g.relu("relu", 0)?;
            let x = g.max_pool("pool", x, Window::square(2, 1))?;
            g.fc("fc", x, 2)
        },
    },
    Case {
        name: "like-cnn4",
        input: [1, 12, 12],
        format: CHEETAH,
        build: |g| {
            let x = g.conv("conv1", 0, 3, Window::square(3, 1), 1)?;
            let x = g.relu("relu1", x)?;
            let x = g.max_pool("pool1", x, Window::square(2, 2))?;
            let x = g.conv("conv2", x, 4, Window::square(2, 1), 1)?;
            let x = g.relu("relu2", x)?;
            let x = g.max_pool("pool2", x, Window::square(2, 2))?;
            let x = g.fc("fc1", x, 8)?;
            let x = g.relu("relu3", x)?;
            g.fc("fc2", x, 10)
        },
    },
    Case {
        name: "groups",
        input: [4, 4, 4],
        format: CHEETAH,
        build: |g| {
            let x = g.conv("grouped", 0, 4, Window::square(3, 1).padded(1), 2)?;
            let x = g.relu("relu", x)?;
            let x = g.conv("depthwise", x, 4, Window::square(2, 2), 4)?;
            g.fc("fc", x, 3)
        },
    },
    Case {
        name: "concat",
        input: [2, 5, 5],
        format: CHEETAH,
        build: |g| {
            let squeeze = g.conv("squeeze", 0, 2, Window::square(1, 1), 1)?;
            let squeeze = g.relu("relu", squeeze)?;
            let a = g.conv("expand1", squeeze, 3, Window::square(1, 1), 1)?;
            let b = g.conv("expand3", squeeze, 2, Window::square(3, 1).padded(1), 1)?;
            let x = g.concat("fire", &[a, b, a])?;
            // Photographs' networks end rows and columns with a window that hangs over.
            let x = g.max_pool("pool", x, Window { kernel: [3; 2], stride: [2; 2], padding: [0, 0, 1, 1] })?;
            let small = g.max_pool("small", 0, Window { kernel: [3; 2], stride: [2; 2], padding: [1, 1, 0, 0] })?;
            let x = g.concat("with-the-input", &[x, small])?;
            let x = g.relu("relu-of-all", x)?;
            let x = g.conv("last", x, 4, Window::square(1, 1), 1)?;
            g.avg_pool("global", x, Window::square(2, 1))
        },
    },
    Case {
        name: "squares",
        input: [1, 3, 3],
        format: FixedPoint { ring_bits: 32, scale_bits: 8 },
        build: |g| {
            let x = g.fc("fc1", 0, 5)?;
            let x = g.square("square1", x)?;
            let x = g.fc("fc2", x, 4)?;
            let x = g.square("square2", x)?;
            g.fc("fc3", x, 3)
        },
    },
    Case {
        name: "ring-32",
        input: [1, 5, 5],
        format: FixedPoint { ring_bits: 32, scale_bits: 10 },
        build: |g| {
            let x = g.conv("conv", 0, 2, Window::square(2, 1), 1)?;
            let x = g.relu("relu", x)?;
            let x = g.avg_pool("avg", x, Window::square(2, 2))?;
            g.fc("fc", x, 3)
        },
    },
];

/// A graph with random weights of a size that keeps activations near those of the input.
///
/// # Panics
/// Never: the weights are made to fit the graph.
#[must_use]
pub fn random_model(graph: &Arc<Graph>, seed: u64) -> Model {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut layers = BTreeMap::new();
    for node in graph.nodes() {
        let input = graph.shape(node.inputs[0]);
        let (out, fan_in) = match &node.op {
            Op::Conv { out_channels, window, groups } => {
                (*out_channels, input[0] / groups * window.kernel[0] * window.kernel[1])
            }
            Op::Fc { out_features } => (*out_features, input.iter().product()),
            _ => continue,
        };
        let size = (3.0 / fan_in as f32).sqrt();
        let mut draw = |n: usize, size: f32| (0..n).map(|_| rng.random_range(-size..size)).collect();
        layers.insert(node.name.clone(), Layer { weights: draw(out * fan_in, size), bias: draw(out, 0.25) });
    }
    Model::new(Arc::clone(graph), si_models::Weights { layers })
        .unwrap_or_else(|e| panic!("random weights do not fit '{}': {e}", graph.name()))
}

/// Random queries with numbers in [-2, 2), and zeros among them.
#[must_use]
pub fn random_queries(graph: &Graph, n: usize, seed: u64) -> Vec<Array3<i64>> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let two = graph.format().encode(2.0);
    let mut draw = || if rng.random_range(0..8) == 0 { 0 } else { rng.random_range(-two..two) };
    (0..n).map(|_| Array3::from_shape_simple_fn(graph.input_shape(), &mut draw)).collect()
}

/// Queries as one array, for the executors.
///
/// # Panics
/// If their shapes are not the graph's.
#[must_use]
pub fn stacked(graph: &Graph, queries: &[Array3<i64>]) -> Array4<i64> {
    let [c, h, w] = graph.input_shape();
    let mut all = Array4::zeros((queries.len(), c, h, w));
    for (mut row, query) in all.outer_iter_mut().zip(queries) {
        row.assign(query);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_builds_and_stays_in_range() {
        for case in CASES {
            for seed in 0..20 {
                let model = case.model(seed);
                let graph = model.graph();
                let queries = stacked(graph, &random_queries(graph, 8, seed));
                si_models::run_fixed(&model, &queries).unwrap();
            }
        }
    }

    #[test]
    fn every_operator_occurs() {
        let graphs: Vec<_> = CASES.iter().map(Case::graph).collect();
        for name in ["conv", "fc", "rescale", "relu", "maxpool", "avgpool", "add", "concat", "flatten"] {
            assert!(graphs.iter().any(|g| g.nodes().iter().any(|n| n.op.name() == name)), "{name}");
        }
    }
}
