//! Kernels for correlated GGM trees: a level, the last pass, the choice of a block. Twins: `tree.rs`, `gf128.rs`.
#![allow(unsafe_code, clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::Level;
use super::aes_x86::{RoundKeys, X86Aes, encrypt, keys, sigma};
use super::lanes_x86::{Lane, UNROLL, counters, in_groups, load, store, xor};
use crate::block::{Block, CLEAR_LSB};
use crate::tree::Fix;

/// Block `position`, or zero if that is beyond the end, without an address that depends on it.
///
/// # Panics
/// At the scalar level.
pub(crate) fn select(level: Level, position: usize, blocks: &[Block]) -> Block {
    // SAFETY: the level says that the processor has the instructions.
    unsafe {
        match level {
            Level::Avx512 => wide::select(position, blocks),
            Level::Avx2 => ni::select(position, blocks),
            Level::Scalar => unreachable!("the scalar level has its own code"),
        }
    }
}

impl X86Aes {
    /// Applies the fixes to the parents in `left`, replaces them by their left children, writes the right ones to
    /// `right`, and returns the sums of both.
    pub(crate) fn level(&self, fixes: Option<&[Fix; 2]>, left: &mut [Block], right: &mut [Block]) -> (Block, Block) {
        assert_eq!(left.len(), right.len(), "a level has as many left children as right ones");
        let none = [Fix::default(); 2];
        // SAFETY: a value of this type exists only if the features of its kernels were found; the lengths are equal.
        unsafe {
            match (self.wide, fixes) {
                (true, Some(fixes)) => wide::level::<true>(&self.keys, fixes, left, right),
                (true, None) => wide::level::<false>(&self.keys, &none, left, right),
                (false, Some(fixes)) => ni::level::<true>(&self.keys, fixes, left, right),
                (false, None) => ni::level::<false>(&self.keys, &none, left, right),
            }
        }
    }

    /// XORs in the fixes, clears the lowest bits, then XORs `missing` in.
    pub(crate) fn finish(&self, fixes: &[Fix; 2], missing: Fix, leaves: &mut [Block]) {
        // SAFETY: as above; the leaves may have any number.
        unsafe { if self.wide { wide::finish(fixes, missing, leaves) } else { ni::finish(fixes, missing, leaves) } }
    }
}

/// From block `from` on; returns where it stopped and the sums.
#[inline(always)]
unsafe fn level<L: Lane, const FIX: bool>(
    k: &RoundKeys,
    fixes: &[Fix; 2],
    from: usize,
    left: &mut [Block],
    right: &mut [Block],
) -> (usize, Block, Block) {
    unsafe {
        let k = keys::<L>(k);
        let (l, r) = (left.as_mut_ptr().add(from), right.as_mut_ptr().add(from));
        let [here0, here1] = [L::splat(fixes[0].position as Block), L::splat(fixes[1].position as Block)];
        let [value0, value1] = [L::splat(fixes[0].value), L::splat(fixes[1].value)];
        let (mut left_sum, mut right_sum) = (L::splat(0), L::splat(0));
        let done = in_groups!(L, left.len() - from, i, N, {
            let mut parents = load::<L, N>(l.add(i));
            if FIX {
                let counters = counters::<L, N>((from + i) as u64);
                for n in 0..N {
                    parents[n] = parents[n].xor_at(counters[n], here0, value0).xor_at(counters[n], here1, value1);
                }
            }
            let x = sigma(parents);
            let lefts = xor(x, encrypt(&k, x));
            let rights = xor(parents, lefts);
            store(lefts, l.add(i));
            store(rights, r.add(i));
            for n in 0..N {
                left_sum = left_sum.xor(lefts[n]);
                right_sum = right_sum.xor(rights[n]);
            }
        });
        (from + done, left_sum.sum(), right_sum.sum())
    }
}

#[inline(always)]
unsafe fn finish<L: Lane>(fixes: &[Fix; 2], missing: Fix, from: usize, leaves: &mut [Block]) -> usize {
    unsafe {
        let p = leaves.as_mut_ptr().add(from);
        let [a, b, c] = [fixes[0], fixes[1], missing];
        let here = [L::splat(a.position as Block), L::splat(b.position as Block), L::splat(c.position as Block)];
        let value = [L::splat(a.value), L::splat(b.value), L::splat(c.value)];
        let clear = L::splat(CLEAR_LSB);
        let done = in_groups!(L, leaves.len() - from, i, N, {
            let mut x = load::<L, N>(p.add(i));
            let counters = counters::<L, N>((from + i) as u64);
            for n in 0..N {
                x[n] = x[n].xor_at(counters[n], here[0], value[0]).xor_at(counters[n], here[1], value[1]);
                x[n] = x[n].and(clear).xor_at(counters[n], here[2], value[2]);
            }
            store(x, p.add(i));
        });
        from + done
    }
}

/// The sum of the blocks whose counter, from `first` on, is `position`.
#[inline(always)]
unsafe fn sum_at<L: Lane>(first: usize, position: usize, blocks: &[Block]) -> (usize, Block) {
    unsafe {
        let p = blocks.as_ptr();
        let here = L::splat(position as Block);
        let mut sum = L::splat(0);
        let done = in_groups!(L, blocks.len(), i, N, {
            let x = load::<L, N>(p.add(i));
            let counters = counters::<L, N>((first + i) as u64);
            for n in 0..N {
                sum = sum.xor_at(counters[n], here, x[n]);
            }
        });
        (done, sum.sum())
    }
}

macro_rules! kernels {
    ($module:ident, $lane:ty, $features:literal) => {
        /// # Safety
        /// The processor must have the features named below; for `level`, the slices must have the same length.
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) unsafe fn level<const FIX: bool>(
                k: &RoundKeys,
                fixes: &[Fix; 2],
                left: &mut [Block],
                right: &mut [Block],
            ) -> (Block, Block) {
                // SAFETY: this function enables the instructions, and only memory of the slices, which are equally
                // long, is touched.
                unsafe {
                    let (done, l, r) = super::level::<$lane, FIX>(k, fixes, 0, left, right);
                    let (_, l1, r1) = super::level::<__m128i, FIX>(k, fixes, done, left, right);
                    (l ^ l1, r ^ r1)
                }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn select(position: usize, blocks: &[Block]) -> Block {
                // SAFETY: this function enables the instructions, and only memory of `blocks` is read.
                unsafe {
                    let (done, x) = super::sum_at::<$lane>(0, position, blocks);
                    x ^ super::sum_at::<__m128i>(done, position, &blocks[done..]).1
                }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn finish(fixes: &[Fix; 2], missing: Fix, leaves: &mut [Block]) {
                // SAFETY: this function enables the instructions, and only memory of `leaves` is touched.
                unsafe {
                    let done = super::finish::<$lane>(fixes, missing, 0, leaves);
                    super::finish::<__m128i>(fixes, missing, done, leaves);
                }
            }
        }
    };
}

// One block a register.
kernels!(ni, __m128i, "aes,avx2,sse4.1");
// Four blocks a register.
kernels!(wide, __m512i, "aes,avx2,sse4.1,avx512f,avx512bw,avx512dq,avx512vl,vaes");
