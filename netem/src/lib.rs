//! Links between parties: named profiles, an emulated link inside the transport, and a probe that measures what a link
//! really gives.
//!
//! A [`Profile`] says what a link is to be; [`Link`] makes a transport behave like it; [`probe_client`] and
//! [`probe_server`] measure a live pair of channels, and [`gate()`] compares what they saw with the profile.
//! [`price()`] is the time that a link of a profile takes for a protocol's rounds and bytes.

mod clock;
mod error;
mod model;
mod price;
mod probe;
mod profile;
mod schedule;
mod segment;
mod window;

pub use error::{Error, Result};
pub use model::Link;
pub use price::{gate, price};
pub use probe::{Effort, LinkSeen, probe_client, probe_profile, probe_server};
pub use profile::{INITIAL_WINDOW_BYTES, Means, Profile};
pub use window::fresh_transfer;
