//! Sums of vectors, each scaled by a number: the linear layers of CrypTFlow2's OT variant.
//!
//! One party knows scalars w_j, the other vectors x_j over Z_2^l; both get shares of the sum of w_j x_j in each row. Bit
//! i of w_j takes one correlated OT of the vector over Z_2^(l-i), since its product is shifted by i (SecureML, IEEE S&P
//! 2017, section 4.1; CrypTFlow2, CCS 2020): l (l + 1) / 2 bits for each product of two numbers, and l OTs for each
//! scalar, however long its vector. The vectors are the OTs' correlations, under pads that are expanded from keys.

use si_ot::Block;
use si_ring::{Bits, Ring, pack, packed_len, unpack_into};

use crate::{Engine, Error, Result, Side, Tally};

/// OTs whose choices are sent at once: 48 bytes each at the sender (agreement: it fixes the messages).
const SEGMENT_OTS: usize = 1 << 20;

/// Numbers that are corrected together: one message (agreement: it fixes the messages).
const PIECE_NUMBERS: usize = 1 << 15;

/// The public shape of a set of scaled sums.
#[derive(Clone, Copy)]
pub struct ScaledSums<'a> {
    /// Who knows the scalars; the other party knows the vectors.
    pub scalars_at: Side,
    /// Number of scalars, and of vectors.
    pub count: usize,
    /// Length of the vectors.
    pub columns: usize,
    /// Number of sums.
    pub rows: usize,
    /// To which sum a scalar belongs.
    pub row_of: &'a dyn Fn(usize) -> usize,
}

/// What we know of a set of scaled sums.
#[derive(Clone, Copy)]
pub enum Mine<'a> {
    /// The scalars.
    Scalars(&'a [u64]),
    /// The vectors: writes vector j.
    Vectors(&'a dyn Fn(usize, &mut [u64])),
}

impl Engine {
    /// Additive shares over `ring` of the sums, row by row: `rows * columns` words.
    ///
    /// Cost: see [`Tally::scaled_sums`]. For c scalars and v columns: c l OTs; c l bits from who knows the scalars, c v l
    /// (l + 1) / 2 bits from the other; one round trip for each 2^20 OTs.
    ///
    /// # Errors
    /// If what we know does not fit the shape, or the peer fails.
    pub fn scaled_sums(&mut self, ring: Ring, sums: &ScaledSums<'_>, mine: Mine<'_>) -> Result<Vec<u64>> {
        let wrong = |why: &str| Err(Error::Width { operator: "scaled sums", why: why.to_owned() });
        let mut out = vec![0; sums.rows * sums.columns];
        for (from, count) in chunks(sums.count, segment(ring)) {
            let ots = count * ring.bits() as usize;
            match sums.scalars_at {
                Side::Client => self.reserve(0, ots)?,
                Side::Server => self.reserve(ots, 0)?,
            }
            match (mine, sums.scalars_at == self.side()) {
                (Mine::Scalars(scalars), true) if scalars.len() == sums.count => {
                    self.receive_products(ring, sums, &scalars[from..from + count], from, &mut out)?;
                }
                (Mine::Vectors(vectors), false) => self.send_products(ring, sums, vectors, from, count, &mut out)?,
                _ => return wrong("we do not know what the shape says"),
            }
        }
        self.channel.flush()?;
        ring.reduce_all(&mut out);
        Ok(out)
    }

    fn receive_products(
        &mut self,
        ring: Ring,
        sums: &ScaledSums<'_>,
        scalars: &[u64],
        first: usize,
        out: &mut [u64],
    ) -> Result<()> {
        let (l, v) = (ring.bits() as usize, sums.columns);
        let choices = Bits::from_lsb(scalars.iter().flat_map(|s| (0..l).map(move |i| s >> i)));
        let keys = self.receiver.keys(&mut self.channel, &choices)?;
        let mut pads = Pads::new(v);
        let mut corrections = Vec::new();
        for (from, count) in chunks(scalars.len(), piece(v)) {
            let what = "scaled vectors";
            let bytes = self.channel.recv_exact(what, message_len(ring, count * v))?;
            let mut rest = &bytes[..];
            corrections.resize(count * v, 0);
            for i in 0..l {
                let width = (l - i) as u32;
                let (these, after) = rest.split_at(packed_len(count * v, width));
                rest = after;
                unpack_into(these, width, &mut corrections).map_err(|e| self.channel.malformed(what, e.to_string()))?;
                for (j, corrections) in corrections.chunks_exact(v).enumerate() {
                    let at = from + j;
                    pads.fill(keys[at * l + i], width, |key, blocks| self.receiver.expand(key, blocks));
                    let chosen = (scalars[at] >> i & 1).wrapping_neg();
                    let row = (sums.row_of)(first + at) * v;
                    for ((y, r), c) in out[row..row + v].iter_mut().zip(&pads.numbers).zip(corrections) {
                        *y = y.wrapping_add(r.wrapping_add(c & chosen) << i);
                    }
                }
            }
        }
        Ok(())
    }

    fn send_products(
        &mut self,
        ring: Ring,
        sums: &ScaledSums<'_>,
        vectors: &dyn Fn(usize, &mut [u64]),
        first: usize,
        count: usize,
        out: &mut [u64],
    ) -> Result<()> {
        let (l, v) = (ring.bits() as usize, sums.columns);
        let (zeros, ones) = self.sender.keys(&mut self.channel, count * l)?;
        let (mut zero, mut one) = (Pads::new(v), Pads::new(v));
        let (mut known, mut corrections) = (Vec::new(), Vec::new());
        for (from, count) in chunks(count, piece(v)) {
            known.resize(count * v, 0);
            corrections.resize(count * v, 0);
            for (j, vector) in known.chunks_exact_mut(v).enumerate() {
                vectors(first + from + j, vector);
            }
            let mut message = Vec::with_capacity(message_len(ring, count * v));
            for i in 0..l {
                let width = (l - i) as u32;
                for (j, (corrections, x)) in corrections.chunks_exact_mut(v).zip(known.chunks_exact(v)).enumerate() {
                    let at = from + j;
                    zero.fill(zeros[at * l + i], width, |key, blocks| self.sender.expand(key, blocks));
                    one.fill(ones[at * l + i], width, |key, blocks| self.sender.expand(key, blocks));
                    let row = (sums.row_of)(first + at) * v;
                    let pads = zero.numbers.iter().zip(&one.numbers);
                    for (((y, c), x), (r0, r1)) in out[row..row + v].iter_mut().zip(corrections).zip(x).zip(pads) {
                        *c = r0.wrapping_add(*x).wrapping_sub(*r1);
                        *y = y.wrapping_sub(r0 << i);
                    }
                }
                pack(&corrections, width, &mut message);
            }
            self.channel.send(&message)?;
        }
        Ok(())
    }
}

impl Engine {
    /// Shares of x^2 over `ring`: the squares of the shares, and twice their product, which is a scaled sum of one number for each.
    ///
    /// Cost: see [`Tally::square`]. l OTs an element; l bits from the client, l (l + 1) / 2 bits from the server, an element.
    ///
    /// # Errors
    /// If the peer fails.
    pub fn square(&mut self, ring: Ring, x: &[u64]) -> Result<Vec<u64>> {
        let row_of = |j| j;
        let shape = ScaledSums { scalars_at: Side::Client, count: x.len(), columns: 1, rows: x.len(), row_of: &row_of };
        let vector = |j: usize, out: &mut [u64]| out[0] = x[j];
        let mine = match self.side() {
            Side::Client => Mine::Scalars(x),
            Side::Server => Mine::Vectors(&vector),
        };
        let cross = self.scaled_sums(ring, &shape, mine)?;
        Ok(x.iter().zip(cross).map(|(&x, c)| ring.add(ring.mul(x, x), ring.add(c, c))).collect())
    }
}

impl Tally {
    /// `Engine::square` of n elements.
    pub fn square(&mut self, n: usize, ring: Ring) {
        self.scaled_sums(ring, Side::Client, n, 1);
    }

    /// `Engine::scaled_sums` of `count` scalars and as many vectors of `columns` numbers over `ring`.
    pub fn scaled_sums(&mut self, ring: Ring, scalars_at: Side, count: usize, columns: usize) {
        let l = ring.bits() as usize;
        for (_, count) in chunks(count, segment(ring)) {
            let choices = (count * l).div_ceil(8);
            let answers = chunks(count, piece(columns)).map(|(_, count)| message_len(ring, count * columns));
            match scalars_at {
                Side::Client => {
                    self.server_ots += (count * l) as u64;
                    self.up(choices);
                    answers.for_each(|bytes| self.down(bytes));
                }
                Side::Server => {
                    self.client_ots += (count * l) as u64;
                    self.down(choices);
                    answers.for_each(|bytes| self.up(bytes));
                }
            }
        }
    }
}

/// Pads of one vector.
struct Pads {
    blocks: Vec<Block>,
    numbers: Vec<u64>,
}

impl Pads {
    fn new(columns: usize) -> Self {
        Self { blocks: Vec::new(), numbers: vec![0; columns] }
    }

    /// Numbers whose lowest `width` bits are uniform, the others any.
    fn fill(&mut self, key: Block, width: u32, expand: impl FnOnce(Block, &mut [Block])) {
        let lane = width.next_power_of_two().max(16);
        let per_block = (128 / lane) as usize;
        self.blocks.resize(self.numbers.len().div_ceil(per_block), 0);
        match &mut self.blocks[..] {
            [only] => *only = key, // a key is a pad already
            blocks => expand(key, blocks),
        }
        for (numbers, block) in self.numbers.chunks_mut(per_block).zip(&self.blocks) {
            let mut rest = *block;
            for n in numbers {
                *n = rest as u64;
                rest = rest.checked_shr(lane).unwrap_or(0);
            }
        }
    }
}

/// Scalars of a segment.
fn segment(ring: Ring) -> usize {
    SEGMENT_OTS / ring.bits() as usize
}

/// Scalars of a message.
fn piece(columns: usize) -> usize {
    (PIECE_NUMBERS / columns.max(1)).max(1)
}

/// Bytes of the corrections of `numbers` numbers: each over Z_2^l, Z_2^(l-1), ..., Z_2.
fn message_len(ring: Ring, numbers: usize) -> usize {
    (1..=ring.bits()).map(|width| packed_len(numbers, width)).sum()
}

/// (first, length) of each part of at most `most`.
fn chunks(count: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).step_by(most).map(move |from| (from, most.min(count - from)))
}
