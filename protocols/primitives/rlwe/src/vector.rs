//! Loops over whole rows, each with a scalar body and, where the processor has it, an AVX-512 twin with the same results.
//!
//! The vector twins hold for primes of at most 50 bits and words below 2^52 (their multiplier is 52 bits wide); every
//! prime of this crate is that small.

use si_ring::packed_len;

use crate::modulus::{Constant, Modulus};
use crate::plain::Plain;
use crate::prg::BINOMIAL_PAIRS;

#[cfg(target_arch = "x86_64")]
#[path = "vector_avx512.rs"]
mod avx512;

/// All vector twins.
#[cfg(target_arch = "x86_64")]
mod twin {
    pub(super) use super::avx512::*;
    pub(super) use super::vectorised::*;
}

/// Which twin to run. *Local*: the results are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kernel {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Kernel {
    /// The fastest that this processor has, or the scalar one.
    pub(crate) fn choose(scalar: bool) -> Self {
        #[cfg(target_arch = "x86_64")]
        if !scalar && avx512::is_here() {
            return Self::Avx512;
        }
        let _ = scalar;
        Self::Scalar
    }
}

/// Runs the vector twin if it is chosen, else the scalar body.
macro_rules! twins {
    ($kernel:expr, $name:ident($($argument:expr),*), $scalar:block) => {
        match $kernel {
            // SAFETY: `Kernel::choose` makes this variant only where the features are; the lengths were checked above.
            #[cfg(target_arch = "x86_64")]
            #[allow(unsafe_code)]
            Kernel::Avx512 => unsafe { twin::$name($($argument),*) },
            Kernel::Scalar => $scalar,
        }
    };
}

/// A fraction y / p in 64 bits: 2^64 y / p, short by less than 2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fraction {
    /// floor(2^(51 + bits) / p), below 2^52.
    high: u64,
    /// The next 52 bits of the quotient.
    low: u64,
    /// bits - 13: from units of 2^-(51 + bits) to units of 2^-64.
    shift: u32,
}

impl Fraction {
    pub(crate) fn new(modulus: Modulus) -> Self {
        let (p, bits) = (u128::from(modulus.value()), modulus.bits());
        assert!((14..=50).contains(&bits), "a prime of {bits} bits");
        let one = 1u128 << (51 + bits);
        Self { high: (one / p) as u64, low: (((one % p) << 52) / p) as u64, shift: bits - 13 }
    }

    #[inline(always)]
    fn of(self, y: u64) -> u64 {
        let y = u128::from(y);
        ((y * u128::from(self.high) + ((y * u128::from(self.low)) >> 52)) >> self.shift) as u64
    }
}

/// out = x * w, for x below 2^52.
pub(crate) fn mul_const(kernel: Kernel, m: Modulus, x: &[u64], w: Constant, out: &mut [u64]) {
    assert_eq!(x.len(), out.len());
    twins!(kernel, mul_const(m, x, w, out), {
        for (o, &x) in out.iter_mut().zip(x) {
            *o = m.mul_const(x, w);
        }
    });
}

/// sum += 2^64 ((x w) mod p) / p, modulo 2^64; x reduced.
pub(crate) fn add_fractions(kernel: Kernel, m: Modulus, x: &[u64], w: Constant, f: Fraction, sum: &mut [u64]) {
    assert_eq!(x.len(), sum.len());
    twins!(kernel, add_fractions(m, x, w, f, sum), {
        for (s, &x) in sum.iter_mut().zip(x) {
            *s = s.wrapping_add(f.of(m.mul_const(x, w)));
        }
    });
}

/// sum += y * cofactor modulo 2^64 and wraps += 2^61 y / p, for y = (x w) mod p. Up to 4 primes' wraps leave room to round.
#[expect(clippy::too_many_arguments, reason = "a kernel")]
pub(crate) fn add_crt(
    kernel: Kernel,
    m: Modulus,
    x: &[u64],
    w: Constant,
    f: Fraction,
    cofactor: u64,
    sum: &mut [u64],
    wraps: &mut [u64],
) {
    assert!(x.len() == sum.len() && x.len() == wraps.len());
    twins!(kernel, add_crt(m, x, w, f, cofactor, sum, wraps), {
        for ((s, wraps), &x) in sum.iter_mut().zip(wraps).zip(x) {
            let y = m.mul_const(x, w);
            *s = s.wrapping_add(y.wrapping_mul(cofactor));
            *wraps = wraps.wrapping_add(f.of(y) >> 3);
        }
    });
}

/// [`scatter`] of pieces of `WIDTH` words.
#[inline(always)]
fn scatter_pieces<const WIDTH: usize>(rows: &[&[u64]], blocks: usize, pitch: usize, out: &mut [u64]) {
    let Some(len) = rows.first().map(|row| row.len()) else { return };
    // How many neighbouring blocks have a piece in common, as a power of two: a division for each would cost more than its copy.
    let shared = (blocks * WIDTH / len).trailing_zeros();
    for (block, out) in out.chunks_mut(pitch).take(blocks).enumerate() {
        let (places, _) = out[..rows.len() * WIDTH].as_chunks_mut::<WIDTH>();
        for (place, row) in places.iter_mut().zip(rows) {
            let from = (block * WIDTH) >> shared;
            if let Some(piece) = row[from..].first_chunk() {
                *place = *piece;
            }
        }
    }
}

/// Loops that the compiler vectorises by itself, if it may use the wider instructions: one body, compiled twice.
macro_rules! rows {
    ($($(#[$meta:meta])* fn $name:ident($first:ident: $type:ty $(, $argument:ident: $t:ty)*) $body:block)*) => {
        $(
            $(#[$meta])*
            pub(crate) fn $name(kernel: Kernel, $first: $type $(, $argument: $t)*) {
                twins!(kernel, $name($first $(, $argument)*), { bodies::$name($first $(, $argument)*) });
            }
        )*

        mod bodies {
            use super::*;
            $(
                #[inline(always)]
                pub(super) fn $name($first: $type $(, $argument: $t)*) $body
            )*
        }

        #[cfg(target_arch = "x86_64")]
        #[allow(unsafe_code)]
        mod vectorised {
            use super::*;
            $(
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512vpopcntdq")]
                pub(super) fn $name($first: $type $(, $argument: $t)*) {
                    bodies::$name($first $(, $argument)*);
                }
            )*
        }
    };
}

rows! {
    /// Cuts each row into `blocks` pieces of `width` words and puts piece k of row j at out[k pitch + j width]. Rows that are
    /// shorter than that have pieces in common.
    fn scatter(rows: &[&[u64]], width: usize, blocks: usize, pitch: usize, out: &mut [u64]) {
        // Copies of a length that the compiler knows: a call for each would cost more than the copy.
        match width {
            1 => scatter_pieces::<1>(rows, blocks, pitch, out),
            2 => scatter_pieces::<2>(rows, blocks, pitch, out),
            4 => scatter_pieces::<4>(rows, blocks, pitch, out),
            8 => scatter_pieces::<8>(rows, blocks, pitch, out),
            16 => scatter_pieces::<16>(rows, blocks, pitch, out),
            32 => scatter_pieces::<32>(rows, blocks, pitch, out),
            _ => unreachable!("{width} words do not divide a block"),
        }
    }

    /// Centred binomial errors from uniform words, see [`crate::prg`].
    fn binomial(words: &[u64], out: &mut [i64]) {
        const MASK: u64 = (1 << BINOMIAL_PAIRS) - 1;
        for (o, &w) in out.iter_mut().zip(words) {
            *o = i64::from((w & MASK).count_ones()) - i64::from((w >> BINOMIAL_PAIRS & MASK).count_ones());
        }
    }

    /// row = small signed numbers, below p in magnitude.
    fn set_small(m: Modulus, row: &mut [u64], small: &[i64]) {
        for (x, &s) in row.iter_mut().zip(small) {
            *x = m.small_signed(s);
        }
    }

    /// row = the lowest `bits` bits of words as signed numbers, below p in magnitude.
    fn set_signed(m: Modulus, row: &mut [u64], words: &[u64], bits: u32) {
        for (x, &w) in row.iter_mut().zip(words) {
            *x = m.small_signed((w << (64 - bits)) as i64 >> (64 - bits));
        }
    }

    /// words = words * factor modulo 2^64, of which the bits of `mask` are kept.
    fn scale(words: &mut [u64], factor: u64, mask: u64) {
        for x in words {
            *x = x.wrapping_mul(factor) & mask;
        }
    }

    /// sum -= q wraps / 2^61, rounded down, modulo 2^64.
    fn take_wraps(sum: &mut [u64], wraps: &[u64], q: u64) {
        for (x, w) in sum.iter_mut().zip(wraps) {
            *x = x.wrapping_sub(q.wrapping_mul(w >> 61));
        }
    }

    /// out = what a + b 2^shift decodes to, modulo 2^bits (`format`: bits and shift), as [`Plain::decode_word`] has it; `worst`
    /// becomes the greatest distance if that is greater.
    fn decode(plain: Plain, format: [u32; 2], a: &[u64], b: &[u64], out: &mut [u64], worst: &mut u32) {
        let [bits, shift] = format;
        for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
            let (m, distance) = plain.decode_word(a.wrapping_add(b << shift), bits);
            *o = m;
            *worst = distance.max(*worst);
        }
    }

    /// row += small signed numbers, below p in magnitude.
    fn add_small(m: Modulus, row: &mut [u64], small: &[i64]) {
        for (x, &s) in row.iter_mut().zip(small) {
            *x = m.add(*x, m.small_signed(s));
        }
    }

    /// row -= other.
    fn sub(m: Modulus, row: &mut [u64], other: &[u64]) {
        for (x, &y) in row.iter_mut().zip(other) {
            *x = m.sub(*x, y);
        }
    }

    /// row += other.
    fn add(m: Modulus, row: &mut [u64], other: &[u64]) {
        for (x, &y) in row.iter_mut().zip(other) {
            *x = m.add(*x, y);
        }
    }

    /// out = the representatives of row in (-p/2, p/2).
    fn centre(m: Modulus, row: &[u64], out: &mut [i64]) {
        for (o, &x) in out.iter_mut().zip(row) {
            *o = x.wrapping_sub(m.value() * u64::from(x > m.value() / 2)) as i64;
        }
    }

    /// row += product + 1 where c is above `half`, else row += product.
    fn add_centred(m: Modulus, row: &mut [u64], c: &[u64], product: &[u64], half: u64) {
        for ((x, &c), &product) in row.iter_mut().zip(c).zip(product) {
            *x = m.add(*x, m.correct(product + u64::from(c > half)));
        }
    }

    /// As [`add_centred`] with product = c w, which is below p.
    fn add_direct(m: Modulus, row: &mut [u64], c: &[u64], w: u64, half: u64) {
        for (x, &c) in row.iter_mut().zip(c) {
            *x = m.add(*x, m.correct(c.wrapping_mul(w) + u64::from(c > half)));
        }
    }

    /// row += low + product - offset, all reduced.
    fn add_flooding(m: Modulus, row: &mut [u64], low: &[u64], product: &[u64], offset: u64) {
        for ((x, &low), &product) in row.iter_mut().zip(low).zip(product) {
            *x = m.sub(m.add(*x, m.add(low, product)), offset);
        }
    }
}

/// Moves those words that are below p, cut to the bits of p, to the front of `out` until it is full; returns how many.
pub(crate) fn keep_residues(kernel: Kernel, m: Modulus, words: &[u64], out: &mut [u64]) -> usize {
    let mask = u64::MAX >> (64 - m.bits());
    twins!(kernel, keep_residues(m, words, out), {
        let mut have = 0;
        for word in words {
            if have == out.len() {
                break;
            }
            // The word is always written; only the position depends on whether it is kept.
            out[have] = word & mask;
            have += usize::from(word & mask < m.value());
        }
        have
    })
}

/// As [`si_ring::pack`], faster for 32 to 57 bits.
pub(crate) fn pack(kernel: Kernel, values: &[u64], bits: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(packed_len(values.len(), bits) + 64);
    let done = match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 if (32..=57).contains(&bits) => {
            let groups = values.len() / 8;
            out.resize(start + groups * bits as usize + 64, 0);
            // SAFETY: the variant says that the features are there; each group of 8 values takes `bits` bytes and writes
            // up to 64, for which there is room.
            #[allow(unsafe_code)]
            unsafe {
                avx512::pack(&values[..groups * 8], bits, &mut out[start..]);
            }
            out.truncate(start + groups * bits as usize);
            groups * 8
        }
        _ => 0,
    };
    si_ring::pack(&values[done..], bits, out);
}

/// As [`si_ring::unpack_into`], faster for 32 to 57 bits.
pub(crate) fn unpack(kernel: Kernel, bytes: &[u8], bits: u32, out: &mut [u64]) -> Result<(), si_ring::Error> {
    let done = match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512 if (32..=57).contains(&bits) && bytes.len() == packed_len(out.len(), bits) => {
            // Groups of 8 values and `bits` bytes, each read as 64 bytes that must be there.
            let groups = bytes.len().saturating_sub(64) / bits as usize;
            let groups = groups.min(out.len() / 8);
            // SAFETY: the variant says that the features are there; (groups - 1) * bits + 64 <= bytes.len().
            #[allow(unsafe_code)]
            unsafe {
                avx512::unpack(bytes, bits, &mut out[..groups * 8]);
            }
            groups
        }
        _ => 0,
    };
    si_ring::unpack_into(&bytes[done * bits as usize..], bits, &mut out[done * 8..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{PRIMES_36, PRIMES_50};
    use crate::plain::PlainModulus;
    use crate::prg::Prg;

    fn kernels() -> [Kernel; 2] {
        [Kernel::Scalar, Kernel::choose(false)]
    }

    #[test]
    fn twins_agree_on_rows_of_every_prime() {
        let mut prg = Prg::new(&[5; 32], 0);
        for &(p, root) in PRIMES_50.iter().chain(&PRIMES_36) {
            let m = Modulus::new(p);
            let (w, f) = (m.constant(root), Fraction::new(m));
            for len in [0, 5, 8, 64, 203] {
                let mut x = vec![0; len];
                prg.uniform_public(Kernel::Scalar, m, &mut x);
                x.iter_mut().take(3).zip([0, p - 1, 1]).for_each(|(x, v)| *x = v);
                let [scalar, vector] = kernels().map(|kernel| {
                    let (mut a, mut b, mut c, mut d) = (vec![0; len], vec![7; len], vec![9; len], vec![11; len]);
                    mul_const(kernel, m, &x, w, &mut a);
                    add_fractions(kernel, m, &x, w, f, &mut b);
                    add_crt(kernel, m, &x, w, f, 0x1234_5678_9abc_def1, &mut c, &mut d);
                    let mut e = vec![0; len];
                    let wide: Vec<u64> = x.iter().map(|x| x << 2 | 3).collect();
                    assert!(wide.iter().all(|&x| x < 1 << 52));
                    mul_const(kernel, m, &wide, m.constant(1), &mut e);
                    let mut errors = vec![0; len];
                    binomial(kernel, &x, &mut errors);
                    let mut row = x.clone();
                    set_small(kernel, m, &mut row[len / 2..], &errors);
                    add_small(kernel, m, &mut row, &errors);
                    sub(kernel, m, &mut row, &a);
                    add(kernel, m, &mut row, &x);
                    centre(kernel, m, &row, &mut errors);
                    assert!(row.iter().zip(&errors).all(|(&x, &c)| m.signed(c) == x && c.unsigned_abs() <= p / 2));
                    add_centred(kernel, m, &mut row, &x, &a, p / 2);
                    let bits: Vec<u64> = x.iter().map(|x| x & 7).collect();
                    add_direct(kernel, m, &mut row, &bits, p / 9, 3);
                    add_flooding(kernel, m, &mut row, &a, &x, root);
                    let plain = Plain::new(PlainModulus::PowerOfTwo { bits: 37 }).unwrap();
                    let (mut decoded, mut worst) = (vec![0; len], 0);
                    decode(kernel, plain, [47, 7], &x, &row, &mut decoded, &mut worst);
                    scale(kernel, &mut decoded, p, u64::MAX >> 27);
                    take_wraps(kernel, &mut c, &d, p);
                    set_signed(kernel, m, &mut row[len / 3..], &decoded, 30);
                    let mut kept = vec![0; len / 2];
                    let count = keep_residues(kernel, m, &wide, &mut kept);
                    (a, b, [c, d, e, decoded], errors, row, worst, kept[..count].to_vec())
                });
                assert_eq!(scalar, vector, "p {p} len {len}");
                assert!(scalar.0.iter().zip(&x).all(|(&a, &x)| a == m.mul(x, root)));
                assert!(scalar.1.iter().zip(&scalar.0).all(|(&b, &a)| {
                    let exact = ((u128::from(a) << 64) / u128::from(p)) as u64;
                    exact.wrapping_sub(b.wrapping_sub(7)) <= 2
                }));
            }
        }
    }

    #[test]
    fn packed_bytes_are_those_of_the_ring_crate() {
        let mut prg = Prg::new(&[6; 32], 0);
        for bits in 1..=64 {
            for len in [0, 1, 7, 8, 9, 16, 40, 64, 77] {
                let mut values = vec![0; len];
                prg.fill(&mut values);
                let mut expected = vec![0xaa];
                si_ring::pack(&values, bits, &mut expected);
                values.iter_mut().for_each(|v| *v &= u64::MAX >> (64 - bits));
                for kernel in kernels() {
                    let mut bytes = vec![0xaa];
                    pack(kernel, &values, bits, &mut bytes);
                    assert_eq!(bytes, expected, "{bits} bits, {len} values");
                    let mut back = vec![0; len];
                    unpack(kernel, &bytes[1..], bits, &mut back).unwrap();
                    assert_eq!(back, values);
                    assert!(unpack(kernel, &bytes, bits, &mut back).is_err());
                }
            }
        }
    }
}
