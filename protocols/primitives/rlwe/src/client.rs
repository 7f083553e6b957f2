//! The client: encrypts its share of the input, decrypts its share of the output.

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::encrypt::{self, Phase};
use crate::keys::SecretKey;
use crate::plan::LinearPlan;
use crate::prg::Prg;
use crate::wire::{self, Header, Wide};
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

    /// Decrypts the answer of part `part` into the client's share of the output tensor, modulo t; other parts of
    /// `output` are left alone.
    ///
    /// # Errors
    /// If the answer is not one to this client's query for this part: wrong length, plan or key, padding, or noise that
    /// no honest answer has.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn decrypt_part(&self, key: &SecretKey, part: usize, answer: &[u8], output: &mut [u64]) -> Result<()> {
        assert!(part < self.parts(), "part {part} of {}", self.parts());
        self.check_client(key)?;
        check_len("client's share of the output", output.len(), self.output_len())?;
        wire::check_len(ANSWER, answer.len(), self.answer_bytes(part))?;
        let mut rest = Header { plan: self.tag(), key: key.id() }.check(ANSWER, answer)?;
        let (n, format) = (self.params.n(), self.params.answer());
        let a_bytes = Wide::bytes(n, format.a_bits);
        for block in 0..self.counts.filters {
            let count = self.outputs_of(part, block);
            let (a, tail) = rest.split_at(a_bytes);
            let (b, tail) = tail.split_at(Wide::bytes(count, format.b_bits));
            rest = tail;
            let a = Wide::take(self.params.kernel(), ANSWER, a, n, format.a_bits)?;
            let b = Wide::take(self.params.kernel(), ANSWER, b, count, format.b_bits)?;
            let worst = Phase::new(key, &a).decode(&b, &self.outputs(part, block), output);
            if worst > format.limit {
                return Err(Error::malformed(
                    ANSWER,
                    format!("noise of {worst} units where an honest answer has at most {}", format.limit),
                ));
            }
        }
        Ok(())
    }

    /// The queries of all parts, in order.
    ///
    /// # Errors
    /// As [`Self::encrypt_part`].
    pub fn encrypt(&self, key: &SecretKey, share: &[u64], rng: &mut impl CryptoRng) -> Result<Vec<Vec<u8>>> {
        (0..self.parts()).map(|part| self.encrypt_part(key, part, share, rng)).collect()
    }

    /// The client's share of the output from the answers of all parts, in order.
    ///
    /// # Errors
    /// As [`Self::decrypt_part`], and if the number of answers is wrong.
    pub fn decrypt(&self, key: &SecretKey, answers: &[Vec<u8>]) -> Result<Vec<u64>> {
        if answers.len() != self.parts() {
            return Err(Error::malformed(ANSWER, format!("{} messages where {} are due", answers.len(), self.parts())));
        }
        let mut output = vec![0; self.output_len()];
        for (part, answer) in answers.iter().enumerate() {
            self.decrypt_part(key, part, answer, &mut output)?;
        }
        Ok(output)
    }

    fn check_client(&self, key: &SecretKey) -> Result<()> {
        if key.params() == &self.params { Ok(()) } else { Err(Error::Mismatch { what: "keys", of: "parameters" }) }
    }
}

pub(crate) fn check_len(what: &'static str, got: usize, want: usize) -> Result<()> {
    if got == want { Ok(()) } else { Err(Error::Length { what, got, want }) }
}
