//! The seam between protocols and everything else.
//!
//! Level one is the black box: a [`Protocol`] makes a [`Client`] and a [`Server`] that turn a batch of queries into
//! answers. Level two is for protocols on secret shares: implement [`Kernels`] for one party's side of each operator,
//! and [`Evaluator`] walks the graph, meters each operator and is a [`Client`] and a [`Server`].
//!
//! A batch is the unit of work everywhere: rounds, weight transforms and OT extension are shared by its inferences.

mod card;
mod cost;
mod error;
mod evaluator;
mod kernels;
mod party;
mod protocol;
pub mod windows;

pub use card::{Adversary, Card, Offers, Rounding};
pub use cost::{Cost, CostLine, HomomorphicWork};
pub use error::{Error, Result};
pub use evaluator::{Evaluator, check_shapes};
pub use kernels::{Kernels, Share};
pub use party::{Options, Party, Reveal, Seed, Truncation};
pub use protocol::{Answer, Client, Helper, Protocol, Server};

pub use si_models::{FixedPoint, Graph, Model, Node, Op, Shape, Window};
pub use si_wire::{Channel, Entry, Error as WireError, Meter, Phase, Role, Totals};
