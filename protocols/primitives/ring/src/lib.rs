//! Arithmetic in Z_2^l for l up to 64, fixed-point numbers in it, packed bit vectors, and the packing of l-bit
//! values into bytes for the wire. Nothing here depends on secret values in its timing: all operations are
//! straight-line word arithmetic.

mod bits;
mod pack;
mod ring2k;

pub use bits::Bits;
pub use pack::{pack, packed_len, unpack, unpack_into};
pub use ring2k::{Error, Ring};
