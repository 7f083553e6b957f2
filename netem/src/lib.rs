//! Links between parties: named profiles, the means of making a link like them, and a probe that measures what a link
//! really gives.
//!
//! A [`Profile`] says what a link is to be; [`choose()`] which [`Means`] works here; [`Link`] makes a transport behave like
//! it ([`Means::Model`]), [`Namespaces`] an interface of the kernel's ([`Means::Netem`], [`Means::Tun`]); [`probe_client`]
//! and [`probe_server`] measure a live pair of channels, and [`gate()`] compares what they saw with the profile.
//! [`price()`] is the time that a link of a profile takes for a protocol's rounds and bytes.

mod calibrate;
mod choose;
mod clock;
mod error;
mod inline;
mod model;
mod namespaces;
mod price;
mod probe;
mod profile;
mod schedule;
mod segment;
mod socket;
mod tun;
mod window;

pub use calibrate::probe_profile;
pub use choose::{Choice, choose, works};
pub use error::{Error, Result};
pub use model::Link;
pub use namespaces::{Namespaces, enter, is_own_namespace};
pub use price::{gate, gate_one_sided, price};
pub use probe::{Effort, LinkSeen, probe_client, probe_server};
pub use profile::{INITIAL_WINDOW_BYTES, Means, Profile};
pub use socket::{TcpSeen, retransmits, set_tcp, tcp_seen};
pub use window::fresh_transfer;
