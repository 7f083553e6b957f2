//! Transposition of squares of 128 x 128 bits. Twin: `transpose.rs`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Level;
use crate::block::Block;

/// Bit r of `columns[c]` becomes bit c of `rows[r]`.
///
/// # Panics
/// At the scalar level.
pub(crate) fn square(level: Level, columns: &[Block; 128], rows: &mut [Block; 128]) {
    // SAFETY: the level says that the processor has the instructions.
    unsafe {
        match level {
            Level::Avx512 => wide(columns, rows),
            Level::Avx2 => narrow(columns, rows),
            Level::Scalar => unreachable!("the scalar level has its own code"),
        }
    }
}

/// Stage of a transposition of 16 x 16 bytes: interleaves registers i and i + 8.
macro_rules! interleave {
    ($x:ident, $low:ident, $high:ident) => {
        let mut y = $x;
        for i in 0..8 {
            y[2 * i] = $low($x[i], $x[i + 8]);
            y[2 * i + 1] = $high($x[i], $x[i + 8]);
        }
        $x = y;
    };
}

/// For every 8 columns the 16 squares of 8 x 8 bits are brought together by a permutation and transposed by one
/// instruction; what is left is a transposition of bytes.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
unsafe fn wide(columns: &[Block; 128], rows: &mut [Block; 128]) {
    // Byte 8 b + i of the result comes from byte b of column 7 - i; the instruction wants the rows in this order.
    let mut from = [0u8; 128];
    for (n, f) in from.iter_mut().enumerate() {
        *f = (16 * (7 - n % 8) + n / 8) as u8;
    }
    // SAFETY: all loads and stores are within the arrays: 64 bytes of 128, four blocks of 128, one block of 128.
    unsafe {
        let from = [_mm512_loadu_si512(from.as_ptr().cast()), _mm512_loadu_si512(from.as_ptr().add(64).cast())];
        let units = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
        for (half, from) in from.into_iter().enumerate() {
            // Register g, byte r: columns 8 g .. 8 g + 8 of row 64 half + r.
            let mut x = [_mm512_setzero_si512(); 16];
            for (g, x) in x.iter_mut().enumerate() {
                let first = _mm512_loadu_si512(columns.as_ptr().add(8 * g).cast());
                let second = _mm512_loadu_si512(columns.as_ptr().add(8 * g + 4).cast());
                let squares = _mm512_permutex2var_epi8(first, from, second);
                *x = _mm512_gf2p8affine_epi64_epi8::<0>(units, squares);
            }
            // Within each quarter: register g, byte k to register k, byte g.
            interleave!(x, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8);
            interleave!(x, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8);
            interleave!(x, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8);
            interleave!(x, _mm512_unpacklo_epi8, _mm512_unpackhi_epi8);
            for (k, x) in x.into_iter().enumerate() {
                let to = rows.as_mut_ptr().add(64 * half + k);
                _mm_storeu_si128(to.cast(), _mm512_extracti32x4_epi32::<0>(x));
                _mm_storeu_si128(to.add(16).cast(), _mm512_extracti32x4_epi32::<1>(x));
                _mm_storeu_si128(to.add(32).cast(), _mm512_extracti32x4_epi32::<2>(x));
                _mm_storeu_si128(to.add(48).cast(), _mm512_extracti32x4_epi32::<3>(x));
            }
        }
    }
}

/// For every 32 columns the bytes are transposed, then the sign bits of 32 bytes collected, eight times.
#[target_feature(enable = "avx2")]
unsafe fn narrow(columns: &[Block; 128], rows: &mut [Block; 128]) {
    let mut words = [[0u32; 4]; 128];
    for (group, columns) in columns.as_chunks::<32>().0.iter().enumerate() {
        let mut x = [_mm256_setzero_si256(); 16];
        for (j, x) in x.iter_mut().enumerate() {
            // SAFETY: loads of 16 bytes from blocks.
            *x = unsafe {
                let low = _mm_loadu_si128(std::ptr::from_ref(&columns[j]).cast());
                let high = _mm_loadu_si128(std::ptr::from_ref(&columns[j + 16]).cast());
                _mm256_set_m128i(high, low)
            };
        }
        interleave!(x, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8);
        interleave!(x, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8);
        interleave!(x, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8);
        interleave!(x, _mm256_unpacklo_epi8, _mm256_unpackhi_epi8);
        for (b, x) in x.iter_mut().enumerate() {
            for i in (0..8).rev() {
                words[8 * b + i][group] = _mm256_movemask_epi8(*x) as u32;
                *x = _mm256_add_epi8(*x, *x);
            }
        }
    }
    *rows = bytemuck::cast(words);
}
