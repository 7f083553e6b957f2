//! Inner products of polynomials over GF(2), not reduced. Twin: `gf128.rs`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Level;
use crate::block::Block;

/// The sum of the products of `a` and `b`, entry by entry: its lower and its upper half.
///
/// # Panics
/// If the lengths differ, or at the scalar level.
pub(crate) fn products(level: Level, a: &[Block], b: &[Block]) -> (Block, Block) {
    assert_eq!(a.len(), b.len(), "an inner product is of vectors of one length");
    let split = match level {
        Level::Avx512 => a.len() - a.len() % 4,
        Level::Avx2 => 0,
        Level::Scalar => unreachable!("the scalar level has its own code"),
    };
    // SAFETY: the level says that the processor has the instructions; the lengths are equal, and multiples of four for
    // the wide kernel.
    unsafe {
        let (l0, h0) = if split > 0 { wide(&a[..split], &b[..split]) } else { (0, 0) };
        let (l1, h1) = narrow(&a[split..], &b[split..]);
        (l0 ^ l1, h0 ^ h1)
    }
}

/// low + middle x^64 + high x^128.
fn join(low: Block, middle: Block, high: Block) -> (Block, Block) {
    (low ^ middle << 64, high ^ middle >> 64)
}

#[target_feature(enable = "pclmulqdq,sse4.1")]
unsafe fn narrow(a: &[Block], b: &[Block]) -> (Block, Block) {
    let (mut low, mut middle, mut high) = (_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128());
    for (a, b) in a.iter().zip(b) {
        // SAFETY: loads of 16 bytes from blocks.
        let (a, b) =
            unsafe { (_mm_loadu_si128(std::ptr::from_ref(a).cast()), _mm_loadu_si128(std::ptr::from_ref(b).cast())) };
        low = _mm_xor_si128(low, _mm_clmulepi64_si128::<0x00>(a, b));
        high = _mm_xor_si128(high, _mm_clmulepi64_si128::<0x11>(a, b));
        middle = _mm_xor_si128(middle, _mm_clmulepi64_si128::<0x01>(a, b));
        middle = _mm_xor_si128(middle, _mm_clmulepi64_si128::<0x10>(a, b));
    }
    let block = |x: __m128i| {
        let mut out: Block = 0;
        // SAFETY: a store of 16 bytes to a block.
        unsafe { _mm_storeu_si128((&raw mut out).cast(), x) };
        out
    };
    join(block(low), block(middle), block(high))
}

#[target_feature(enable = "vpclmulqdq,avx512f")]
unsafe fn wide(a: &[Block], b: &[Block]) -> (Block, Block) {
    let (mut low, mut middle, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512());
    for (a, b) in a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0) {
        // SAFETY: loads of 64 bytes from four blocks.
        let (a, b) = unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
        low = _mm512_xor_si512(low, _mm512_clmulepi64_epi128::<0x00>(a, b));
        high = _mm512_xor_si512(high, _mm512_clmulepi64_epi128::<0x11>(a, b));
        let (x, y) = (_mm512_clmulepi64_epi128::<0x01>(a, b), _mm512_clmulepi64_epi128::<0x10>(a, b));
        middle = _mm512_ternarylogic_epi64::<0x96>(middle, x, y);
    }
    let block = |x: __m512i| {
        let mut out = [0; 4];
        // SAFETY: a store of 64 bytes to four blocks.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), x) };
        out.iter().fold(0, |s: Block, x| s ^ x)
    };
    join(block(low), block(middle), block(high))
}
