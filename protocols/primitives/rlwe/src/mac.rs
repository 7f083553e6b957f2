//! Sums of products of ciphertexts and weights at the roots: the inner loop of every linear layer.
//!
//! For one prime and one block of [`LANES`] positions, the sums over all ciphertexts stay in registers and are reduced once
//! per 16 products. Operands are stored in the order in which the loop reads them: positions in blocks, within a block the
//! ciphertexts (a then b) or the weights (answer by answer, ciphertext by ciphertext). A block of ciphertexts stays in the
//! first cache while the weights of up to [`ANSWERS`] answers stream past it.
//!
//! A weight polynomial in X^s (1x1 kernels on tiles of even size, plaintexts of periodic slots) has the same value at s roots in
//! a row. Each is stored once: a block of it is [`LANES`] / s words, or one.

use std::ops::Range;

use rayon::prelude::*;

use crate::modulus::Modulus;
use crate::params::Params;
use crate::poly::{Poly, Values};
use crate::prg::Prg;
use crate::vector::{self, Kernel};

#[cfg(target_arch = "x86_64")]
#[path = "mac_ifma.rs"]
mod ifma;

/// Positions per block: four registers of 8 words, and for both halves the lower and upper parts of their sums. *Local.*
pub(crate) const LANES: usize = 32;

/// Polynomials stored together, so that each write fills whole cache lines of one page. *Local.*
pub(crate) const TOGETHER: usize = 8;

/// Answers computed in one pass over the ciphertexts, and sent in one message: their sums wait for the inverse transform.
/// *Agreement.*
pub(crate) const ANSWERS: usize = 8;

/// Products, or transforms, below which a second thread is not worth waking. *Local.*
const LEAST_SHARED: usize = 32;

/// Words from one block to the next where a block has `words` of them: an odd number of cache lines. At a power of two the blocks
/// of a polynomial, which are written one after the other, would fall into a few sets of the caches.
fn pitch(words: usize) -> usize {
    const LINE: usize = 8;
    (words.div_ceil(LINE) | 1) * LINE
}

/// For how many threads there is work: those of rayon's pool, or one.
pub(crate) fn threads(work: usize) -> usize {
    if work < LEAST_SHARED { 1 } else { rayon::current_num_threads() }
}

/// The ciphertexts of a part at the roots, blocked: `[prime][block][ciphertext][a, b][lane]`.
pub(crate) struct Ciphertexts {
    words: Vec<u64>,
    count: usize,
    /// Words from block to block.
    pitch: usize,
}

/// Weight polynomials of up to [`ANSWERS`] answers at the roots, blocked: `[prime][block][answer][ciphertext][word]`.
pub(crate) struct Weights {
    words: Vec<u64>,
    answers: usize,
    count: usize,
    /// Words of a block of one polynomial.
    width: usize,
    /// Words from block to block.
    pitch: usize,
}

/// Words of a block of a polynomial in X^`step`, `step` a power of two.
pub(crate) fn width(step: usize) -> usize {
    (LANES / step).max(1)
}

/// The two halves of an answer at the roots.
pub(crate) struct Sum {
    pub(crate) a: Poly<Values>,
    pub(crate) b: Poly<Values>,
}

/// Stores polynomials in neighbouring slots of `width` words of blocks that are `pitch` words apart. Each polynomial is given by
/// its distinct values, one row for each prime.
fn store(params: &Params, polys: &[&[u64]], words: &mut [u64], slot: usize, pitch: usize, width: usize) {
    let blocks = params.n() / LANES;
    let mut rows = [[].as_slice(); TOGETHER];
    for (i, words) in words.chunks_exact_mut(blocks * pitch).enumerate() {
        for (row, poly) in rows.iter_mut().zip(polys) {
            let len = poly.len() / params.primes();
            *row = &poly[i * len..(i + 1) * len];
        }
        vector::scatter(params.kernel(), &rows[..polys.len()], width, blocks, pitch, &mut words[slot * width..]);
    }
}

impl Ciphertexts {
    pub(crate) fn new(params: &Params, count: usize) -> Self {
        let pitch = pitch(2 * count * LANES);
        Self { words: vec![0; params.primes() * params.n() / LANES * pitch], count, pitch }
    }

    pub(crate) fn set(&mut self, params: &Params, index: usize, a: &Poly<Values>, b: &Poly<Values>) {
        store(params, &[a.words(), b.words()], &mut self.words, 2 * index, self.pitch, LANES);
    }

    /// Number of ciphertexts.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Block `block` of all of them modulo one prime: `[ciphertext][a, b][lane]`.
    pub(crate) fn block(&self, params: &Params, prime: usize, block: usize) -> &[u64] {
        let place = prime * (params.n() / LANES) + block;
        &self.words[place * self.pitch..][..2 * self.count * LANES]
    }
}

impl Weights {
    /// Room for polynomials in X^`step`, `step` a power of two.
    pub(crate) fn new(params: &Params, step: usize, answers: usize, count: usize) -> Self {
        let mut weights = Self { words: Vec::new(), answers, count, width: 0, pitch: 0 };
        weights.resize(params, step, answers, count);
        weights
    }

    /// The weights of one answer for ciphertexts `first` and following: the distinct values of each, N / step for each prime.
    pub(crate) fn set(&mut self, params: &Params, answer: usize, first: usize, weights: &[&[u64]]) {
        assert!(answer < self.answers && first + weights.len() <= self.count, "no such weights");
        let slot = answer * self.count + first;
        store(params, weights, &mut self.words, slot, self.pitch, self.width);
    }

    /// Number of ciphertexts.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Number of answers.
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    /// Room for as many sums, taken from those no longer used.
    pub(crate) fn sums(&self, params: &Params, used: &mut Vec<Sum>) -> Vec<Sum> {
        let fresh = || Sum { a: Poly::zero(params), b: Poly::zero(params) };
        (0..self.answers).map(|_| used.pop().unwrap_or_else(fresh)).collect()
    }

    /// Makes room for other numbers of answers and ciphertexts; every weight must be set again.
    pub(crate) fn resize(&mut self, params: &Params, step: usize, answers: usize, count: usize) {
        let width = width(step);
        let pitch = pitch(answers * count * width);
        self.words.resize(params.primes() * params.n() / LANES * pitch, 0);
        (self.answers, self.count, self.width, self.pitch) = (answers, count, width, pitch);
    }
}

/// `sums[m]` = sum over j of ciphertext j times weight (m, j), for every answer m and every part; added to what `sums` hold
/// if `add`.
///
/// A block of weights is read once and meets all parts while it is in the cache. Threads, if there are several, have an equal
/// share of the answers each.
pub(crate) fn multiply(params: &Params, weights: &Weights, parts: &mut [(&Ciphertexts, Vec<Sum>)], add: bool) {
    let (count, answers) = (weights.count, weights.answers);
    assert!(parts.iter().all(|(ct, sums)| ct.count == count && sums.len() == answers), "operands of different layers");
    let share = answers.div_ceil(threads(parts.len() * answers * count)).max(1);
    let mut shares: Vec<Share<'_>> = (0..answers).step_by(share).map(|_| Vec::with_capacity(parts.len())).collect();
    for (ct, sums) in parts {
        shares.iter_mut().zip(sums.chunks_mut(share)).for_each(|(own, sums)| own.push((&**ct, sums)));
    }
    let multiply = |i: usize, own: &mut Share<'_>| {
        let first = i * share;
        multiply_share(params, weights, first..(first + share).min(answers), own, add);
    };
    match shares.as_mut_slice() {
        [all] => multiply(0, all),
        shares => shares.par_iter_mut().enumerate().for_each(|(i, own)| multiply(i, own)),
    }
}

/// Of every part, its ciphertexts and the sums of some of the answers.
type Share<'a> = Vec<(&'a Ciphertexts, &'a mut [Sum])>;

/// [`multiply`] for some of the answers.
fn multiply_share(params: &Params, weights: &Weights, answers: Range<usize>, parts: &mut Share<'_>, add: bool) {
    let (n, count, width) = (params.n(), weights.count, weights.width);
    let own = answers.start * count * width..answers.end * count * width;
    let mut out = vec![0; 2 * answers.len() * LANES];
    for (i, limb) in params.limbs().iter().enumerate() {
        for block in 0..n / LANES {
            let w = &weights.words[(i * (n / LANES) + block) * weights.pitch..][own.clone()];
            for (ct, sums) in parts.iter_mut() {
                let ct = ct.block(params, i, block);
                block_of_sums(params.kernel(), limb.modulus, width, ct, w, &mut out);
                for (sum, out) in sums.iter_mut().zip(out.chunks_exact(2 * LANES)) {
                    let at = block * LANES..(block + 1) * LANES;
                    for (half, out) in [&mut sum.a, &mut sum.b].into_iter().zip(out.chunks_exact(LANES)) {
                        let half = &mut half.row_mut(params, i)[at.clone()];
                        if add {
                            half.iter_mut().zip(out).for_each(|(x, &y)| *x = limb.modulus.add(*x, y));
                        } else {
                            half.copy_from_slice(out);
                        }
                    }
                }
            }
        }
    }
}

/// One block: `ct` is `[ciphertext][a, b][lane]`, `w` `[answer][ciphertext][word]` with `width` words for the lanes, each for
/// as many in a row, `out` `[answer][a, b][lane]`.
pub(crate) fn block_of_sums(kernel: Kernel, modulus: Modulus, width: usize, ct: &[u64], w: &[u64], out: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if kernel == Kernel::Avx512 {
        return ifma::block_of_sums(modulus, width, ct, w, out);
    }
    let _ = kernel;
    let (count, repeats) = (ct.len() / (2 * LANES), LANES / width);
    for (out, w) in out.chunks_exact_mut(2 * LANES).zip(w.chunks_exact(count * width)) {
        let mut wide = [0u128; 2 * LANES];
        // 2^28 products of two 50-bit residues fit 128 bits.
        for (ct, w) in ct.chunks_exact(2 * LANES).zip(w.chunks_exact(width)) {
            for (half, ct) in wide.chunks_exact_mut(LANES).zip(ct.chunks_exact(LANES)) {
                for (i, (sum, &x)) in half.iter_mut().zip(ct).enumerate() {
                    *sum += u128::from(x) * u128::from(w[i / repeats]);
                }
            }
        }
        for (x, wide) in out.iter_mut().zip(wide) {
            *x = modulus.reduce_wide(wide);
        }
    }
}

/// The inner loop alone, for the benchmarks.
#[doc(hidden)]
pub struct Products {
    params: Params,
    ciphertexts: Ciphertexts,
    weights: Weights,
    sums: Vec<Sum>,
}

impl Products {
    /// `answers * count` products of arbitrary numbers; weights are polynomials in X^`step`.
    #[must_use]
    pub fn new(params: &Params, step: usize, answers: usize, count: usize) -> Self {
        let mut prg = Prg::new(&[0; 32], 0);
        let poly = Poly::uniform(params, &mut prg);
        let short = &poly.words()[..params.primes() * params.n() / step];
        let (mut ciphertexts, mut weights) =
            (Ciphertexts::new(params, count), Weights::new(params, step, answers, count));
        for j in 0..count {
            ciphertexts.set(params, j, &poly, &poly);
            (0..answers).for_each(|m| weights.set(params, m, j, &[short]));
        }
        Self { params: params.clone(), ciphertexts, weights, sums: Vec::new() }
    }

    /// Computes them.
    pub fn run(&mut self) {
        let mut parts = [(&self.ciphertexts, self.weights.sums(&self.params, &mut self.sums))];
        multiply(&self.params, &self.weights, &mut parts, false);
        let [(_, sums)] = parts;
        self.sums = sums;
    }
}

/// What lies between blocks does not count.
#[cfg(test)]
impl PartialEq for Weights {
    fn eq(&self, other: &Self) -> bool {
        let shape = |w: &Self| (w.answers, w.count, w.width, w.words.len());
        let used = self.answers * self.count * self.width;
        let mut blocks = self.words.chunks(self.pitch).zip(other.words.chunks(self.pitch));
        shape(self) == shape(other) && blocks.all(|(x, y)| x[..used] == y[..used])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{Params, PrimeChain};
    use crate::plain::PlainModulus;

    #[test]
    fn any_number_of_threads_gives_the_same_sums() {
        let params = Params::for_ring(37).unwrap();
        let (answers, count) = (7, 9);
        let mut prg = Prg::new(&[5; 32], 0);
        let mut uniform = || Poly::uniform(&params, &mut prg);
        let (mut ct, mut w) = (Ciphertexts::new(&params, count), Weights::new(&params, 1, answers, count));
        for j in 0..count {
            ct.set(&params, j, &uniform(), &uniform());
            (0..answers).for_each(|m| w.set(&params, m, j, &[uniform().words()]));
        }
        let sums = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut parts = [(); 2].map(|()| (&ct, w.sums(&params, &mut Vec::new())));
            // Added twice, so that what is there before counts too.
            pool.install(|| [false, true].map(|add| multiply(&params, &w, &mut parts, add)));
            let sums = parts.into_iter().flat_map(|(_, sums)| sums);
            sums.flat_map(|s| [s.a.words().to_vec(), s.b.words().to_vec()]).collect::<Vec<_>>()
        };
        let one = sums(1);
        assert!([2, 3, 8, 20].into_iter().all(|threads| sums(threads) == one));
    }

    #[test]
    fn vector_and_scalar_kernels_agree_with_single_products() {
        let t = PlainModulus::PowerOfTwo { bits: 16 };
        let cases = [(1, 1, 1), (3, 2, 1), (2, 17, 1), (1, 33, 1), (2, 17, 2), (2, 5, 4), (1, 17, 8), (3, 2, 16)];
        for chain in [PrimeChain::Bits50(2), PrimeChain::Bits36(3)] {
            for (answers, count, step) in cases.into_iter().chain([(2, 17, 32), (1, 3, 64), (2, 2, 256)]) {
                let both = [false, true].map(|scalar| {
                    let params = Params::with_kernels(4096, chain, t, scalar).unwrap();
                    let mut prg = Prg::new(&[4; 32], count as u64);
                    let cts: Vec<[Poly<Values>; 2]> =
                        (0..count).map(|_| [(); 2].map(|()| Poly::uniform(&params, &mut prg))).collect();
                    let (mut ct, mut w) =
                        (Ciphertexts::new(&params, count), Weights::new(&params, step, answers, count));
                    let mut expected = vec![[Poly::<Values>::zero(&params), Poly::zero(&params)]; answers];
                    for (j, [a, b]) in cts.iter().enumerate() {
                        ct.set(&params, j, a, b);
                        for (m, expected) in expected.iter_mut().enumerate() {
                            // Its first values, and the polynomial that has each of them `step` times.
                            let uniform = Poly::uniform(&params, &mut prg);
                            let mut weight = Poly::<Values>::zero(&params);
                            let mut short = Vec::new();
                            for (row, from) in weight.rows_mut(&params).zip(uniform.rows(&params)) {
                                let from = &from[..params.n() / step];
                                short.extend_from_slice(from);
                                row.chunks_exact_mut(step).zip(from).for_each(|(row, &x)| row.fill(x));
                            }
                            w.set(&params, m, j, &[&short]);
                            expected[0].mul_accumulate(&params, a, &weight);
                            expected[1].mul_accumulate(&params, b, &weight);
                        }
                    }
                    // Two parts with the same ciphertexts.
                    let mut parts = [(); 2].map(|()| (&ct, w.sums(&params, &mut Vec::new())));
                    multiply(&params, &w, &mut parts, false);
                    let [(_, sums), (_, again)] = parts;
                    assert!(sums.iter().zip(&again).all(|(x, y)| x.a.rows(&params).eq(y.a.rows(&params))));
                    for (sum, [a, b]) in sums.iter().zip(&expected) {
                        assert!(
                            sum.a.rows(&params).eq(a.rows(&params)),
                            "{answers} x {count}, {step}, scalar {scalar}"
                        );
                        assert!(sum.b.rows(&params).eq(b.rows(&params)));
                    }
                    sums.iter()
                        .flat_map(|s| s.b.rows(&params).flatten().copied().collect::<Vec<_>>())
                        .collect::<Vec<_>>()
                });
                assert!(both[0] == both[1]);
            }
        }
    }
}
