//! Where one batch of `mnist-cnn4` goes, operator by operator: both parties in one process, over memory.
//!
//! `cargo run --release -p si-cheetah --example operators -- [batch] [repetitions]`

use std::sync::Arc;
use std::time::Instant;

use ndarray::Axis;
use si_api::{Options, Protocol};
use si_cheetah::Cheetah;
use si_testing::pair::{Seeds, run_pair};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let n: usize = args.next().map_or(Ok(1), |a| a.parse())?;
    let repetitions: u64 = args.next().map_or(Ok(1), |a| a.parse())?;
    let model = si_models::zoo::model("mnist-cnn4")?;
    let digits = si_datasets::load("mnist")?.first(n)?;
    let input = si_models::encode_input(model.graph(), &digits.images);
    let queries: Vec<_> = input.axis_iter(Axis(0)).map(|q| q.to_owned()).collect();
    let protocol: Arc<dyn Protocol> = Arc::new(Cheetah::default());
    for k in 0..repetitions {
        let start = Instant::now();
        let run = run_pair(&protocol, &model, &queries, Options::default(), Seeds::from_number(k))?;
        println!(
            "batch {n}: {:.3} s in all, set-up included; bytes and rounds as the client sees them",
            start.elapsed().as_secs_f64()
        );
        println!("{:<8} {:<18} {:>9} {:>12} {:>12} {:>7}", "phase", "operator", "ms", "up B", "down B", "rounds");
        let mut sum = (0, 0);
        for e in &run.client_entries {
            let t = e.totals;
            sum = (sum.0 + t.sent_bytes, sum.1 + t.recv_bytes);
            let (phase, ms) = (e.phase.to_string(), t.wall_ns as f64 / 1e6);
            println!("{phase:<8} {:<18} {ms:>9.2} {:>12} {:>12} {:>7}", e.label, t.sent_bytes, t.recv_bytes, t.rounds);
        }
        println!("{:<8} {:<18} {:>9} {:>12} {:>12}", "all", "", "", sum.0, sum.1);
    }
    Ok(())
}
