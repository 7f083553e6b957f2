//! OT extension from small-field VOLE: Roy, "SoftSpokenOT" (CRYPTO 2022), with fields of 2^k elements; k = 1 is IKNP.
//!
//! For each of the 128 / k blocks of Δ the receiver holds 2^k seeds and the sender all but the one that its k bits of Δ
//! name. Expanded, they give u_b and V_b at the receiver and V_b + δ_b u_b at the sender. The receiver's u_0 are its
//! choices; it sends u_b + u_0 for the other blocks, 128 / k - 1 bits an OT, by which the sender turns u_b into u_0.
//!
//! The lowest bit of Δ is 1, and column 0 is set to the choices at the receiver and to zero at the sender: the choice
//! of each correlated OT travels as the lowest bit of the receiver's block.

use rand::CryptoRng;
use si_wire::Channel;
use zeroize::Zeroizing;

use crate::Result;
use crate::base;
use crate::block::{self, BLOCK_BYTES, Block, mask};
use crate::buffer::Buffer;
use crate::cipher::Prg;
use crate::session::Session;
use crate::transpose::transpose;
use crate::tree::{self, TreeHash};

/// OTs of one block of a column.
const ROW: usize = 128;

/// OTs are made in tiles of this many times 128 (agreement: it fixes the lengths of the messages).
const TILE: usize = 64;

/// What both sides share: where the streams of the leaves stand.
struct Streams {
    field_bits: usize,
    /// 2^k generators for each block.
    leaves: Vec<Prg>,
    position: u64,
}

/// The sender's side: learns q with v = q + uΔ.
pub(crate) struct SoftSpokenSender {
    /// The generator at y is that of the field element y + δ; the one at y = 0 is not known, and never used.
    streams: Streams,
    delta: Block,
}

/// The receiver's side: learns v, with u in the lowest bits.
pub(crate) struct SoftSpokenReceiver {
    streams: Streams,
}

impl SoftSpokenSender {
    /// Base OTs and, for k > 1, the corrections of 128 / k trees (4096 B).
    pub(crate) fn setup(
        ch: &mut Channel,
        rng: &mut impl CryptoRng,
        field_bits: usize,
    ) -> Result<(Self, Block, Session)> {
        let delta = block::random(rng) | 1;
        let base = base::receive(ch, rng, delta)?;
        let session = Session::new(base.session);
        let mut seeds = Zeroizing::new(vec![0; (base::COUNT / field_bits) << field_bits]);
        let blocks = seeds.chunks_exact_mut(1 << field_bits).zip(base.keys.chunks_exact(field_bits)).enumerate();
        if field_bits == 1 {
            // The seed of the side that was not chosen, at y = 1: the sender knows all but that of δ.
            blocks.for_each(|(_, (seeds, keys))| seeds[1] = keys[0]);
        } else {
            let hash = TreeHash::new(session.key("tree"));
            let bytes = ch.recv_exact("tree corrections", 2 * base::COUNT * BLOCK_BYTES)?;
            let corrections: Vec<Block> = block::decode(&bytes).collect();
            for (b, (seeds, keys)) in blocks {
                let sides = corrections[2 * b * field_bits..].chunks_exact(2);
                let known = keys.iter().zip(sides).enumerate().map(|(i, (key, sides))| {
                    let chosen = mask(delta >> (b * field_bits + i));
                    key ^ (sides[0] & !chosen) ^ (sides[1] & chosen)
                });
                let known: Zeroizing<Vec<Block>> = Zeroizing::new(known.collect());
                let position = (delta >> (b * field_bits)) as usize & ((1 << field_bits) - 1);
                tree::expand_punctured(&hash, position, &known, seeds).pay(seeds);
                relabel(position, seeds);
            }
        }
        let leaves = seeds.iter().map(|s| Prg::new(*s)).collect();
        Ok((Self { streams: Streams { field_bits, leaves, position: 0 }, delta }, delta, session))
    }

    /// Appends `n` correlated OTs, rounded up to a multiple of 128. Receives 128 / k - 1 bits for each.
    pub(crate) fn extend(&mut self, ch: &mut Channel, n: usize, out: &mut Buffer) -> Result<()> {
        let k = self.streams.field_bits;
        let blocks = n.div_ceil(ROW);
        let rows = out.add(blocks * ROW)?;
        let mut scratch = Scratch::new(k);
        for rows in rows.chunks_mut(TILE * ROW) {
            let tile = rows.len() / ROW;
            let bytes = ch.recv_exact("OT extension", (base::COUNT / k - 1) * tile * BLOCK_BYTES)?;
            let mut corrections = block::decode(&bytes);
            for b in 0..base::COUNT / k {
                self.streams.expand(b, tile, &mut scratch);
                let columns = &mut scratch.columns[b * k * tile..(b + 1) * k * tile];
                if b > 0 {
                    for (t, c) in corrections.by_ref().take(tile).enumerate() {
                        for i in 0..k {
                            columns[i * tile + t] ^= c & mask(self.delta >> (b * k + i));
                        }
                    }
                }
            }
            scratch.columns[..tile].fill(0);
            transpose(&scratch.columns[..ROW * tile], tile, rows);
            self.streams.position += tile as u64;
        }
        Ok(())
    }
}

impl SoftSpokenReceiver {
    /// Base OTs and, for k > 1, the corrections of 128 / k trees (4096 B).
    pub(crate) fn setup(ch: &mut Channel, rng: &mut impl CryptoRng, field_bits: usize) -> Result<(Self, Session)> {
        let base = base::send(ch, rng)?;
        let session = Session::new(base.session);
        let mut seeds = Zeroizing::new(vec![0; (base::COUNT / field_bits) << field_bits]);
        let blocks = seeds.chunks_exact_mut(1 << field_bits).zip(base.keys.chunks_exact(field_bits));
        if field_bits == 1 {
            // Whoever chose δ knows the seed of the other field element.
            blocks.for_each(|(seeds, keys)| seeds.copy_from_slice(&[keys[0][1], keys[0][0]]));
        } else {
            let hash = TreeHash::new(session.key("tree"));
            let mut message = Vec::new();
            for (seeds, keys) in blocks {
                let (root, delta) = (block::random(rng), block::random(rng));
                let mut left_sums = Zeroizing::new(vec![0; field_bits]);
                tree::expand(&hash, root, delta, seeds, &mut left_sums);
                for (key, left) in keys.iter().zip(left_sums.iter()) {
                    // A chosen 0 means that the path goes left: its holder may know the right side.
                    block::encode(&[key[0] ^ left ^ delta, key[1] ^ left], &mut message);
                }
            }
            ch.send(&message)?;
            ch.flush()?;
        }
        let leaves = seeds.iter().map(|s| Prg::new(*s)).collect();
        Ok((Self { streams: Streams { field_bits, leaves, position: 0 } }, session))
    }

    /// Appends `n` correlated OTs, rounded up to a multiple of 128. Sends 128 / k - 1 bits for each; flushes.
    pub(crate) fn extend(&mut self, ch: &mut Channel, n: usize, out: &mut Buffer) -> Result<()> {
        let k = self.streams.field_bits;
        let blocks = n.div_ceil(ROW);
        let rows = out.add(blocks * ROW)?;
        let mut scratch = Scratch::new(k);
        let mut choices = [0; TILE];
        for rows in rows.chunks_mut(TILE * ROW) {
            let tile = rows.len() / ROW;
            let mut message = Vec::with_capacity((base::COUNT / k - 1) * tile * BLOCK_BYTES);
            for b in 0..base::COUNT / k {
                self.streams.expand(b, tile, &mut scratch);
                let u = &scratch.leaves[..tile];
                if b == 0 {
                    choices[..tile].copy_from_slice(u);
                } else {
                    message.extend(u.iter().zip(&choices).flat_map(|(u, c)| (u ^ c).to_le_bytes()));
                }
            }
            ch.send(&message)?;
            scratch.columns[..tile].copy_from_slice(&choices[..tile]);
            transpose(&scratch.columns[..ROW * tile], tile, rows);
            self.streams.position += tile as u64;
        }
        ch.flush()?;
        Ok(())
    }
}

impl Streams {
    /// Expands the leaves of block `b`: leaves behind u in `scratch.leaves[..tile]`, and fills the columns of the block
    /// with the sums of the leaves whose index has bit i set.
    fn expand(&self, b: usize, tile: usize, scratch: &mut Scratch) {
        let k = self.field_bits;
        let leaves = &mut scratch.leaves[..tile << k];
        for (prg, out) in self.leaves[b << k..(b + 1) << k].iter().zip(leaves.chunks_exact_mut(tile)) {
            prg.fill(self.position, out);
        }
        // From the highest bit down: the upper half is the part with the bit set, then it is folded onto the lower.
        for i in (0..k).rev() {
            let (low, high) = leaves[..2 * tile << i].split_at_mut(tile << i);
            let column = &mut scratch.columns[(b * k + i) * tile..][..tile];
            column.copy_from_slice(&high[..tile]);
            for part in high.chunks_exact(tile).skip(1) {
                xor_into(column, part);
            }
            xor_into(low, high);
        }
    }
}

/// Working space for one tile.
struct Scratch {
    leaves: Zeroizing<Vec<Block>>,
    columns: Zeroizing<Vec<Block>>,
}

impl Scratch {
    fn new(field_bits: usize) -> Self {
        Self {
            leaves: Zeroizing::new(vec![0; TILE << field_bits]),
            columns: Zeroizing::new(vec![0; base::COUNT * TILE]),
        }
    }
}

fn xor_into(a: &mut [Block], b: &[Block]) {
    a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
}

/// Moves the entry at x to x ^ position, without an address that depends on `position`.
fn relabel(position: usize, entries: &mut [Block]) {
    for level in 0..entries.len().trailing_zeros() {
        let (half, swap) = (1 << level, mask((position >> level) as Block));
        for pair in entries.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (l, h) in low.iter_mut().zip(high) {
                let difference = (*l ^ *h) & swap;
                *l ^= difference;
                *h ^= difference;
            }
        }
    }
}
