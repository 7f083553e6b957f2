//! The shape of a conversation: how many messages went each way, and how long each was. It is what the other party sees
//! without opening anything, so where positions must look alike, shapes must be equal.

use std::sync::{Arc, Mutex, PoisonError};

use ndarray::Array3;
use si_api::{Model, Options, Protocol};
use si_wire::{FRAME_HEADER_BYTES, Result, Transport};

use crate::Verdict;
use crate::pair::{Conditions, Seeds, run};

/// Payload lengths of the messages of each direction, in order, set-up included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// From the client to the server.
    pub up: Vec<usize>,
    /// From the server to the client.
    pub down: Vec<usize>,
}

/// A transport that notes the lengths of what is sent through it.
struct Noted {
    inner: Box<dyn Transport>,
    /// Bytes of a message that is not complete yet.
    pending: Vec<u8>,
    lengths: Arc<Mutex<Vec<usize>>>,
}

impl Transport for Noted {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.pending.extend(&bytes);
        let mut taken = 0;
        while let Some((header, rest)) = self.pending[taken..].split_first_chunk::<FRAME_HEADER_BYTES>() {
            let len = u32::from_le_bytes(*header) as usize;
            if rest.len() < len {
                break;
            }
            taken += FRAME_HEADER_BYTES + len;
            self.lengths.lock().unwrap_or_else(PoisonError::into_inner).push(len);
        }
        self.pending.drain(..taken);
        self.inner.send(bytes)
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<()> {
        self.inner.recv(buf)
    }

    fn peer(&self) -> &str {
        self.inner.peer()
    }
}

/// The shape of an honest session of one batch.
///
/// # Errors
/// If a party fails.
pub fn shape(
    protocol: &Arc<dyn Protocol>,
    model: &Arc<Model>,
    queries: &[Array3<i64>],
    options: Options,
    seeds: Seeds,
) -> Verdict<Shape> {
    let [up, down]: [Arc<Mutex<Vec<usize>>>; 2] = Default::default();
    let noted = |inner, lengths: &Arc<_>| -> Box<dyn Transport> {
        Box::new(Noted { inner, pending: Vec::new(), lengths: Arc::clone(lengths) })
    };
    let conditions = Conditions::new(options, seeds);
    let ends = |client, server| (noted(client, &up), noted(server, &down));
    run(protocol, protocol, model, &[queries.to_vec()], conditions, &ends).both()?;
    let lengths = |of: &Mutex<Vec<usize>>| of.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Shape { up: lengths(&up), down: lengths(&down) })
}
