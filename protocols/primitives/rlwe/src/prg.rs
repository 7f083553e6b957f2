//! A pseudo-random generator (AES-256 in counter mode) and the samplers of RLWE on top of it. The samplers of secrets
//! take the same steps whatever they draw.

use aes::Aes256;
use aes::cipher::{Block, BlockCipherEncrypt, KeyInit};
use rand::CryptoRng;
use zeroize::Zeroize;

use crate::modulus::Modulus;
use crate::vector::{self, Kernel};

/// Bits of a centred binomial sample: 21 pairs, variance 21 / 2, sigma 3.24. *Security*: the Homomorphic Encryption
/// Standard (2018, section 2.1.2) asks for sigma of about 3.2; the binomial in place of the Gaussian as in NewHope.
pub(crate) const BINOMIAL_PAIRS: u32 = 21;

/// Variance of one error coefficient; also its sub-Gaussian variance proxy, since it is a sum of 42 centred bits.
pub(crate) const ERROR_VARIANCE: f64 = BINOMIAL_PAIRS as f64 / 2.0;

/// Words made at a time: 4 KiB stay in the first cache.
const CHUNK: usize = 512;

/// A seed of the generator: public for the uniform half of ciphertexts, secret for everything else.
pub(crate) type Seed = [u8; 32];

/// A stream of words from a seed and a stream number.
pub(crate) struct Prg {
    cipher: Aes256,
    stream: u64,
    counter: u64,
}

/// Fills `out` from as many uniform words, a chunk at a time, and erases the words.
fn map(prg: &mut Prg, out: &mut [i64], f: impl Fn(&[u64], &mut [i64])) {
    let mut words = [0; CHUNK];
    for chunk in out.chunks_mut(CHUNK) {
        let words = &mut words[..chunk.len()];
        prg.fill(words);
        f(words, chunk);
    }
    words.zeroize();
}

impl Prg {
    /// Streams with different numbers are independent.
    pub(crate) fn new(seed: &Seed, stream: u64) -> Self {
        Self { cipher: Aes256::new(&(*seed).into()), stream, counter: 0 }
    }

    /// A generator with a fresh secret seed.
    pub(crate) fn from_rng(rng: &mut impl CryptoRng) -> Self {
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let prg = Self::new(&seed, 0);
        seed.zeroize();
        prg
    }

    /// The next words, two a block; an odd count drops half a block.
    pub(crate) fn fill(&mut self, words: &mut [u64]) {
        let (pairs, odd) = words.split_at_mut(words.len() / 2 * 2);
        // Counters are encrypted while they are still in the first cache, and many at a time to fill the pipeline.
        for chunk in pairs.chunks_mut(2 * CHUNK) {
            self.blocks(chunk);
        }
        if let [odd] = odd {
            let mut last = [0; 2];
            self.blocks(&mut last);
            *odd = last[0];
            last.zeroize();
        }
    }

    fn blocks(&mut self, words: &mut [u64]) {
        for pair in words.chunks_exact_mut(2) {
            pair[0] = self.counter.to_le();
            pair[1] = self.stream.to_le();
            self.counter += 1;
        }
        let blocks: &mut [[u8; 16]] = bytemuck::cast_slice_mut(words);
        self.cipher.encrypt_blocks(Block::<Aes256>::cast_slice_from_core_mut(blocks));
        for word in words {
            *word = u64::from_le(*word);
        }
    }

    /// Uniform residues modulo p, by rejection: for public values.
    pub(crate) fn uniform_public(&mut self, kernel: Kernel, modulus: Modulus, out: &mut [u64]) {
        let mut words = [0; CHUNK];
        let mut have = 0;
        while have < out.len() {
            self.fill(&mut words);
            have += vector::keep_residues(kernel, modulus, &words, &mut out[have..]);
        }
    }

    /// Centred binomial errors: the difference of two counts of [`BINOMIAL_PAIRS`] bits.
    pub(crate) fn errors(&mut self, kernel: Kernel, out: &mut [i64]) {
        map(self, out, |words, out| vector::binomial(kernel, words, out));
    }

    /// Uniform values of -1, 0, 1, up to a bias of 2^-64.
    pub(crate) fn ternary(&mut self, out: &mut [i64]) {
        const THIRD: u64 = u64::MAX / 3;
        map(self, out, |words, out| {
            for (o, &w) in out.iter_mut().zip(words) {
                *o = i64::from(w > THIRD) + i64::from(w > 2 * THIRD) - 1;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_ternary_values_have_their_moments() {
        let mut prg = Prg::new(&[7; 32], 1);
        let mut x = vec![0i64; 1 << 18];
        let moments = |x: &[i64]| {
            let n = x.len() as f64;
            let mean = x.iter().sum::<i64>() as f64 / n;
            (mean, x.iter().map(|&v| (v * v) as f64).sum::<f64>() / n)
        };
        prg.errors(Kernel::choose(false), &mut x);
        let (mean, square) = moments(&x);
        assert!(mean.abs() < 0.04 && (square - ERROR_VARIANCE).abs() < 0.2, "{mean} {square}");
        assert!(x.iter().all(|v| v.abs() <= 21));
        prg.ternary(&mut x);
        let (mean, square) = moments(&x);
        assert!(mean.abs() < 0.01 && (square - 2.0 / 3.0).abs() < 0.01, "{mean} {square}");
    }

    #[test]
    fn uniform_residues_are_below_p_and_streams_differ() {
        let m = Modulus::new(crate::params::PRIMES_50[2].0);
        let draw = |stream| {
            let mut out = vec![0; 4096];
            Prg::new(&[3; 32], stream).uniform_public(Kernel::choose(false), m, &mut out);
            out
        };
        let x = draw(0);
        assert!(x.iter().all(|&v| v < m.value()));
        let mean = x.iter().map(|&v| v as f64 / m.value() as f64).sum::<f64>() / 4096.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_ne!(x, draw(1));
        assert_eq!(x, draw(0));
    }

    #[test]
    fn the_stream_is_aes_256_in_counter_mode() {
        let mut words = [0; 20];
        Prg::new(&[0; 32], 0).fill(&mut words);
        // AES-256 of the zero block under the zero key: dc95c078a2408989ad48a21492842087.
        assert_eq!(words[0].to_le_bytes(), [0xdc, 0x95, 0xc0, 0x78, 0xa2, 0x40, 0x89, 0x89]);
        let mut odd = [0; 17];
        Prg::new(&[0; 32], 0).fill(&mut odd);
        assert_eq!(odd[..], words[..17]);
    }
}
