//! Transposition of bit matrices of 128 columns: the step from the columns of an extension to one block per OT.

use crate::block::Block;
use crate::simd::Level;
#[cfg(target_arch = "x86_64")]
use crate::simd::transpose_x86;

/// Rows of the matrix with columns `columns[c * stride..][..stride]` (128 rows a block): bit c of row r is bit r of
/// column c.
pub(crate) fn transpose(columns: &[Block], stride: usize, rows: &mut [Block]) {
    debug_assert_eq!((columns.len(), rows.len()), (128 * stride, 128 * stride));
    let mut square = [0; 128];
    let level = Level::detect();
    for (group, out) in rows.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        for (c, s) in square.iter_mut().enumerate() {
            *s = columns[c * stride + group];
        }
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 | Level::Avx512 => transpose_x86::square(level, &square, out),
            _ => {
                transpose_square(&mut square);
                *out = square;
            }
        }
    }
}

/// In place, by exchanging halves, quarters, ... (Hacker's Delight, section 7-3).
fn transpose_square(a: &mut [Block; 128]) {
    let mut j = 64;
    let mut mask = Block::from(u64::MAX);
    while j != 0 {
        for block in (0..128).step_by(2 * j) {
            for k in block..block + j {
                let t = ((a[k] >> j) ^ a[k + j]) & mask;
                a[k + j] ^= t;
                a[k] ^= t << j;
            }
        }
        j >>= 1;
        mask ^= mask << j;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_lands_in_its_place() {
        for stride in [1, 3] {
            let mut x = 1u128;
            let columns: Vec<Block> = (0..128 * stride)
                .map(|_| {
                    x = x.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(99);
                    x ^ x >> 64
                })
                .collect();
            let mut rows = vec![0; 128 * stride];
            for level in Level::all() {
                level.force(|| transpose(&columns, stride, &mut rows));
                for (r, row) in rows.iter().enumerate() {
                    for c in 0..128 {
                        let bit = columns[c * stride + r / 128] >> (r % 128) & 1;
                        assert_eq!(row >> c & 1, bit, "{level:?} row {r} column {c}");
                    }
                }
            }
        }
    }
}
