//! The server: multiplies the client's ciphertexts by its weights and sends back what reveals nothing but the client's
//! share of the result. Security argument: [`crate::noise`].

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::ahead::WeightsAhead;
use crate::client::check_len;
use crate::encrypt;
use crate::keys::PublicKey;
use crate::mac::{self, Ciphertexts, Sum};
use crate::plan::LinearPlan;
use crate::poly::{Poly, Values};
use crate::prg::Prg;
use crate::seal::Sealing;
use crate::weights::EncodedWeights;
use crate::wire::{self, AnswerPlace};
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
}

/// The server's side of a batch: answers queries, a few parts or all at a time.
pub struct Answering<'a> {
    plan: &'a LinearPlan,
    key: &'a PublicKey,
    weights: &'a EncodedWeights,
    ahead: Option<&'a WeightsAhead>,
    share: Option<&'a [u64]>,
    output: Vec<u64>,
}

impl LinearPlan {
    /// Begins to answer the queries of a batch.
    ///
    /// `share` is the server's share of the whole input, or `None` where the client holds the input itself. Afterwards the
    /// two parties' outputs add up to the convolution of the sum of their inputs, modulo t, exactly.
    ///
    /// Security against the client, semi-honest: its view is simulated from its output share up to
    /// 2^-`statistical_bits()` per returned coefficient, under RLWE; the server's share is uniform.
    ///
    /// # Errors
    /// If share, weights or key belong to another layer.
    pub fn answering<'a>(
        &'a self,
        key: &'a PublicKey,
        weights: &'a EncodedWeights,
        share: Option<&'a [u64]>,
    ) -> Result<Answering<'a>> {
        self.check_server(key, weights)?;
        if let Some(share) = share {
            check_len("server's share of the input", share.len(), self.input_len())?;
        }
        Ok(Answering { plan: self, key, weights, ahead: None, share, output: vec![0; self.output_len()] })
    }

    /// Answers to all queries, and the server's share of the output. Deferred weights are transformed once for all.
    ///
    /// # Errors
    /// As [`Self::answering`] and [`Answering::answer`], and if the number of queries is wrong.
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
        let mut answering = self.answering(key, weights, share)?;
        let mut answers = Vec::new();
        answering.answer(0, queries, rng, |answer| {
            answers.push(answer.to_vec());
            Ok::<_, Error>(())
        })?;
        Ok((answers, answering.finish()))
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

impl<'a> Answering<'a> {
    /// Takes deferred weights from a thread that transforms them ahead.
    #[must_use]
    pub fn ahead(self, ahead: Option<&'a WeightsAhead>) -> Self {
        Self { ahead, ..self }
    }

    /// Answers the queries of parts `first` and following, as many as are given, with deferred weights transformed once for
    /// all of them. Messages for the client are handed to `send` as soon as they are made.
    ///
    /// # Errors
    /// If a query is malformed, or `send` fails.
    ///
    /// # Panics
    /// If there are no such parts.
    pub fn answer<E: From<Error>>(
        &mut self,
        first: usize,
        queries: &[impl AsRef<[u8]>],
        rng: &mut impl CryptoRng,
        mut send: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let plan = self.plan;
        assert!(first + queries.len() <= plan.parts(), "{} parts from {first} of {}", queries.len(), plan.parts());
        let params = &plan.params;
        let mut work = Vec::with_capacity(queries.len());
        let span = self.weights.deferred().map_or(plan.counts.channels, |_| plan.span(queries.len()));
        for (part, query) in (first..).zip(queries) {
            let mut ciphertexts: Vec<_> = (0..plan.counts.channels)
                .step_by(span)
                .map(|first| Ciphertexts::new(params, span.min(plan.counts.channels - first)))
                .collect();
            plan.take_query(self.key, part, query.as_ref(), self.share, |i, a, b| {
                ciphertexts[i / span].set(params, i % span, &a, &b)
            })?;
            work.push(Work { part, ciphertexts, secrets: Prg::from_rng(rng) });
        }
        let mut used = Vec::new();
        let mut sealing = Sealing::new(plan, self.key);
        for same_group in work.chunk_by_mut(|a, b| plan.group_of(a.part) == plan.group_of(b.part)) {
            let group = plan.group_of(same_group[0].part);
            let output = &mut self.output;
            if self.weights.deferred().is_some() {
                // The sums of all parts wait until the weights of all ciphertexts were there.
                let mut waiting: Vec<Vec<Sum>> = Vec::new();
                plan.for_each_chunk(self.weights, self.ahead, group, span, |first, block, chunk| {
                    waiting.resize_with(same_group.len(), Vec::new);
                    let sums = |w| if block == 0 { chunk.sums(params, &mut used) } else { w };
                    let sums: Vec<_> = waiting.drain(..).map(sums).collect();
                    let ciphertexts = same_group.iter().map(|w| &w.ciphertexts[block / span]);
                    let mut sums: Vec<_> = ciphertexts.zip(sums).collect();
                    mac::multiply(params, chunk, &mut sums, block > 0);
                    waiting.extend(sums.into_iter().map(|(_, sums)| sums));
                    if block + chunk.count() == plan.counts.channels {
                        for (w, sums) in same_group.iter_mut().zip(waiting.drain(..)) {
                            let place = AnswerPlace { part: w.part, first };
                            send(sealing.message(place, sums, &mut w.secrets, output, &mut used))?;
                        }
                    }
                    Ok::<_, E>(())
                })?;
                continue;
            }
            plan.for_each_chunk(self.weights, None, group, span, |first, _, chunk| {
                for together in same_group.chunks_mut(PARTS) {
                    let mut sums: Vec<_> =
                        together.iter().map(|w| (&w.ciphertexts[0], chunk.sums(params, &mut used))).collect();
                    mac::multiply(params, chunk, &mut sums, false);
                    let sums: Vec<Vec<Sum>> = sums.into_iter().map(|(_, sums)| sums).collect();
                    for (w, sums) in together.iter_mut().zip(sums) {
                        let place = AnswerPlace { part: w.part, first };
                        send(sealing.message(place, sums, &mut w.secrets, output, &mut used))?;
                    }
                }
                Ok::<_, E>(())
            })?;
        }
        Ok(())
    }

    /// The server's share of the output tensor, modulo t; zeros for parts that were not answered.
    #[must_use]
    pub fn finish(self) -> Vec<u64> {
        self.output
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encrypt::{Phase, switch};
    use crate::keys::generate_keys;
    use crate::layer::Layer;
    use crate::noise;
    use crate::packing::Run;
    use crate::params::Params;
    use crate::plan::CostWeights;
    use crate::poly::Coeff;
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
        plan.for_each_chunk(&encoded, None, 0, plan.counts.channels, |_, _, chunk| {
            let mut parts = [(&ciphertexts, chunk.sums(&params, &mut Vec::new()))];
            mac::multiply(&params, chunk, &mut parts, false);
            let [(_, more)] = parts;
            sums.extend(more);
            Ok::<_, Error>(())
        })
        .unwrap();
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
        let rest = &answers[0][crate::wire::Header::BYTES + AnswerPlace::BYTES..];
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
