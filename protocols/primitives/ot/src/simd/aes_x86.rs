//! AES-128 kernels: counter mode, MMO with σ, TMMO, a level of a correlated GGM tree. Twins: `cipher.rs`, `tree.rs`.
#![allow(unsafe_code, clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::lanes_x86::Lane;
use zeroize::Zeroize;

use super::Level;
use crate::block::{Block, CLEAR_LSB};
use crate::tree::Fix;

/// AES-128 under one key, on a processor that has the instructions.
pub(crate) struct X86Aes {
    keys: RoundKeys,
    wide: bool,
}

macro_rules! call {
    ($self:ident.$kernel:ident($($arg:expr),*)) => {
        // SAFETY: a value of this type exists only if `new` found the features of its kernels; the slices are checked
        // or of any length.
        unsafe {
            if $self.wide { wide::$kernel(&$self.keys, $($arg),*) } else { ni::$kernel(&$self.keys, $($arg),*) }
        }
    };
}

impl X86Aes {
    /// None at the scalar level.
    pub(crate) fn new(key: Block, level: Level) -> Option<Self> {
        // SAFETY: every level but the scalar one is only ever chosen where there is AES-NI.
        let keys = |key| unsafe { expand_key(key) };
        match level {
            Level::Scalar => None,
            Level::Avx2 => Some(Self { keys: keys(key), wide: false }),
            Level::Avx512 => Some(Self { keys: keys(key), wide: true }),
        }
    }

    /// Blocks `first..` of the key stream.
    pub(crate) fn ctr(&self, first: u64, out: &mut [Block]) {
        call!(self.ctr(first, out))
    }

    /// MMO with σ, in place.
    pub(crate) fn mmo(&self, blocks: &mut [Block]) {
        call!(self.mmo(blocks))
    }

    /// TMMO in place; the tweak of block i is `first + i / per`.
    pub(crate) fn tmmo(&self, first: u64, per: usize, blocks: &mut [Block]) {
        call!(self.tmmo(first, per, blocks))
    }

    /// Applies the fixes to the parents in `left`, replaces them by their left children, writes the right ones to
    /// `right`, and returns the sums of both.
    pub(crate) fn level(&self, fixes: &[Fix; 2], left: &mut [Block], right: &mut [Block]) -> (Block, Block) {
        assert_eq!(left.len(), right.len(), "a level has as many left children as right ones");
        call!(self.level(fixes, left, right))
    }

    /// XORs in the fixes, clears the lowest bits, then XORs `missing` in.
    pub(crate) fn finish(&self, fixes: &[Fix; 2], missing: Fix, leaves: &mut [Block]) {
        // SAFETY: as for the other kernels.
        unsafe { if self.wide { wide::finish(fixes, missing, leaves) } else { ni::finish(fixes, missing, leaves) } }
    }
}

impl Drop for X86Aes {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

/// The keys of the 11 rounds.
type RoundKeys = [Block; 11];

/// Registers encrypted together, to fill the pipeline.
const UNROLL: usize = 8;

/// The key schedule.
///
/// # Safety
/// The processor must have AES-NI.
#[target_feature(enable = "aes,sse4.1")]
unsafe fn expand_key(key: Block) -> RoundKeys {
    macro_rules! next {
        ($k:expr, $rcon:expr) => {{
            let word = _mm_shuffle_epi32::<0xFF>(_mm_aeskeygenassist_si128::<$rcon>($k));
            let k = _mm_xor_si128($k, _mm_slli_si128::<4>($k));
            let k = _mm_xor_si128(k, _mm_slli_si128::<8>(k));
            _mm_xor_si128(k, word)
        }};
    }
    // SAFETY: the blocks of `__m128i` are plain memory, and this function enables the instructions.
    unsafe {
        let k0 = <__m128i as Lane>::splat(key);
        let k1 = next!(k0, 0x01);
        let k2 = next!(k1, 0x02);
        let k3 = next!(k2, 0x04);
        let k4 = next!(k3, 0x08);
        let k5 = next!(k4, 0x10);
        let k6 = next!(k5, 0x20);
        let k7 = next!(k6, 0x40);
        let k8 = next!(k7, 0x80);
        let k9 = next!(k8, 0x1B);
        let k10 = next!(k9, 0x36);
        let mut keys = [0; 11];
        store([k0, k1, k2, k3, k4, k5, k6, k7, k8, k9, k10], keys.as_mut_ptr());
        keys
    }
}

// Loops over registers are written out: a closure would be a function of its own, without the instructions.

#[inline(always)]
unsafe fn keys<L: Lane>(keys: &RoundKeys) -> [L; 11] {
    unsafe {
        let mut out = [L::splat(0); 11];
        for i in 0..11 {
            out[i] = L::splat(keys[i]);
        }
        out
    }
}

#[inline(always)]
unsafe fn encrypt<L: Lane, const N: usize>(k: &[L; 11], mut x: [L; N]) -> [L; N] {
    unsafe {
        for x in &mut x {
            *x = x.xor(k[0]);
        }
        for k in &k[1..10] {
            for x in &mut x {
                *x = x.round(*k);
            }
        }
        for x in &mut x {
            *x = x.last_round(k[10]);
        }
        x
    }
}

#[inline(always)]
unsafe fn sigma<L: Lane, const N: usize>(mut x: [L; N]) -> [L; N] {
    unsafe {
        for x in &mut x {
            *x = x.sigma();
        }
        x
    }
}

#[inline(always)]
unsafe fn xor<L: Lane, const N: usize>(mut x: [L; N], y: [L; N]) -> [L; N] {
    unsafe {
        for n in 0..N {
            x[n] = x[n].xor(y[n]);
        }
        x
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

#[inline(always)]
unsafe fn load<L: Lane, const N: usize>(from: *const Block) -> [L; N] {
    unsafe {
        let mut x = [L::splat(0); N];
        for n in 0..N {
            x[n] = L::load(from.add(n * L::BLOCKS));
        }
        x
    }
}

#[inline(always)]
unsafe fn store<L: Lane, const N: usize>(x: [L; N], to: *mut Block) {
    unsafe {
        for n in 0..N {
            x[n].store(to.add(n * L::BLOCKS));
        }
    }
}

/// The counters of the blocks from `first` on.
#[inline(always)]
unsafe fn counters<L: Lane, const N: usize>(first: u64) -> [L; N] {
    unsafe {
        let mut x = [L::splat(0); N];
        for n in 0..N {
            x[n] = L::count_from(first + (n * L::BLOCKS) as u64);
        }
        x
    }
}

#[inline(always)]
unsafe fn ctr<L: Lane>(k: &RoundKeys, first: u64, out: &mut [Block]) -> usize {
    unsafe {
        let k = keys::<L>(k);
        let p = out.as_mut_ptr();
        in_groups!(L, out.len(), i, N, {
            store::<L, N>(encrypt(&k, counters(first + i as u64)), p.add(i));
        })
    }
}

#[inline(always)]
unsafe fn mmo<L: Lane>(k: &RoundKeys, blocks: &mut [Block]) -> usize {
    unsafe {
        let k = keys::<L>(k);
        let p = blocks.as_mut_ptr();
        in_groups!(L, blocks.len(), i, N, {
            let x = sigma::<L, N>(load(p.add(i)));
            store(xor(x, encrypt(&k, x)), p.add(i));
        })
    }
}

/// The tweak of block i is `first + (offset + i) / per`; one division a block is cheap beside two encryptions.
#[inline(always)]
unsafe fn tmmo<L: Lane>(k: &RoundKeys, first: u64, per: usize, offset: usize, blocks: &mut [Block]) -> usize {
    unsafe {
        let k = keys::<L>(k);
        let p = blocks.as_mut_ptr();
        in_groups!(L, blocks.len(), i, N, {
            let mut tweaks = [0; UNROLL * 4];
            for b in 0..N * L::BLOCKS {
                tweaks[b] = Block::from(first + ((offset + i + b) / per) as u64);
            }
            let inner = encrypt::<L, N>(&k, load(p.add(i)));
            let outer = encrypt(&k, xor(inner, load(tweaks.as_ptr())));
            store(xor(inner, outer), p.add(i));
        })
    }
}

/// From block `from` on; returns where it stopped and the sums.
#[inline(always)]
unsafe fn level<L: Lane>(
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
            let counters = counters::<L, N>((from + i) as u64);
            for n in 0..N {
                parents[n] = parents[n].xor_at(counters[n], here0, value0).xor_at(counters[n], here1, value1);
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

macro_rules! kernels {
    ($module:ident, $lane:ty, $features:literal) => {
        /// # Safety
        /// The processor must have the features named below; for `level`, the slices must have the same length.
        mod $module {
            use super::*;

            #[target_feature(enable = $features)]
            pub(super) unsafe fn ctr(k: &RoundKeys, first: u64, out: &mut [Block]) {
                // SAFETY: this function enables the instructions, and only memory of `out` is touched.
                unsafe {
                    let done = super::ctr::<$lane>(k, first, out);
                    super::ctr::<__m128i>(k, first + done as u64, &mut out[done..]);
                }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn mmo(k: &RoundKeys, blocks: &mut [Block]) {
                // SAFETY: this function enables the instructions, and only memory of `blocks` is touched.
                unsafe {
                    let done = super::mmo::<$lane>(k, blocks);
                    super::mmo::<__m128i>(k, &mut blocks[done..]);
                }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn tmmo(k: &RoundKeys, first: u64, per: usize, blocks: &mut [Block]) {
                // SAFETY: this function enables the instructions, and only memory of `blocks` is touched.
                unsafe {
                    let done = super::tmmo::<$lane>(k, first, per, 0, blocks);
                    super::tmmo::<__m128i>(k, first, per, done, &mut blocks[done..]);
                }
            }

            #[target_feature(enable = $features)]
            pub(super) unsafe fn level(
                k: &RoundKeys,
                fixes: &[Fix; 2],
                left: &mut [Block],
                right: &mut [Block],
            ) -> (Block, Block) {
                // SAFETY: this function enables the instructions, and only memory of the slices, which are equally
                // long, is touched.
                unsafe {
                    let (done, l, r) = super::level::<$lane>(k, fixes, 0, left, right);
                    let (_, l1, r1) = super::level::<__m128i>(k, fixes, done, left, right);
                    (l ^ l1, r ^ r1)
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
