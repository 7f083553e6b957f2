//! The rows of the 10-local code. Twin: `ferret/lpn.rs`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Level;
use crate::block::Block;

/// Ones of a row.
const LOCALITY: usize = 10;

/// Adds to each row of `out` the ten entries of `secret` that its ten words of `stream` name, reduced modulo the length
/// of `secret`, a power of two. The words are written over.
///
/// Positions are public: they are addresses. The processor looks far enough ahead to have the entries of several rows
/// on their way at once; prefetches on top of that made it slower (measured on Zen 5).
///
/// # Panics
/// If the lengths do not fit, or at the scalar level.
pub(crate) fn add(level: Level, stream: &mut [u32], secret: &[Block], out: &mut [Block]) {
    assert!(secret.len().is_power_of_two() && secret.len() <= 1 << 28, "positions are drawn by masking");
    assert_eq!(stream.len(), LOCALITY * out.len(), "ten words for each row");
    // SAFETY: the level says that the processor has the instructions; the lengths have been checked.
    unsafe {
        match level {
            Level::Avx512 => wide(stream, secret, out),
            Level::Avx2 => narrow(stream, secret, out),
            Level::Scalar => unreachable!("the scalar level has its own code"),
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn wide(stream: &mut [u32], secret: &[Block], out: &mut [Block]) {
    // SAFETY: as promised by the caller.
    unsafe { rows(stream, secret, out) }
}

#[target_feature(enable = "avx2")]
unsafe fn narrow(stream: &mut [u32], secret: &[Block], out: &mut [Block]) {
    // SAFETY: as promised by the caller.
    unsafe { rows(stream, secret, out) }
}

/// Compiled once for each set of instructions.
///
/// # Safety
/// The length of `secret` is a power of two, and `stream` has ten words for each row.
#[inline(always)]
unsafe fn rows(stream: &mut [u32], secret: &[Block], out: &mut [Block]) {
    // Byte offsets for all rows first, in straight vector code.
    let mask = (secret.len() - 1) as u32;
    for word in &mut *stream {
        *word = (*word & mask) << 4;
    }
    let base: *const u8 = secret.as_ptr().cast();
    for (row, offsets) in out.iter_mut().zip(stream.as_chunks::<LOCALITY>().0) {
        // SAFETY: every offset is that of a block of `secret`; SSE2 is part of x86-64.
        unsafe {
            let at = |j: usize| _mm_load_si128(base.add(offsets[j] as usize).cast());
            let a = _mm_xor_si128(at(0), at(1));
            let b = _mm_xor_si128(at(2), at(3));
            let c = _mm_xor_si128(at(4), at(5));
            let d = _mm_xor_si128(at(6), at(7));
            let e = _mm_xor_si128(at(8), at(9));
            let row: *mut __m128i = std::ptr::from_mut(row).cast();
            let sum = _mm_xor_si128(_mm_xor_si128(a, b), _mm_xor_si128(c, d));
            _mm_store_si128(row, _mm_xor_si128(_mm_xor_si128(sum, e), _mm_load_si128(row)));
        }
    }
}
