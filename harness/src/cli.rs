//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use si_netem::Means;
use si_wire::Role;

use crate::experiment::{Overrides, Size};
use crate::{commands, cost, links, orchestrate, party, report, secure, soundness};

/// Exit code after Ctrl-C, as shells have it.
const STOPPED: u8 = 130;

/// Benchmarks of secure neural-network inference: real protocols, real processes, real or emulated links.
#[derive(Parser)]
#[command(name = "bench", version = crate::machine::COMMIT, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List experiments, protocols, models, data sets and links
    List(ListArgs),
    /// Run an experiment and record it
    Run(RunArgs),
    /// Play one role of a repetition (`run` starts these itself; by hand for two machines)
    Party(PartyArgs),
    /// Make a party's key and certificate for runs between two machines
    Keygen(KeygenArgs),
    /// Make tables and figures from records, and put the headline tables into README.md
    Report(report::ReportArgs),
    /// Check that a record folder is whole and consistent
    Check(CheckArgs),
    /// Compare two records, cell by cell: ratios with their noise, and what cannot be compared
    Diff(DiffArgs),
    /// Measure what an emulated link really gives
    Probe(ProbeArgs),
    /// Hold two network namespaces with a link between them until Ctrl-C, to play in by hand
    Link(LinkArgs),
    /// Declared bytes and rounds of a protocol, operator by operator
    Cost(CostArgs),
    /// How likely a cheating server escapes Fusion's check, and which plans are the cheapest
    Soundness(soundness::Args),
}

#[derive(Args)]
pub(crate) struct ListArgs {
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct RunArgs {
    /// Names of experiments (`bench list`), or paths of TOML files: run one after the other
    #[arg(required_unless_present = "all", value_name = "EXPERIMENT")]
    pub(crate) experiments: Vec<String>,
    /// Every experiment that `bench list` names
    #[arg(long, conflicts_with_all = ["experiments", "resume", "print_job"])]
    pub(crate) all: bool,
    /// Go on where an earlier run of the same experiment, code and machine was interrupted, if there is one; what it
    /// finished is not run again
    #[arg(long = "continue", conflicts_with_all = ["resume", "print_job"])]
    pub(crate) go_on: bool,
    /// Folder in which the record folder is made
    #[arg(long, value_name = "DIR", default_value = orchestrate::RECORDS, conflicts_with = "resume")]
    pub(crate) records: PathBuf,
    /// How much of it
    #[arg(long)]
    pub(crate) size: Option<Size>,
    /// Only this protocol
    #[arg(long, value_name = "P")]
    pub(crate) protocol: Option<String>,
    /// Only this model
    #[arg(long, value_name = "M")]
    pub(crate) model: Option<String>,
    /// Only this link
    #[arg(long, value_name = "L")]
    pub(crate) link: Option<String>,
    /// How links are made: netem, tun, model, or auto for the first of these that works here (tun from three cores on) [default: the experiment's]
    #[arg(long, value_name = "MEANS")]
    pub(crate) means: Option<Means>,
    /// So many repetitions of each cell
    #[arg(long, value_name = "N")]
    pub(crate) repeat: Option<u32>,
    /// Batches of this many queries (plans of Fusion stay as they are)
    #[arg(long, value_name = "N")]
    pub(crate) batch: Option<usize>,
    /// Do what is missing in this record folder
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
    /// Write the job file of the first cell to standard output instead of running it: see `bench party`
    #[arg(long)]
    pub(crate) print_job: bool,
}

impl RunArgs {
    /// The changes to the experiment.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            size: self.size,
            protocol: self.protocol.clone(),
            model: self.model.clone(),
            link: self.link.clone(),
            means: self.means,
            repeat: self.repeat,
            batch: self.batch,
        }
    }

    /// The command that does the rest of a run that was stopped.
    pub(crate) fn rest(&self, experiment: &str, folder: &Path) -> String {
        let numbers =
            [("--repeat", self.repeat.map(|n| n.to_string())), ("--batch", self.batch.map(|n| n.to_string()))];
        let names = [("--protocol", &self.protocol), ("--model", &self.model), ("--link", &self.link)];
        let means = [("--means", self.means.map(|m| m.to_string()))];
        let names = names.map(|(option, value)| (option, value.as_ref().map(|v| format!("'{v}'"))));
        let size = [("--size", self.size.and_then(|s| Some(s.to_possible_value()?.get_name().to_owned())))];
        let options = size
            .into_iter()
            .chain(names)
            .chain(means)
            .chain(numbers)
            .filter_map(|(o, v)| v.map(|v| format!(" {o} {v}")));
        format!("bench run {experiment}{} --resume {}", options.collect::<String>(), folder.display())
    }
}

#[derive(Args)]
pub(crate) struct PartyArgs {
    /// Job file, the same for both parties (`bench run EXPERIMENT --print-job`)
    #[arg(long, value_name = "FILE")]
    pub(crate) job: PathBuf,
    /// `client` or `server`
    #[arg(long)]
    pub(crate) role: Role,
    /// Where the server listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Where the client finds the server
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) connect: Option<String>,
    /// Where the client finds the server for agreement and barriers, if that is another way than the link
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) control: Option<String>,
    /// This party's own file with its private key and certificate (`bench keygen`); not needed within one machine
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// The other party's certificate: whoever has another one is turned away
    #[arg(long, value_name = "FILE")]
    pub(crate) peer: Option<PathBuf>,
    /// The client: check the answers and write the rows of both parties into a record folder made in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) records: Option<PathBuf>,
    /// Network namespace to play in (`ip netns list`)
    #[arg(long, value_name = "NAME")]
    pub(crate) netns: Option<String>,
}

#[derive(Args)]
struct KeygenArgs {
    /// NAME.key is made, to be kept, and NAME.crt, for the other party
    name: PathBuf,
}

#[derive(Args)]
struct CheckArgs {
    /// A record folder, or a folder of them
    folder: PathBuf,
    /// Write a hash list for each sound folder that has none, as records of earlier versions and of killed runs. It vouches
    /// for the files from then on, and says so in its first line; a list that is there stays
    #[arg(long)]
    seal: bool,
}

#[derive(Args)]
struct DiffArgs {
    /// A record folder, or a folder of them
    old: PathBuf,
    /// The same
    new: PathBuf,
}

#[derive(Args)]
pub(crate) struct ProbeArgs {
    /// Name of the link (`bench list`)
    #[arg(long, value_name = "NAME")]
    pub(crate) link: String,
    /// How it is made: netem, tun, model, or auto for the first of these that works
    #[arg(long, value_name = "MEANS", default_value_t = Means::Auto)]
    pub(crate) means: Means,
    /// Fail unless the link is as set; one-sided: unless it is never better than set, and its RTT at most 6 ms above
    #[arg(long, value_name = "GATES", num_args = 0..=1, default_missing_value = "both-sides")]
    pub(crate) gate: Option<Gates>,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which gates decide whether `probe` succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gates {
    /// Those of runs.
    BothSides,
    /// Those that hold on a machine that is itself emulated.
    OneSided,
}

#[derive(Args)]
pub(crate) struct LinkArgs {
    /// Name of the link's profile (`bench list`)
    pub(crate) link: String,
    /// netem, tun, or auto for the first of these that works
    #[arg(long, value_name = "MEANS", default_value_t = Means::Auto)]
    pub(crate) means: Means,
    /// Name of the pair of namespaces
    #[arg(long, value_name = "ID", default_value = "demo")]
    pub(crate) id: String,
}

#[derive(Args)]
pub(crate) struct CostArgs {
    /// Protocol
    pub(crate) protocol: String,
    /// Model
    pub(crate) model: String,
    /// Queries in the batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) batch: usize,
    /// Answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::List(args) => commands::list(&args).map(|()| ExitCode::SUCCESS),
        Command::Run(args) => commands::run(&args).map(|end| match end {
            commands::End::Good => ExitCode::SUCCESS,
            commands::End::Failures => ExitCode::FAILURE,
            commands::End::Stopped => ExitCode::from(STOPPED),
        }),
        Command::Party(args) => party::run(&args).map(|good| if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
        Command::Keygen(args) => secure::keygen(&args.name)
            .and_then(|[key, certificate]| {
                let (key, certificate) = (key.display(), certificate.display());
                commands::print(&format!(
                    "{key}: keep it, for --key\n{certificate}: give it to the other party, for its --peer"
                ))
            })
            .map(|()| ExitCode::SUCCESS),
        Command::Report(args) => report::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Check(args) => commands::check(&args.folder, args.seal).map(|()| ExitCode::SUCCESS),
        Command::Diff(args) => report::diff(&args.old, &args.new)
            .and_then(|text| commands::print(text.trim_end()))
            .map(|()| ExitCode::SUCCESS),
        Command::Probe(args) => links::probe(&args).map(|()| ExitCode::SUCCESS),
        Command::Link(args) => links::hold(&args).map(|()| ExitCode::SUCCESS),
        Command::Cost(args) => cost::cost(&args).map(|()| ExitCode::SUCCESS),
        Command::Soundness(args) => soundness::run(&args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|e| {
        eprintln!("error: {}", format!("{e:#}").replace('\n', " "));
        ExitCode::FAILURE
    })
}
