//! A hash of the bytes on the wire. With fixed seeds it is a constant of a protocol; a test pins it, so that a
//! refactor cannot change communication unseen. When the change is meant, the test's message shows the new digest.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::Array3;
use si_api::{Model, Options, Protocol};
use si_wire::{Result, Transport};

use crate::Verdict;
use crate::pair::{Conditions, Seeds, run};

/// Hash of everything that one party has sent: framing included, however it was cut into writes.
#[derive(Clone, Default)]
pub struct StreamHash(Arc<Mutex<blake3::Hasher>>);

impl StreamHash {
    /// The first 128 bits of the hash so far, in hexadecimal.
    #[must_use]
    pub fn hex(&self) -> String {
        let hash = self.0.lock().unwrap_or_else(PoisonError::into_inner).finalize();
        hash.to_hex()[..32].to_owned()
    }
}

/// A transport that hashes what is sent through it.
pub struct Hashed {
    inner: Box<dyn Transport>,
    hash: StreamHash,
}

impl Hashed {
    /// Wraps a transport; the hash can be read while it runs.
    #[must_use]
    pub fn new(inner: Box<dyn Transport>, hash: StreamHash) -> Self {
        Self { inner, hash }
    }
}

impl Transport for Hashed {
    fn send(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.hash.0.lock().unwrap_or_else(PoisonError::into_inner).update(&bytes);
        self.inner.send(bytes)
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<()> {
        self.inner.recv(buf)
    }

    fn peer(&self) -> &str {
        self.inner.peer()
    }
}

/// Hashes of both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireDigest {
    /// From the client to the server.
    pub up: String,
    /// From the server to the client.
    pub down: String,
}

/// As a test pins it.
impl fmt::Display for WireDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.up, self.down)
    }
}

/// The digest of one honest batch over a single lane, set-up included.
///
/// # Errors
/// If a party fails.
pub fn wire_digest(
    protocol: &Arc<dyn Protocol>,
    model: &Arc<Model>,
    queries: &[Array3<i64>],
    options: Options,
    seeds: Seeds,
) -> Verdict<WireDigest> {
    digest_of_lane(protocol, model, queries, Conditions::new(options, seeds))
}

/// The digest of the lane that the conditions name as tampered with; nothing is changed on it.
///
/// # Errors
/// If a party fails.
pub fn digest_of_lane(
    protocol: &Arc<dyn Protocol>,
    model: &Arc<Model>,
    queries: &[Array3<i64>],
    conditions: Conditions,
) -> Verdict<WireDigest> {
    let (up, down) = (StreamHash::default(), StreamHash::default());
    let hashed = |inner, hash: &StreamHash| Box::new(Hashed::new(inner, hash.clone())) as Box<dyn Transport>;
    run(protocol, protocol, model, &[queries.to_vec()], conditions, &|client, server| {
        (hashed(client, &up), hashed(server, &down))
    })
    .both()?;
    Ok(WireDigest { up: up.hex(), down: down.hex() })
}
