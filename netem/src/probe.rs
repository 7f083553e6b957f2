//! Measuring a live link from both ends.
//!
//! The client asks, the server serves, over a channel that nothing else is using. All times are the client's. The
//! transfers leave a TCP-like connection warm.

use std::time::{Duration, Instant};

use serde::Serialize;
use si_wire::{Channel, Message, Phase, Reader, Result as WireResult, put_u64};

/// Bytes of the messages that a transfer consists of (agreement).
const CHUNK_BYTES: usize = 64 << 10;

/// Longest transfer that a server serves (agreement).
const MAX_TRANSFER_BYTES: u64 = 1 << 30;

/// Longest ping (agreement).
const MAX_PING_BYTES: usize = 1 << 10;

/// Messages that each end of a duplex transfer sends ahead of what it has received (agreement): more than any profile
/// has on the way, so that neither end waits for the other.
const DUPLEX_AHEAD: u64 = 128;

/// What a first transfer brings, to find out how long a longer one must be (local).
const FIRST_TRANSFER_BYTES: u64 = 256 << 10;

/// Transfers until the rate has settled (local).
const MAX_TRANSFERS: usize = 12;

/// A transfer that is faster than the best before by less than this factor ends the search (local).
const SETTLED: f64 = 1.03;

/// How much time a probe may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Before a run: half a second on a LAN of 0.3 ms, 2 s on a WAN of 40 ms, 4 s if that has slow start.
    Quick,
    /// To characterise a link: more pings, longer transfers; some seconds.
    Full,
}

/// A link as seen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LinkSeen {
    /// Ping-pongs of 1 byte that the round-trip times are from.
    pub pings: u32,
    /// Least round-trip time.
    pub rtt_us_min: f64,
    /// Median round-trip time.
    pub rtt_us_p50: f64,
    /// 99th percentile of the round-trip times; with fewer than 100 pings, the greatest.
    pub rtt_us_p99: f64,
    /// Median of ping-pongs of 1 KB.
    pub rtt_1kb_us_p50: f64,
    /// Goodput of a warm transfer from client to server, in 10^6 bits per second.
    pub up_mbps: f64,
    /// The same from server to client.
    pub down_mbps: f64,
    /// Goodput in each direction while both are used.
    pub duplex_mbps: f64,
    /// Time to bring the first megabyte over and a byte back, for which the connection must have been fresh. Compare
    /// [`fresh_transfer`](crate::fresh_transfer).
    pub first_mb_us: f64,
    /// TCP segments that both ends sent again; only where a namespace is the link's alone ([`probe_profile`](crate::probe_profile)).
    pub retransmits: Option<u64>,
    /// Packets that the link dropped; as `retransmits`.
    pub drops: Option<u64>,
}

/// What the client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// Echo each message until an empty one.
    Echo,
    /// Take so many bytes, then answer one.
    Take(u64),
    /// Send so many bytes.
    Give(u64),
    /// Both at once, then answer one.
    Both(u64),
    /// The probe is over.
    Done,
}

impl Message for Request {
    const NAME: &'static str = "probe request";

    fn encode(&self, out: &mut Vec<u8>) {
        let (op, bytes) = match *self {
            Self::Echo => (0, 0),
            Self::Take(n) => (1, n),
            Self::Give(n) => (2, n),
            Self::Both(n) => (3, n),
            Self::Done => (4, 0),
        };
        put_u64(out, op);
        put_u64(out, bytes);
    }

    fn decode(reader: &mut Reader<'_>) -> WireResult<Self> {
        let (op, bytes) = (reader.u64()?, reader.u64()?);
        if bytes > MAX_TRANSFER_BYTES {
            return Err(reader.malformed(format!("a transfer of {bytes} bytes; allowed are {MAX_TRANSFER_BYTES}")));
        }
        match op {
            0 => Ok(Self::Echo),
            1 => Ok(Self::Take(bytes)),
            2 => Ok(Self::Give(bytes)),
            3 => Ok(Self::Both(bytes)),
            4 => Ok(Self::Done),
            _ => Err(reader.malformed(format!("unknown operation {op}"))),
        }
    }
}

/// Measures the link of this channel, whose other end runs [`probe_server`].
///
/// What it sends counts in the channel's meter under setup, label `probe`.
///
/// # Errors
/// If the connection breaks.
pub fn probe_client(channel: &mut Channel, effort: Effort) -> WireResult<LinkSeen> {
    let _scope = channel.meter().enter(Phase::Setup, "probe");
    let ms = Duration::from_millis;
    let (pings, ping_time, large_pings, large_time, target) = match effort {
        Effort::Quick => (10..=50, ms(150), 5..=20, ms(60), ms(80)),
        Effort::Full => (50..=100, ms(2000), 50..=100, ms(2000), ms(400)),
    };
    let first_mb = take(channel, 1_000_000)?;
    let small = ping(channel, 1, &pings, ping_time)?;
    let large = ping(channel, MAX_PING_BYTES, &large_pings, large_time)?;
    let rtt = small[0];
    let up_mbps = goodput(rtt, target, |n| take(channel, n))?;
    let down_mbps = goodput(rtt, target, |n| give(channel, n))?;
    let duplex_mbps = goodput(rtt, target, |n| both(channel, n))?;
    channel.send_message(&Request::Done)?;
    channel.flush()?;
    let us = |t: Duration| t.as_secs_f64() * 1e6;
    Ok(LinkSeen {
        pings: small.len() as u32,
        rtt_us_min: us(rtt),
        rtt_us_p50: us(percentile(&small, 50)),
        rtt_us_p99: us(percentile(&small, 99)),
        rtt_1kb_us_p50: us(percentile(&large, 50)),
        up_mbps,
        down_mbps,
        duplex_mbps,
        first_mb_us: us(first_mb),
        retransmits: None,
        drops: None,
    })
}

/// Serves one probe of the client at the other end of this channel.
///
/// # Errors
/// If the connection breaks or the client asks for nonsense.
pub fn probe_server(channel: &mut Channel) -> WireResult<()> {
    let _scope = channel.meter().enter(Phase::Setup, "probe");
    loop {
        match channel.recv_message(16)? {
            Request::Done => return Ok(()),
            Request::Echo => loop {
                let ping = channel.recv(MAX_PING_BYTES)?;
                if ping.is_empty() {
                    break;
                }
                channel.send(&ping)?;
                channel.flush()?;
            },
            Request::Take(n) => {
                receive(channel, n)?;
                channel.send(&[1])?;
            }
            Request::Give(n) => transmit(channel, n)?,
            Request::Both(n) => {
                exchange(channel, n)?;
                channel.send(&[1])?;
            }
        }
        channel.flush()?;
    }
}

/// Round-trip times of messages of `len` bytes, sorted; as many as fit into the time, within bounds.
fn ping(
    channel: &mut Channel,
    len: usize,
    count: &std::ops::RangeInclusive<usize>,
    time: Duration,
) -> WireResult<Vec<Duration>> {
    let payload = vec![0x5a; len];
    let mut seen = Vec::new();
    channel.send_message(&Request::Echo)?;
    let mut one = || {
        let start = Instant::now();
        channel.send(&payload)?;
        channel.recv_exact("echo", len)?;
        Ok(start.elapsed())
    };
    one()?; // wakes both ends up
    let start = Instant::now();
    while seen.len() < *count.start() || (seen.len() < *count.end() && start.elapsed() < time) {
        seen.push(one()?);
    }
    channel.send(&[])?;
    seen.sort();
    Ok(seen)
}

fn take(channel: &mut Channel, bytes: u64) -> WireResult<Duration> {
    let start = Instant::now();
    channel.send_message(&Request::Take(bytes))?;
    transmit(channel, bytes)?;
    channel.recv_exact("end of transfer", 1)?;
    Ok(start.elapsed())
}

fn give(channel: &mut Channel, bytes: u64) -> WireResult<Duration> {
    let start = Instant::now();
    channel.send_message(&Request::Give(bytes))?;
    receive(channel, bytes)?;
    Ok(start.elapsed())
}

fn both(channel: &mut Channel, bytes: u64) -> WireResult<Duration> {
    let start = Instant::now();
    channel.send_message(&Request::Both(bytes))?;
    exchange(channel, bytes)?;
    channel.recv_exact("end of transfer", 1)?;
    Ok(start.elapsed())
}

/// 10^6 bits per second of transfers that take about `target`, each of which also takes one `rtt`.
///
/// Late wake-ups and a cold connection only ever slow a transfer down, so the best of several is the link's.
fn goodput(rtt: Duration, target: Duration, mut once: impl FnMut(u64) -> WireResult<Duration>) -> WireResult<f64> {
    let (mut bytes, mut best) = (FIRST_TRANSFER_BYTES, 0.0_f64);
    for _ in 0..MAX_TRANSFERS {
        let time = once(bytes)?.saturating_sub(rtt).max(Duration::from_micros(1));
        let mbps = bytes as f64 * 8.0 / (time.as_secs_f64() * 1e6);
        if time >= target / 2 || bytes == MAX_TRANSFER_BYTES {
            let settled = mbps < best * SETTLED;
            best = best.max(mbps);
            if settled {
                break;
            }
        }
        let aim = (mbps * 1e6 / 8.0 * target.as_secs_f64()) as u64;
        bytes = aim.clamp(bytes, bytes * 64).min(MAX_TRANSFER_BYTES);
    }
    Ok(best)
}

/// Lengths of the messages that bring so many bytes.
fn chunks(bytes: u64) -> impl Iterator<Item = usize> {
    let whole = bytes / CHUNK_BYTES as u64;
    let rest = (bytes % CHUNK_BYTES as u64) as usize;
    (0..whole).map(|_| CHUNK_BYTES).chain((rest > 0).then_some(rest))
}

fn transmit(channel: &mut Channel, bytes: u64) -> WireResult<()> {
    let data = vec![0xa5; CHUNK_BYTES];
    chunks(bytes).try_for_each(|n| channel.send(&data[..n]))?;
    channel.flush()
}

fn receive(channel: &mut Channel, bytes: u64) -> WireResult<()> {
    chunks(bytes).try_for_each(|n| channel.recv_exact("transfer", n).map(|_| ()))
}

/// Sends and receives so many bytes at once.
fn exchange(channel: &mut Channel, bytes: u64) -> WireResult<()> {
    let data = vec![0xa5; CHUNK_BYTES];
    let mut ahead = 0;
    let mut to_receive = chunks(bytes);
    for n in chunks(bytes) {
        channel.send(&data[..n])?;
        ahead += 1;
        if ahead > DUPLEX_AHEAD
            && let Some(n) = to_receive.next()
        {
            channel.recv_exact("transfer", n)?;
        }
    }
    channel.flush()?;
    to_receive.try_for_each(|n| channel.recv_exact("transfer", n).map(|_| ()))
}

/// Of at least one sorted value: the least that is not below `percent` of them.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let ms: Vec<_> = (1..=50).map(Duration::from_millis).collect();
        let at = |v: &[Duration], p| percentile(v, p).as_millis();
        assert_eq!((at(&ms, 50), at(&ms, 99), at(&ms[..1], 99), at(&ms[..10], 50)), (25, 50, 1, 5));
    }

    #[test]
    fn transfers_grow_until_they_last_and_the_rate_has_settled() {
        // 1 Gbit/s after a round trip of 10 ms; the first transfers are cold, one is disturbed.
        let mut calls = Vec::new();
        let rtt = Duration::from_millis(10);
        let mbps = goodput(rtt, Duration::from_millis(80), |n| {
            calls.push(n);
            let cold = [50, 20, 0, 40].get(calls.len() - 1).copied().unwrap_or(0);
            Ok(rtt + Duration::from_nanos(n * 8) + Duration::from_millis(cold))
        });
        assert!((mbps.unwrap() - 1000.0).abs() < 1.0);
        assert!(calls.len() <= MAX_TRANSFERS && *calls.last().unwrap() > 5_000_000, "{calls:?}");
    }

    #[test]
    fn requests_round_trip_and_nonsense_is_refused() {
        let (mut a, mut b) = Channel::memory_pair(Duration::from_secs(5));
        for r in [Request::Echo, Request::Take(7), Request::Give(MAX_TRANSFER_BYTES), Request::Both(1), Request::Done] {
            a.send_message(&r).unwrap();
            a.flush().unwrap();
            assert_eq!(b.recv_message::<Request>(16).unwrap(), r);
        }
        let refuses = |bytes: &[u8]| {
            let (mut a, mut b) = Channel::memory_pair(Duration::from_secs(5));
            a.send(bytes).unwrap();
            a.flush().unwrap();
            probe_server(&mut b).is_err()
        };
        let request = |op: u64, n: u64| [op.to_le_bytes(), n.to_le_bytes()].concat();
        assert!(!refuses(&request(4, 0)));
        assert!(refuses(&request(5, 0)));
        assert!(refuses(&request(1, MAX_TRANSFER_BYTES + 1)));
        assert!(refuses(&request(4, 0)[..15]));
        assert!(refuses(&[0; 17]));
    }

    #[test]
    fn every_transfer_brings_its_bytes() {
        let (mut a, mut b) = Channel::memory_pair(Duration::from_secs(10));
        std::thread::scope(|s| {
            s.spawn(|| probe_server(&mut b).unwrap());
            for n in [0, 1, CHUNK_BYTES as u64 + 1, 20 << 20] {
                take(&mut a, n).unwrap();
                give(&mut a, n).unwrap();
                both(&mut a, n).unwrap();
            }
            a.send_message(&Request::Done).unwrap();
            a.flush().unwrap();
        });
        let t = a.meter().totals();
        assert!(t.sent_bytes > 2 * (20 << 20) && t.recv_bytes > 2 * (20 << 20));
    }

    #[test]
    fn what_a_probe_sends_is_counted_apart() {
        let (mut a, mut b) = Channel::memory_pair(Duration::from_secs(10));
        std::thread::scope(|s| {
            s.spawn(|| probe_server(&mut b).unwrap());
            probe_client(&mut a, Effort::Quick).unwrap();
        });
        let entries = a.meter().entries();
        let probe = entries.iter().find(|e| (e.phase, e.label.as_str()) == (Phase::Setup, "probe")).unwrap();
        assert_eq!(probe.totals.sent_bytes, a.meter().totals().sent_bytes);
    }
}
