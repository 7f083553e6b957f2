//! Watchlists: each party has a key for each of its n virtual servers, from which all its randomness there comes and under which it
//! commits to its shares; the other party learns the keys of t servers of its choice, secretly.
//!
//! One random OT for each server gives its key or, to those who do not watch it, a share of a secret that n - t shares determine and
//! fewer say nothing about: whoever returns the secret watches at most t. A sender that sends wrong shares finds out whether a server is
//! watched, at the risk of being caught if it is not: that is no more than cheating at that server and being caught if it is watched.

use rand::{CryptoRng, RngExt};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use si_api::{Error, Result, Role};
use si_ot::{OtReceiver, OtSender};
use si_rlwe::field::Field;
use si_wire::Channel;
use zeroize::Zeroize;

use crate::error::{abort, from_ot};
use crate::parameters::Parameters;

/// Bits of a key from an OT. *Security*: the computational parameter.
const KEY_BITS: usize = 128;

pub(crate) type Key = [u8; 32];

/// The keys of all servers of one party, which only it knows whole.
pub(crate) struct Keys(Vec<Key>);

impl Drop for Keys {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The servers of the other party that we watch, in ascending order, and their keys.
pub(crate) struct Watchlist {
    servers: Vec<usize>,
    keys: Vec<Key>,
    total: usize,
}

/// 32 bytes for one purpose and number, from a server's key.
pub(crate) fn seed(key: &Key, purpose: &str, number: usize) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&(number as u64).to_le_bytes()).update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}

fn stream(key: &Key, round: usize) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(seed(key, "columns", round))
}

impl Keys {
    pub(crate) fn seed(&self, server: usize, purpose: &str) -> [u8; 32] {
        seed(&self.0[server], purpose, 0)
    }

    /// Sends a commitment to the shares of `rows` at each server: one message a server of 8 bytes a row.
    pub(crate) fn commit(&self, ch: &mut Channel, round: usize, rows: &[&[u64]]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut message = vec![0; 8 * rows.len()];
        for (server, key) in self.0.iter().enumerate() {
            rand::Rng::fill_bytes(&mut stream(key, round), &mut message);
            for (bytes, row) in message.chunks_exact_mut(8).zip(rows) {
                bytes.iter_mut().zip(row[server].to_le_bytes()).for_each(|(b, x)| *b ^= x);
            }
            ch.send(&message)?;
        }
        Ok(())
    }
}

impl Watchlist {
    pub(crate) fn servers(&self) -> &[usize] {
        &self.servers
    }

    /// The place of a server in the list.
    pub(crate) fn place(&self, server: usize) -> Option<usize> {
        self.servers.binary_search(&server).ok()
    }

    pub(crate) fn seed(&self, place: usize, purpose: &str) -> [u8; 32] {
        seed(&self.keys[place], purpose, 0)
    }

    /// Receives commitments to `count` rows: of each row its shares at the watched servers.
    pub(crate) fn receive(
        &self,
        ch: &mut Channel,
        peer: Role,
        field: Field,
        round: usize,
        count: usize,
    ) -> Result<Vec<Vec<u64>>> {
        let mut rows = vec![Vec::with_capacity(self.servers.len()); count];
        if count == 0 {
            return Ok(rows);
        }
        let mut pad = vec![0; 8 * count];
        for server in 0..self.total {
            let message = ch.recv_exact("shares of a virtual server", 8 * count)?;
            let Some(place) = self.place(server) else { continue };
            rand::Rng::fill_bytes(&mut stream(&self.keys[place], round), &mut pad);
            for ((bytes, pad), row) in message.chunks_exact(8).zip(pad.chunks_exact(8)).zip(&mut rows) {
                let mut word = [0; 8];
                word.iter_mut().zip(bytes).zip(pad).for_each(|((w, b), p)| *w = b ^ p);
                let share = u64::from_le_bytes(word);
                if share >= field.prime() {
                    return Err(abort(peer, format!("watchlist: server {server} has no share below the prime")));
                }
                row.push(share);
            }
        }
        Ok(rows)
    }
}

/// Gives the other party the keys of t servers of its choice.
pub(crate) fn give(
    ch: &mut Channel,
    ot: &mut OtSender,
    peer: Role,
    field: Field,
    parameters: &Parameters,
    rng: &mut impl CryptoRng,
) -> Result<Keys> {
    let (n, t) = (parameters.servers, parameters.watched);
    let (zero, one) = ot.random_strings::<KEY_BITS>(ch, n).map_err(|e| from_ot(e, peer))?;
    let flips = ch.recv_exact("choices of watched servers", n.div_ceil(8))?;
    let polynomial: Vec<u64> = (0..n - t).map(|_| field.random(rng)).collect();
    let mut keys = Vec::with_capacity(n);
    let mut masked = Vec::with_capacity(8 * n);
    for i in 0..n {
        // Which of the two is the key is the peer's message: public.
        let (watched, other) = if flips[i / 8] >> (i % 8) & 1 == 0 { (&one, &zero) } else { (&zero, &one) };
        keys.push(key(watched, i));
        let share = polynomial.iter().rev().fold(0, |v, &c| field.mul_add(c, v, point(i)));
        masked.extend((share ^ pad(&key(other, i))).to_le_bytes());
    }
    ch.send(&masked)?;
    let answer = ch.recv_exact("proof of the number of watched servers", 8)?;
    if answer == polynomial.first().copied().unwrap_or(0).to_le_bytes() {
        Ok(Keys(keys))
    } else {
        Err(abort(peer, format!("watchlist: it has not shown that it watches no more than {t} of {n} servers")))
    }
}

/// Takes the keys of t random servers of the other party.
pub(crate) fn take(
    ch: &mut Channel,
    ot: &mut OtReceiver,
    peer: Role,
    field: Field,
    parameters: &Parameters,
    rng: &mut impl CryptoRng,
) -> Result<Watchlist> {
    let (n, t) = (parameters.servers, parameters.watched);
    let mut order: Vec<usize> = (0..n).collect();
    for i in 0..t {
        order.swap(i, rng.random_range(i..n));
    }
    let (servers, others) = order.split_at_mut(t);
    servers.sort_unstable();
    let (choices, strings) = ot.random_strings::<KEY_BITS>(ch, n).map_err(|e| from_ot(e, peer))?;
    let mut flips = vec![0u8; n.div_ceil(8)];
    for i in 0..n {
        flips[i / 8] |= (choices.get(i) as u8) << (i % 8);
    }
    for &i in servers.iter() {
        flips[i / 8] ^= 1 << (i % 8);
    }
    ch.send(&flips)?;
    let masked = ch.recv_exact("shares of the proof", 8 * n)?;
    let shares: Vec<(u64, u64)> = (others.iter())
        .map(|&i| {
            let mut word = [0; 8];
            word.copy_from_slice(&masked[8 * i..8 * i + 8]);
            // A wrong share makes a wrong proof, and the peer the one who finds it.
            (point(i), field.reduce((u64::from_le_bytes(word) ^ pad(&key(&strings, i))).into()))
        })
        .collect();
    ch.send(&at_zero(field, &shares).to_le_bytes())?;
    ch.flush().map_err(Error::from)?;
    let keys = servers.iter().map(|&i| key(&strings, i)).collect();
    Ok(Watchlist { servers: servers.to_vec(), keys, total: n })
}

/// Where the proof's polynomial is evaluated for a server.
fn point(server: usize) -> u64 {
    server as u64 + 1
}

fn pad(key: &Key) -> u64 {
    let bytes = seed(key, "not watched", 0);
    // Below 2^64, though the share is below p: a sum of masked bits has no more to hide.
    bytes.iter().take(8).rev().fold(0, |word, &b| word << 8 | u64::from(b))
}

/// The key whose bits are bit i of each string.
fn key(strings: &[si_ring::Bits; KEY_BITS], i: usize) -> Key {
    let mut bytes = [0; KEY_BITS / 8];
    for (w, bits) in strings.iter().enumerate() {
        bytes[w / 8] |= (bits.get(i) as u8) << (w % 8);
    }
    blake3::derive_key("si-leviosa: key of a virtual server", &bytes)
}

/// The value at 0 of the polynomial of degree below the number of points.
fn at_zero(field: Field, points: &[(u64, u64)]) -> u64 {
    // Which points they are is our secret; the steps taken depend on their number only.
    points.iter().fold(0, |sum, &(x, y)| {
        let (above, below) = points
            .iter()
            .filter(|(z, _)| *z != x)
            .fold((1, 1), |(above, below), &(z, _)| (field.mul(above, z), field.mul(below, field.sub(z, x))));
        field.mul_add(sum, y, field.mul(above, field.inverse(below)))
    })
}
