//! The emulated link on live transports. Times are checked from below only, and loosely: a busy machine may be late,
//! but nothing may ever arrive before the link allows it.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::time::{Duration, Instant};

use si_netem::{Error, Link, Means, Profile, fresh_transfer};
use si_wire::{Channel, Error as WireError, Meter, TcpTransport, Transport, memory_pair};

const TIMEOUT: Duration = Duration::from_secs(20);

fn tcp_pair(timeout: Duration) -> (Box<dyn Transport>, Box<dyn Transport>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || TcpTransport::connect("server", address, timeout).unwrap());
    let server = TcpTransport::accept("client", &listener, timeout).unwrap();
    (Box::new(client.join().unwrap()), Box::new(server))
}

fn wrapped(profile: &Profile) -> (Channel, Channel) {
    let (a, b) = tcp_pair(TIMEOUT);
    let (mine, theirs) = (Link::new(profile).unwrap(), Link::new(profile).unwrap());
    (Channel::new(mine.wrap(a), Meter::new()), Channel::new(theirs.wrap(b), Meter::new()))
}

fn profile(rate_bits_per_s: u64, rtt_us: u64) -> Profile {
    Profile { rate_bits_per_s, rtt_us, ..Profile::named("wan").unwrap().by(Means::Model) }
}

#[test]
fn a_ping_takes_a_round_trip_and_the_channel_counts_only_its_own_bytes() {
    let (mut a, mut b) = wrapped(&profile(400_000_000, 20_000));
    std::thread::scope(|s| {
        s.spawn(|| {
            for _ in 0..4 {
                let ping = b.recv(1).unwrap();
                b.send(&ping).unwrap();
                b.flush().unwrap();
            }
        });
        for i in 0..4_u8 {
            let start = Instant::now();
            a.send(&[i]).unwrap();
            assert_eq!(a.recv(1).unwrap(), [i]);
            assert!(start.elapsed() >= Duration::from_millis(20));
        }
    });
    let t = a.meter().totals();
    assert_eq!((t.sent_bytes, t.recv_bytes, t.rounds), (20, 20, 4));
}

#[test]
fn bytes_arrive_whole_in_order_and_not_faster_than_the_rate() {
    let (mut a, mut b) = wrapped(&profile(400_000_000, 2_000));
    let data: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
    std::thread::scope(|s| {
        let start = Instant::now();
        s.spawn(|| {
            for part in data.chunks(70_001) {
                a.send(part).unwrap();
            }
            a.flush().unwrap();
        });
        let mut seen = Vec::new();
        while seen.len() < data.len() {
            seen.extend(b.recv(70_001).unwrap());
        }
        assert!(start.elapsed() >= Duration::from_millis(101)); // 5 MB at 50 MB/s and half a round trip
        assert!(seen == data);
    });
}

#[test]
fn lanes_share_the_link_and_directions_do_not() {
    let p = profile(400_000_000, 1_000);
    let (mine, theirs) = (Link::new(&p).unwrap(), Link::new(&p).unwrap());
    let lanes: Vec<_> = (0..2).map(|_| tcp_pair(TIMEOUT)).map(|(a, b)| (mine.wrap(a), theirs.wrap(b))).collect();
    let start = Instant::now();
    std::thread::scope(|s| {
        for (mut a, mut b) in lanes {
            s.spawn(move || {
                a.send(vec![1; 2_000_000]).unwrap();
                a.recv(&mut [0; 2_000_000]).unwrap();
            });
            s.spawn(move || {
                b.send(vec![2; 2_000_000]).unwrap();
                b.recv(&mut [0; 2_000_000]).unwrap();
            });
        }
    });
    // 4 MB each way at 50 MB/s. That the directions overlap is a matter of speed and is seen in the marks.
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[test]
fn two_parties_that_send_much_at_once_do_not_deadlock() {
    let (mut a, mut b) = wrapped(&profile(3_000_000_000, 300));
    let n = 24 << 20;
    let run = |c: &mut Channel| {
        c.send(&vec![5; n]).unwrap();
        assert_eq!(c.recv(n).unwrap().len(), n);
    };
    std::thread::scope(|s| {
        s.spawn(|| run(&mut a));
        run(&mut b);
    });
}

#[test]
fn slow_start_makes_the_first_transfer_slow() {
    let p = Profile { tcp_slow_start: true, ..profile(400_000_000, 10_000) };
    let (mut a, mut b) = wrapped(&p);
    let mut time = |bytes: usize| {
        let start = Instant::now();
        std::thread::scope(|s| {
            s.spawn(|| {
                b.recv(bytes).unwrap();
                b.send(&[1]).unwrap();
                b.flush().unwrap();
            });
            a.send(&vec![0; bytes]).unwrap();
            a.recv(1).unwrap();
        });
        start.elapsed()
    };
    let form = fresh_transfer(500_000, &p);
    assert!(form > Duration::from_millis(55));
    // The channel's own frame header can only add.
    assert!(time(500_000) >= form);
}

#[test]
fn what_has_arrived_while_the_receiver_computed_is_there_and_what_was_sent_before_closing_too() {
    let (mut a, mut b) = wrapped(&profile(400_000_000, 10_000));
    a.send(&[9; 300_000]).unwrap();
    drop(a);
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(b.recv(300_000).unwrap(), [9; 300_000]);
    assert!(matches!(b.recv(1), Err(WireError::Closed { .. })));
}

#[test]
fn a_silent_peer_and_a_dead_peer_are_errors() {
    let (a, b) = tcp_pair(Duration::from_millis(50));
    let link = Link::new(&profile(400_000_000, 1_000)).unwrap();
    let mut b = link.wrap(b);
    assert!(matches!(b.recv(&mut [0]), Err(WireError::Timeout { .. })));
    drop(a);
    assert!(matches!(b.recv(&mut [0]), Err(WireError::Closed { .. })));
    let end = Instant::now() + TIMEOUT;
    while b.send(vec![0; 10_000]).is_ok() {
        assert!(Instant::now() < end, "sending to a dead peer must fail");
    }
}

#[test]
fn a_peer_without_the_link_or_with_another_one_is_refused_for_good() {
    let p = profile(400_000_000, 1_000);
    let (mut raw, other) = memory_pair("client", "server", TIMEOUT);
    let mut b = Link::new(&p).unwrap().wrap(other);
    raw.send(vec![0xff; 40]).unwrap();
    for _ in 0..2 {
        let e = b.recv(&mut [0; 4]).unwrap_err().to_string();
        assert!(e.contains("malformed segment of the emulated link from client"), "{e}");
    }
    for other in
        [profile(399_000_000, 1_000), profile(400_000_000, 1_001), Profile { tcp_slow_start: true, ..p.clone() }]
    {
        let (a, b) = memory_pair("client", "server", TIMEOUT);
        let (mut a, mut b) = (Link::new(&other).unwrap().wrap(a), Link::new(&p).unwrap().wrap(b));
        a.send(vec![1]).unwrap();
        let e = b.recv(&mut [0]).unwrap_err().to_string();
        assert!(e.contains("the same profile"), "{e}");
    }
}

#[test]
fn a_truncated_segment_ends_with_the_transport_s_timeout() {
    let p = profile(400_000_000, 1_000);
    let link = Link::new(&p).unwrap();
    // What an honest sender writes, cut short.
    let (a, mut tap) = memory_pair("client", "server", TIMEOUT);
    link.wrap(a).send(vec![3; 100]).unwrap();
    let mut frame = vec![0; 132];
    tap.recv(&mut frame).unwrap();
    let (mut raw, b) = memory_pair("client", "server", Duration::from_millis(50));
    let mut b = Link::new(&p).unwrap().wrap(b);
    frame.truncate(90);
    raw.send(frame.clone()).unwrap();
    assert!(matches!(b.recv(&mut [0; 10]), Err(WireError::Timeout { .. })));
    // The same, with the stamp of a segment that arrives next year.
    let (mut raw, b) = memory_pair("client", "server", TIMEOUT);
    let mut b = Link::new(&p).unwrap().wrap(b);
    frame[30] ^= 0x80;
    raw.send(frame).unwrap();
    let e = b.recv(&mut [0; 10]).unwrap_err().to_string();
    assert!(e.contains("later than the link can make it"), "{e}");
}

#[test]
fn links_that_the_transport_does_not_shape_are_the_transport_itself() {
    let loopback = Profile::named("loopback").unwrap();
    for profile in [loopback, profile(400_000_000, 1_000).by(Means::Netem), profile(400_000_000, 1_000).by(Means::Tun)]
    {
        let (mut raw, b) = memory_pair("client", "server", TIMEOUT);
        let link = Link::new(&profile).unwrap();
        let mut b = link.wrap(b);
        raw.send(vec![1, 2]).unwrap();
        let mut seen = [0; 2];
        b.recv(&mut seen).unwrap();
        assert_eq!(seen, [1, 2]);
        assert_eq!(link.spin_time(), Duration::ZERO);
    }
    let e = Link::new(&Profile::named("wan").unwrap()).err().unwrap();
    assert!(matches!(e, Error::NotChosen { .. }) && e.to_string().contains("choose one first"), "{e}");
}
