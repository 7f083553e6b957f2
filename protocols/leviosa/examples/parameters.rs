//! Parameters for a network of the zoo, by size of the batch: `cargo run --release -p si-leviosa --example parameters [MODEL]`.

use si_leviosa::LevioSA;
use si_models::zoo;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = std::env::args().nth(1).unwrap_or_else(|| "mnist-dnn4-square".to_owned());
    let graph = zoo::graph(&model)?;
    println!("{graph}");
    for batch in [1, 7, 14, 32, 64] {
        let plan = LevioSA::default().plan(&graph, batch)?;
        let bytes = plan.parameters.servers * (plan.query_bytes + plan.answer_bytes);
        println!(
            "batch {batch}: {}; 2^{:.2}; {} inferences a block, {} groups, {} ciphertexts up; {:.1} MB of evaluations an inference",
            plan.parameters,
            plan.log2_soundness,
            plan.queries,
            plan.groups,
            plan.ciphertexts,
            bytes as f64 / 1e6 / batch as f64
        );
        for (name, products, evaluations) in &plan.products {
            println!("  {name}: {:.2} evaluations a product", *evaluations as f64 / *products as f64);
        }
    }
    Ok(())
}
