//! Two parties in memory: honest ones, recorded ones, and ones whose messages are changed on the way.

mod cheats;
mod operations;
mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_ring::Bits;
use si_wire::{Channel, FRAME_HEADER_BYTES, Meter, Transport, memory_pair};

use crate::simd::Level;
use crate::{Extension, FerretParams, OtConfig, OtReceiver, OtSender, Result};

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn bits(seed: u64, n: usize) -> Bits {
    let mut r = rng(seed);
    Bits::from_lsb((0..n).map(|_| r.next_u64()))
}

fn words(seed: u64, n: usize) -> Vec<u64> {
    let mut r = rng(seed);
    (0..n).map(|_| r.next_u64()).collect()
}

/// Every extension, with the small parameters.
fn configs() -> Vec<OtConfig> {
    let small = FerretParams::SMALL;
    let all = [
        Extension::Iknp,
        Extension::Kos,
        Extension::SoftSpoken,
        Extension::SoftSpoken2,
        Extension::Ferret(small),
        Extension::FerretMalicious(small),
    ];
    all.map(OtConfig::new).to_vec()
}

/// Changes the message with this number, counted from 0 at each party.
type Change = Box<dyn FnMut(usize, &mut Vec<u8>) + Send>;

/// Hands over what a party sends, recorded and possibly changed.
struct Tap {
    inner: Box<dyn Transport>,
    sent: usize,
    /// The beginning of a frame whose end is still to come.
    pending: Vec<u8>,
    change: Change,
    record: Arc<Mutex<blake3::Hasher>>,
}

impl Transport for Tap {
    fn send(&mut self, bytes: Vec<u8>) -> si_wire::Result<()> {
        self.pending.extend(bytes);
        let mut rest = &self.pending[..];
        let mut out = Vec::new();
        while let Some((header, after)) = rest.split_at_checked(FRAME_HEADER_BYTES) {
            let len = u32::from_le_bytes(header.try_into().unwrap()) as usize;
            let Some((payload, after)) = after.split_at_checked(len) else { break };
            let mut payload = payload.to_vec();
            rest = after;
            self.record.lock().unwrap().update(header).update(&payload);
            (self.change)(self.sent, &mut payload);
            self.sent += 1;
            out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
            out.extend(payload);
        }
        self.pending = rest.to_vec();
        self.inner.send(out)
    }

    fn recv(&mut self, buf: &mut [u8]) -> si_wire::Result<()> {
        self.inner.recv(buf)
    }

    fn peer(&self) -> &str {
        self.inner.peer()
    }
}

/// What came of a run: each side's result, and the digest of what each sent.
struct Outcome<A, B> {
    sender: Result<A>,
    receiver: Result<B>,
    sender_wire: String,
    receiver_wire: String,
}

/// Runs a sender and a receiver with fixed seeds at a level, with the sender's and the receiver's messages changed.
fn run_tapped<A: Send, B: Send>(
    config: OtConfig,
    level: Level,
    changes: [Change; 2],
    sender: impl FnOnce(&mut OtSender, &mut Channel) -> Result<A> + Send,
    receiver: impl FnOnce(&mut OtReceiver, &mut Channel) -> Result<B> + Send,
) -> Outcome<A, B> {
    let (for_s, for_r) = memory_pair("receiver", "sender", Duration::from_secs(20));
    let records = [(); 2].map(|()| Arc::new(Mutex::new(blake3::Hasher::new())));
    let [change_s, change_r] = changes;
    let tap = |inner, change, record: &Arc<Mutex<blake3::Hasher>>| {
        Channel::new(
            Box::new(Tap { inner, sent: 0, pending: Vec::new(), change, record: Arc::clone(record) }),
            Meter::new(),
        )
    };
    let mut ch_s = tap(for_s, change_s, &records[0]);
    let mut ch_r = tap(for_r, change_r, &records[1]);
    let (a, b) = std::thread::scope(|s| {
        let b = s.spawn(move || {
            level.force(|| {
                let mut r = OtReceiver::setup(&mut ch_r, &mut rng(2), &config)?;
                let out = receiver(&mut r, &mut ch_r)?;
                ch_r.flush()?;
                Ok(out)
            })
        });
        let a = s.spawn(move || {
            level.force(|| {
                let mut o = OtSender::setup(&mut ch_s, &mut rng(1), &config)?;
                let out = sender(&mut o, &mut ch_s)?;
                ch_s.flush()?;
                Ok(out)
            })
        });
        (a.join().unwrap(), b.join().unwrap())
    });
    let digest = |r: &Arc<Mutex<blake3::Hasher>>| r.lock().unwrap().finalize().to_hex()[..16].to_owned();
    Outcome { sender: a, receiver: b, sender_wire: digest(&records[0]), receiver_wire: digest(&records[1]) }
}

fn honest() -> [Change; 2] {
    [Box::new(|_, _| ()), Box::new(|_, _| ())]
}

/// Runs an honest sender and an honest receiver.
fn run<A: Send, B: Send>(
    config: OtConfig,
    sender: impl FnOnce(&mut OtSender, &mut Channel) -> A + Send,
    receiver: impl FnOnce(&mut OtReceiver, &mut Channel) -> B + Send,
) -> (A, B) {
    let out = run_tapped(config, Level::detect(), honest(), |s, ch| Ok(sender(s, ch)), |r, ch| Ok(receiver(r, ch)));
    (out.sender.unwrap(), out.receiver.unwrap())
}
