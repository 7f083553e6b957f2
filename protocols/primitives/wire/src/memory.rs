//! A transport between two threads, for tests and kernels' benchmarks.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::{Error, Result, Transport};

/// Two connected ends, named after the peer that each one talks to.
///
/// `timeout` bounds every wait for the peer, so that a test of a broken protocol fails instead of hanging.
#[must_use]
pub fn memory_pair(first: &str, second: &str, timeout: Duration) -> (Box<dyn Transport>, Box<dyn Transport>) {
    let (to_second, from_first) = channel();
    let (to_first, from_second) = channel();
    let end = |peer: &str, tx, rx| {
        Box::new(Memory { peer: peer.to_owned(), tx, rx, current: Vec::new(), taken: 0, timeout }) as Box<dyn Transport>
    };
    (end(second, to_second, from_second), end(first, to_first, from_first))
}

struct Memory {
    peer: String,
    tx: Sender<Vec<u8>>,
    rx: Receiver<Vec<u8>>,
    current: Vec<u8>,
    taken: usize,
    timeout: Duration,
}

impl Transport for Memory {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.tx.send(bytes).map_err(|_| Error::Closed { peer: self.peer.clone() })
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            if self.taken == self.current.len() {
                self.current = self.rx.recv_timeout(self.timeout).map_err(|e| match e {
                    RecvTimeoutError::Timeout => Error::Timeout { peer: self.peer.clone(), waited: self.timeout },
                    RecvTimeoutError::Disconnected => Error::Closed { peer: self.peer.clone() },
                })?;
                self.taken = 0;
            }
            let n = (self.current.len() - self.taken).min(buf.len() - filled);
            buf[filled..filled + n].copy_from_slice(&self.current[self.taken..self.taken + n]);
            filled += n;
            self.taken += n;
        }
        Ok(())
    }

    fn peer(&self) -> &str {
        &self.peer
    }
}
