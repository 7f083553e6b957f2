//! What operators cost at the size of an ImageNet layer: CPU time of both parties' threads and bytes both ways for one
//! element, OT extension included, over memory.
//!
//! `cargo run --release -p si-gadgets --example large_layers -- [elements] [a part of an id, or all] [extension]`

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use si_gadgets::{Engine, Side};
use si_ot::{Extension, FerretParams, OtConfig};
use si_ring::Ring;
use si_wire::Channel;

/// What one party saw.
struct Seen {
    cpu: Duration,
    sent_bytes: u64,
    rounds: u64,
    ots: u64,
}

type Operator = fn(&mut Engine, &[u64]);

/// The ring of linear layers, what truncation leaves of it, and the bits that values of a layer are promised to have.
const FULL: u32 = 37;
const DROP: u32 = 12;
const NARROW: u32 = FULL - DROP;
const SIGNED_BITS: u32 = NARROW - 1;

fn ring(bits: u32) -> Ring {
    Ring::new(bits).unwrap()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let n: usize = args.next().map_or(1 << 20, |a| a.parse().expect("the number of elements"));
    let only = args.next().filter(|only| only != "all");
    let extension = match args.next().as_deref() {
        None | Some("medium") => Extension::Ferret(FerretParams::MEDIUM),
        Some("small") => Extension::Ferret(FerretParams::SMALL),
        Some("large") => Extension::Ferret(FerretParams::LARGE),
        Some("iknp") => Extension::Iknp,
        Some(other) => panic!("unknown extension '{other}': small, medium, large or iknp"),
    };
    let operators: [(&str, usize, Operator); 5] = [
        ("gadgets/truncate+relu/one-bit", n, |e, x| {
            let (x, narrow) = Engine::truncate_reduce_local(x, ring(FULL), DROP).unwrap();
            e.relu(&x, narrow, SIGNED_BITS).unwrap();
        }),
        ("gadgets/truncate+relu/faithful", n, |e, x| {
            let (x, narrow) = e.truncate_reduce(x, ring(FULL), DROP).unwrap();
            e.relu(&x, narrow, SIGNED_BITS).unwrap();
        }),
        ("gadgets/relu/bits=37", n, |e, x| drop(e.relu(x, ring(FULL), FULL).unwrap())),
        ("gadgets/extend", n, |e, x| drop(e.extend(x, ring(NARROW), ring(FULL), SIGNED_BITS).unwrap())),
        // 3x3 windows, stride 2, of 112x112x64: an element is one of the 56x56x64 maxima.
        ("gadgets/max-pool/3x3", 56 * 56 * 64, |e, x| {
            let columns = (0..9).map(|_| x.to_vec()).collect();
            e.max(columns, ring(NARROW), SIGNED_BITS).unwrap();
        }),
    ];
    println!(
        "{:<40} {:>9} {:>12} {:>12} {:>8} {:>8} {:>8}",
        "id", "elements", "CPU ns both", "B both ways", "OTs", "rounds", "wall s"
    );
    for (name, n, operator) in operators {
        if only.as_deref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let start = Instant::now();
        let [client, server] = both(n, operator, extension);
        let (cpu, bytes) = (client.cpu + server.cpu, client.sent_bytes + server.sent_bytes);
        let each = |total: f64| total / n as f64;
        println!(
            "{name:<40} {n:>9} {:>12.0} {:>12.2} {:>8.1} {:>8} {:>8.2}",
            each(cpu.as_nanos() as f64),
            each(bytes as f64),
            each(client.ots as f64),
            client.rounds,
            start.elapsed().as_secs_f64()
        );
    }
}

/// Set-up, one small run that starts the extension, and the run that counts.
fn both(n: usize, operator: Operator, extension: Extension) -> [Seen; 2] {
    let config = OtConfig::new(extension);
    let party = |ch: Channel, side, seed| {
        let meter = ch.meter().clone();
        let mut e = Engine::setup(ch, side, &mut ChaCha20Rng::seed_from_u64(seed), &config).unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(seed + 2);
        let x: Vec<u64> = (0..n).map(|_| rng.next_u64() >> (64 - NARROW)).collect();
        operator(&mut e, &x[..n.min(1 << 10)]);
        e.channel().flush().unwrap();
        let (before, used, cpu) = (meter.totals(), e.used_ots(), ThreadTime::now());
        operator(&mut e, &x);
        e.channel().flush().unwrap();
        let (cpu, after, now) = (cpu.elapsed(), meter.totals(), e.used_ots());
        let ots = now.0 + now.1 - used.0 - used.1;
        Seen { cpu, sent_bytes: after.sent_bytes - before.sent_bytes, rounds: after.rounds - before.rounds, ots }
    };
    let (client, server) = Channel::memory_pair(Duration::from_secs(300));
    std::thread::scope(|s| {
        let server = s.spawn(|| party(server, Side::Server, 2));
        [party(client, Side::Client, 1), server.join().unwrap()]
    })
}
