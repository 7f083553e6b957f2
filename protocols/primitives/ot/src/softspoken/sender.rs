use rand::CryptoRng;
use si_wire::Channel;
use zeroize::Zeroize;

use super::check::{self, ColumnCheck};
use super::{ROW, Scratch, Streams, TILE, Variant, seeds};
use crate::base;
use crate::block::{self, BLOCK_BYTES, Block, mask};
use crate::buffer::Buffer;
use crate::session::Session;
use crate::transpose::transpose;
use crate::{Error, Result};

/// The sender's side: learns q with v = q + uΔ.
pub(crate) struct SoftSpokenSender {
    /// The generator at y is that of the field element y + δ; the one at y = 0 is not known, and never used.
    streams: Streams,
    delta: Block,
    check: Option<ColumnCheck>,
}

impl SoftSpokenSender {
    /// Base OTs and, for k > 1, the corrections of 128 / k trees (4096 B; with their check 32 (128 / k + 1) B more).
    pub(crate) fn setup(
        ch: &mut Channel,
        rng: &mut impl CryptoRng,
        variant: Variant,
    ) -> Result<(Self, Block, Session)> {
        let delta = block::random(rng) | 1;
        let base = base::receive(ch, rng, delta)?;
        let session = Session::new(base.session);
        let seeds = seeds::receive(ch, &session, variant, delta, &base.keys)?;
        let streams = Streams::new(variant.field_bits, &seeds, true);
        let check = variant.malicious.then(|| ColumnCheck::new(&session));
        Ok((Self { streams, delta, check }, delta, session))
    }

    /// Appends `n` correlated OTs, rounded up to a multiple of 128. Receives 128 / k - 1 bits for each, and with a check
    /// 16 (128 / k - 1) + 2064 B once.
    pub(crate) fn extend(&mut self, ch: &mut Channel, n: usize, out: &mut Buffer) -> Result<()> {
        let mut scratch = Scratch::new(self.streams.field_bits);
        for rows in out.add(n.div_ceil(ROW) * ROW)?.chunks_mut(TILE * ROW) {
            self.tile(ch, rows.len() / ROW, &mut scratch)?;
            transpose(&scratch.columns[..rows.len()], rows.len() / ROW, rows);
        }
        if self.check.is_some() {
            // 128 OTs that nobody uses mask what the receiver opens.
            self.tile(ch, 1, &mut scratch)?;
        }
        if let Some(check) = &mut self.check {
            let opened = ch.recv_exact("OT extension check", check::OPENED_BYTES)?;
            if !check.passes(&opened, self.delta) {
                return Err(Error::Check { check: check::NAME, peer: ch.peer().to_owned() });
            }
        }
        Ok(())
    }

    /// Leaves behind the columns of `tile` times 128 OTs.
    fn tile(&mut self, ch: &mut Channel, tile: usize, scratch: &mut Scratch) -> Result<()> {
        let k = self.streams.field_bits;
        let bytes = ch.recv_exact("OT extension", (self.streams.blocks() - 1) * tile * BLOCK_BYTES)?;
        let mut corrections = block::decode(&bytes);
        for b in 0..self.streams.blocks() {
            self.streams.expand(b, tile, scratch);
            if b > 0 {
                let columns = &mut scratch.columns[b * k * tile..(b + 1) * k * tile];
                for (t, c) in corrections.by_ref().take(tile).enumerate() {
                    for i in 0..k {
                        columns[i * tile + t] ^= c & mask(self.delta >> (b * k + i));
                    }
                }
            }
        }
        scratch.columns[..tile].fill(0);
        self.streams.position += tile as u64;
        if let Some(check) = &mut self.check {
            check.tile(&bytes, &scratch.columns[..base::COUNT * tile]);
        }
        Ok(())
    }
}

impl Drop for SoftSpokenSender {
    fn drop(&mut self) {
        self.delta.zeroize();
    }
}
