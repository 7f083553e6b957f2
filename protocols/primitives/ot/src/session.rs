//! Public keys that both parties derive from the transcript of the base OTs.

use crate::block::{BLOCK_BYTES, Block};

/// The name of one pair of endpoints: contributions of both parties went into it, so no two sessions share a hash.
pub(crate) struct Session([u8; 32]);

impl Session {
    pub(crate) fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// A public key for one purpose.
    pub(crate) fn key(&self, purpose: &str) -> Block {
        let mut bytes = [0; BLOCK_BYTES];
        blake3::Hasher::new_keyed(&self.0).update(purpose.as_bytes()).finalize_xof().fill(&mut bytes);
        Block::from_le_bytes(bytes)
    }
}
