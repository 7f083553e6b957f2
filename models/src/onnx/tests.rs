//! Files made here, small enough to know the answers.

use std::sync::Arc;

use ndarray::{Array4, arr2};
use proptest::prelude::*;
use prost::Message;

use super::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto, TensorTypeProto,
    TypeProto, ValueInfoProto,
};
use super::read;
use crate::{FixedPoint, Model, run_float};

#[derive(Clone, Default)]
struct File {
    graph: GraphProto,
}

impl File {
    fn new(shape: &[i64], output: &str) -> Self {
        let dim = shape.iter().map(|d| DimensionProto { dim_value: *d }).collect();
        let tensor_type = Some(TensorTypeProto { shape: Some(TensorShapeProto { dim }) });
        let input = ValueInfoProto { name: "x".to_owned(), r#type: Some(TypeProto { tensor_type }) };
        let output = vec![ValueInfoProto { name: output.to_owned(), r#type: None }];
        Self { graph: GraphProto { input: vec![input], output, ..Default::default() } }
    }

    fn node(mut self, op: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> Self {
        let attribute = attributes.iter().map(|(name, v)| AttributeProto {
            name: (*name).to_owned(),
            i: v.first().copied().unwrap_or(0),
            ints: v.to_vec(),
            ..Default::default()
        });
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.to_owned()],
            name: format!("n-{output}"),
            op_type: op.to_owned(),
            attribute: attribute.collect(),
        });
        self
    }

    fn text(mut self, name: &str, value: &str) -> Self {
        let a = AttributeProto { name: name.to_owned(), s: value.as_bytes().to_vec(), ..Default::default() };
        self.graph.node.last_mut().unwrap().attribute.push(a);
        self
    }

    fn floats(mut self, name: &str, dims: &[i64], data: &[f32]) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: 1,
            raw_data: data.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ..Default::default()
        });
        self
    }

    fn ints(mut self, name: &str, data: &[i64]) -> Self {
        self.graph.initializer.push(TensorProto {
            name: name.to_owned(),
            dims: vec![data.len() as i64],
            data_type: 7,
            int64_data: data.to_vec(),
            ..Default::default()
        });
        self
    }

    fn bytes(&self) -> Vec<u8> {
        ModelProto { graph: Some(self.graph.clone()) }.encode_to_vec()
    }

    fn complaint(&self) -> String {
        let e = read(&self.bytes()).map(|i| i.sketch).unwrap_err();
        assert!(!e.contains('\n'), "{e}");
        e
    }

    fn model(&self) -> Model {
        let imported = read(&self.bytes()).unwrap();
        let graph = imported.sketch.build("t", FixedPoint::CHEETAH).unwrap();
        Model::new(Arc::new(graph), imported.weights).unwrap()
    }

    fn operators(&self) -> Vec<&'static str> {
        read(&self.bytes()).unwrap().sketch.layers.iter().map(|l| l.op.name()).collect()
    }

    /// The scores of one query.
    fn scores(&self, query: &[f32]) -> Vec<f32> {
        let model = self.model();
        let [c, h, w] = model.graph().input_shape();
        run_float(&model, &Array4::from_shape_vec((1, c, h, w), query.to_vec()).unwrap()).unwrap().row(0).to_vec()
    }
}

/// conv 1x1, batch norm, relu, max-pool, flatten, matmul, bias, softmax.
fn network() -> File {
    File::new(&[0, 1, 2, 4], "probabilities")
        .floats("w", &[2, 1, 1, 1], &[1.0, -1.0])
        .floats("b", &[2], &[0.5, 0.0])
        .node("Conv", &["x", "w", "b"], "c", &[])
        .floats("gamma", &[2], &[2.0, 1.0])
        .floats("beta", &[2], &[0.0, 1.0])
        .floats("mean", &[2], &[0.5, 0.0])
        .floats("var", &[2], &[4.0, 1.0])
        .node("BatchNormalization", &["c", "gamma", "beta", "mean", "var"], "bn", &[])
        .node("Relu", &["bn"], "r", &[])
        .node("MaxPool", &["r"], "p", &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])])
        .node("Flatten", &["p"], "f", &[("axis", &[1])])
        .floats("m", &[4, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0])
        .node("MatMul", &["f", "m"], "mm", &[])
        .floats("bias", &[2], &[10.0, 20.0])
        .node("Add", &["mm", "bias"], "scores", &[])
        .node("Softmax", &["scores"], "probabilities", &[])
}

const QUERY: [f32; 8] = [1.0, 2.0, 3.0, 4.0, -1.0, -2.0, -3.0, -4.0];

#[test]
fn a_network_is_read_and_folded() {
    let file = network();
    assert_eq!(file.operators(), ["conv", "relu", "maxpool", "fc"]);
    // Channel 0: ((x + 0.5) - 0.5) / 2 * 2 = x, pooled 2 and 4; channel 1: 1 - x, pooled 3 and 5.
    let scores = file.scores(&QUERY);
    assert!(scores.iter().zip([10.0 + 2.0 + 3.0, 20.0 + 4.0 + 5.0]).all(|(a, b)| (a - b).abs() < 1e-3), "{scores:?}");
}

#[test]
fn layouts_with_channels_last_are_undone() {
    let file = |flat: &str| {
        let f = File::new(&[0, 2, 2, 2], "y").node("Transpose", &["x"], "first", &[("perm", &[0, 3, 1, 2])]);
        let f = f.floats("w", &[2, 2, 1, 1], &[1.0, 0.0, 0.0, 1.0]).node("Conv", &["first", "w"], "c", &[]);
        let f = f.node("Transpose", &["c"], "last", &[("perm", &[0, 2, 3, 1])]);
        let f = f.floats("scale", &[1, 1, 1, 2], &[1.0, 10.0]).node("Mul", &["last", "scale"], "m", &[]);
        // (row, column, channel): picks channel 1 at row 0, column 1.
        let f = f.floats("pick", &[8, 1], &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let f = if flat == "Reshape" { f.ints("s", &[-1, 8]) } else { f };
        let f = if flat == "Reshape" {
            f.node("Reshape", &["m", "s"], "f", &[])
        } else {
            f.node("Flatten", &["m"], "f", &[])
        };
        f.node("MatMul", &["f", "pick"], "y", &[])
    };
    for flat in ["Reshape", "Flatten"] {
        assert_eq!(file(flat).operators(), ["conv", "fc"]);
        // Our own order is (channel, row, column).
        assert_eq!(file(flat).scores(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), [50.0]);
    }
}

#[test]
fn windows_are_those_of_the_standard() {
    let pool = |attributes: &[(&str, &[i64])], auto: &str| {
        let f = File::new(&[1, 1, 4, 4], "y").node("MaxPool", &["x"], "y", attributes);
        let f = if auto.is_empty() { f } else { f.text("auto_pad", auto) };
        read(&f.bytes()).map(|i| match &i.sketch.layers[0].op {
            crate::Op::MaxPool { window } => (window.padding, window.output([4, 4]).unwrap()),
            op => panic!("{op:?}"),
        })
    };
    let k3s2: [(&str, &[i64]); 2] = [("kernel_shape", &[3, 3]), ("strides", &[2, 2])];
    assert_eq!(pool(&k3s2, "").unwrap(), ([0; 4], [1, 1]));
    assert_eq!(pool(&k3s2, "VALID").unwrap(), ([0; 4], [1, 1]));
    assert_eq!(pool(&k3s2, "SAME_UPPER").unwrap(), ([0, 0, 1, 1], [2, 2]));
    assert_eq!(pool(&k3s2, "SAME_LOWER").unwrap(), ([1, 1, 0, 0], [2, 2]));
    let ceil: [(&str, &[i64]); 3] = [k3s2[0], k3s2[1], ("ceil_mode", &[1])];
    assert_eq!(pool(&ceil, "").unwrap(), ([0, 0, 1, 1], [2, 2]));
    // The third window would start beyond the input.
    let ceil: [(&str, &[i64]); 4] =
        [("kernel_shape", &[2, 2]), ("strides", &[3, 3]), ("ceil_mode", &[1]), ("pads", &[1, 1, 1, 1])];
    assert_eq!(pool(&ceil, "").unwrap().1, [2, 2]);
    assert!(pool(&[("kernel_shape", &[2, 2]), ("dilations", &[2, 2])], "").unwrap_err().contains("dilations"));
    assert!(pool(&[("kernel_shape", &[2])], "").unwrap_err().contains("kernel_shape"));
    assert!(pool(&[("kernel_shape", &[2, 2]), ("strides", &[0, 1])], "").is_err());
    assert!(pool(&[("kernel_shape", &[9, 9])], "").unwrap_err().contains("does not fit"));
}

#[test]
fn branches_means_and_padding() {
    let file = File::new(&[1, 1, 2, 2], "y")
        .ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1])
        .node("Pad", &["x", "pads"], "padded", &[])
        .floats("w", &[1, 1, 3, 3], &[1.0; 9])
        .node("Conv", &["padded", "w"], "sums", &[])
        .node("Relu", &["x"], "r", &[])
        .node("Concat", &["sums", "r"], "both", &[("axis", &[1])])
        .floats("half", &[], &[0.5])
        .node("Mul", &["both", "half"], "halves", &[])
        .node("Add", &["both", "halves"], "more", &[])
        .node("GlobalAveragePool", &["more"], "means", &[])
        .ints("axes", &[2, 3])
        .node("Squeeze", &["means", "axes"], "y", &[]);
    // Nothing may be folded into what is read twice: the half is a layer of its own.
    assert_eq!(file.operators(), ["conv", "relu", "concat", "conv", "add", "avgpool"]);
    assert_eq!(file.scores(&[1.0, 2.0, -3.0, 4.0]), [1.5 * 4.0, 1.5 * 7.0 / 4.0]);
}

#[test]
fn a_residual_network_adds_in_any_order_and_gemm_is_gemm() {
    let file = File::new(&[1, 3], "y")
        .floats("w", &[3, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
        .node("Gemm", &["x", "w"], "g", &[("transB", &[1])])
        .node("Identity", &["g"], "same", &[])
        .node("Sum", &["x", "same"], "s", &[])
        .node("Relu", &["s"], "y", &[]);
    assert_eq!(file.operators(), ["fc", "add", "relu"]);
    assert_eq!(file.scores(&[1.0, -2.0, 3.0]), [2.0, 0.0, 6.0]);
    assert_eq!(run_float(&file.model(), &Array4::zeros((1, 3, 1, 1))).unwrap(), arr2(&[[0.0; 3]]));
}

#[test]
fn what_is_not_supported_is_named() {
    let unknown = network().node("LSTM", &["scores"], "odd", &[]);
    assert!(read(&unknown.bytes()).is_ok(), "what the answer does not need does not matter");
    let mut unknown = network();
    unknown.graph.node[2].op_type = "Gelu".to_owned();
    assert_eq!(unknown.complaint(), "node 'n-r' (Gelu): this operator is not supported");
    let middle = network().floats("w2", &[2, 2], &[1.0; 4]).node("MatMul", &["probabilities", "w2"], "z", &[]);
    let mut middle = middle;
    middle.graph.output[0].name = "z".to_owned();
    assert!(middle.complaint().contains("n-probabilities"), "{}", middle.complaint());
}

#[test]
fn broken_files_are_told_apart() {
    let whole = network().bytes();
    assert!(read(b"").unwrap_err().contains("no graph"));
    assert!(read(&[0xff; 100]).unwrap_err().contains("not a whole ONNX file"));
    for end in 1..whole.len() {
        assert!(read(&whole[..end]).is_err(), "{end} of {}", whole.len());
    }
    let mut circle = network();
    circle.graph.node[0].input[0] = "r".to_owned();
    assert!(circle.complaint().contains("a circle"), "{}", circle.complaint());
    let mut nowhere = network();
    nowhere.graph.node[0].input[1] = "weights".to_owned();
    assert_eq!(nowhere.complaint(), "node 'n-c' (Conv): tensor 'weights' is nowhere");
    let mut twice = network();
    twice.graph.node[1].output[0] = "c".to_owned();
    assert_eq!(twice.complaint(), "two tensors are named 'c'");
    let mut misfit = network();
    misfit.graph.initializer[0].dims = vec![1, 2, 1, 1];
    assert!(misfit.complaint().contains("1 groups of 2 channels, its input has 1"), "{}", misfit.complaint());
    let mut short = network();
    short.graph.initializer[0].raw_data.pop();
    assert!(short.complaint().starts_with("tensor 'w': "), "{}", short.complaint());
    let mut matrix = network();
    matrix.graph.initializer[6].dims = vec![2, 4];
    assert!(matrix.complaint().contains("vectors of 2"), "{}", matrix.complaint());
    let mut inputs = network();
    inputs.graph.output.clear();
    assert!(inputs.complaint().contains("exactly one output"));
    let mut open = File::new(&[0, 1, 0, 4], "y").node("Relu", &["x"], "y", &[]);
    assert!(open.complaint().contains("only the first dimension"));
    open.graph.input.clear();
    assert!(open.complaint().contains("exactly one input"));
    let mut itself = File::new(&[1, 4], "y").node("Relu", &["y"], "y", &[]);
    assert!(itself.complaint().contains("a circle"));
    itself.graph.node.clear();
    assert_eq!(itself.complaint(), "no node computes the output 'y'");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn damaged_files_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut bytes = network().bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(imported) = read(&bytes)
            && let Ok(graph) = imported.sketch.rewritten().build("t", FixedPoint::CHEETAH)
        {
            let _ = Model::new(Arc::new(graph), imported.weights);
        }
    }
}
