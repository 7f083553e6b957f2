//! Sums of products with plaintexts that are polynomials in X^s: at the roots they are constant over s places, so one word
//! stands for a whole block of the multiply-accumulate in [`crate::mac`].

use crate::mac::{self, Ciphertexts, LANES, Sum};
use crate::params::Params;

/// Plaintexts of `answers` sums over `count` ciphertexts: `[prime][value][answer][ciphertext]`.
pub(crate) struct Constants {
    words: Vec<u64>,
    values: usize,
    answers: usize,
    count: usize,
}

impl Constants {
    /// Room for plaintexts of `values` distinct values.
    pub(crate) fn new(params: &Params, values: usize, answers: usize, count: usize) -> Self {
        assert!(params.n() >= values * LANES, "{values} values do not fill blocks of {LANES}");
        Self { words: vec![0; params.primes() * values * answers * count], values, answers, count }
    }

    /// The values of one plaintext modulo prime number `prime`.
    pub(crate) fn set(&mut self, prime: usize, answer: usize, ciphertext: usize, values: &[u64]) {
        assert!(answer < self.answers && ciphertext < self.count && values.len() == self.values, "no such plaintext");
        let (len, at) = (self.answers * self.count, answer * self.count + ciphertext);
        let words = &mut self.words[prime * self.values * len..(prime + 1) * self.values * len];
        words[at..].iter_mut().step_by(len).zip(values).for_each(|(word, &value)| *word = value);
    }

    /// `sums[m]` = sum over j of ciphertext j times plaintext (m, j), for every answer m.
    pub(crate) fn multiply(&self, params: &Params, ciphertexts: &Ciphertexts, sums: &mut [Sum]) {
        assert!(sums.len() == self.answers && ciphertexts.count() == self.count, "operands of different layers");
        let len = self.answers * self.count;
        let blocks = params.n() / self.values / LANES;
        let mut out = vec![0; 2 * self.answers * LANES];
        for (i, (limb, words)) in params.limbs().iter().zip(self.words.chunks_exact(self.values * len)).enumerate() {
            for (value, words) in words.chunks_exact(len).enumerate() {
                for block in value * blocks..(value + 1) * blocks {
                    let ct = ciphertexts.block(params, i, block);
                    mac::block_of_sums(params.kernel(), limb.modulus, 1, ct, words, &mut out);
                    for (sum, out) in sums.iter_mut().zip(out.chunks_exact(2 * LANES)) {
                        let at = block * LANES..(block + 1) * LANES;
                        sum.a.row_mut(params, i)[at.clone()].copy_from_slice(&out[..LANES]);
                        sum.b.row_mut(params, i)[at].copy_from_slice(&out[LANES..]);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::Weights;
    use crate::poly::Poly;
    use crate::prg::Prg;
    use crate::slots::SlotParams;

    #[test]
    fn constants_are_plaintexts_of_full_length() {
        let both = [false, true].map(|scalar| {
            let params = SlotParams::with_kernels(SlotParams::for_bits(37).unwrap().field(), scalar).unwrap();
            let params = params.scheme();
            let (values, answers, count) = (64, 3, 19);
            let mut prg = Prg::new(&[4; 32], 0);
            let mut ciphertexts = Ciphertexts::new(params, count);
            let mut constants = Constants::new(params, values, answers, count);
            let mut weights = Weights::new(params, 1, answers, count);
            for j in 0..count {
                let [a, b] = [(); 2].map(|()| Poly::uniform(params, &mut prg));
                ciphertexts.set(params, j, &a, &b);
                for m in 0..answers {
                    let short = Poly::uniform(params, &mut prg);
                    let mut full: Poly<crate::poly::Values> = Poly::zero(params);
                    for i in 0..params.primes() {
                        constants.set(i, m, j, &short.row(params, i)[..values]);
                        let whole = full.row_mut(params, i).chunks_exact_mut(params.n() / values);
                        whole.zip(short.row(params, i)).for_each(|(part, &value)| part.fill(value));
                    }
                    weights.set(params, m, j, &[full.words()]);
                }
            }
            let mut sums = weights.sums(params, &mut Vec::new());
            constants.multiply(params, &ciphertexts, &mut sums);
            let mut parts = [(&ciphertexts, weights.sums(params, &mut Vec::new()))];
            mac::multiply(params, &weights, &mut parts, false);
            let [(_, expected)] = parts;
            for (x, y) in sums.iter().zip(&expected) {
                assert!(x.a.rows(params).eq(y.a.rows(params)) && x.b.rows(params).eq(y.b.rows(params)));
            }
            sums.iter().flat_map(|s| s.a.row(params, 1).to_vec()).collect::<Vec<_>>()
        });
        assert!(both[0] == both[1]);
    }
}
