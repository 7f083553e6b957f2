//! OT of keys that both parties expand: one choice for messages of any length.
//!
//! An OT of long messages takes an OT of two keys, each expanded to a pad of its message's length. Nothing but the
//! choices travels here; what a caller sends under the pads is its own affair.

use si_ring::Bits;
use si_wire::Channel;

use crate::block::Block;
use crate::{OtReceiver, OtSender, Result};

impl OtSender {
    /// Both keys of each of `n` OTs whose choices the receiver makes: (keys of message 0, of message 1).
    ///
    /// Traffic: n bits up (read here), one message.
    ///
    /// # Errors
    /// As [`Self::reserve`], and if the receiver's message does not decode.
    pub fn keys(&mut self, ch: &mut Channel, n: usize) -> Result<(Vec<Block>, Vec<Block>)> {
        self.reserve(ch, n)?;
        let choices = crate::two::recv_bits(ch, n)?;
        let (mut zeros, mut ones) = (Vec::with_capacity(n), Vec::with_capacity(n));
        self.pads(n, Some(&choices), |zero, one| {
            zeros.extend_from_slice(zero);
            ones.extend_from_slice(one);
        });
        Ok((zeros, ones))
    }

    /// The pad of a key: `out.len()` pseudorandom blocks.
    ///
    /// The hash of the session at the points key + j, j = 1, 2, ...: a pseudorandom generator in the model in which the
    /// hash is one, as the key is known to nobody else. No key schedule, which short pads would pay for dearly.
    pub fn expand(&self, key: Block, out: &mut [Block]) {
        points(key, out);
        self.hash.hash(0, 1, out);
    }
}

impl OtReceiver {
    /// The chosen key of each OT: see [`OtSender::keys`]. The choices are queued, not flushed.
    ///
    /// # Errors
    /// As [`Self::reserve`].
    pub fn keys(&mut self, ch: &mut Channel, choices: &Bits) -> Result<Vec<Block>> {
        let n = choices.len();
        self.reserve(ch, n)?;
        let mut keys = Vec::with_capacity(n);
        let random = self.pads(n, |blocks| keys.extend_from_slice(blocks));
        let mut message = Vec::with_capacity(n.div_ceil(8));
        choices.xor(&random).encode(&mut message);
        ch.send(&message)?;
        Ok(keys)
    }

    /// The pad of a key: see [`OtSender::expand`].
    pub fn expand(&self, key: Block, out: &mut [Block]) {
        points(key, out);
        self.hash.hash(0, 1, out);
    }
}

fn points(key: Block, out: &mut [Block]) {
    for (j, o) in out.iter_mut().enumerate() {
        *o = key ^ (j as Block + 1);
    }
}
