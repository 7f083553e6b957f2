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
        let streams = Streams::new(variant.field_bits, &seeds);
        let check = variant.malicious.then(|| ColumnCheck::new(&session));
        Ok((Self { streams, check }, session))
    }

    /// The counterpart of the sender's extension. Flushes.
    pub(crate) fn extend(&mut self, ch: &mut Channel, n: usize, out: &mut Buffer) -> Result<()> {
        let mut scratch = Scratch::new(self.streams.field_bits);
        for rows in out.add(n.div_ceil(ROW) * ROW)?.chunks_mut(TILE * ROW) {
            self.tile(ch, rows.len() / ROW, &mut scratch)?;
            transpose(&scratch.columns[..rows.len()], rows.len() / ROW, rows);
        }
        if self.check.is_some() {
            self.tile(ch, 1, &mut scratch)?;
        }
        if let Some(check) = &mut self.check {
            ch.send(&check.open())?;
        }
        ch.flush()?;
        Ok(())
    }

    /// Sends the corrections and leaves behind the columns of `tile` times 128 OTs.
    fn tile(&mut self, ch: &mut Channel, tile: usize, scratch: &mut Scratch) -> Result<()> {
        let mut message = Vec::with_capacity((self.streams.blocks() - 1) * tile * BLOCK_BYTES);
        let mut choices: [Block; TILE] = [0; TILE];
        let choices = &mut choices[..tile];
        for b in 0..self.streams.blocks() {
            self.streams.expand(b, tile, scratch);
            let u = &scratch.leaves[..tile];
            if b == 0 {
                choices.copy_from_slice(u);
            } else {
                message.extend(u.iter().zip(choices.iter()).flat_map(|(u, c)| (u ^ c).to_le_bytes()));
            }
        }
        scratch.columns[..tile].copy_from_slice(choices);
        self.streams.position += tile as u64;
        if let Some(check) = &mut self.check {
            check.tile(&message, &scratch.columns[..base::COUNT * tile]);
        }
        ch.send(&message)?;
        Ok(())
    }
}
