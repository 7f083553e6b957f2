//! Correlated OTs in stock.

use zeroize::Zeroize;

use crate::block::Block;
use crate::{Error, Result};

/// A stack of blocks: both sides take from the end, so what lies at one side's end belongs to what lies at the other's.
///
/// Space that was used once is kept and written over without being cleared in between; all of it is wiped at the end.
#[derive(Default)]
pub(crate) struct Buffer {
    blocks: Vec<Block>,
    filled: usize,
}

impl Buffer {
    pub(crate) fn len(&self) -> usize {
        self.filled
    }

    /// Space for `n` blocks at the end, with any content; the caller fills it.
    ///
    /// # Errors
    /// If the system has no memory for them.
    pub(crate) fn add(&mut self, n: usize) -> Result<&mut [Block]> {
        let end = self.filled + n;
        if end > self.blocks.len() {
            self.blocks.try_reserve_exact(end - self.blocks.len()).map_err(|_| Error::Limit {
                what: "buffered correlated OTs (the system has no memory left)",
                requested: end,
                limit: self.blocks.len(),
            })?;
            self.blocks.resize(end, 0);
        }
        let at = std::mem::replace(&mut self.filled, end);
        Ok(&mut self.blocks[at..end])
    }

    /// Moves all blocks of another stock here; it keeps its memory.
    ///
    /// # Errors
    /// If the system has no memory for them.
    pub(crate) fn append(&mut self, other: &mut Self) -> Result<()> {
        if self.filled == 0 {
            std::mem::swap(self, other);
            return Ok(());
        }
        let n = other.len();
        self.add(n)?.copy_from_slice(other.take(n));
        Ok(())
    }

    /// The last `n` blocks, which are no longer in stock: the caller may write over them.
    ///
    /// # Panics
    /// If there are fewer.
    pub(crate) fn take(&mut self, n: usize) -> &mut [Block] {
        self.filled -= n;
        &mut self.blocks[self.filled..self.filled + n]
    }

    /// All blocks in stock.
    pub(crate) fn filled(&self) -> &[Block] {
        &self.blocks[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.blocks.zeroize();
    }
}
