//! Networks as data: a public [`Graph`] (operators, shapes, fixed-point format), the server's [`Weights`], and the two
//! reference executors that every protocol is measured against.
//!
//! Both parties hold the graph; the weights are the server's alone. They are different types, so client code cannot
//! touch them. Tensors are `ndarray`, batch first (n, c, h, w), everywhere.

mod error;
mod graph;
mod model;

pub use error::{Error, Result};
pub use graph::{FixedPoint, Graph, GraphBuilder, Node, Op, Shape, ValueId, Window};
pub use model::{FixedLayer, Layer, Model, Weights};
