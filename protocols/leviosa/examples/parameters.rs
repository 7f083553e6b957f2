//! Parameters for a network of the zoo, by size of the batch: `cargo run --release -p si-leviosa --example parameters [MODEL]`.

use si_api::{Options, Protocol};
use si_leviosa::LevioSA;
use si_models::zoo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args().nth(1).unwrap_or_else(|| "mnist-dnn4-square".to_owned());
    let graph = zoo::graph(&model)?;
    println!("{graph}");
    for batch in [1, 7, 14, 32, 64, 96, 120] {
        let plan = LevioSA::default().plan(&graph, batch)?;
        println!("batch {batch}: {:.1} MB an inference", plan.bytes as f64 / 1e6 / batch as f64);
        for note in LevioSA::default().notes(&graph, batch, Options::default())? {
            println!("  {note}");
        }
    }
    Ok(())
}
