//! Public keys that both parties derive from the transcript of the base OTs.

use crate::block::{BLOCK_BYTES, Block};

/// The name of one pair of endpoints: contributions of both parties went into it, so no two sessions share a hash.
pub(crate) struct Session([u8; 32]);

impl Session {
    pub(crate) fn new(digest: [u8; 32]) -> Self {
        Self(blake3::derive_key("si-ot: keys of a session", &digest))
    }

    /// A public key for one purpose.
    pub(crate) fn key(&self, purpose: &str) -> Block {
        let mut bytes = [0; BLOCK_BYTES];
        self.transcript(purpose).finalize_xof().fill(&mut bytes);
        Block::from_le_bytes(bytes)
    }

    /// A random oracle for one purpose, or the start of a transcript.
    pub(crate) fn transcript(&self, purpose: &str) -> blake3::Hasher {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes());
        hasher
    }
}
