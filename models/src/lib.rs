//! Networks as data: a public [`Graph`] (operators, shapes, fixed-point format), the server's [`Weights`], and the two
//! reference executors that every protocol is measured against: [`run_float()`] and, the oracle, [`run_fixed()`]. The
//! [`zoo`] knows models by name.
//!
//! ```
//! use si_models::{encode_input, label, run_fixed, zoo};
//! let model = zoo::model("mnist-cnn4")?;
//! let blank = ndarray::Array4::zeros((1, 1, 28, 28));
//! let scores = run_fixed(&model, &encode_input(model.graph(), &blank))?;
//! assert!(label(scores.row(0).iter().copied()) < model.graph().classes());
//! # Ok::<(), si_models::Error>(())
//! ```
//!
//! Both parties hold the graph; the weights are the server's alone. They are different types, so client code cannot
//! touch them. Tensors are `ndarray`, batch first (n, c, h, w), everywhere.

mod architectures;
mod bounds;
mod error;
mod graph;
mod hash;
mod model;
mod onnx;
mod operators;
mod pickle;
mod rewrite;
mod run_fixed;
mod run_float;
mod sketch;
mod tolerance;
mod walk;
mod weights_file;
mod widen;
pub mod zoo;

pub use bounds::{score_error_bound, worst_case_ranges};
pub use error::{Error, Result};
pub use graph::{FixedPoint, Graph, GraphBuilder, Node, Op, Shape, ValueId, Window};
pub use hash::{sha256_hex, sha256_mismatch};
pub use model::{FixedLayer, Layer, Model, Weights};
pub use run_fixed::{NodeRange, encode_input, label, label_within, run_fixed, run_fixed_ranges, run_fixed_with};
pub use run_float::run_float;
pub use tolerance::score_tolerance;
