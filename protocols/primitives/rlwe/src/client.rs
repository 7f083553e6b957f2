//! The client: encrypts its share of the input, decrypts its share of the output.

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::encrypt::{self, Phase};
use crate::keys::SecretKey;
use crate::mac::ANSWERS;
use crate::plan::LinearPlan;
use crate::prg::Prg;
use crate::wire::{self, AnswerPlace, Header, Wide};
use crate::{Error, Result};

const ANSWER: &str = "answer";

impl LinearPlan {
    /// The query of part `part`: the client's share of the input, encrypted. [`Self::query_bytes`] bytes.
    ///
    /// `share` is the whole input tensor modulo t, (batch, channel, row, column). Security: pseudo-random under RLWE
    /// against the server.
    ///
    /// # Errors
    /// If the share has the wrong length or the key other parameters.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn encrypt_part(
        &self,
        key: &SecretKey,
        part: usize,
        share: &[u64],
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>> {
        assert!(part < self.parts(), "part {part} of {}", self.parts());
        self.check_client(key)?;
        check_len("client's share of the input", share.len(), self.input_len())?;
        let mut out = Vec::with_capacity(self.query_bytes());
        Header { plan: self.tag(), key: key.id() }.put(&mut out);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        out.extend_from_slice(&seed);
        let mut secrets = Prg::from_rng(rng);
        let mut pixels = Zeroizing::new(vec![0; self.params.n()]);
        for block in 0..self.counts.channels {
            self.place_input(part, block, share, &mut pixels);
            let a = encrypt::uniform_half(&self.params, &seed, block as u64);
            let b = encrypt::encrypt_half(key, &a, &pixels, &mut secrets);
            wire::put_poly(&self.params, &b, &mut out);
        }
        Ok(out)
    }

    /// Receives the answers to all queries of a batch, as they come.
    ///
    /// # Errors
    /// If the key has other parameters.
    pub fn decryption<'a>(&'a self, key: &'a SecretKey) -> Result<Decryption<'a>> {
        self.check_client(key)?;
        let messages = self.parts() * self.counts.filters.div_ceil(ANSWERS);
        let received = vec![false; messages];
        Ok(Decryption { plan: self, key, received, missing: messages, output: vec![0; self.output_len()] })
    }

    /// The queries of all parts, in order.
    ///
    /// # Errors
    /// As [`Self::encrypt_part`].
    pub fn encrypt(&self, key: &SecretKey, share: &[u64], rng: &mut impl CryptoRng) -> Result<Vec<Vec<u8>>> {
        (0..self.parts()).map(|part| self.encrypt_part(key, part, share, rng)).collect()
    }

    /// The client's share of the output from all answers, in any order.
    ///
    /// # Errors
    /// As [`Decryption::take`] and [`Decryption::finish`].
    pub fn decrypt(&self, key: &SecretKey, answers: &[impl AsRef<[u8]>]) -> Result<Vec<u64>> {
        let mut decryption = self.decryption(key)?;
        answers.iter().try_for_each(|answer| decryption.take(answer.as_ref()))?;
        decryption.finish()
    }

    fn check_client(&self, key: &SecretKey) -> Result<()> {
        if key.params() == &self.params { Ok(()) } else { Err(Error::Mismatch { what: "keys", of: "parameters" }) }
    }
}

/// The client's side of a batch whose queries are on their way: answers are decrypted as they come, in any order, and none is
/// kept.
pub struct Decryption<'a> {
    plan: &'a LinearPlan,
    key: &'a SecretKey,
    /// By part, then by message of a part.
    received: Vec<bool>,
    missing: usize,
    output: Vec<u64>,
}

impl Decryption<'_> {
    /// Messages that have not come yet.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Decrypts one answer, of at most [`LinearPlan::longest_answer_bytes`].
    ///
    /// # Errors
    /// If it is not one to this client's queries, or came before: wrong length, place, plan or key, padding, or noise that no
    /// honest answer has.
    pub fn take(&mut self, answer: &[u8]) -> Result<()> {
        let (plan, key) = (self.plan, self.key);
        let rest = Header { plan: plan.tag(), key: key.id() }.check(ANSWER, answer)?;
        let (AnswerPlace { part, first }, mut rest) = AnswerPlace::take(ANSWER, rest)?;
        let filters = plan.counts.filters;
        if part >= plan.parts() || first >= filters || !first.is_multiple_of(ANSWERS) {
            return Err(Error::malformed(ANSWER, format!("there is no polynomial {first} of part {part}")));
        }
        wire::check_len(ANSWER, answer.len(), plan.answer_bytes(part, first))?;
        let slot = &mut self.received[part * filters.div_ceil(ANSWERS) + first / ANSWERS];
        if std::mem::replace(slot, true) {
            return Err(Error::malformed(ANSWER, format!("polynomial {first} of part {part} came before")));
        }
        let (n, format, kernel) = (plan.params.n(), plan.params.answer(), plan.params.kernel());
        let a_bytes = Wide::bytes(n, format.a_bits);
        for block in first..(first + ANSWERS).min(filters) {
            let count = plan.outputs_of(part, block);
            let (a, tail) = rest.split_at(a_bytes);
            let (b, tail) = tail.split_at(Wide::bytes(count, format.b_bits));
            rest = tail;
            let a = Wide::take(kernel, ANSWER, a, n, format.a_bits)?;
            let b = Wide::take(kernel, ANSWER, b, count, format.b_bits)?;
            let worst = Phase::new(key, &a).decode(&b, &plan.outputs(part, block), &mut self.output);
            if worst > format.limit {
                return Err(Error::malformed(
                    ANSWER,
                    format!("noise of {worst} units where an honest answer has at most {}", format.limit),
                ));
            }
        }
        self.missing -= 1;
        Ok(())
    }

    /// The client's share of the output tensor, modulo t.
    ///
    /// # Errors
    /// If messages are missing.
    pub fn finish(self) -> Result<Vec<u64>> {
        match self.missing {
            0 => Ok(self.output),
            missing => Err(Error::malformed(ANSWER, format!("{missing} messages are missing"))),
        }
    }
}

pub(crate) fn check_len(what: &'static str, got: usize, want: usize) -> Result<()> {
    if got == want { Ok(()) } else { Err(Error::Length { what, got, want }) }
}
