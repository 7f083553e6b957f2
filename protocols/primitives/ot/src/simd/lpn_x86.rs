//! The rows of the 10-local code: positions drawn ahead, entries prefetched. Twin: `ferret/lpn.rs`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::aes_x86::X86Aes;
use crate::block::Block;

/// Ones of a row.
const LOCALITY: usize = 10;

/// Rows whose positions are drawn together (local); even, since two rows take five blocks.
pub(crate) const BATCH: usize = 32;

/// Words of a batch.
const WORDS: usize = BATCH * LOCALITY;

/// Adds rows `first_row..` of the code applied to `secret` to `out`; position j of row i is word 10 i + j of the stream,
/// reduced modulo the length of `secret`, a power of two.
///
/// Positions are public: they are addresses. While a batch is summed, the entries of the next one are on their way.
pub(crate) fn add(stream: &X86Aes, first_row: u64, secret: &[Block], out: &mut [Block]) {
    assert!(secret.len().is_power_of_two() && first_row.is_multiple_of(2) && out.len().is_multiple_of(2));
    let mask = (secret.len() - 1) as u32;
    let mut batches = [[0; WORDS / 4]; 2];
    let draw = |row: usize, len: usize, words: &mut [Block; WORDS / 4]| {
        stream.ctr((first_row + row as u64) / 2 * 5, &mut words[..len.min(BATCH) * LOCALITY / 4]);
    };
    let total = out.len();
    draw(0, total, &mut batches[0]);
    for (n, rows) in out.chunks_mut(BATCH).enumerate() {
        let (now, next) = {
            let (a, b) = batches.split_at_mut(1);
            if n % 2 == 0 { (&a[0], &mut b[0]) } else { (&b[0], &mut a[0]) }
        };
        let after = (n + 1) * BATCH;
        if after < total {
            draw(after, total - after, next);
            let next: &[u32] = bytemuck::cast_slice(&next[..]);
            for p in &next[..(total - after).min(BATCH) * LOCALITY] {
                // SAFETY: the position is below the length; a prefetch has no effect that can be seen.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(secret.as_ptr().add((p & mask) as usize).cast()) };
            }
        }
        let now: &[u32] = bytemuck::cast_slice(&now[..]);
        for (row, p) in rows.iter_mut().zip(now.chunks_exact(LOCALITY)) {
            // SAFETY: SSE2 is part of x86-64; every position is below the length of `secret`.
            unsafe {
                let at = |j: usize| _mm_loadu_si128(secret.as_ptr().add((p[j] & mask) as usize).cast());
                let a = _mm_xor_si128(at(0), at(1));
                let b = _mm_xor_si128(at(2), at(3));
                let c = _mm_xor_si128(at(4), at(5));
                let d = _mm_xor_si128(at(6), at(7));
                let e = _mm_xor_si128(at(8), at(9));
                let row: *mut __m128i = std::ptr::from_mut(row).cast();
                let sum = _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d));
                _mm_storeu_si128(row, _mm_xor_si128(_mm_xor_si128(sum, e), _mm_loadu_si128(row)));
            }
        }
    }
}
