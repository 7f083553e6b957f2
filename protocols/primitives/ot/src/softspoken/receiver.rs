use rand::CryptoRng;
use si_wire::Channel;

use super::check::ColumnCheck;
use super::{ROW, Scratch, Streams, TILE, Variant, seeds};
use crate::Result;
use crate::base;
use crate::block::{BLOCK_BYTES, Block};
use crate::buffer::Buffer;
use crate::session::Session;
use crate::transpose::transpose;

/// The receiver's side: learns v, with u in the lowest bits.
pub(crate) struct SoftSpokenReceiver {
    streams: Streams,
    check: Option<ColumnCheck>,
}

impl SoftSpokenReceiver {
    /// The counterpart of the sender's setup.
    pub(crate) fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, variant: Variant) -> Result<(Self, Session)> {
        let base = base::send(ch, rng)?;
        let session = Session::new(base.session);
        let seeds = seeds::send(ch, rng, &session, variant, &base.keys)?;
        let streams = Streams::new(variant.field_bits, &seeds, false);
        let check = variant.malicious.then(|| ColumnCheck::new(&session));
        Ok((Self { streams, check }, session))
    }

    /// The counterpart of the sender's extension. Flushes.
    pub(crate) fn extend(&mut self, ch: &mut Channel, n: usize, out: &mut Buffer) -> Result<()> {
        let mut scratch = Scratch::new(self.streams.field_bits);
        for rows in out.add(n.div_ceil(ROW) * ROW)?.chunks_mut(TILE * ROW) {
            let message = self.columns(rows.len() / ROW, &mut scratch);
            self.commit(ch, &message, &scratch.columns[..rows.len()])?;
            transpose(&scratch.columns[..rows.len()], rows.len() / ROW, rows);
        }
        if self.check.is_some() {
            let message = self.columns(1, &mut scratch);
            self.commit(ch, &message, &scratch.columns[..ROW])?;
        }
        if let Some(check) = &mut self.check {
            ch.send(&check.open())?;
        }
        ch.flush()?;
        Ok(())
    }

    /// Leaves behind the columns of `tile` times 128 OTs; returns the corrections.
    fn columns(&mut self, tile: usize, scratch: &mut Scratch) -> Vec<u8> {
        let mut message = Vec::with_capacity((self.streams.blocks() - 1) * tile * BLOCK_BYTES);
        let mut choices: [Block; TILE] = [0; TILE];
        let choices = &mut choices[..tile];
        for b in 0..self.streams.blocks() {
            self.streams.expand(b, tile, scratch);
            let u = &scratch.sums[..tile];
            if b == 0 {
                choices.copy_from_slice(u);
            } else {
                message.extend(u.iter().zip(choices.iter()).flat_map(|(u, c)| (u ^ c).to_le_bytes()));
            }
        }
        scratch.columns[..tile].copy_from_slice(choices);
        self.streams.position += tile as u64;
        message
    }

    /// Sends the corrections, which the check takes note of.
    fn commit(&mut self, ch: &mut Channel, message: &[u8], columns: &[Block]) -> Result<()> {
        if let Some(check) = &mut self.check {
            check.tile(message, columns);
        }
        ch.send(message)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand_chacha::ChaCha20Rng;

    use super::*;
    use crate::Error;
    use crate::softspoken::SoftSpokenSender;

    /// A receiver that changes its corrections and takes note of the changed ones itself, so that only the algebra of
    /// the check can tell; whether the sender catches it.
    fn is_caught(field_bits: usize, seed: u64, mut cheat: impl FnMut(usize, &mut Vec<u8>)) -> bool {
        let variant = Variant { field_bits, malicious: true };
        let (mut ch_s, mut ch_r) = Channel::memory_pair(Duration::from_secs(20));
        std::thread::scope(|s| {
            let sender = s.spawn(move || {
                let mut rng = ChaCha20Rng::seed_from_u64(seed);
                let (mut sender, ..) = SoftSpokenSender::setup(&mut ch_s, &mut rng, variant).unwrap();
                sender.extend(&mut ch_s, 300, &mut Buffer::default())
            });
            let mut rng = ChaCha20Rng::seed_from_u64(2);
            let (mut receiver, _) = SoftSpokenReceiver::setup(&mut ch_r, &mut rng, variant).unwrap();
            let mut scratch = Scratch::new(field_bits);
            for (i, tile) in [3, 1].into_iter().enumerate() {
                let mut message = receiver.columns(tile, &mut scratch);
                cheat(i, &mut message);
                receiver.commit(&mut ch_r, &message, &scratch.columns[..ROW * tile]).unwrap();
            }
            ch_r.send(&receiver.check.as_mut().unwrap().open()).unwrap();
            ch_r.flush().unwrap();
            match sender.join().unwrap() {
                Ok(()) => false,
                Err(Error::Check { check, .. }) => check.contains("every column"),
                Err(e) => panic!("{e}"),
            }
        })
    }

    #[test]
    fn choices_that_differ_between_columns_are_caught() {
        for field_bits in [1, 8] {
            assert!(!is_caught(field_bits, 1, |_, _| ()));
            for tile in [0, 1] {
                assert!(is_caught(field_bits, 1, |i, message| {
                    if i == tile {
                        message.iter_mut().step_by(BLOCK_BYTES).for_each(|b| *b ^= 4);
                    }
                }));
            }
        }
    }

    /// One false column is a guess at one bit of Δ, one false block at 8 bits.
    #[test]
    fn one_false_column_is_caught_half_of_the_time() {
        let caught = |field_bits, runs| {
            (1..=runs)
                .filter(|seed| {
                    is_caught(field_bits, *seed, |i, m| {
                        if i == 0 {
                            m[3 * BLOCK_BYTES * 8] ^= 1
                        }
                    })
                })
                .count()
        };
        let columns = caught(1, 24);
        assert!((3..=21).contains(&columns), "{columns} of 24");
        assert_eq!(caught(8, 6), 6);
    }
}
