//! AES-128 kernels: counter mode, MMO with σ, TMMO. Twin: `cipher.rs`.
#![allow(unsafe_code, clippy::needless_range_loop)]

use std::arch::x86_64::*;

use zeroize::Zeroize;

use super::Level;
use super::lanes_x86::{Lane, UNROLL, counters, in_groups, load, store, xor};
use crate::block::Block;

/// AES-128 under one key, on a processor that has the instructions.
pub(crate) struct X86Aes {
    pub(super) keys: RoundKeys,
    pub(super) wide: bool,
}

macro_rules! call {
    ($self:ident.$kernel:ident($($arg:expr),*)) => {
        // SAFETY: a value of this type exists only if `new` found the features of its kernels; the slices may
        // have any length.
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
}

impl Drop for X86Aes {
    fn drop(&mut self) {
        self.keys.zeroize();
    }
}

/// The keys of the 11 rounds.
pub(super) type RoundKeys = [Block; 11];

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

#[inline(always)]
pub(super) unsafe fn keys<L: Lane>(keys: &RoundKeys) -> [L; 11] {
    unsafe {
        let mut out = [L::splat(0); 11];
        for i in 0..11 {
            out[i] = L::splat(keys[i]);
        }
        out
    }
}

#[inline(always)]
pub(super) unsafe fn encrypt<L: Lane, const N: usize>(k: &[L; 11], mut x: [L; N]) -> [L; N] {
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
pub(super) unsafe fn sigma<L: Lane, const N: usize>(mut x: [L; N]) -> [L; N] {
    unsafe {
        for x in &mut x {
            *x = x.sigma();
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

macro_rules! kernels {
    ($module:ident, $lane:ty, $features:literal) => {
        /// # Safety
        /// The processor must have the features named below.
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
        }
    };
}

// One block a register.
kernels!(ni, __m128i, "aes,avx2,sse4.1");
// Four blocks a register.
kernels!(wide, __m512i, "aes,avx2,sse4.1,avx512f,avx512bw,avx512dq,avx512vl,vaes");
