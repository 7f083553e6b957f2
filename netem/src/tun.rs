//! The `tun` means: a link in user space between two TUN devices, one in each namespace. The kernel's own TCP runs over it.
//!
//! Each direction has two threads. One reads packets and books them on the direction's clock, as a queue in front of a line
//! of the profile's rate; the other writes each to the far device when its last byte has arrived. The devices take and
//! give TCP's large segments whole (offload), with the header that describes them, so that a packet here is up to 64 KiB;
//! its time on the line is that of the Ethernet frames it stands for.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::clock::{now_ns, wait_until};
use crate::namespaces::{Namespaces, SHAPED, SHAPED_CLIENT, enter};
use crate::schedule::LinkClock;
use crate::{Error, Means, Profile, Result};

/// Bytes of the header that describes a large segment, in front of every packet (agreement with the kernel).
const OFFLOAD_HEADER_BYTES: usize = 10;

/// Longest packet with its header.
const MAX_PACKET_BYTES: usize = OFFLOAD_HEADER_BYTES + (64 << 10);

/// Bytes of an Ethernet header, which a frame on a real line has and a TUN device does not.
const ETHERNET_BYTES: u64 = 14;

/// MTU of the devices, as of Ethernet.
const MTU: u16 = 1500;

/// Connections with full buffers that the queue has room for (local), as in `scripts/up.sh`.
const QUEUED_BUFFERS: u64 = 16;

/// How long the threads may take to see that their devices are gone (local).
const END_WITHIN: Duration = Duration::from_secs(2);

/// A running link. It ends when its devices are deleted.
pub(crate) struct Tun {
    threads: Vec<JoinHandle<()>>,
    dropped: Arc<AtomicU64>,
}

impl Tun {
    /// Makes the devices in two namespaces and begins to carry packets between them.
    pub(crate) fn start(client: &str, server: &str, profile: &Profile) -> Result<Self> {
        let client = device(client, SHAPED_CLIENT)?;
        let server = device(server, Namespaces::SERVER)?;
        let mut tun = Self { threads: Vec::new(), dropped: Arc::default() };
        tun.carry("up", Arc::clone(&client), Arc::clone(&server), profile)?;
        tun.carry("down", server, client, profile)?;
        Ok(tun)
    }

    /// Packets that were lost because the queue was full or the far device refused them.
    pub(crate) fn drops(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn carry(&mut self, way: &str, from: Arc<SyncDevice>, to: Arc<SyncDevice>, profile: &Profile) -> Result<()> {
        let queue = Arc::new(Queue::default());
        let mut line = Line::new(profile);
        let (fill, dropped) = (Arc::clone(&queue), Arc::clone(&self.dropped));
        let read = move || {
            let mut buffer = vec![0; MAX_PACKET_BYTES];
            // Reading fails when the device is deleted.
            while let Ok(n) = from.recv(&mut buffer) {
                let packet = &buffer[..n];
                match line.book(now_ns(), frame_bytes(packet)) {
                    Some(due_ns) => fill.push(due_ns, packet.to_vec()),
                    None => drop(dropped.fetch_add(1, Ordering::Relaxed)),
                }
            }
            fill.close();
        };
        let dropped = Arc::clone(&self.dropped);
        let write = move || {
            while let Some((due_ns, packet)) = queue.pop() {
                wait_until(due_ns);
                if to.send(&packet).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        self.threads.push(spawn(format!("link-{way}-in"), read)?);
        self.threads.push(spawn(format!("link-{way}-out"), write)?);
        Ok(())
    }
}

impl Drop for Tun {
    fn drop(&mut self) {
        let until = Instant::now() + END_WITHIN;
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name(name).spawn(work);
    thread.map_err(|source| Error::Io { what: "a thread of the link", source })
}

/// A TUN device in a namespace.
fn device(namespace: &str, address: Ipv4Addr) -> Result<Arc<SyncDevice>> {
    let refused = |why: String| Error::SetUp { means: Means::Tun, why };
    // A device is made in the namespace of the thread that opens it.
    let make = || {
        enter(namespace)?;
        let build = DeviceBuilder::new().name(SHAPED).ipv4(address, 24, None).mtu(MTU).offload(true).build_sync();
        build.map_err(|e| refused(format!("cannot make a TUN device ({e}): is there /dev/net/tun, and may we use it?")))
    };
    let made = std::thread::scope(|s| s.spawn(make).join());
    made.map_err(|_| refused("making a TUN device failed".into()))?.map(Arc::new)
}

/// Bytes of the Ethernet frames that a packet, with the offload header before it, stands for.
fn frame_bytes(packet: &[u8]) -> u64 {
    let Some((offload, ip)) = packet.split_at_checked(OFFLOAD_HEADER_BYTES) else { return packet.len() as u64 };
    let segment = usize::from(u16::from_le_bytes([offload[4], offload[5]]));
    let headers = headers_bytes(ip).unwrap_or(0).min(ip.len());
    let payload = ip.len() - headers;
    let frames = match segment {
        0 => 1,
        size => payload.div_ceil(size).max(1),
    };
    payload as u64 + frames as u64 * (headers as u64 + ETHERNET_BYTES)
}

/// Bytes of the IPv4 and TCP headers.
fn headers_bytes(ip: &[u8]) -> Option<usize> {
    let words = |byte: u8| usize::from(byte) * 4;
    let ip_bytes = words(ip.first()? & 15);
    let tcp_bytes = if *ip.get(9)? == 6 { words(ip.get(ip_bytes + 12)? >> 4) } else { 0 };
    Some(ip_bytes + tcp_bytes)
}

/// One direction: a queue of bounded length in front of a line of a rate and a delay.
struct Line {
    clock: LinkClock,
    delay_ns: u64,
    /// The longest that a packet may wait for the line.
    most_queued_ns: u64,
    free_ns: u64,
}

impl Line {
    fn new(profile: &Profile) -> Self {
        let rate = u128::from(profile.rate_bits_per_s.max(1));
        let queue = u128::from(QUEUED_BUFFERS * profile.buffer_bytes()) * 8_000_000_000 / rate;
        let most_queued_ns = u64::try_from(queue).unwrap_or(u64::MAX);
        Self {
            clock: LinkClock::new(profile.rate_bits_per_s),
            delay_ns: profile.delay_ns(),
            most_queued_ns,
            free_ns: 0,
        }
    }

    /// When the last byte arrives; nothing if there is no room.
    fn book(&mut self, now_ns: u64, bytes: u64) -> Option<u64> {
        if self.free_ns.saturating_sub(now_ns) > self.most_queued_ns {
            return None;
        }
        self.free_ns = self.clock.book(now_ns, now_ns, bytes).last_ns;
        Some(self.free_ns + self.delay_ns)
    }
}

/// When a packet is due, and the packet.
type Due = (u64, Vec<u8>);

/// Packets on their way, in order.
#[derive(Default)]
struct Queue {
    /// The packets, and whether the queue is closed.
    packets: Mutex<(VecDeque<Due>, bool)>,
    changed: Condvar,
}

impl Queue {
    fn push(&self, due_ns: u64, packet: Vec<u8>) {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner).0.push_back((due_ns, packet));
        self.changed.notify_one();
    }

    fn close(&self) {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_one();
    }

    /// The next packet; nothing once the queue is closed. What was on its way then is lost with the device.
    fn pop(&self) -> Option<Due> {
        let mut guard = self.packets.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if guard.1 {
                return None;
            }
            if let Some(packet) = guard.0.pop_front() {
                return Some(packet);
            }
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A TCP packet over IPv4 with `options` words of TCP options, as a device gives it.
    fn packet(payload: usize, options: usize, segment: u16) -> Vec<u8> {
        let mut p = vec![0; OFFLOAD_HEADER_BYTES + 20 + 20 + 4 * options + payload];
        p[4..6].copy_from_slice(&segment.to_le_bytes());
        p[OFFLOAD_HEADER_BYTES] = 0x45;
        p[OFFLOAD_HEADER_BYTES + 9] = 6;
        p[OFFLOAD_HEADER_BYTES + 20 + 12] = ((5 + options) << 4) as u8;
        p
    }

    #[test]
    fn a_large_segment_takes_as_long_as_its_frames() {
        assert_eq!(frame_bytes(&packet(1448, 3, 0)), 1514);
        assert_eq!(frame_bytes(&packet(1448, 3, 1448)), 1514);
        assert_eq!(frame_bytes(&packet(14_480, 3, 1448)), 15_140);
        assert_eq!(frame_bytes(&packet(14_481, 3, 1448)), 15_140 + 66 + 1);
        assert_eq!(frame_bytes(&packet(0, 3, 0)), 66);
        // Anything else is one frame, and nothing short or odd panics.
        for len in 0..60 {
            assert!(frame_bytes(&vec![0xff; len]) <= len as u64 + ETHERNET_BYTES);
        }
    }

    #[test]
    fn a_line_delays_queues_and_drops_what_has_no_room() {
        let profile = Profile::named("wan").unwrap(); // 400 Mbit/s: 20 ns a byte
        let mut line = Line::new(&profile);
        assert_eq!(line.book(1_000, 1_500), Some(1_000 + 30_000 + 20_000_000));
        assert_eq!(line.book(1_000, 1_500), Some(1_000 + 60_000 + 20_000_000));
        assert_eq!(line.book(1_000_000, 1_500), Some(1_000_000 + 30_000 + 20_000_000));
        let room = QUEUED_BUFFERS * profile.buffer_bytes();
        let booked = (0..).take_while(|_| line.book(1_000_000, 65_000).is_some()).count() as u64;
        assert!((room / 65_000..=room / 65_000 + 2).contains(&booked), "{booked}");
        assert!(line.book(2_000_000_000 + 1_000_000, 65_000).is_some(), "it empties again");
    }

    #[test]
    fn a_closed_queue_ends_its_reader() {
        let queue = Queue::default();
        queue.push(5, vec![1]);
        assert_eq!(queue.pop(), Some((5, vec![1])));
        std::thread::scope(|s| {
            let waiting = s.spawn(|| queue.pop());
            queue.close();
            assert_eq!(waiting.join().unwrap(), None);
        });
    }
}
