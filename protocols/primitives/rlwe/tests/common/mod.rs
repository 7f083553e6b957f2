//! The definition of a convolution, and small helpers.
#![allow(dead_code, reason = "each test file uses its part")]

use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use si_rlwe::{Layer, PlainModulus};

pub(crate) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// x modulo t.
pub(crate) fn modulo(t: PlainModulus, x: i128) -> u64 {
    match t {
        PlainModulus::PowerOfTwo { bits } => x as u64 & (u64::MAX >> (64 - bits)),
        PlainModulus::Prime(p) => x.rem_euclid(p.into()) as u64,
    }
}

/// `len` numbers that look random, modulo t.
pub(crate) fn numbers(t: PlainModulus, seed: u64, len: usize) -> Vec<u64> {
    (0..len as u64)
        .map(|i| {
            let x = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xD1B5_4A32_D192_ED03);
            modulo(t, i128::from(x.wrapping_mul(x | 1).rotate_left(31) ^ x))
        })
        .collect()
}

/// `len` signed weights of at most `bits` bits and a sign.
pub(crate) fn weights(seed: u64, len: usize, bits: u32) -> Vec<i64> {
    numbers(PlainModulus::PowerOfTwo { bits: bits + 1 }, seed, len).iter().map(|&x| x as i64 - (1 << bits)).collect()
}

pub(crate) fn conv(batch: usize, c: usize, hw: usize, m: usize, k: usize, stride: usize, padding: usize) -> Layer {
    Layer {
        batch,
        in_channels: c,
        in_hw: [hw; 2],
        out_channels: m,
        kernel: [k; 2],
        stride: [stride; 2],
        padding: [padding; 4],
        groups: 1,
    }
}

/// The convolution by its definition, modulo t.
pub(crate) fn schoolbook(t: PlainModulus, l: &Layer, input: &[u64], weights: &[i64]) -> Vec<u64> {
    let ([h, w], [kh, kw]) = (l.in_hw, l.kernel);
    let [oh, ow] = [0, 1].map(|i| (l.in_hw[i] + l.padding[i] + l.padding[i + 2] - l.kernel[i]) / l.stride[i] + 1);
    let (ci, co) = (l.in_channels / l.groups, l.out_channels / l.groups);
    let mut out = Vec::with_capacity(l.batch * l.out_channels * oh * ow);
    for (n, m) in (0..l.batch).flat_map(|n| (0..l.out_channels).map(move |m| (n, m))) {
        for (i, j) in (0..oh).flat_map(|i| (0..ow).map(move |j| (i, j))) {
            let mut sum = 0i128;
            for (c, u) in (0..ci).flat_map(|c| (0..kh).map(move |u| (c, u))) {
                for v in 0..kw {
                    let y = (i * l.stride[0] + u).wrapping_sub(l.padding[0]);
                    let x = (j * l.stride[1] + v).wrapping_sub(l.padding[1]);
                    if y < h && x < w {
                        let channel = n * l.in_channels + m / co * ci + c;
                        let pixel = i128::from(input[(channel * h + y) * w + x]);
                        sum += pixel * i128::from(weights[((m * ci + c) * kh + u) * kw + v]);
                    }
                }
            }
            out.push(modulo(t, sum));
        }
    }
    out
}

pub(crate) fn add(t: PlainModulus, a: &[u64], b: &[u64]) -> Vec<u64> {
    a.iter().zip(b).map(|(&a, &b)| modulo(t, i128::from(a) + i128::from(b))).collect()
}
