//! `bench`: runs experiments of secure inference between real processes, records them, and reports.
//!
//! The crate has two halves that meet in [`record`]: the running half turns an experiment into rows, the reporting half
//! turns rows into tables and figures.

// The running half.
mod agree;
mod begun;
mod behaviour;
mod by_hand;
mod cli;
mod commands;
mod connect;
mod cost;
mod estimate;
mod experiment;
mod inputs;
mod job;
mod links;
mod machine;
mod orchestrate;
mod party;
mod progress;
mod registry;
mod row;
mod secure;
mod soundness;
mod spawn;
mod stage;
mod trials;
mod trips;
mod verify;

// The reporting half.
mod check;
mod record;
mod report;
mod stats;

fn main() -> std::process::ExitCode {
    cli::main()
}
