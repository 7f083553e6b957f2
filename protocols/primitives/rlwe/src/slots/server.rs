//! The server: rotates the client's ciphertexts, multiplies them by its weights and sends back what reveals nothing but the
//! client's share of the result. Security argument: [`crate::slots::noise`].

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::client::check_len;
use crate::encrypt;
use crate::keys::PublicKey;
use crate::mac::{self, Ciphertexts, Sum, TOGETHER, Weights};
use crate::poly::{self, Poly};
use crate::prg::Prg;
use crate::seal::{add_wide_flooding, rerandomise};
use crate::slots::galois::Rotation;
use crate::slots::keys::{RotationKeys, SwitchKey};
use crate::slots::mac::Constants;
use crate::slots::params::N;
use crate::slots::plan::SlotPlan;
use crate::slots::switch::{self, Scratch};
use crate::slots::weights::{Encoding, SlotWeights};
use crate::vector;
use crate::wire;
use crate::{Error, Result};

const QUERY: &str = "query";

/// Ciphertexts decomposed together: their digits are 0.75 MiB each. *Local.*
const DIGITS: usize = 4;

/// Partial sums that wait for their merging, 384 KiB each, of as many outputs as fit. *Local.*
const WAITING: usize = 64;

/// Words of plaintexts in constant blocks kept at a time. *Local.*
const PLAINTEXT_WORDS: usize = 4 << 20;

/// Answers and ciphertexts of one pass with plaintexts of full length, 12 MiB. *Local.*
const WHOLE: [usize; 2] = [8, 8];

/// A part in the making.
pub(super) struct Work {
    part: usize,
    /// All rotations of all inputs, in spans of as many as the plaintexts come for.
    inputs: Vec<Ciphertexts>,
    secrets: Prg,
    answer: Vec<u8>,
}

impl Work {
    pub(super) fn new(part: usize, inputs: Vec<Ciphertexts>, secrets: Prg) -> Self {
        Self { part, inputs, secrets, answer: Vec::new() }
    }
}

impl SlotPlan {
    /// Answers the query of part `part`: [`Self::answer_bytes`] bytes for the client, and the server's share of this part's
    /// outputs written into `output` (the whole output tensor; other parts are left alone).
    ///
    /// `share` is the server's share of the whole input, or `None` where the client holds the input itself. Afterwards the
    /// two parties' outputs add up to the convolution of the sum of their inputs, modulo p, exactly.
    ///
    /// Security against the client, semi-honest: its view is simulated from its output share up to
    /// 2^-[`Self::statistical_bits`] per coefficient, under RLWE; the server's share is uniform.
    ///
    /// # Errors
    /// If the query is malformed, a rotation key is missing, or share, output, weights or keys belong to another layer.
    ///
    /// # Panics
    /// If there is no such part.
    #[expect(clippy::too_many_arguments, reason = "each is one thing, and a struct of them would be used once")]
    pub fn answer_part(
        &self,
        keys: &RotationKeys,
        weights: &SlotWeights,
        part: usize,
        query: &[u8],
        share: Option<&[u64]>,
        output: &mut [u64],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>> {
        let mut answers = self.answer_parts(keys, weights, part, &[query], share, output, rng)?;
        Ok(answers.swap_remove(0))
    }

    /// Answers to all parts in order, and the server's share of the output.
    ///
    /// # Errors
    /// As [`Self::answer_part`], and if the number of queries is wrong.
    pub fn answer(
        &self,
        keys: &RotationKeys,
        weights: &SlotWeights,
        queries: &[impl AsRef<[u8]>],
        share: Option<&[u64]>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<Vec<u8>>, Vec<u64>)> {
        if queries.len() != self.parts() {
            return Err(Error::malformed(QUERY, format!("{} messages where {} are due", queries.len(), self.parts())));
        }
        let mut output = vec![0; self.output_len()];
        let answers = self.answer_parts(keys, weights, 0, queries, share, &mut output, rng)?;
        Ok((answers, output))
    }

    /// Answers to the queries of parts `first` and following, as many as are given: weights are encoded once for those whose
    /// rotated inputs fit the memory together.
    ///
    /// # Errors
    /// As [`Self::answer_part`].
    ///
    /// # Panics
    /// If there are no such parts.
    #[expect(clippy::too_many_arguments, reason = "as for `answer_part`")]
    pub fn answer_parts(
        &self,
        keys: &RotationKeys,
        weights: &SlotWeights,
        first: usize,
        queries: &[impl AsRef<[u8]>],
        share: Option<&[u64]>,
        output: &mut [u64],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Vec<u8>>> {
        assert!(first + queries.len() <= self.parts(), "{} parts from {first} of {}", queries.len(), self.parts());
        self.check_server(keys, weights)?;
        check_len("server's share of the output", output.len(), self.output_len())?;
        if let Some(share) = share {
            check_len("server's share of the input", share.len(), self.input_len())?;
        }
        let mut scratch = Scratch::new(&self.params);
        let mut answers = Vec::with_capacity(queries.len());
        let parts: Vec<_> = (first..).zip(queries).collect();
        for same_group in parts.chunk_by(|a, b| self.group_of(a.0) == self.group_of(b.0)) {
            for together in same_group.chunks(self.parts_together()) {
                let mut work = Vec::with_capacity(together.len());
                for &(part, query) in together {
                    let inputs = self.take_query(keys, part, query.as_ref(), share, &mut scratch)?;
                    let mut next = Work::new(part, inputs, Prg::from_rng(rng));
                    next.answer.reserve(self.answer_bytes());
                    keys.public().header(self.tag()).put(&mut next.answer);
                    work.push(next);
                }
                self.multiply(keys, weights, &mut work, output, &mut scratch)?;
                answers.extend(work.into_iter().map(|w| w.answer));
            }
        }
        Ok(answers)
    }

    fn check_server(&self, keys: &RotationKeys, weights: &SlotWeights) -> Result<()> {
        if keys.params() != &self.params {
            return Err(Error::Mismatch { what: "keys", of: "parameters" });
        }
        if weights.plan() != self.tag() {
            return Err(Error::Mismatch { what: "weights", of: "plan" });
        }
        self.rotations().iter().try_for_each(|&r| keys.get(r).map(|_| ()))
    }

    /// Rotated inputs of a part.
    fn count(&self) -> usize {
        self.layout.inputs * self.terms.len()
    }

    /// Parts whose rotated inputs take 128 MiB, at least one.
    fn parts_together(&self) -> usize {
        ((128 << 20) / (self.count() * 2 * self.params.scheme().primes() * N * 8)).max(1)
    }

    /// The rotations of the ciphertexts of a query, with the server's share added.
    pub(super) fn take_query(
        &self,
        keys: &RotationKeys,
        part: usize,
        query: &[u8],
        share: Option<&[u64]>,
        scratch: &mut Scratch,
    ) -> Result<Vec<Ciphertexts>> {
        let scheme = self.params.scheme();
        wire::check_len(QUERY, query.len(), self.query_bytes())?;
        let rest = keys.public().header(self.tag()).check(QUERY, query)?;
        let (head, rest) = rest.split_at(32);
        let mut seed = [0; 32];
        seed.copy_from_slice(head);
        let span = if self.has_constant_blocks() { self.count() } else { WHOLE[1] };
        let mut inputs: Vec<_> =
            (0..self.count()).step_by(span).map(|at| Ciphertexts::new(scheme, span.min(self.count() - at))).collect();
        let mut set = |i: usize, c: &Sum| inputs[i / span].set(scheme, i % span, &c.a, &c.b);
        let rotated: Vec<(usize, &SwitchKey)> = (0..)
            .zip(&self.terms)
            .filter_map(|(t, term)| self.layout.rotation(term).map(|r| keys.get(r).map(|key| (t, key))))
            .collect::<Result<_>>()?;
        let switch_keys: Vec<&SwitchKey> = rotated.iter().map(|&(_, key)| key).collect();
        let [mut slots, mut coefficients] = [(); 2].map(|()| Zeroizing::new(vec![0; N]));
        let mut index = 0;
        for bytes in rest.chunks(DIGITS * scheme.poly_bytes()) {
            let mut ciphertexts = Vec::with_capacity(DIGITS);
            for (i, bytes) in (index..).zip(bytes.chunks_exact(scheme.poly_bytes())) {
                let a = encrypt::uniform_half(scheme, &seed, i as u64);
                let mut b = wire::take_coeff(scheme, QUERY, bytes)?;
                if let Some(share) = share {
                    self.place_input(part, i, share, &mut slots);
                    self.params.encoder().coefficients(&slots, &mut coefficients);
                    b.add_encoded(scheme, &coefficients);
                }
                let ciphertext = Sum { a, b: b.into_values(scheme) };
                for (t, term) in self.terms.iter().enumerate() {
                    if self.layout.rotation(term).is_none() {
                        set(i * self.terms.len() + t, &ciphertext);
                    }
                }
                ciphertexts.push(ciphertext);
            }
            if !switch_keys.is_empty() {
                let digits = switch::decompose(&self.params, ciphertexts.iter());
                let all: Vec<&Sum> = ciphertexts.iter().collect();
                switch::rotate(&self.params, &switch_keys, &digits, &all, scratch, |k, c, sum| {
                    set((index + c) * self.terms.len() + rotated[k].0, sum);
                });
            }
            index += ciphertexts.len();
        }
        Ok(inputs)
    }

    /// Partial sums, their merging and the answers of some parts of one group, a few outputs at a time.
    fn multiply(
        &self,
        keys: &RotationKeys,
        weights: &SlotWeights,
        work: &mut [Work],
        output: &mut [u64],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let group = work.first().map_or(0, |w| self.group_of(w.part));
        let (leaves, scheme) = (self.leaves.len(), self.params.scheme());
        let mut outputs_together = (WAITING / leaves).max(1);
        if self.has_constant_blocks() {
            let words = leaves * self.count() * self.plaintext_len() * scheme.primes();
            outputs_together = outputs_together.min((PLAINTEXT_WORDS / words).max(1));
        }
        for first in (0..self.layout.outputs).step_by(outputs_together) {
            let outputs = first..(first + outputs_together).min(self.layout.outputs);
            let sums = self.partial_sums(weights, group, outputs.clone(), work);
            for (work, sums) in work.iter_mut().zip(sums) {
                let sums = self.merge(keys, sums, scratch)?;
                for (index, sum) in outputs.clone().zip(sums) {
                    self.seal(keys.public(), work, index, sum, output);
                }
            }
        }
        Ok(())
    }

    /// For each part the partial sums of some outputs, leaf by leaf.
    pub(super) fn partial_sums(
        &self,
        weights: &SlotWeights,
        group: usize,
        outputs: std::ops::Range<usize>,
        work: &[Work],
    ) -> Vec<Vec<Sum>> {
        let scheme = self.params.scheme();
        let answers: Vec<_> = outputs.flat_map(|o| self.leaves.iter().map(move |leaf| (o, leaf))).collect();
        let terms: Vec<_> = (0..self.layout.inputs).flat_map(|i| self.terms.iter().map(move |t| (i, t))).collect();
        let fresh = || Sum { a: Poly::zero(scheme), b: Poly::zero(scheme) };
        let mut encoding = Encoding::new(self.plaintext_len());
        let mut sums: Vec<Vec<Sum>> = work.iter().map(|_| answers.iter().map(|_| fresh()).collect()).collect();
        if self.has_constant_blocks() {
            let mut constants = Constants::new(scheme, self.plaintext_len(), answers.len(), terms.len());
            for (m, &(output, leaf)) in answers.iter().enumerate() {
                for (j, &(input, term)) in terms.iter().enumerate() {
                    self.encode(weights, group, output, leaf, input, term, &mut encoding);
                    for prime in 0..scheme.primes() {
                        self.transform(&mut encoding, prime);
                        constants.set(prime, m, j, &encoding.values);
                    }
                }
            }
            for (work, sums) in work.iter().zip(&mut sums) {
                constants.multiply(scheme, &work.inputs[0], sums);
            }
            return sums;
        }
        let mut polys: Vec<_> = (0..TOGETHER).map(|_| Poly::zero(scheme)).collect();
        for (first, answers) in (0..).step_by(WHOLE[0]).zip(answers.chunks(WHOLE[0])) {
            for (span, terms) in terms.chunks(WHOLE[1]).enumerate() {
                let mut chunk = Weights::new(scheme, 1, answers.len(), terms.len());
                for (m, &(output, leaf)) in answers.iter().enumerate() {
                    for (poly, &(input, term)) in polys.iter_mut().zip(terms) {
                        self.encode(weights, group, output, leaf, input, term, &mut encoding);
                        self.transform_whole(&encoding, poly);
                    }
                    chunk.set(scheme, m, 0, &polys[..terms.len()].iter().map(Poly::words).collect::<Vec<_>>());
                }
                for (work, sums) in work.iter().zip(&mut sums) {
                    let sums = &mut sums[first..first + answers.len()];
                    let mut part = [(&work.inputs[span], sums.iter_mut().map(take).collect())];
                    mac::multiply(scheme, &chunk, &mut part, span > 0);
                    let [(_, done)] = part;
                    sums.iter_mut().zip(done).for_each(|(sum, done)| *sum = done);
                }
            }
        }
        sums
    }

    /// Merges the partial sums of some outputs into one sum each.
    pub(super) fn merge(&self, keys: &RotationKeys, mut sums: Vec<Sum>, scratch: &mut Scratch) -> Result<Vec<Sum>> {
        for rotation in self.layout.merges() {
            let (mut left, mut right) = (Vec::new(), Vec::new());
            for (i, sum) in sums.into_iter().enumerate() {
                if i % 2 == 0 { left.push(sum) } else { right.push(sum) }
            }
            self.add_rotated(keys, rotation, &mut left, Some(&right), scratch)?;
            sums = left;
        }
        for rotation in self.layout.folds() {
            self.add_rotated(keys, rotation, &mut sums, None, scratch)?;
        }
        Ok(sums)
    }

    /// Adds to each of `sums` the rotation of its partner in `others`, or of itself.
    fn add_rotated(
        &self,
        keys: &RotationKeys,
        rotation: Rotation,
        sums: &mut [Sum],
        others: Option<&[Sum]>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let scheme = self.params.scheme();
        let key = keys.get(rotation)?;
        for first in (0..sums.len()).step_by(DIGITS) {
            let chunk = first..(first + DIGITS).min(sums.len());
            let mut rotated = Vec::new();
            {
                let from: Vec<&Sum> = others.unwrap_or(sums)[chunk.clone()].iter().collect();
                let digits = switch::decompose(&self.params, from.iter().copied());
                switch::rotate(&self.params, &[key], &digits, &from, scratch, |_, _, sum| rotated.push(clone(sum)));
            }
            for (sum, rotated) in sums[chunk].iter_mut().zip(rotated) {
                for (to, from) in [(&mut sum.a, &rotated.a), (&mut sum.b, &rotated.b)] {
                    for ((limb, to), from) in scheme.limbs().iter().zip(to.rows_mut(scheme)).zip(from.rows(scheme)) {
                        vector::add(scheme.kernel(), limb.modulus, to, from);
                    }
                }
            }
        }
        Ok(())
    }

    /// Turns the sum of one output into bytes: encryption of zero, masks in all slots, flooding of all coefficients, switch of moduli.
    /// The server's share (the masks of the outputs) goes to `share`.
    fn seal(&self, key: &PublicKey, work: &mut Work, index: usize, sum: Sum, share: &mut [u64]) {
        let (scheme, format) = (self.params.scheme(), self.params.scheme().answer());
        let mut small = Zeroizing::new(vec![0; N]);
        let (_, mut b) = rerandomise(key, sum, &mut small, &mut work.secrets, &mut work.answer);
        let [mut masks, mut coefficients] = [(); 2].map(|()| Zeroizing::new(vec![0; N]));
        scheme.plain().uniform(&mut work.secrets, &mut masks);
        self.for_each_output(work.part, index, |slot, element| share[element] = masks[slot]);
        masks.iter_mut().for_each(|mask| *mask = scheme.plain().neg(*mask));
        self.params.encoder().coefficients(&masks, &mut coefficients);
        poly::add_encoded(scheme, &coefficients, b.rows_mut(scheme));
        add_wide_flooding(scheme, self.params.flood_bits(), &mut work.secrets, b.rows_mut(scheme));
        encrypt::switch(scheme, b.rows(scheme), format.b_bits).put(scheme.kernel(), format.b_bits, &mut work.answer);
    }
}

fn take(sum: &mut Sum) -> Sum {
    Sum { a: std::mem::take(&mut sum.a), b: std::mem::take(&mut sum.b) }
}

fn clone(sum: &Sum) -> Sum {
    Sum { a: sum.a.clone(), b: sum.b.clone() }
}
