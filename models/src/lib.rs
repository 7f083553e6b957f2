//! Networks as data: a public [`Graph`] (operators, shapes, fixed-point format), the server's [`Weights`], and the two
//! reference executors that every protocol is measured against.
//!
//! Both parties hold the graph; the weights are the server's alone. They are different types, so client code cannot
//! touch them. Tensors are `ndarray`, batch first (n, c, h, w), everywhere.

mod error;
mod graph;
mod hash;
mod model;
mod operators;
mod run_fixed;
mod run_float;
mod walk;
mod weights_file;
pub mod zoo;

pub use error::{Error, Result};
pub use graph::{FixedPoint, Graph, GraphBuilder, Node, Op, Shape, ValueId, Window};
pub use hash::{sha256_hex, sha256_mismatch};
pub use model::{FixedLayer, Layer, Model, Weights};
pub use run_fixed::{NodeRange, encode_input, label, run_fixed, run_fixed_ranges, run_fixed_with};
pub use run_float::run_float;
