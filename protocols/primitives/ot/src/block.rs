//! 128-bit blocks: the unit of every correlation, read little-endian from bytes; as elements of GF(2^128) they are
//! polynomials modulo x^128 + x^7 + x^2 + x + 1, bit i the coefficient of x^i.

use rand::Rng;

/// 128 bits.
pub type Block = u128;

/// Bytes of a block.
pub(crate) const BLOCK_BYTES: usize = 16;

/// Clears the lowest bit, which carries the receiver's choice.
pub(crate) const CLEAR_LSB: Block = !1;

/// A uniform block.
pub(crate) fn random(rng: &mut impl Rng) -> Block {
    let mut bytes = [0; BLOCK_BYTES];
    rng.fill_bytes(&mut bytes);
    Block::from_le_bytes(bytes)
}

/// All ones if the lowest bit of `bit` is set, else zero.
pub(crate) const fn mask(bit: Block) -> Block {
    (bit & 1).wrapping_neg()
}

/// The product with x in GF(2^128).
pub(crate) const fn times_x(a: Block) -> Block {
    (a << 1) ^ (mask(a >> 127) & 0x87)
}

/// Appends blocks, little-endian.
pub(crate) fn encode(blocks: &[Block], out: &mut Vec<u8>) {
    out.extend(blocks.iter().flat_map(|b| b.to_le_bytes()));
}

/// The blocks in a byte string; a rest of less than a block is ignored.
pub(crate) fn decode(bytes: &[u8]) -> impl Iterator<Item = Block> + '_ {
    bytes.as_chunks::<BLOCK_BYTES>().0.iter().map(|b| Block::from_le_bytes(*b))
}
