//! One block of sums with AVX-512 IFMA: eight 52-bit multiply-adds an instruction. The scalar loop in `mac` is its twin.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::LANES;
use crate::modulus::Modulus;

/// Products between two reductions: 16 upper halves below 2^48, with carries, stay below 2^52.
const RUN: usize = 16;

/// As [`super::block_of_sums`]; only where the processor has the instructions, which [`crate::vector::Kernel::choose`] checks.
pub(super) fn block_of_sums(modulus: Modulus, width: usize, ct: &[u64], w: &[u64], out: &mut [u64]) {
    let (count, answers) = (ct.len() / (2 * LANES), out.len() / (2 * LANES));
    assert!(ct.len() == count * 2 * LANES && out.len() == answers * 2 * LANES && w.len() == answers * count * width);
    let p = modulus.value();
    // SAFETY: the kernel was chosen because the features are there, and the assertion is the contract.
    unsafe {
        match width {
            1 => sums_ifma::<1>(p, count, ct, w, out),
            2 => sums_ifma::<2>(p, count, ct, w, out),
            4 => sums_ifma::<4>(p, count, ct, w, out),
            8 => sums_ifma::<8>(p, count, ct, w, out),
            16 => sums_ifma::<16>(p, count, ct, w, out),
            LANES => sums_ifma::<LANES>(p, count, ct, w, out),
            _ => unreachable!("{width} words do not divide a block of {LANES}"),
        }
    }
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

/// Register `i` of a block of `WIDTH` words, each for `LANES / WIDTH` lanes.
///
/// # Safety
/// AVX-512 F is there; `WIDTH` is a power of two up to `LANES`, and `w` points to as many words; `i < REGISTERS`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn spread<const WIDTH: usize>(w: *const u64, i: usize) -> __m512i {
    // SAFETY: words i * WIDTH / REGISTERS and the next ones for 8 lanes lie within the block.
    unsafe {
        let w = w.add(i * WIDTH / REGISTERS);
        match WIDTH {
            LANES => _mm512_loadu_si512(w.cast()),
            16 => {
                let pairs = _mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3);
                _mm512_permutexvar_epi64(pairs, _mm512_castsi256_si512(_mm256_loadu_si256(w.cast())))
            }
            8 => _mm512_mask_set1_epi64(_mm512_set1_epi64(*w as i64), 0xF0, *w.add(1) as i64),
            _ => _mm512_set1_epi64(*w as i64),
        }
    }
}

/// Weights of `WIDTH` words, each for `LANES / WIDTH` lanes.
///
/// # Safety
/// AVX-512 F and IFMA are there; `ct` has `2 * count * LANES` words, `w` has `count * WIDTH` words for every `2 * LANES` of
/// `out`; `WIDTH` is a power of two up to `LANES`.
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
                        let weight = spread::<WIDTH>(w, i);
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
