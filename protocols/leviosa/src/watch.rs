//! Watchlists: each party has a key for each of its n virtual servers, from which all its randomness there comes and under which it
//! commits to its shares; the other party learns the keys of t servers of its choice, secretly.
//!
//! One random OT for each server gives its key or, to those who do not watch it, a share of a secret that n - t shares determine and
//! fewer say nothing about: whoever knows the secret watches at most t. It commits to the secret, is shown the polynomial, makes sure that
//! all shares it has are right, and only then opens the commitment. A giver of wrong shares is thus caught unless all of
//! them belong to watched servers, and to learn that of b servers so is less likely than that b wrong shares go unnoticed elsewhere.

use rand::{CryptoRng, Rng, RngExt};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use si_api::{Error, Result, Role};
use si_ot::{OtReceiver, OtSender};
use si_rlwe::field::Field;
use si_wire::Channel;
use zeroize::Zeroize;

use crate::code::Code;
use crate::deviation::InsecureDeviation;
use crate::error::{abort, from_ot};

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
            stream(key, round).fill_bytes(&mut message);
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
    ///
    /// What is watched is read once all has arrived: the pace says nothing of which servers those are.
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
        let mut watched = Vec::with_capacity(self.servers.len());
        for server in 0..self.total {
            let message = ch.recv_exact("shares of a virtual server", 8 * count)?;
            if self.place(server).is_some() {
                watched.push(message);
            }
        }
        let mut pad = vec![0; 8 * count];
        let mut beyond = 0;
        for (key, message) in self.keys.iter().zip(watched) {
            stream(key, round).fill_bytes(&mut pad);
            for ((bytes, pad), row) in message.chunks_exact(8).zip(pad.chunks_exact(8)).zip(&mut rows) {
                let mut word = [0; 8];
                word.iter_mut().zip(bytes).zip(pad).for_each(|((w, b), p)| *w = b ^ p);
                let share = u64::from_le_bytes(word);
                beyond |= u64::from(share >= field.prime());
                row.push(share);
            }
        }
        if beyond == 0 {
            Ok(rows)
        } else {
            Err(abort(peer, "watchlist: a share at a watched virtual server is not below the prime"))
        }
    }
}

/// Shares of the proof of the number of watched servers: values of a polynomial of degree below n - t at the positions, and its value at 0.
fn shares(code: &Code, seed: &[u8; 32]) -> (Vec<u64>, u64) {
    let parameters = code.parameters();
    let mut rng = ChaCha20Rng::from_seed(*seed);
    let polynomial: Vec<u64> =
        (0..parameters.servers - parameters.watched).map(|_| code.field().random(&mut rng)).collect();
    (code.values(&polynomial), polynomial.first().copied().unwrap_or(0))
}

/// The commitment to the secret.
fn commitment(nonce: &[u8; 32], secret: u64) -> [u8; 32] {
    *blake3::Hasher::new_keyed(nonce)
        .update(b"number of watched servers")
        .update(&secret.to_le_bytes())
        .finalize()
        .as_bytes()
}

/// Gives the other party the keys of t servers of its choice.
pub(crate) fn give(
    ch: &mut Channel,
    ot: &mut OtSender,
    peer: Role,
    code: &Code,
    deviation: Option<InsecureDeviation>,
    rng: &mut impl CryptoRng,
) -> Result<Keys> {
    let (n, t) = (code.parameters().servers, code.parameters().watched);
    let (zero, one) = ot.random_strings::<KEY_BITS>(ch, n).map_err(|e| from_ot(e, peer))?;
    let flips = ch.recv_exact("choices of watched servers", n.div_ceil(8))?;
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let (shares, secret) = shares(code, &seed);
    let wrong = deviation.map_or(0, InsecureDeviation::watch_shares);
    let mut keys = Vec::with_capacity(n);
    let mut masked = Vec::with_capacity(8 * n);
    for (i, share) in shares.into_iter().enumerate() {
        // Which of the two is the key is the peer's message: public.
        let (watched, other) = if flips[i / 8] >> (i % 8) & 1 == 0 { (&one, &zero) } else { (&zero, &one) };
        keys.push(key(watched, i));
        masked.extend((share ^ pad(&key(other, i)) ^ u64::from(i < wrong)).to_le_bytes());
    }
    let keys = Keys(keys);
    ch.send(&masked)?;
    let committed = ch.recv_exact("commitment to the number of watched servers", 32)?;
    ch.send(&seed)?;
    let opening = ch.recv_exact("proof of the number of watched servers", 32)?;
    let mut nonce = [0; 32];
    nonce.copy_from_slice(&opening);
    if committed == commitment(&nonce, secret) {
        Ok(keys)
    } else {
        Err(abort(peer, format!("watchlist: it has not shown that it watches no more than {t} of {n} servers")))
    }
}

/// Takes the keys of t random servers of the other party.
pub(crate) fn take(
    ch: &mut Channel,
    ot: &mut OtReceiver,
    peer: Role,
    code: &Code,
    deviation: Option<InsecureDeviation>,
    rng: &mut impl CryptoRng,
) -> Result<Watchlist> {
    let n = code.parameters().servers;
    let t = code.parameters().watched + deviation.map_or(0, InsecureDeviation::watch_more);
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
    let points = code.positions();
    let received: Vec<(u64, u64)> = (others.iter())
        .map(|&i| {
            let mut word = [0; 8];
            word.copy_from_slice(&masked[8 * i..8 * i + 8]);
            (points[i], u64::from_le_bytes(word) ^ pad(&key(&strings, i)))
        })
        .collect();
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    ch.send(&commitment(&nonce, at_zero(code.field(), &received)))?;
    let seed = ch.recv_exact("polynomial of the proof", 32)?;
    let mut polynomial = [0; 32];
    polynomial.copy_from_slice(&seed);
    let (right, _) = shares(code, &polynomial);
    let wrong = others.iter().zip(&received).fold(0, |all, (&i, &(_, share))| all | (share ^ right[i]));
    if wrong != 0 {
        return Err(abort(peer, "watchlist: its shares of the proof are not those of a polynomial"));
    }
    ch.send(&nonce)?;
    ch.flush().map_err(Error::from)?;
    let keys = servers.iter().map(|&i| key(&strings, i)).collect();
    Ok(Watchlist { servers: servers.to_vec(), keys, total: n })
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

/// The value at 0 of the polynomial of degree below the number of points, with these values up to multiples of p.
fn at_zero(field: Field, points: &[(u64, u64)]) -> u64 {
    // Which points they are is our secret; the steps taken depend on their number only.
    points.iter().fold(0, |sum, &(x, y)| {
        let y = field.reduce(y.into());
        let (above, below) = points
            .iter()
            .filter(|(z, _)| *z != x)
            .fold((1, 1), |(above, below), &(z, _)| (field.mul(above, z), field.mul(below, field.sub(z, x))));
        field.mul_add(sum, y, field.mul(above, field.inverse(below)))
    })
}
