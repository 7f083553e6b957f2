//! Reads ONNX files: networks for classification of the operators that the graph has, with batch norm and other affine
//! operators folded into the layer before them.
//!
//! Read are Conv, Gemm, MatMul, Relu, MaxPool, AveragePool, GlobalAveragePool, GlobalMaxPool, ReduceMean over height and
//! width, Add, Sum, Sub, Mul, Div (with constants), BatchNormalization, Concat, Flatten, Reshape, Squeeze, Unsqueeze,
//! Transpose between channels first and last, Pad with zeros, Constant, Identity, Dropout, Cast, and Softmax or LogSoftmax
//! at the end, where they are dropped: the scores before them have the same order. Anything else is an error that names
//! node and operator.

mod attributes;
mod network;
mod operators;
mod proto;
mod tensor;

use prost::Message;

use crate::Weights;
use crate::sketch::Sketch;

/// What is wrong with a file is a sentence; who knows the path adds it.
type Read<T> = std::result::Result<T, String>;

/// A network and its weights as they stand in a file.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) sketch: Sketch,
    pub(crate) weights: Weights,
}

/// Reads a file.
///
/// # Errors
/// If it is truncated or no ONNX file, its nodes form a circle or need a tensor that is nowhere, shapes do not fit, or an
/// operator is not supported.
pub(crate) fn read(bytes: &[u8]) -> Read<Imported> {
    let model = proto::ModelProto::decode(bytes).map_err(|e| format!("not a whole ONNX file: {e}"))?;
    let graph = model.graph.ok_or("not an ONNX file: it holds no graph")?;
    network::import(&graph)
}

#[cfg(test)]
mod tests;
