//! The server: multiplies the client's ciphertexts by its weights and sends back what reveals nothing but the client's
//! share of the result. Security argument: [`crate::noise`].

use rand::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::client::check_len;
use crate::encrypt;
use crate::keys::PublicKey;
use crate::mac::{self, Ciphertexts, Sum};
use crate::packing::Run;
use crate::params::Params;
use crate::plan::LinearPlan;
use crate::poly::{self, Coeff, Poly, Values};
use crate::prg::Prg;
use crate::vector;
use crate::weights::{EncodedWeights, SPAN};
use crate::wire;
use crate::{Error, Result};

const QUERY: &str = "query";

/// Parts multiplied together: each has up to 8 sums of some 128 KiB waiting. *Local.*
const PARTS: usize = 8;

/// A part in the making.
struct Work {
    part: usize,
    /// At the roots, in spans of as many as the weights come for.
    ciphertexts: Vec<Ciphertexts>,
    secrets: Prg,
    answer: Vec<u8>,
}

impl LinearPlan {
    /// Answers the query of part `part`: [`Self::answer_bytes`] bytes for the client, and the server's share of this part's
    /// outputs written into `output` (the whole output tensor; other parts are left alone).
    ///
    /// `share` is the server's share of the whole input, or `None` where the client holds the input itself. Afterwards the
    /// two parties' outputs add up to the convolution of the sum of their inputs, modulo t, exactly.
    ///
    /// Security against the client, semi-honest: its view is simulated from its output share up to
    /// 2^-`statistical_bits()` per returned coefficient, under RLWE; the server's share is uniform.
    ///
    /// # Errors
    /// If the query is malformed, or share, output, weights or key belong to another layer.
    ///
    /// # Panics
    /// If there is no such part.
    #[expect(clippy::too_many_arguments, reason = "each is one thing, and a struct of them would be used once")]
    pub fn answer_part(
        &self,
        key: &PublicKey,
        weights: &EncodedWeights,
        part: usize,
        query: &[u8],
        share: Option<&[u64]>,
        output: &mut [u64],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>> {
        let mut answers = self.answer_parts(key, weights, part, &[query], share, output, rng)?;
        Ok(answers.swap_remove(0))
    }

    /// Answers to all parts in order, and the server's share of the output. Deferred weights are transformed once for all.
    ///
    /// # Errors
    /// As [`Self::answer_part`], and if the number of queries is wrong.
    pub fn answer(
        &self,
        key: &PublicKey,
        weights: &EncodedWeights,
        queries: &[impl AsRef<[u8]>],
        share: Option<&[u64]>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<Vec<u8>>, Vec<u64>)> {
        if queries.len() != self.parts() {
            return Err(Error::malformed(QUERY, format!("{} messages where {} are due", queries.len(), self.parts())));
        }
        let mut output = vec![0; self.output_len()];
        let answers = self.answer_parts(key, weights, 0, queries, share, &mut output, rng)?;
        Ok((answers, output))
    }

    /// Answers to the queries of parts `first` and following, as many as are given: [`Self::answer_part`] for several, with
    /// deferred weights transformed once for all of them.
    ///
    /// # Errors
    /// As [`Self::answer_part`].
    ///
    /// # Panics
    /// If there are no such parts.
    #[expect(clippy::too_many_arguments, reason = "as for `answer_part`")]
    pub fn answer_parts(
        &self,
        key: &PublicKey,
        weights: &EncodedWeights,
        first: usize,
        queries: &[impl AsRef<[u8]>],
        share: Option<&[u64]>,
        output: &mut [u64],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Vec<u8>>> {
        assert!(first + queries.len() <= self.parts(), "{} parts from {first} of {}", queries.len(), self.parts());
        self.check_server(key, weights)?;
        check_len("server's share of the output", output.len(), self.output_len())?;
        if let Some(share) = share {
            check_len("server's share of the input", share.len(), self.input_len())?;
        }
        let params = &self.params;
        let mut work = Vec::with_capacity(queries.len());
        let span = weights.deferred().map_or(self.counts.channels, |_| SPAN);
        for (part, query) in (first..).zip(queries) {
            let mut ciphertexts: Vec<_> = (0..self.counts.channels)
                .step_by(span)
                .map(|first| Ciphertexts::new(params, span.min(self.counts.channels - first)))
                .collect();
            self.take_query(key, part, query.as_ref(), share, |i, a, b| {
                ciphertexts[i / span].set(params, i % span, &a, &b)
            })?;
            let mut answer = Vec::with_capacity(self.answer_bytes(part));
            key.header(self.tag()).put(&mut answer);
            work.push(Work { part, ciphertexts, secrets: Prg::from_rng(rng), answer });
        }
        let (mut used, mut small) = (Vec::new(), Zeroizing::new(vec![0; params.n()]));
        for same_group in work.chunk_by_mut(|a, b| self.group_of(a.part) == self.group_of(b.part)) {
            let group = self.group_of(same_group[0].part);
            if weights.deferred().is_some() {
                // The sums of all parts wait until the weights of all ciphertexts were there.
                let mut waiting: Vec<Vec<Sum>> = Vec::new();
                self.for_each_chunk(weights, group, |first, block, chunk| {
                    waiting.resize_with(same_group.len(), Vec::new);
                    let sums = |w| if block == 0 { chunk.sums(params, &mut used) } else { w };
                    let sums: Vec<_> = waiting.drain(..).map(sums).collect();
                    let ciphertexts = same_group.iter().map(|w| &w.ciphertexts[block / SPAN]);
                    let mut sums: Vec<_> = ciphertexts.zip(sums).collect();
                    mac::multiply(params, chunk, &mut sums, block > 0);
                    waiting.extend(sums.into_iter().map(|(_, sums)| sums));
                    if block + chunk.count() == self.counts.channels {
                        for (w, sums) in same_group.iter_mut().zip(waiting.drain(..)) {
                            for (answer, sum) in (first..).zip(sums) {
                                let runs = self.outputs(w.part, answer);
                                used.push(seal(key, sum, &runs, &mut small, &mut w.secrets, output, &mut w.answer));
                            }
                        }
                    }
                });
                continue;
            }
            self.for_each_chunk(weights, group, |first, _, chunk| {
                for together in same_group.chunks_mut(PARTS) {
                    let mut sums: Vec<_> =
                        together.iter().map(|w| (&w.ciphertexts[0], chunk.sums(params, &mut used))).collect();
                    mac::multiply(params, chunk, &mut sums, false);
                    let sums: Vec<Vec<Sum>> = sums.into_iter().map(|(_, sums)| sums).collect();
                    for (w, sums) in together.iter_mut().zip(sums) {
                        for (block, sum) in (first..).zip(sums) {
                            let runs = self.outputs(w.part, block);
                            used.push(seal(key, sum, &runs, &mut small, &mut w.secrets, output, &mut w.answer));
                        }
                    }
                }
            });
        }
        Ok(work.into_iter().map(|w| w.answer).collect())
    }

    fn check_server(&self, key: &PublicKey, weights: &EncodedWeights) -> Result<()> {
        if key.params() != &self.params {
            return Err(Error::Mismatch { what: "keys", of: "parameters" });
        }
        if weights.plan() != self.tag() {
            return Err(Error::Mismatch { what: "weights", of: "plan" });
        }
        Ok(())
    }

    /// Calls `put(block, a, b)` for each ciphertext of a query with the server's share added, at the roots.
    fn take_query(
        &self,
        key: &PublicKey,
        part: usize,
        query: &[u8],
        share: Option<&[u64]>,
        mut put: impl FnMut(usize, Poly<Values>, Poly<Values>),
    ) -> Result<()> {
        let params = &self.params;
        wire::check_len(QUERY, query.len(), self.query_bytes())?;
        let rest = key.header(self.tag()).check(QUERY, query)?;
        let (head, rest) = rest.split_at(32);
        let mut seed = [0; 32];
        seed.copy_from_slice(head);
        let mut pixels = Zeroizing::new(vec![0; params.n()]);
        for (block, bytes) in rest.chunks_exact(params.poly_bytes()).enumerate() {
            let a = encrypt::uniform_half(params, &seed, block as u64);
            let mut b = wire::take_coeff(params, QUERY, bytes)?;
            if let Some(share) = share {
                self.place_input(part, block, share, &mut pixels);
                b.add_encoded(params, &pixels);
            }
            put(block, a, b.into_values(params));
        }
        Ok(())
    }
}

/// Turns the sum of one answer polynomial into bytes: encryption of zero, mask, flooding, switch of moduli. The server's
/// share (the mask) goes to `share`. Returns the memory of the sum; `small` is working space.
fn seal(
    key: &PublicKey,
    sum: Sum,
    runs: &[Run],
    small: &mut [i64],
    secrets: &mut Prg,
    share: &mut [u64],
    out: &mut Vec<u8>,
) -> Sum {
    let params = key.params();
    let format = params.answer();
    let (a, b) = rerandomise(key, sum, small, secrets, out);
    let count = runs.iter().map(|r| r.len).sum();
    let mut rows = Zeroizing::new(Vec::with_capacity(params.primes() * count));
    for row in b.rows(params) {
        runs.iter().for_each(|r| rows.extend_from_slice(&row[r.coefficients()]));
    }
    // The server keeps the mask; the client's share is the result minus the mask.
    let mut masks = Zeroizing::new(vec![0; count]);
    params.plain().uniform(secrets, &mut masks);
    let mut next = masks.iter_mut();
    for element in runs.iter().flat_map(|r| r.elements()) {
        if let Some(mask) = next.next() {
            share[element] = *mask;
            *mask = params.plain().neg(*mask);
        }
    }
    poly::add_encoded(params, &masks, rows.chunks_exact_mut(count));
    add_flooding(params, secrets, rows.chunks_exact_mut(count));
    let answer = encrypt::switch(params, rows.chunks_exact(count), format.b_bits);
    answer.put(params.kernel(), format.b_bits, out);
    Sum { a: a.recycle(), b: b.recycle() }
}

/// The first half of sealing: adds an encryption of zero and writes the a-part. Returns both parts, of which b is not yet
/// masked.
pub(crate) fn rerandomise(
    key: &PublicKey,
    mut sum: Sum,
    small: &mut [i64],
    secrets: &mut Prg,
    out: &mut Vec<u8>,
) -> (Poly<Coeff>, Poly<Coeff>) {
    let params = key.params();
    let a_bits = params.answer().a_bits;
    secrets.ternary(small);
    let mut v = Poly::<Coeff>::zero(params);
    v.set_small(params, small);
    let mut v: Poly<Values> = v.into_values(params);
    sum.a.mul_accumulate(params, key.p1(), &v);
    sum.b.mul_accumulate(params, key.p0(), &v);
    v.zeroize();

    let mut a = sum.a.into_coeff(params);
    secrets.errors(params.kernel(), small);
    a.add_small(params, small);
    encrypt::switch(params, a.rows(params), a_bits).put(params.kernel(), a_bits, out);
    (a, sum.b.into_coeff(params))
}

/// Adds uniform numbers of [-2^flood_bits, 2^flood_bits) to rows of residues, one row for each prime.
///
/// A number is drawn in two parts, 32 low bits and the rest, which multiplies 2^32; both are below every prime.
fn add_flooding<'a>(params: &Params, secrets: &mut Prg, rows: impl Iterator<Item = &'a mut [u64]>) {
    let rest_bits = params.answer().flood_bits + 1 - 32;
    let [mut low, mut rest, mut product] = [(); 3].map(|()| Zeroizing::new(Vec::new()));
    for (limb, row) in params.limbs().iter().zip(rows) {
        if low.is_empty() {
            for part in [&mut low, &mut rest, &mut product] {
                part.resize(row.len(), 0);
            }
            secrets.fill(&mut low);
            // One word is enough for both parts of up to 64 bits.
            if rest_bits <= 32 {
                rest.copy_from_slice(&low);
                rest.iter_mut().for_each(|x| *x >>= 64 - rest_bits);
            } else {
                secrets.fill(&mut rest);
                rest.iter_mut().for_each(|x| *x >>= 64 - rest_bits);
            }
            low.iter_mut().for_each(|x| *x &= u64::from(u32::MAX));
        }
        let m = limb.modulus;
        let upper = m.constant(1 << 32);
        if rest_bits <= 52 {
            vector::mul_const(params.kernel(), m, &rest, upper, &mut product);
        } else {
            product.iter_mut().zip(&*rest).for_each(|(product, &x)| *product = m.mul_const(x, upper));
        }
        vector::add_flooding(params.kernel(), m, row, &low, &product, limb.flood_offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encrypt::{Phase, switch};
    use crate::keys::generate_keys;
    use crate::layer::Layer;
    use crate::noise;
    use crate::plan::CostWeights;
    use crate::wire::Wide;
    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    /// The noise before flooding, measured with the secret key, in units of its bound, and the distance of sealed answers
    /// from codewords, in units of 2^-16 Delta.
    fn measure(bits: u32, layer: &Layer, weight: i64) -> (f64, f64, u32) {
        let params = Params::for_ring(bits).unwrap();
        let plan = LinearPlan::new(&params, layer, &CostWeights::default()).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(bits.into());
        let (secret, public) = generate_keys(&params, &mut rng);
        let t = params.plain();
        let mut prg = Prg::from_rng(&mut rng);
        let (mut client, mut server) = (vec![0; plan.input_len()], vec![0; plan.input_len()]);
        t.uniform(&mut prg, &mut client);
        t.uniform(&mut prg, &mut server);
        let weights: Vec<i64> =
            (0..plan.weight_len() as i64).map(|i| if i % 3 == 0 { -weight } else { weight }).collect();
        let encoded = plan.encode_weights(&weights).unwrap();
        let queries = plan.encrypt(&secret, &client, &mut rng).unwrap();

        // Noise of the product and the encryption of zero, modulo 2^100 (of q): far finer than the answer's format.
        let mut ciphertexts = Ciphertexts::new(&params, plan.counts.channels);
        plan.take_query(&public, 0, &queries[0], Some(&server), |i, a, b| ciphertexts.set(&params, i, &a, &b)).unwrap();
        let mut sums: Vec<Sum> = Vec::new();
        plan.for_each_chunk(&encoded, 0, |_, _, chunk| {
            let mut parts = [(&ciphertexts, chunk.sums(&params, &mut Vec::new()))];
            mac::multiply(&params, chunk, &mut parts, false);
            let [(_, more)] = parts;
            sums.extend(more);
        });
        let bound = noise::deviation(&params, encoded.norm());
        let (mut squares, mut count, mut greatest) = (0.0, 0.0, 0f64);
        for (block, sum) in sums.into_iter().enumerate() {
            let mut small = vec![0; params.n()];
            let mut v = Poly::<Coeff>::zero(&params);
            prg.ternary(&mut small);
            v.set_small(&params, &small);
            let v = v.into_values(&params);
            let (mut phase, mut zero) = (sum.b, Poly::<Values>::zero(&params));
            phase.mul_accumulate(&params, public.p0(), &v);
            let mut a = sum.a;
            a.mul_accumulate(&params, public.p1(), &v);
            zero.mul_accumulate(&params, &a, secret.s());
            let (phase, zero) = (phase.into_coeff(&params), zero.into_coeff(&params));
            // x / q in units of 2^-120: both halves to 120 bits, then their sum less the nearest multiple of q / t.
            let (x, y) = (switch(&params, phase.rows(&params), 120), switch(&params, zero.rows(&params), 120));
            let step = 120 - bits;
            for at in plan.outputs(0, block).into_iter().flat_map(Run::coefficients) {
                let sum = x.get(at).wrapping_add(y.get(at)) & ((1 << step) - 1);
                let centred = ((sum as i128) << (128 - step)) >> (128 - step);
                let noise = centred as f64 * (params.log2_q() - 120.0).exp2();
                squares += noise * noise;
                count += 1.0;
                greatest = greatest.max(noise.abs() / bound);
            }
        }

        let (answers, _) = plan.answer(&public, &encoded, &queries, Some(&server), &mut rng).unwrap();
        let format = params.answer();
        let rest = &answers[0][crate::wire::Header::BYTES..];
        let (a, rest) = rest.split_at(Wide::bytes(params.n(), format.a_bits));
        let (runs, count0) = (plan.outputs(0, 0), plan.outputs_of(0, 0));
        let kernel = params.kernel();
        let a = Wide::take(kernel, "answer", a, params.n(), format.a_bits).unwrap();
        let rest = &rest[..Wide::bytes(count0, format.b_bits)];
        let b = Wide::take(kernel, "answer", rest, count0, format.b_bits).unwrap();
        let distance = Phase::new(&secret, &a).decode(&b, &runs, &mut vec![0; plan.output_len()]);
        ((squares / count).sqrt() / bound, greatest, distance)
    }

    #[test]
    fn noise_stays_within_its_bound_and_floods_fill_theirs() {
        let conv = |c, hw, m, k| Layer {
            batch: 1,
            in_channels: c,
            in_hw: [hw; 2],
            out_channels: m,
            kernel: [k; 2],
            stride: [1; 2],
            padding: [k / 2; 4],
            groups: 1,
        };
        for (bits, layer, weight) in [
            (37, conv(3, 30, 2, 3), 1 << 14),
            (37, conv(64, 14, 8, 3), 1 << 12),
            (37, conv(1, 20, 3, 5), 1),
            (37, conv(3, 24, 2, 11), 1 << 12),
            (37, conv(20, 14, 30, 1), 1 << 12),
            (37, conv(200, 14, 16, 1), 1 << 12),
            (32, conv(8, 16, 4, 1), 1 << 10),
            (41, conv(3, 30, 2, 3), 1 << 12),
            (64, conv(4, 16, 4, 3), 1 << 34),
        ] {
            let (deviation, greatest, distance) = measure(bits, &layer, weight);
            let params = Params::for_ring(bits).unwrap();
            let limit = params.answer().limit;
            let flood = (f64::from(params.answer().flood_bits) + f64::from(bits) - params.log2_q() + 16.0).exp2();
            println!(
                "{bits} bits: deviation {deviation:.2}, greatest {greatest:.2} of the bound; \
                 distance {distance} of {limit}, {flood:.0} by flooding"
            );
            // The bound is on the mean magnitude; the deviation may reach it, single values exceed it.
            assert!(deviation > 0.3 && deviation <= 1.0, "{bits}: {deviation}");
            assert!(greatest < 6.0, "{bits}: {greatest}");
            // Of hundreds of uniform values the greatest comes close to the end of their range.
            assert!(distance <= limit && f64::from(distance) > 0.95 * flood, "{bits}: {distance} of {limit}");
        }
    }
}
