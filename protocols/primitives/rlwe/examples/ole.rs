//! What a passive oblivious linear evaluation costs: `cargo run --release -p si-rlwe --example ole`. CPU time of both parties in one
//! thread, medians of 9; bytes.

use cpu_time::ThreadTime;
use si_rlwe::ole::{Ole, PRIME, RlweOle};

const RUNS: usize = 9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ole = RlweOle::new(PRIME)?;
    println!("p = {PRIME}, {} slots", ole.slots());
    println!("vectors   query us  answer us  finish us   us/evaluation   bytes/evaluation   hidden bits");
    for count in [1, 2, 4, 8, 16] {
        let vector = |seed: u64| -> Vec<u64> {
            (1..=ole.slots() as u64).map(|i| (i ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) % PRIME).collect()
        };
        let vectors = |seed: u64| -> Vec<Vec<u64>> { (0..count as u64).map(|c| vector(seed + c)).collect() };
        let (x, a, b) = (vectors(1), vectors(100), vector(200));
        let mut times: [Vec<f64>; 3] = Default::default();
        let mut bytes = 0;
        for _ in 0..RUNS {
            let start = ThreadTime::now();
            let query = ole.query(&[1; 32], &x)?;
            times[0].push(start.elapsed().as_secs_f64() * 1e6);
            let start = ThreadTime::now();
            let answer = ole.answer(&[2; 32], &query, &a, &b)?;
            times[1].push(start.elapsed().as_secs_f64() * 1e6);
            let start = ThreadTime::now();
            ole.finish(&[1; 32], &answer)?;
            times[2].push(start.elapsed().as_secs_f64() * 1e6);
            bytes = query.len() + answer.len();
        }
        let median = times.map(|mut t| {
            t.sort_by(f64::total_cmp);
            t[RUNS / 2]
        });
        let evaluations = (count * ole.slots()) as f64;
        println!(
            "{count:>7} {:>10.0} {:>10.0} {:>10.0} {:>15.3} {:>18.1} {:>13.1}",
            median[0],
            median[1],
            median[2],
            median.iter().sum::<f64>() / evaluations,
            bytes as f64 / evaluations,
            ole.statistical_bits(count)
        );
    }
    Ok(())
}
