//! Messages between the parties of a protocol: roles, transports, framed and metered channels.
//!
//! A [`Channel`] owns a [`Transport`] (memory, TCP, or a shaped link built elsewhere), frames messages, and counts
//! bytes, messages and rounds into a [`Meter`], in the phase and under the label that the party has entered. What is
//! counted is payload plus our own framing, without TCP/IP headers, the same for every protocol.

mod channel;
mod error;
mod memory;
mod message;
mod meter;
mod role;
mod tcp;
mod transport;
mod turns;

pub use channel::{Channel, FRAME_HEADER_BYTES, MAX_MESSAGE_BYTES};
pub use error::{Error, Result};
pub use memory::memory_pair;
pub use message::{Message, Reader, put_bytes, put_u32, put_u64};
pub use meter::{Entry, Meter, Phase, Scope, Totals};
pub use role::Role;
pub use tcp::{TcpTransport, read_some};
pub use transport::Transport;
pub use turns::Turns;
