//! Parameters: ring dimension, primes, plaintext modulus, formats, and what makes them safe.

use std::sync::Arc;

use crate::modulus::{Constant, Modulus};
use crate::ntt::{self, Ntt, SHORTEST};
use crate::plain::{Plain, PlainModulus};
use crate::prg::ERROR_VARIANCE;
use crate::vector::{Fraction, Kernel};
use crate::{Error, Result};

/// Primes below 2^50 that are 1 modulo 2^41, with a primitive 2^14-th root of unity. *Agreement.* Being 1 modulo 2^l
/// makes the rounding error of the encoding m / t, tiny for small m (see [`crate::noise`]).
pub(crate) const PRIMES_50: [(u64, u64); 4] = [
    (0x3_f000_0000_0001, 0x2_16a8_721a_14b4),
    (0x3_dc00_0000_0001, 0x2_111d_324d_785c),
    (0x3_a200_0000_0001, 0x2_6fb1_030e_7b9a),
    (0x3_9a00_0000_0001, 0x1_c924_3fe6_05c9),
];

/// Primes below 2^36 that are 1 modulo 2^14, with a primitive 2^14-th root of unity. *Agreement.*
pub(crate) const PRIMES_36: [(u64, u64); 3] =
    [(0xf_fffc_4001, 0x7_2673_e945), (0xf_fff0_0001, 0x5_c727_6335), (0xf_ffee_c001, 0x4_7281_94f1)];

/// *Security*: greatest log2 q for 128-bit classical security with a ternary secret and errors of sigma 3.2: Homomorphic
/// Encryption Standard (Albrecht et al., 2018, homomorphicencryption.org), table 1, "(-1, 1)" secrets.
const MAX_Q_BITS: [(usize, u32); 2] = [(4096, 109), (8192, 218)];

/// *Security*: flooding hides each revealed coefficient's noise up to this statistical distance, 2^-40.
pub const STATISTICAL_BITS: u32 = 40;

/// Parameters are refused unless weights of this L2 norm fit: one weight of 1.0 at the usual scale of 2^12.
const LEAST_NORM: u64 = 1 << 12;

/// Deviations of the rounding noise, in multiples of its standard deviation, that decryption survives: sub-Gaussian tail
/// 2 exp(-9.5^2 / 2) < 2^-63 a coefficient.
const ROUNDING_TAIL: f64 = 9.5;

/// Share of q/t set aside for the noise before the switch of moduli: 2^-20, half a million times what
/// flooding lets pass.
const NOISE_SHARE: f64 = 1.0 / (1 << 20) as f64;

/// The chain of primes of a ciphertext. *Agreement.*
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PrimeChain {
    /// Primes of 50 bits (2 to 4): the fastest per bit.
    Bits50(usize),
    /// Primes of 36 bits (2 or 3): three of them use nearly all of what N = 4096 allows.
    Bits36(usize),
}

impl PrimeChain {
    fn primes(self) -> Option<&'static [(u64, u64)]> {
        match self {
            Self::Bits50(count) if count >= 2 => PRIMES_50.get(..count),
            Self::Bits36(count) if count >= 2 => PRIMES_36.get(..count),
            _ => None,
        }
    }
}

/// Flooding is drawn as 32 bits and one more word. *Local* in effect: it binds only where t has a few bits and more would hide
/// nothing more.
const MOST_FLOOD_BITS: f64 = 95.0;

/// One prime of the ciphertext modulus with everything computed per prime.
pub(crate) struct Limb {
    pub(crate) modulus: Modulus,
    pub(crate) ntt: Box<dyn Ntt>,
    /// The transforms for N / 2, N / 4, ... down to [`SHORTEST`], with psi^2, psi^4, ...: see [`ntt::forward_sparse`].
    pub(crate) shorter: Vec<Box<dyn Ntt>>,
    /// -1/t mod p: encodes plaintexts.
    pub(crate) minus_t_inverse: Constant,
    /// (q/p)^-1 mod p: the share of this residue in the whole.
    pub(crate) crt: Constant,
    /// floor(2^128 / p): residue times this is about the fraction residue / p.
    pub(crate) fraction: u128,
    /// What `fraction` leaves out, (2^128 mod p) / p, in units of 2^-64.
    pub(crate) fraction_rest: u64,
    /// (q/p) mod 2^128.
    pub(crate) cofactor: u128,
    /// As `fraction`, for 64-bit results.
    pub(crate) fraction64: Fraction,
    /// Whether p = 1 mod t: then encoding needs no reduction.
    pub(crate) direct: bool,
    /// 2^flood_bits mod p.
    pub(crate) flood_offset: u64,
}

/// How many bits of an answer travel, and what that costs. *Agreement.*
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerFormat {
    /// Bits of each coefficient of the a-part: its modulus is 2^a_bits.
    pub a_bits: u32,
    /// Bits of each returned coefficient of the b-part.
    pub b_bits: u32,
    /// Flooding is uniform in [-2^flood_bits, 2^flood_bits).
    pub flood_bits: u32,
    /// Greatest distance from a codeword, in units of 2^-16 q/t, that an honest answer reaches (up to 2^-60).
    pub(crate) limit: u32,
}

/// Parameters of the scheme; cheap to clone. Both parties must construct the same.
#[derive(Clone)]
pub struct Params(Arc<Inner>);

struct Inner {
    n: usize,
    limbs: Vec<Limb>,
    plain: Plain,
    /// q mod t.
    q_mod_t: u64,
    /// q mod 2^128.
    q_wide: u128,
    log2_q: f64,
    answer: AnswerFormat,
    max_weight_norm: f64,
    kernel: Kernel,
    tag: u64,
}

impl std::fmt::Debug for Params {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let i = &self.0;
        write!(f, "RLWE(N = {}, log2 q = {:.2}, {:?}, {:?})", i.n, i.log2_q, i.plain.modulus(), i.answer)
    }
}

impl PartialEq for Params {
    fn eq(&self, other: &Self) -> bool {
        self.0.tag == other.0.tag
    }
}

impl Params {
    /// The fastest parameters for a plaintext ring Z_2^bits that leave room for typical layers:
    /// up to 39 bits N = 4096 with 2 x 50-bit primes, up to 46 bits N = 4096 with 3 x 36, beyond N = 8192 with 3 x 50.
    ///
    /// # Errors
    /// If `bits` is not in 1..=64.
    pub fn for_ring(bits: u32) -> Result<Self> {
        let (n, chain) = match bits {
            0..=39 => (4096, PrimeChain::Bits50(2)),
            40..=46 => (4096, PrimeChain::Bits36(3)),
            _ => (8192, PrimeChain::Bits50(3)),
        };
        Self::new(n, chain, PlainModulus::PowerOfTwo { bits })
    }

    /// Parameters of any supported combination.
    ///
    /// # Errors
    /// If the dimension is unknown, security is below 128 bits, or the plaintext modulus leaves no room to hide noise.
    pub fn new(n: usize, chain: PrimeChain, t: PlainModulus) -> Result<Self> {
        Self::with_kernels(n, chain, t, ntt::simd_is_off())
    }

    pub(crate) fn with_kernels(n: usize, chain: PrimeChain, t: PlainModulus, scalar: bool) -> Result<Self> {
        let Some(&(_, max_bits)) = MAX_Q_BITS.iter().find(|(dimension, _)| *dimension == n) else {
            return Err(Error::Dimension { n });
        };
        let Some(primes) = chain.primes() else {
            return Err(Error::Layer {
                why: format!("{chain:?} is no chain of primes: take 2 to 4 of 50 bits or 2 to 3 of 36"),
            });
        };
        let moduli: Vec<Modulus> = primes.iter().map(|&(p, _)| Modulus::new(p)).collect();
        let q_bits: u32 = moduli.iter().map(|m| m.bits()).sum();
        if q_bits > max_bits {
            return Err(Error::Insecure { n, q_bits, max_bits });
        }
        let plain = Plain::new(t)?;
        if let PlainModulus::Prime(t) = t
            && moduli.iter().any(|m| t % m.value() == 0)
        {
            return Err(Error::PlainModulus { why: format!("{t} divides the ciphertext modulus") });
        }
        let log2_q: f64 = moduli.iter().map(|m| (m.value() as f64).log2()).sum();
        let log2_delta = log2_q - plain.log2();
        let (answer, max_weight_norm) = answer_format(n, plain, log2_delta);
        if max_weight_norm < LEAST_NORM as f64 {
            return Err(Error::PlainTooLarge {
                t_bits: plain.bits(),
                q_bits,
                want: LEAST_NORM,
                max: max_weight_norm as u64,
                statistical_bits: STATISTICAL_BITS,
            });
        }
        let limbs = moduli
            .iter()
            .zip(primes)
            .map(|(&m, &(p, root))| {
                let others = || moduli.iter().filter(|other| other.value() != p);
                let cofactor = others().fold(1, |c, other| m.mul(c, other.value()));
                Limb {
                    modulus: m,
                    ntt: ntt::plan(n, p, m.pow(root, 8192 / n as u64), scalar),
                    shorter: std::iter::successors(Some(n / 2), |n| Some(n / 2))
                        .take_while(|&n| n >= SHORTEST)
                        .map(|n| ntt::plan(n, p, m.pow(root, 8192 / n as u64), scalar))
                        .collect(),
                    minus_t_inverse: m.constant(p - m.inverse(plain.modulo(p))),
                    crt: m.constant(m.inverse(cofactor)),
                    // p is odd, so 2^128 - 1 has the same quotient as 2^128.
                    fraction: u128::MAX / u128::from(p),
                    fraction_rest: m.constant(m.pow(2, 128)).quotient(),
                    cofactor: others().fold(1, |c: u128, other| c.wrapping_mul(other.value().into())),
                    fraction64: Fraction::new(m),
                    direct: plain.modulo_is_one(p),
                    flood_offset: m.pow(2, answer.flood_bits.into()),
                }
            })
            .collect();
        let element = |p: u64| plain.reduce(p);
        let inner = Inner {
            n,
            limbs,
            plain,
            q_mod_t: moduli.iter().fold(element(1), |q, m| plain.mul(q, element(m.value()))),
            q_wide: moduli.iter().fold(1, |q: u128, m| q.wrapping_mul(m.value().into())),
            log2_q,
            answer,
            max_weight_norm,
            kernel: Kernel::choose(scalar),
            tag: tag(&[n as u64, q_bits.into(), primes.len() as u64, primes[0].0, plain_tag(t)]),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Ring dimension N.
    #[must_use]
    pub fn n(&self) -> usize {
        self.0.n
    }

    /// Number of primes.
    #[must_use]
    pub fn primes(&self) -> usize {
        self.0.limbs.len()
    }

    /// The primes whose product is the ciphertext modulus.
    #[must_use]
    pub fn moduli(&self) -> Vec<u64> {
        self.0.limbs.iter().map(|l| l.modulus.value()).collect()
    }

    /// log2 of the ciphertext modulus.
    #[must_use]
    pub fn log2_q(&self) -> f64 {
        self.0.log2_q
    }

    /// The plaintext modulus.
    #[must_use]
    pub fn plain_modulus(&self) -> PlainModulus {
        self.0.plain.modulus()
    }

    /// How answers travel.
    #[must_use]
    pub fn answer(&self) -> AnswerFormat {
        self.0.answer
    }

    /// Greatest L2 norm of the weights that meet in one answer polynomial (see [`crate::noise`]).
    #[must_use]
    pub fn max_weight_norm(&self) -> f64 {
        self.0.max_weight_norm
    }

    /// Bytes of one polynomial modulo q, as in queries and public keys.
    #[must_use]
    pub fn poly_bytes(&self) -> usize {
        self.0.limbs.iter().map(|l| si_ring::packed_len(self.0.n, l.modulus.bits())).sum()
    }

    pub(crate) fn limbs(&self) -> &[Limb] {
        &self.0.limbs
    }

    pub(crate) fn plain(&self) -> Plain {
        self.0.plain
    }

    pub(crate) fn q_mod_t(&self) -> u64 {
        self.0.q_mod_t
    }

    pub(crate) fn q_wide(&self) -> u128 {
        self.0.q_wide
    }

    pub(crate) fn kernel(&self) -> Kernel {
        self.0.kernel
    }

    /// A number that differs for different parameters: catches parties that disagree, not an adversary.
    pub(crate) fn tag(&self) -> u64 {
        self.0.tag
    }
}

/// The fewest bits and the most flooding with which an answer still decrypts, for q/t = 2^log2_delta; and the norm of
/// weights whose noise the flooding hides with [`STATISTICAL_BITS`]. The derivation is in [`crate::noise`].
fn answer_format(n: usize, plain: Plain, log2_delta: f64) -> (AnswerFormat, f64) {
    // Standard deviation of <rounding of a, s> with at most 2N/3 + 9.5 sqrt(2N/9) nonzero secret coefficients.
    let n = n as f64;
    let weight = 2.0 * n / 3.0 + ROUNDING_TAIL * (2.0 * n / 9.0).sqrt();
    let a_noise = ROUNDING_TAIL * (weight / 12.0).sqrt();
    // The a-part may cost 3/20, the b-part 1/16 of a step; the rest of the half step is for flooding.
    let a_extra = (a_noise / 0.15).log2().ceil();
    let b_extra = 3.0;
    let a_share = a_noise / a_extra.exp2();
    let b_share = 0.5 / f64::exp2(b_extra);
    let room = 0.5 - a_share - b_share - NOISE_SHARE;
    let flood_bits = (log2_delta + room.log2()).floor().clamp(0.0, MOST_FLOOD_BITS);
    let share = (flood_bits - log2_delta).exp2();
    let limit = ((share + a_share + b_share + NOISE_SHARE) * 65536.0).ceil() as u32;
    let answer = AnswerFormat {
        a_bits: plain.bits() + a_extra as u32,
        b_bits: plain.bits() + b_extra as u32,
        flood_bits: flood_bits as u32,
        limit,
    };
    let hidden = (flood_bits + 1.0 - f64::from(STATISTICAL_BITS)).exp2();
    let norm = (hidden - crate::noise::zero_deviation(n)) / crate::noise::deviation_per_norm();
    (answer, norm.max(0.0).floor())
}

fn plain_tag(t: PlainModulus) -> u64 {
    match t {
        PlainModulus::PowerOfTwo { bits } => bits.into(),
        PlainModulus::Prime(p) => p,
    }
}

/// A 64-bit mix of public numbers (FNV-1a over their bytes).
pub(crate) fn tag(numbers: &[u64]) -> u64 {
    numbers
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

const _: () =
    assert!(ERROR_VARIANCE >= 3.19 * 3.19, "errors narrower than the standard's sigma of 3.2 (8 / sqrt(2 pi))");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_parameters_are_refused() {
        let t = PlainModulus::PowerOfTwo { bits: 37 };
        for count in [3, 4] {
            let refused = Params::new(4096, PrimeChain::Bits50(count), t);
            assert!(matches!(refused, Err(Error::Insecure { n: 4096, max_bits: 109, .. })), "{refused:?}");
        }
        assert!(Params::new(8192, PrimeChain::Bits50(4), t).is_ok());
        assert!(matches!(Params::new(2048, PrimeChain::Bits50(2), t), Err(Error::Dimension { n: 2048 })));
        for chain in [PrimeChain::Bits50(1), PrimeChain::Bits50(5), PrimeChain::Bits36(0), PrimeChain::Bits36(4)] {
            assert!(Params::new(8192, chain, t).is_err());
        }
        for (chain, n) in [(PrimeChain::Bits50(2), 4096), (PrimeChain::Bits36(3), 4096), (PrimeChain::Bits50(4), 8192)]
        {
            let p = Params::new(n, chain, t).unwrap();
            assert!(p.log2_q() <= f64::from(MAX_Q_BITS.iter().find(|m| m.0 == n).unwrap().1));
        }
    }

    #[test]
    fn plaintexts_too_large_for_the_primes_are_refused() {
        for (chain, most) in [(PrimeChain::Bits50(2), 44), (PrimeChain::Bits36(3), 52), (PrimeChain::Bits36(2), 16)] {
            for bits in 1..=64 {
                let p = Params::new(4096, chain, PlainModulus::PowerOfTwo { bits });
                assert_eq!(p.is_ok(), bits <= most, "{chain:?} {bits}: {p:?}");
                assert!(bits <= most || matches!(p, Err(Error::PlainTooLarge { .. })));
            }
        }
        for bits in 1..=64 {
            let p = Params::for_ring(bits).unwrap();
            assert!(p.max_weight_norm() >= f64::from(1 << 16), "{p:?} {}", p.max_weight_norm());
            assert!(p.answer().limit < 1 << 15, "the budget exceeds half a step");
        }
        assert!(Params::for_ring(0).is_err() && Params::for_ring(65).is_err());
    }

    #[test]
    fn tags_tell_parameters_apart() {
        let all = [37, 38, 41, 64].map(|l| Params::for_ring(l).unwrap().tag());
        assert!(all.iter().enumerate().all(|(i, t)| !all[..i].contains(t)));
        let prime = Params::new(4096, PrimeChain::Bits50(2), PlainModulus::Prime(65537)).unwrap();
        assert_ne!(prime, Params::for_ring(16).unwrap());
    }
}
