//! Cheetah: two-party secure inference against semi-honest adversaries. See the README for the map from the paper's
//! sections to these files, and for what differs.

mod cheatable;
mod cost;
mod error;
mod kernels;
mod linear;
mod protocol;
mod widths;

pub use cheatable::InsecureOpened;
pub use protocol::Cheetah;
pub use si_ot::Extension;
