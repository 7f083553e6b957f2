//! AVX-512 twins of the loops in `vector`: eight words at a time, 52-bit multiplications (IFMA).
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Fraction;
use crate::modulus::{Constant, Modulus};

/// Whether the processor has every feature used here.
pub(super) fn is_here() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512ifma")
        && is_x86_feature_detected!("avx512vpopcntdq")
}

/// Constants of x * w mod p.
#[derive(Clone, Copy)]
struct Multiplier {
    p: __m512i,
    value: __m512i,
    /// floor(w 2^52 / p).
    quotient: __m512i,
    mask: __m512i,
}

impl Multiplier {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(m: Modulus, w: Constant) -> Self {
        let splat = |x: u64| _mm512_set1_epi64(x as i64);
        Self {
            p: splat(m.value()),
            value: splat(w.value()),
            quotient: splat(w.quotient() >> 12),
            mask: splat((1 << 52) - 1),
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn of(&self, x: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        let q = _mm512_madd52hi_epu64(zero, x, self.quotient);
        let r = _mm512_sub_epi64(_mm512_madd52lo_epu64(zero, x, self.value), _mm512_madd52lo_epu64(zero, q, self.p));
        // Below 2p modulo 2^52; a difference that wraps round is the larger of the two.
        let r = _mm512_and_si512(r, self.mask);
        _mm512_min_epu64(r, _mm512_sub_epi64(r, self.p))
    }
}

/// Constants of 2^64 y / p.
#[derive(Clone, Copy)]
struct Fractions {
    high: __m512i,
    low: __m512i,
    left: __m128i,
    right: __m128i,
}

impl Fractions {
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn new(f: Fraction) -> Self {
        let splat = |x: u64| _mm512_set1_epi64(x as i64);
        let count = |x: u32| _mm_cvtsi64_si128(x.into());
        Self { high: splat(f.high), low: splat(f.low), left: count(52 - f.shift), right: count(f.shift) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn of(&self, y: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        let high = _mm512_madd52hi_epu64(zero, y, self.high);
        let low = _mm512_madd52lo_epu64(_mm512_madd52hi_epu64(zero, y, self.low), y, self.high);
        _mm512_add_epi64(_mm512_sll_epi64(high, self.left), _mm512_srl_epi64(low, self.right))
    }
}

/// Up to eight words, the rest zero.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(words: &[u64]) -> __m512i {
    // SAFETY: only the lanes of existing words are read.
    unsafe { _mm512_maskz_loadu_epi64(mask(words.len()), words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(words: &mut [u64], x: __m512i) {
    // SAFETY: only the lanes of existing words are written.
    unsafe { _mm512_mask_storeu_epi64(words.as_mut_ptr().cast(), mask(words.len()), x) }
}

#[inline(always)]
fn mask(lanes: usize) -> __mmask8 {
    ((1u32 << lanes.min(8)) - 1) as u8
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
pub(super) fn mul_const(m: Modulus, x: &[u64], w: Constant, out: &mut [u64]) {
    let multiplier = Multiplier::new(m, w);
    for (x, o) in x.chunks(8).zip(out.chunks_mut(8)) {
        store(o, multiplier.of(load(x)));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
pub(super) fn add_fractions(m: Modulus, x: &[u64], w: Constant, f: Fraction, sum: &mut [u64]) {
    let (multiplier, fractions) = (Multiplier::new(m, w), Fractions::new(f));
    for (x, s) in x.chunks(8).zip(sum.chunks_mut(8)) {
        let y = multiplier.of(load(x));
        store(s, _mm512_add_epi64(load(s), fractions.of(y)));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
pub(super) fn add_crt(
    m: Modulus,
    x: &[u64],
    w: Constant,
    f: Fraction,
    cofactor: u64,
    sum: &mut [u64],
    wraps: &mut [u64],
) {
    let (multiplier, fractions) = (Multiplier::new(m, w), Fractions::new(f));
    let cofactor = _mm512_set1_epi64(cofactor as i64);
    for ((x, s), f) in x.chunks(8).zip(sum.chunks_mut(8)).zip(wraps.chunks_mut(8)) {
        let y = multiplier.of(load(x));
        store(s, _mm512_add_epi64(load(s), _mm512_mullo_epi64(y, cofactor)));
        store(f, _mm512_add_epi64(load(f), _mm512_srli_epi64::<3>(fractions.of(y))));
    }
}

#[target_feature(enable = "avx512f,avx512vl")]
pub(super) fn keep_residues(m: Modulus, words: &[u64], out: &mut [u64]) -> usize {
    let (p, bits) = (_mm512_set1_epi64(m.value() as i64), _mm512_set1_epi64((u64::MAX >> (64 - m.bits())) as i64));
    let mut have = 0;
    for words in words.chunks(8) {
        let x = _mm512_and_si512(load(words), bits);
        let keep = _mm512_cmplt_epu64_mask(x, p) & mask(words.len());
        let count = (keep.count_ones() as usize).min(out.len() - have);
        store(&mut out[have..have + count], _mm512_maskz_compress_epi64(keep, x));
        have += count;
    }
    have
}

/// # Safety
/// `values.len()` is a multiple of 8 and `out` has 64 bytes more than `bits` bytes per 8 values; bits in 32..=57.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn pack(values: &[u64], bits: u32, out: &mut [u8]) {
    // Word k of a group holds bits 64k.. of the string: value i from bit i * bits on. Three values reach into a word.
    let (mut index, mut left) = ([[0u64; 8]; 3], [[64u64; 8]; 3]);
    let mut right = [64u64; 8];
    for k in 0..8 {
        let first = 64 * k as u64 / u64::from(bits);
        right[k] = 64 * k as u64 - first * u64::from(bits);
        for (j, (index, left)) in index.iter_mut().zip(&mut left).enumerate() {
            let i = first + j as u64;
            index[k] = i % 8;
            if j > 0 && i < 8 {
                left[k] = i * u64::from(bits) - 64 * k as u64;
            }
        }
        if first >= 8 {
            right[k] = 64;
        }
    }
    let load = |x: &[u64; 8]| {
        // SAFETY: eight words.
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    };
    let (index, right, left) = (index.each_ref().map(load), load(&right), [load(&left[1]), load(&left[2])]);
    let mask = _mm512_set1_epi64(((1u64 << bits) - 1) as i64);
    for (group, at) in values.chunks_exact(8).zip((0..).step_by(bits as usize)) {
        // SAFETY: eight words in, and 64 bytes out of which the next group overwrites all but `bits`.
        unsafe {
            let v = _mm512_and_si512(_mm512_loadu_si512(group.as_ptr().cast()), mask);
            let a = _mm512_srlv_epi64(_mm512_permutexvar_epi64(index[0], v), right);
            let b = _mm512_sllv_epi64(_mm512_permutexvar_epi64(index[1], v), left[0]);
            let c = _mm512_sllv_epi64(_mm512_permutexvar_epi64(index[2], v), left[1]);
            let word = _mm512_or_si512(a, _mm512_or_si512(b, c));
            _mm512_storeu_si512(out.as_mut_ptr().add(at).cast(), word);
        }
    }
}

/// # Safety
/// `out.len()` is a multiple of 8, and 64 bytes can be read from the start of every group of `bits` bytes; bits in 32..=57.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn unpack(bytes: &[u8], bits: u32, out: &mut [u64]) {
    let (mut index, mut right) = ([0u64; 8], [0u64; 8]);
    for (i, (index, right)) in index.iter_mut().zip(&mut right).enumerate() {
        *index = i as u64 * u64::from(bits) / 64;
        *right = i as u64 * u64::from(bits) % 64;
    }
    let next = index.map(|i| i + 1);
    let left = right.map(|s| 64 - s);
    let load = |x: &[u64; 8]| {
        // SAFETY: eight words.
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    };
    let (index, next, right, left) = (load(&index), load(&next), load(&right), load(&left));
    let mask = _mm512_set1_epi64(((1u64 << bits) - 1) as i64);
    for (group, at) in out.chunks_exact_mut(8).zip((0..).step_by(bits as usize)) {
        // SAFETY: the caller's promise, and eight words out.
        unsafe {
            let words = _mm512_loadu_si512(bytes.as_ptr().add(at).cast());
            let low = _mm512_srlv_epi64(_mm512_permutexvar_epi64(index, words), right);
            let high = _mm512_sllv_epi64(_mm512_permutexvar_epi64(next, words), left);
            let value = _mm512_and_si512(_mm512_or_si512(low, high), mask);
            _mm512_storeu_si512(group.as_mut_ptr().cast(), value);
        }
    }
}
