//! What the emulated link gives against what it is asked for, between two processes on this host.
//!
//! `cargo run --release -p si-netem --example marks`; run it on a machine with nothing else to do.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use si_netem::{
    Effort, Link, LinkSeen, Means, Profile, fresh_transfer, gate, probe_client, probe_profile, probe_server,
};
use si_wire::{Channel, Meter, TcpTransport};

const TIMEOUT: Duration = Duration::from_secs(60);
const BYTES: usize = 100_000_000;
const MESSAGE_BYTES: usize = 1_000_000;

fn main() {
    if let [_, address, rate, rtt, tcp] = &std::env::args().collect::<Vec<_>>()[..] {
        return serve(address.parse().unwrap(), &profile(rate.parse().unwrap(), rtt.parse().unwrap(), tcp == "true"));
    }
    println!("load average {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    println!(
        "\n100 MB in messages of 1 MB and a byte back, best and worst of 3; pings: p50 (p99); CPU of both processes\n"
    );
    let line = |c: [&str; 7]| {
        println!("{:>14} {:>8} {:>22} {:>10} {:>10} {:>10} {:>11}", c[0], c[1], c[2], c[3], c[4], c[5], c[6]);
    };
    line(["Mbit/s", "RTT ms", "seen ms", "MB ms", "best", "worst", "CPU s/GB"]);
    for (mbps, rtt_us) in [(3_000, 300), (400, 40_000), (10_000, 300), (100, 80_000)] {
        let p = profile(mbps * 1_000_000, rtt_us, false);
        let (seen, times, cpu) = with_server(&p, |channel, cpu_seconds| {
            let seen = probe_client(channel, Effort::Full).unwrap();
            let before = cpu_seconds();
            let times: Vec<_> = (0..if mbps < 400 { 0 } else { 3 }).map(|_| hundred_megabytes(channel)).collect();
            (seen, times, cpu_seconds() - before)
        });
        let ideal = fresh_transfer(BYTES as u64, &p);
        let off = |t: Option<&Duration>| {
            t.map_or("-".into(), |t| format!("{:+.2} %", (t.as_secs_f64() / ideal.as_secs_f64() - 1.0) * 100.0))
        };
        line([
            &mbps.to_string(),
            &format!("{:.3}", rtt_us as f64 / 1e3),
            &format!("{:.4} ({:.4})", seen.rtt_us_p50 / 1e3, seen.rtt_us_p99 / 1e3),
            &format!("{:.1}", ideal.as_secs_f64() * 1e3),
            &off(times.iter().min()),
            &off(times.iter().max()),
            &times.first().map_or("-".into(), |_| format!("{:.2}", cpu / (times.len() * BYTES) as f64 * 1e9)),
        ]);
        verdict(&seen, &p);
    }
    println!("\nTCP slow start: a fresh megabyte and a byte back, against the closed form\n");
    for (mbps, rtt_us) in [(400, 80_000), (400, 40_000), (3_000, 300)] {
        let p = profile(mbps * 1_000_000, rtt_us, true);
        let (seen, ..) = with_server(&p, |channel, _| (probe_client(channel, Effort::Full).unwrap(), vec![], 0.0));
        let (fresh, form) = (seen.first_mb_us / 1e3, fresh_transfer(1_000_000, &p).as_secs_f64() * 1e3);
        println!("{mbps:>14} Mbit/s {rtt_us:>6} us RTT: {fresh:.2} ms, closed form {form:.2} ms");
        verdict(&seen, &p);
    }
    println!("\nThe quick probe of each profile, between two threads\n");
    for p in Profile::built_in().unwrap().into_iter().map(|p| p.by(Means::Model)) {
        let start = Instant::now();
        let (seen, _) = probe_profile(&p, Effort::Quick).unwrap();
        println!("{:>14} {:.2} s, {} pings", p.name, start.elapsed().as_secs_f64(), seen.pings);
        verdict(&seen, &p);
    }
}

fn profile(rate_bits_per_s: u64, rtt_us: u64, tcp_slow_start: bool) -> Profile {
    Profile { rate_bits_per_s, rtt_us, tcp_slow_start, ..Profile::named("wan").unwrap().by(Means::Model) }
}

fn verdict(seen: &LinkSeen, p: &Profile) {
    print!("{:>14} up {:.1}, down {:.1}, duplex {:.1} Mbit/s; ", "", seen.up_mbps, seen.down_mbps, seen.duplex_mbps);
    println!("gate: {}", gate(seen, p).map_or_else(|off| off.join("; "), |()| "passed".into()));
}

/// Serves a probe and then 100 MB at a time until the client is gone.
fn serve(address: SocketAddr, p: &Profile) {
    let transport = TcpTransport::connect("client", address, TIMEOUT).unwrap();
    let mut channel = Channel::new(Link::new(p).unwrap().wrap(Box::new(transport)), Meter::new());
    probe_server(&mut channel).unwrap();
    while let Ok(first) = channel.recv(MESSAGE_BYTES) {
        let mut bytes = first.len();
        while bytes < BYTES {
            bytes += channel.recv(MESSAGE_BYTES).unwrap().len();
        }
        channel.send(&[1]).unwrap();
        channel.flush().unwrap();
    }
}

fn hundred_megabytes(channel: &mut Channel) -> Duration {
    let data = vec![1; MESSAGE_BYTES];
    let start = Instant::now();
    (0..BYTES / MESSAGE_BYTES).for_each(|_| channel.send(&data).unwrap());
    channel.recv(1).unwrap();
    start.elapsed()
}

type Marks = (LinkSeen, Vec<Duration>, f64);

/// CPU time of a process so far, all threads, in the kernel's ticks of 10 ms.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |i: usize| fields[i].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Runs the client, which may ask for the CPU time of both processes, against a server process.
fn with_server(p: &Profile, client: impl FnOnce(&mut Channel, &dyn Fn() -> f64) -> Marks) -> Marks {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut server = Command::new(std::env::current_exe().unwrap())
        .arg(listener.local_addr().unwrap().to_string())
        .args([p.rate_bits_per_s.to_string(), p.rtt_us.to_string(), p.tcp_slow_start.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let transport = TcpTransport::accept("server", &listener, TIMEOUT).unwrap();
    let mut channel = Channel::new(Link::new(p).unwrap().wrap(Box::new(transport)), Meter::new());
    let both = || cpu_seconds(std::process::id()) + cpu_seconds(server.id());
    let marks = client(&mut channel, &both);
    drop(channel);
    assert!(server.wait().unwrap().success());
    marks
}
