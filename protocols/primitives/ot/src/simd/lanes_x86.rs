//! One register of blocks, and groups of them: the operations that the AES kernels are written in.
//!
//! Loops over registers are written out: a closure would be a function of its own, without the instructions.
#![allow(unsafe_code, clippy::needless_range_loop)]

use std::arch::x86_64::*;

use crate::block::Block;

/// Registers of a group, which fill the pipeline.
pub(super) const UNROLL: usize = 8;

/// A register of one or four blocks.
///
/// # Safety
/// The methods may be called only where the processor has the instructions: AES-NI and SSE4.1 for `__m128i`, AVX-512 F,
/// BW, DQ and VAES for `__m512i`. They are inlined into kernels that enable them. Pointers need no alignment.
pub(super) trait Lane: Copy {
    /// Blocks in a register.
    const BLOCKS: usize;

    unsafe fn load(from: *const Block) -> Self;
    unsafe fn store(self, to: *mut Block);
    unsafe fn splat(x: Block) -> Self;
    /// first, first + 1, ...
    unsafe fn count_from(first: u64) -> Self;
    /// Adds to the lower halves of the blocks.
    unsafe fn add_low(self, x: u64) -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    unsafe fn and(self, other: Self) -> Self;
    unsafe fn round(self, key: Self) -> Self;
    unsafe fn last_round(self, key: Self) -> Self;
    /// L || R -> (L ^ R) || L.
    unsafe fn sigma(self) -> Self;
    /// XORs `value` into the blocks whose counter in `counters` is `here`.
    unsafe fn xor_at(self, counters: Self, here: Self, value: Self) -> Self;
    /// The XOR of all blocks.
    unsafe fn sum(self) -> Block;
}

impl Lane for __m128i {
    const BLOCKS: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const Block) -> Self {
        unsafe { _mm_loadu_si128(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut Block) {
        unsafe { _mm_storeu_si128(to.cast(), self) }
    }
    #[inline(always)]
    unsafe fn splat(x: Block) -> Self {
        unsafe { _mm_set_epi64x((x >> 64) as i64, x as i64) }
    }
    #[inline(always)]
    unsafe fn count_from(first: u64) -> Self {
        unsafe { _mm_set_epi64x(0, first as i64) }
    }
    #[inline(always)]
    unsafe fn add_low(self, x: u64) -> Self {
        unsafe { _mm_add_epi64(self, _mm_set_epi64x(0, x as i64)) }
    }
    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        unsafe { _mm_xor_si128(self, other) }
    }
    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        unsafe { _mm_and_si128(self, other) }
    }
    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        unsafe { _mm_aesenc_si128(self, key) }
    }
    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        unsafe { _mm_aesenclast_si128(self, key) }
    }
    #[inline(always)]
    unsafe fn sigma(self) -> Self {
        unsafe {
            // R || L exchanged, then L added to the upper half.
            let swapped = _mm_shuffle_epi32::<0b0100_1110>(self);
            _mm_xor_si128(swapped, _mm_and_si128(self, _mm_set_epi64x(-1, 0)))
        }
    }
    #[inline(always)]
    unsafe fn xor_at(self, counters: Self, here: Self, value: Self) -> Self {
        unsafe {
            let equal = _mm_cmpeq_epi64(counters, here);
            // The upper halves are equal always: the lower one's verdict is copied over.
            let equal = _mm_shuffle_epi32::<0b0100_0100>(equal);
            _mm_xor_si128(self, _mm_and_si128(equal, value))
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> Block {
        let mut out = 0;
        unsafe { self.store(&mut out) };
        out
    }
}

impl Lane for __m512i {
    const BLOCKS: usize = 4;

    #[inline(always)]
    unsafe fn load(from: *const Block) -> Self {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut Block) {
        unsafe { _mm512_storeu_si512(to.cast(), self) }
    }
    #[inline(always)]
    unsafe fn splat(x: Block) -> Self {
        unsafe { _mm512_broadcast_i64x2(_mm_set_epi64x((x >> 64) as i64, x as i64)) }
    }
    #[inline(always)]
    unsafe fn count_from(first: u64) -> Self {
        unsafe { _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0).add_low(first) }
    }
    #[inline(always)]
    unsafe fn add_low(self, x: u64) -> Self {
        unsafe { _mm512_mask_add_epi64(self, 0b0101_0101, self, _mm512_set1_epi64(x as i64)) }
    }
    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        unsafe { _mm512_xor_si512(self, other) }
    }
    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        unsafe { _mm512_and_si512(self, other) }
    }
    #[inline(always)]
    unsafe fn round(self, key: Self) -> Self {
        unsafe { _mm512_aesenc_epi128(self, key) }
    }
    #[inline(always)]
    unsafe fn last_round(self, key: Self) -> Self {
        unsafe { _mm512_aesenclast_epi128(self, key) }
    }
    #[inline(always)]
    unsafe fn sigma(self) -> Self {
        unsafe {
            let swapped = _mm512_shuffle_epi32::<0b0100_1110>(self);
            _mm512_mask_xor_epi64(swapped, 0b1010_1010, swapped, self)
        }
    }
    #[inline(always)]
    unsafe fn xor_at(self, counters: Self, here: Self, value: Self) -> Self {
        unsafe {
            let low = _mm512_cmpeq_epi64_mask(counters, here) & 0b0101_0101;
            _mm512_mask_xor_epi64(self, low | low << 1, self, value)
        }
    }
    #[inline(always)]
    unsafe fn sum(self) -> Block {
        let mut out = [0; 4];
        unsafe { self.store(out.as_mut_ptr()) };
        out.iter().fold(0, |a, b| a ^ b)
    }
}

/// Calls `body::<UNROLL>(i)` for whole groups of registers from block i, then `body::<1>(i)` for single ones; returns
/// where fewer blocks than a register are left.
macro_rules! in_groups {
    ($lane:ty, $len:expr, $i:ident, $n:ident, $body:block) => {{
        let mut $i = 0;
        while $i + UNROLL * <$lane>::BLOCKS <= $len {
            const $n: usize = UNROLL;
            $body
            $i += UNROLL * <$lane>::BLOCKS;
        }
        while $i + <$lane>::BLOCKS <= $len {
            const $n: usize = 1;
            $body
            $i += <$lane>::BLOCKS;
        }
        $i
    }};
}
pub(super) use in_groups;

#[inline(always)]
pub(super) unsafe fn load<L: Lane, const N: usize>(from: *const Block) -> [L; N] {
    unsafe {
        let mut x = [L::splat(0); N];
        for n in 0..N {
            x[n] = L::load(from.add(n * L::BLOCKS));
        }
        x
    }
}

#[inline(always)]
pub(super) unsafe fn store<L: Lane, const N: usize>(x: [L; N], to: *mut Block) {
    unsafe {
        for n in 0..N {
            x[n].store(to.add(n * L::BLOCKS));
        }
    }
}

/// The counters of the blocks from `first` on.
#[inline(always)]
pub(super) unsafe fn counters<L: Lane, const N: usize>(first: u64) -> [L; N] {
    unsafe {
        let mut x = [L::splat(0); N];
        for n in 0..N {
            x[n] = L::count_from(first + (n * L::BLOCKS) as u64);
        }
        x
    }
}

#[inline(always)]
pub(super) unsafe fn xor<L: Lane, const N: usize>(mut x: [L; N], y: [L; N]) -> [L; N] {
    unsafe {
        for n in 0..N {
            x[n] = x[n].xor(y[n]);
        }
        x
    }
}
