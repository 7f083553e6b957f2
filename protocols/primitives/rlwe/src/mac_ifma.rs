//! One block of sums with AVX-512 IFMA: eight 52-bit multiply-adds an instruction. The scalar loop in `mac` is its twin.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::LANES;
use crate::modulus::Modulus;

/// Products between two reductions: 16 upper halves below 2^48, with carries, stay below 2^52.
const RUN: usize = 16;

/// As [`super::block_of_sums`]; only where the processor has the instructions, which [`crate::vector::Kernel::choose`] checks.
pub(super) fn block_of_sums(modulus: Modulus, ct: &[u64], w: &[u64], out: &mut [u64]) {
    let (count, answers) = (ct.len() / (2 * LANES), out.len() / (2 * LANES));
    assert!(ct.len() == count * 2 * LANES && out.len() == answers * 2 * LANES && w.len() == answers * count * LANES);
    // SAFETY: the kernel was chosen because the features are there, and the assertion is the contract.
    unsafe { sums_ifma::<LANES>(modulus.value(), count, ct, w, out) };
}

/// As [`super::block_of_constant_sums`], under the same condition.
pub(super) fn block_of_constant_sums(modulus: Modulus, ct: &[u64], w: &[u64], out: &mut [u64]) {
    let (count, answers) = (ct.len() / (2 * LANES), out.len() / (2 * LANES));
    assert!(ct.len() == count * 2 * LANES && out.len() == answers * 2 * LANES && w.len() == answers * count);
    // SAFETY: the kernel was chosen because the features are there, and the assertion is the contract.
    unsafe { sums_ifma::<1>(modulus.value(), count, ct, w, out) };
}

/// Registers per half of a block.
const REGISTERS: usize = LANES / 8;

/// Constants of the reduction modulo p < 2^50.
#[derive(Clone, Copy)]
struct Reducer {
    p: __m512i,
    p2: __m512i,
    p4: __m512i,
    mask: __m512i,
    /// 2^52 mod p and floor of it times 2^52 / p.
    upper: __m512i,
    upper_quotient: __m512i,
    /// floor(2^52 / p).
    one_quotient: __m512i,
}

impl Reducer {
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn new(p: u64) -> Self {
        let splat = |x: u64| _mm512_set1_epi64(x as i64);
        let upper = (1u64 << 52) % p;
        Self {
            p: splat(p),
            p2: splat(2 * p),
            p4: splat(4 * p),
            mask: splat((1 << 52) - 1),
            upper: splat(upper),
            upper_quotient: splat(((u128::from(upper) << 52) / u128::from(p)) as u64),
            one_quotient: splat((1 << 52) / p),
        }
    }

    /// (total + low + 2^52 high) mod p, for total < p, low < 2^57 and high + low / 2^52 < 2^52.
    #[inline]
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn fold(&self, total: __m512i, low: __m512i, high: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        let high = _mm512_add_epi64(high, _mm512_srli_epi64::<52>(low));
        let low = _mm512_and_si512(low, self.mask);
        // Both remainders by an estimated quotient that is at most one short: below 2p each.
        let q = _mm512_madd52hi_epu64(zero, high, self.upper_quotient);
        let high =
            _mm512_sub_epi64(_mm512_madd52lo_epu64(zero, high, self.upper), _mm512_madd52lo_epu64(zero, q, self.p));
        let high = _mm512_and_si512(high, self.mask);
        let q = _mm512_madd52hi_epu64(zero, low, self.one_quotient);
        let low = _mm512_sub_epi64(low, _mm512_madd52lo_epu64(zero, q, self.p));
        let low = _mm512_and_si512(low, self.mask);
        // Below 5p; a difference that wraps round is the larger of the two.
        let x = _mm512_add_epi64(total, _mm512_add_epi64(high, low));
        let x = _mm512_min_epu64(x, _mm512_sub_epi64(x, self.p4));
        let x = _mm512_min_epu64(x, _mm512_sub_epi64(x, self.p2));
        _mm512_min_epu64(x, _mm512_sub_epi64(x, self.p))
    }
}

/// Weights of `WIDTH` words: one for each lane, or one for all.
///
/// # Safety
/// AVX-512 F and IFMA are there; `ct` has `2 * count * LANES` words, `w` has `count * WIDTH` words for every `2 * LANES` of
/// `out`; `WIDTH` is `LANES` or 1.
#[target_feature(enable = "avx512f,avx512ifma")]
unsafe fn sums_ifma<const WIDTH: usize>(p: u64, count: usize, ct: &[u64], w: &[u64], out: &mut [u64]) {
    let reducer = Reducer::new(p);
    let zero = _mm512_setzero_si512();
    let mut w = w.as_ptr();
    for out in out.chunks_exact_mut(2 * LANES) {
        let mut ct = ct.as_ptr();
        let mut total = [[zero; REGISTERS]; 2];
        let mut left = count;
        while left > 0 {
            let run = left.min(RUN);
            left -= run;
            let (mut low, mut high) = ([[zero; REGISTERS]; 2], [[zero; REGISTERS]; 2]);
            for _ in 0..run {
                // SAFETY: over all loops `w` advances WIDTH words for each product, and `ct` 2 * LANES words for each of
                // `count` ciphertexts: the lengths of the slices.
                unsafe {
                    for i in 0..REGISTERS {
                        let weight = match WIDTH {
                            1 => _mm512_set1_epi64(*w as i64),
                            _ => _mm512_loadu_si512(w.add(8 * i).cast()),
                        };
                        for half in 0..2 {
                            let x = _mm512_loadu_si512(ct.add(LANES * half + 8 * i).cast());
                            low[half][i] = _mm512_madd52lo_epu64(low[half][i], x, weight);
                            high[half][i] = _mm512_madd52hi_epu64(high[half][i], x, weight);
                        }
                    }
                    w = w.add(WIDTH);
                    ct = ct.add(2 * LANES);
                }
            }
            for half in 0..2 {
                for i in 0..REGISTERS {
                    total[half][i] = reducer.fold(total[half][i], low[half][i], high[half][i]);
                }
            }
        }
        for (out, total) in out.chunks_exact_mut(8).zip(total.as_flattened()) {
            // SAFETY: eight words.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), *total) };
        }
    }
}
