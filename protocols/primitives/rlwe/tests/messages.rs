//! Messages: what must be refused, and the bytes of an honest run.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::sync::Arc;

use common::{conv, numbers, rng, weights};
use rand_chacha::ChaCha20Rng;
use si_rlwe::{
    CostWeights, EncodedWeights, Error, Layer, LayerAhead, LinearPlan, Params, PlainModulus, PrimeChain, PublicKey,
    SecretKey, WeightsAhead, generate_keys,
};

struct Run {
    plan: LinearPlan,
    secret: SecretKey,
    public: PublicKey,
    weights: EncodedWeights,
    share: Vec<u64>,
    rng: ChaCha20Rng,
}

fn run(params: &Params, layer: &Layer, seed: u64) -> Run {
    let plan = LinearPlan::new(params, layer, &CostWeights::default()).unwrap();
    let mut rng = rng(seed);
    let (secret, public) = generate_keys(params, &mut rng);
    let weights = plan.encode_weights(&weights(seed, plan.weight_len(), 12)).unwrap();
    let share = numbers(params.plain_modulus(), seed, plan.input_len());
    Run { plan, secret, public, weights, share, rng }
}

impl Run {
    fn query(&mut self) -> Vec<u8> {
        self.plan.encrypt_part(&self.secret, 0, &self.share, &mut self.rng).unwrap()
    }

    fn answer(&mut self, query: &[u8]) -> Result<Vec<u8>, Error> {
        assert!(self.plan.parts() == 1 && self.plan.answer_messages().count() == 1);
        let (mut answers, _) =
            self.plan.answer(&self.public, &self.weights, &[query], Some(&self.share), &mut self.rng)?;
        Ok(answers.swap_remove(0))
    }

    fn decrypt(&self, answer: &[u8]) -> Result<Vec<u64>, Error> {
        self.plan.decrypt(&self.secret, &[answer])
    }
}

fn is_malformed<T>(result: &Result<T, Error>, why: &str) -> bool {
    matches!(result, Err(e @ Error::Malformed { .. }) if e.to_string().contains(why))
}

#[test]
fn queries_that_are_not_the_plan_s_are_refused() {
    let params = Params::for_ring(37).unwrap();
    let mut r = run(&params, &conv(1, 3, 10, 4, 3, 1, 1), 1);
    let good = r.query();
    assert!(r.answer(&good).is_ok());
    for len in [0, 1, 15, 16, 48, good.len() - 1] {
        assert!(is_malformed(&r.answer(&good[..len]), "bytes"));
    }
    assert!(is_malformed(&r.answer(&[&good[..], &[0]].concat()), "bytes"));

    let changed = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 1;
        bad
    };
    assert!(is_malformed(&r.answer(&changed(0)), "other parameters or another layer"));
    assert!(is_malformed(&r.answer(&changed(8)), "another key"));
    // 50 bits of ones are no residue.
    let mut bad = good.clone();
    bad[48..56].fill(0xff);
    assert!(is_malformed(&r.answer(&bad), "residue"));

    // The same shape in another ring, the same numbers in another shape, the same plan under another key.
    let mut other = run(&Params::for_ring(36).unwrap(), &conv(1, 3, 10, 4, 3, 1, 1), 1);
    assert!(is_malformed(&r.answer(&other.query()), "other parameters"));
    let mut other = run(&params, &conv(1, 3, 10, 4, 3, 1, 0), 1);
    assert!(is_malformed(&r.answer(&other.query()), "another layer"));
    let mut other = run(&params, &conv(1, 3, 10, 4, 3, 1, 1), 2);
    assert!(is_malformed(&r.answer(&other.query()), "another key"));
}

#[test]
fn answers_that_are_not_the_plan_s_are_refused() {
    let params = Params::for_ring(37).unwrap();
    let mut r = run(&params, &conv(1, 3, 10, 4, 3, 1, 1), 1);
    let query = r.query();
    let good = r.answer(&query).unwrap();
    let result = r.decrypt(&good).unwrap();
    for len in [0, 1, 15, 16, 23, 24, good.len() - 1] {
        assert!(is_malformed(&r.decrypt(&good[..len]), "bytes"));
    }
    for (at, why) in [(0, "another layer"), (8, "another key"), (16, "of part 1"), (20, "polynomial 1 of")] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(is_malformed(&r.decrypt(&bad), why));
    }
    // Bit 9 of a coefficient of a, flipped, moves results by half a step: more than any honest noise. (Higher bits move
    // them by whole steps, which nothing in this layer can see.)
    let mut bad = good.clone();
    bad[24 + 1] ^= 0x02;
    assert!(is_malformed(&r.decrypt(&bad), "noise"));

    // An answer under another key, made to look like ours: its noise gives it away.
    let mut other = run(&params, &conv(1, 3, 10, 4, 3, 1, 1), 7);
    let query = other.query();
    let mut forged = other.answer(&query).unwrap();
    assert!(is_malformed(&r.decrypt(&forged), "another key"));
    forged[8..16].copy_from_slice(&good[8..16]);
    assert!(is_malformed(&r.decrypt(&forged), "noise"));
    assert_eq!(r.decrypt(&good).unwrap(), result);
    assert!(is_malformed(&r.plan.decrypt(&r.secret, &[&good, &good]), "came before"));
}

#[test]
fn random_bytes_never_panic() {
    let params = Params::for_ring(37).unwrap();
    let mut r = run(&params, &Layer::fully_connected(1, 20, 5), 3);
    let header = r.query()[..16].to_vec();
    for seed in 0..20 {
        let noise = |len| -> Vec<u8> {
            numbers(PlainModulus::PowerOfTwo { bits: 8 }, seed, len).iter().map(|&b| b as u8).collect()
        };
        let mut query = noise(r.plan.query_bytes());
        query[..16].copy_from_slice(&header);
        assert!(matches!(r.answer(&query), Ok(_) | Err(Error::Malformed { .. })));
        let mut answer = noise(r.plan.longest_answer_bytes());
        answer[..16].copy_from_slice(&header);
        assert!(matches!(r.decrypt(&answer), Err(Error::Malformed { .. })));
        answer[16..24].fill(0);
        assert!(matches!(r.decrypt(&answer), Ok(_) | Err(Error::Malformed { .. })));
        assert!(PublicKey::decode(&params, &noise(PublicKey::encoded_bytes(&params))).is_err());
    }
}

#[test]
fn public_keys_are_checked() {
    let params = Params::for_ring(37).unwrap();
    let (_, public) = generate_keys(&params, &mut rng(1));
    let good = public.encode();
    assert_eq!(PublicKey::decode(&params, &good).unwrap().encode(), good);
    assert!(is_malformed(&PublicKey::decode(&params, &good[1..]), "bytes"));
    assert!(is_malformed(&PublicKey::decode(&Params::for_ring(38).unwrap(), &good), "other parameters"));
    let mut bad = good.clone();
    bad[40..48].fill(0xff);
    assert!(is_malformed(&PublicKey::decode(&params, &bad), "residue"));
}

#[test]
fn a_caller_s_mistakes_are_named() {
    let params = Params::for_ring(37).unwrap();
    let mut r = run(&params, &Layer::fully_connected(1, 20, 5), 3);
    let short = r.share[1..].to_vec();
    assert!(matches!(
        r.plan.encrypt_part(&r.secret, 0, &short, &mut r.rng),
        Err(Error::Length { got: 19, want: 20, .. })
    ));
    assert!(matches!(r.plan.encode_weights(&[1; 99]), Err(Error::Length { got: 99, want: 100, .. })));
    assert!(matches!(
        r.plan.answer(&r.public, &r.weights, &[[0u8; 0]; 0], None, &mut r.rng),
        Err(Error::Malformed { .. })
    ));
    assert!(matches!(r.plan.decrypt(&r.secret, &[[0u8; 0]; 0]), Err(Error::Malformed { .. })));
    let other = run(&Params::for_ring(36).unwrap(), &Layer::fully_connected(1, 20, 5), 3);
    assert!(matches!(
        r.plan.encrypt_part(&other.secret, 0, &r.share, &mut r.rng),
        Err(Error::Mismatch { what: "keys", .. })
    ));
    let query = r.query();
    r.weights = run(&params, &Layer::fully_connected(1, 20, 6), 3).weights;
    assert!(matches!(r.answer(&query), Err(Error::Mismatch { what: "weights", .. })));
}

#[test]
fn weights_too_heavy_to_hide_are_refused() {
    let params = Params::for_ring(37).unwrap();
    let plan = LinearPlan::new(&params, &Layer::fully_connected(1, 4, 1), &CostWeights::default()).unwrap();
    let most = params.max_weight_norm() as i64;
    let fits = plan.encode_weights(&[most, 0, 0, 0]).unwrap();
    assert!((40.0..40.01).contains(&fits.statistical_bits()), "{}", fits.statistical_bits());
    let refused = plan.encode_weights(&[most, most / 100, 0, 0]);
    assert!(matches!(refused, Err(Error::WeightNorm { statistical_bits: 40, .. })), "{refused:?}");
    assert!(matches!(plan.encode_weights(&[i64::MIN; 4]), Err(Error::WeightNorm { .. })));
}

#[test]
fn layers_that_make_no_sense_are_refused() {
    let params = Params::for_ring(37).unwrap();
    let good = conv(1, 4, 8, 4, 3, 1, 1);
    let refused = |layer: Layer| {
        let result = LinearPlan::new(&params, &layer, &CostWeights::default());
        assert!(matches!(result, Err(Error::Layer { .. })), "{layer:?}");
    };
    refused(Layer { batch: 0, ..good });
    refused(Layer { kernel: [3, 0], ..good });
    refused(Layer { stride: [0, 1], ..good });
    refused(Layer { groups: 3, ..good });
    refused(Layer { kernel: [11, 3], ..good });
    refused(Layer { batch: usize::MAX, ..good });
    refused(Layer { padding: [usize::MAX; 4], ..good });
    refused(Layer { batch: 1 << 20, in_channels: 1 << 20, ..good });
    refused(Layer { kernel: [80, 80], in_hw: [80, 80], ..good });
    let plan = LinearPlan::new(&params, &good, &CostWeights::default()).unwrap();
    for bad in [
        si_rlwe::Window { filters: 0, ..plan.window() },
        si_rlwe::Window { channels: 5, ..plan.window() },
        si_rlwe::Window { images: usize::MAX, ..plan.window() },
        si_rlwe::Window { align: 3, ..plan.window() },
        si_rlwe::Window { align: 0, ..plan.window() },
        si_rlwe::Window { align: 1 << 40, ..plan.window() },
    ] {
        assert!(LinearPlan::with_window(&params, &good, bad).is_err());
    }
}

#[test]
fn parts_batches_and_deferred_weights_give_the_same_bytes() {
    let params = Params::for_ring(37).unwrap();
    // Two tiles and several answers: more than one chunk of each kind.
    let layer = Layer { groups: 2, ..conv(2, 6, 50, 20, 3, 1, 1) };
    let mut r = run(&params, &layer, 4);
    assert!(r.plan.parts() > 2);
    let plain = weights(4, r.plan.weight_len(), 12);
    let deferred = r.plan.defer_weights(&plain).unwrap();
    let queries = r.plan.encrypt(&r.secret, &r.share, &mut r.rng).unwrap();
    let (batch, output) = r.plan.answer(&r.public, &r.weights, &queries, Some(&r.share), &mut rng(8)).unwrap();
    let (lazy, same) = r.plan.answer(&r.public, &deferred, &queries, Some(&r.share), &mut rng(8)).unwrap();
    assert!(batch == lazy && output == same);
    // A part at a time, and with a thread that transforms ahead, for all at once and for a few parts.
    let deferred = Arc::new(deferred);
    for (together, most_bytes) in [(1, 0), (3, 1 << 30), (queries.len(), 0)] {
        let layer = LayerAhead { plan: r.plan.clone(), weights: Arc::clone(&deferred), together };
        let ahead = WeightsAhead::spawn(vec![layer], most_bytes).unwrap();
        let mut answering =
            r.plan.answering(&r.public, &deferred, Some(&r.share)).unwrap().ahead((together > 1).then_some(&ahead));
        let (mut rng, mut answers) = (rng(8), Vec::new());
        for (first, queries) in (0..).step_by(together).zip(queries.chunks(together)) {
            let send = |answer: &[u8]| {
                answers.push(answer.to_vec());
                Ok::<_, Error>(())
            };
            answering.answer(first, queries, &mut rng, send).unwrap();
        }
        assert!(answering.finish() == output && sorted(&answers) == sorted(&batch), "{together}");
        assert_eq!(sum_of_shares(&r, &answers, &output), sum_of_shares(&r, &batch, &output));
        assert_eq!(ahead.expects(&deferred), together == 1);
    }
}

fn sorted(answers: &[Vec<u8>]) -> Vec<&[u8]> {
    let mut sorted: Vec<&[u8]> = answers.iter().map(Vec::as_slice).collect();
    sorted.sort_unstable();
    sorted
}

fn sum_of_shares(r: &Run, answers: &[Vec<u8>], server: &[u64]) -> Vec<u64> {
    r.plan.decrypt(&r.secret, answers).unwrap().iter().zip(server).map(|(a, b)| a.wrapping_add(*b)).collect()
}

/// Communication must not change unseen: the digest of everything sent, with fixed seeds.
#[test]
fn the_bytes_of_a_run_are_pinned() {
    let mut seen = Vec::new();
    for (params, layer) in [
        (Params::for_ring(37).unwrap(), conv(2, 3, 10, 4, 3, 2, 1)),
        (Params::for_ring(41).unwrap(), Layer::fully_connected(3, 30, 9)),
        (Params::for_ring(64).unwrap(), conv(1, 2, 6, 3, 3, 1, 0)),
        (
            Params::new(4096, PrimeChain::Bits50(2), PlainModulus::Prime(65_537)).unwrap(),
            Layer::fully_connected(1, 30, 9),
        ),
    ] {
        let mut r = run(&params, &layer, 11);
        let mut hasher = blake3::Hasher::new();
        hasher.update(&r.public.encode());
        let queries = r.plan.encrypt(&r.secret, &r.share, &mut r.rng).unwrap();
        let (answers, _) = r.plan.answer(&r.public, &r.weights, &queries, Some(&r.share), &mut r.rng).unwrap();
        for message in queries.iter().chain(&answers) {
            hasher.update(message);
        }
        seen.push(hasher.finalize().to_hex()[..16].to_owned());
    }
    assert_eq!(seen, ["aa456e5b34c92813", "2605529dd604bbee", "e00863013f19ec10", "3fd60991d71239eb"]);
}
