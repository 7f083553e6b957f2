//! The client: encrypts its share of the input, decrypts its share of the output.

use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::client::check_len;
use crate::encrypt::{self, Phase};
use crate::keys::SecretKey;
use crate::packing::Run;
use crate::prg::Prg;
use crate::slots::layout::ROW;
use crate::slots::params::N;
use crate::slots::plan::SlotPlan;
use crate::wire::{self, Header, Wide};
use crate::{Error, Result};

const ANSWER: &str = "answer";

/// The coordinates of a part.
struct Part {
    group: usize,
    image: usize,
    /// First output row and column of the tile, and how many.
    first: [usize; 2],
    len: [usize; 2],
}

impl SlotPlan {
    fn part(&self, part: usize) -> Part {
        let l = &self.layout;
        let (rest, col) = (part / l.tiles[1], part % l.tiles[1]);
        let (rest, row) = (rest / l.tiles[0], rest % l.tiles[0]);
        let first = [row * l.tile[0], col * l.tile[1]];
        let whole = [l.rows.outputs, l.cols.outputs];
        Part {
            group: rest / self.layer.batch,
            image: rest % self.layer.batch,
            first,
            len: [0, 1].map(|i| l.tile[i].min(whole[i] - first[i])),
        }
    }

    /// The group of channels that part `part` belongs to.
    pub(crate) fn group_of(&self, part: usize) -> usize {
        self.part(part).group
    }

    /// Channel of the reduced convolution as (channel of the group, phase of rows, phase of columns).
    pub(crate) fn phases_of(&self, channel: usize) -> (usize, usize, usize) {
        let (rows, cols) = (self.layout.rows.phases, self.layout.cols.phases);
        (channel / (rows * cols), channel / cols % rows, channel % cols)
    }

    /// Writes the pixels of input `index` of a part into N slots, whose others become zero; reduced modulo p.
    pub(crate) fn place_input(&self, part: usize, index: usize, input: &[u64], slots: &mut [u64]) {
        slots.fill(0);
        let (part, l, field) = (self.part(part), &self.layout, self.params.modulus());
        let [height, width] = self.layer.in_hw;
        let per_group = self.layer.in_channels / self.layer.groups;
        for (row, slots) in slots.chunks_exact_mut(ROW).enumerate() {
            for position in 0..l.per_row {
                let Some(channel) = l.channel(index, row, position) else { continue };
                let (channel, phase_row, phase_col) = self.phases_of(channel);
                let plane = (part.image * self.layer.in_channels + part.group * per_group + channel) * height * width;
                let down = l.rows.pixels(phase_row, part.first[0], part.len[0] + l.rows.taps - 1);
                let across = l.cols.pixels(phase_col, part.first[1], part.len[1] + l.cols.taps - 1);
                for i in down {
                    let line = plane + l.rows.pixel(phase_row, part.first[0] + i) * width;
                    for j in across.clone() {
                        let x = field.reduce(input[line + l.cols.pixel(phase_col, part.first[1] + j)]);
                        let at = (i * l.pitch + j) * l.per_row + position;
                        if l.single {
                            slots[position..].iter_mut().step_by(l.per_row).for_each(|slot| *slot = x);
                        } else {
                            slots[at % ROW] = x;
                        }
                    }
                }
            }
        }
    }

    /// Calls `put(slot, element of the output tensor)` for every output that output ciphertext `index` of a part holds.
    pub(crate) fn for_each_output(&self, part: usize, index: usize, mut put: impl FnMut(usize, usize)) {
        let (part, l) = (self.part(part), &self.layout);
        for row in 0..l.out_rows {
            for position in 0..l.per_row {
                let Some(filter) = l.filter(index, row, position) else { continue };
                let plane = part.image * self.layer.out_channels + part.group * l.filters + filter;
                for i in 0..part.len[0] {
                    let line = (plane * l.rows.outputs + part.first[0] + i) * l.cols.outputs + part.first[1];
                    for j in 0..part.len[1] {
                        put(row * ROW + (i * l.pitch + j) * l.per_row + position, line + j);
                    }
                }
            }
        }
    }

    /// The query of part `part`: the client's share of the input, encrypted. [`Self::query_bytes`] bytes.
    ///
    /// `share` is the whole input tensor modulo p, (batch, channel, row, column). Security: pseudo-random under RLWE against
    /// the server. Cost: a transform modulo p and 2 a prime for each of `cost().ciphertexts_up / parts` ciphertexts.
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
        let scheme = self.params.scheme();
        let mut out = Vec::with_capacity(self.query_bytes());
        Header { plan: self.tag(), key: key.id() }.put(&mut out);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        out.extend_from_slice(&seed);
        let mut secrets = Prg::from_rng(rng);
        let [mut slots, mut coefficients] = [(); 2].map(|()| Zeroizing::new(vec![0; N]));
        for index in 0..self.layout.inputs {
            self.place_input(part, index, share, &mut slots);
            self.params.encoder().coefficients(&slots, &mut coefficients);
            let a = encrypt::uniform_half(scheme, &seed, index as u64);
            let b = encrypt::encrypt_half(key, &a, &coefficients, &mut secrets);
            wire::put_poly(scheme, &b, &mut out);
        }
        Ok(out)
    }

    /// Decrypts the answer of part `part` into the client's share of the output tensor, modulo p; other parts of `output`
    /// are left alone.
    ///
    /// # Errors
    /// If the answer is not one to this client's query for this part: wrong length, plan or key, padding, or noise that no
    /// honest answer has.
    ///
    /// # Panics
    /// If there is no such part.
    pub fn decrypt_part(&self, key: &SecretKey, part: usize, answer: &[u8], output: &mut [u64]) -> Result<()> {
        assert!(part < self.parts(), "part {part} of {}", self.parts());
        self.check_client(key)?;
        check_len("client's share of the output", output.len(), self.output_len())?;
        wire::check_len(ANSWER, answer.len(), self.answer_bytes())?;
        let rest = Header { plan: self.tag(), key: key.id() }.check(ANSWER, answer)?;
        let (kernel, format) = (self.params.scheme().kernel(), self.params.scheme().answer());
        let a_bytes = Wide::bytes(N, format.a_bits);
        let [mut slots, mut coefficients] = [(); 2].map(|()| Zeroizing::new(vec![0; N]));
        for (index, pair) in rest.chunks_exact(a_bytes + Wide::bytes(N, format.b_bits)).enumerate() {
            let (a, b) = pair.split_at(a_bytes);
            let a = Wide::take(kernel, ANSWER, a, N, format.a_bits)?;
            let b = Wide::take(kernel, ANSWER, b, N, format.b_bits)?;
            let worst = Phase::new(key, &a).decode(&b, &[Run { at: 0, index: 0, len: N }], &mut coefficients);
            if worst > self.params.limit() {
                return Err(Error::malformed(
                    ANSWER,
                    format!("noise of {worst} units where an honest answer has at most {}", self.params.limit()),
                ));
            }
            self.params.encoder().slots(&mut coefficients, &mut slots);
            self.for_each_output(part, index, |slot, element| output[element] = slots[slot]);
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
        if key.params() == self.params.scheme() {
            Ok(())
        } else {
            Err(Error::Mismatch { what: "keys", of: "parameters" })
        }
    }
}
