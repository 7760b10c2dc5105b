//! The command line: one file per command.
//!
//! Exit codes: 0 done, 1 failed or policy invalid, 2 usage; of `plan` also 2 if anything
//! would change, and of `apply --last-good` 3 if the policy of last resort is enforced. What
//! went wrong goes to standard error; everything else to standard output.

mod applied;
mod apply;
mod args;
mod check;
mod confirm;
mod counters;
mod detach;
mod explain;
mod failure;
mod flows;
mod intent;
mod last_good;
mod lockout;
mod output;
mod plan;
mod policy_file;
mod rollback;
mod run;
mod stats;
mod status;
mod test;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};

/// What `plan` exits with if anything would change.
const CHANGES: u8 = 2;

/// What `apply --last-good` exits with if it had to enforce the policy of last resort.
const LAST_RESORT: u8 = 3;

/// Runs the command that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) | Err(failure::Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure::Failure::Changes) => ExitCode::from(CHANGES),
        Err(failure::Failure::LastResort) => ExitCode::from(LAST_RESORT),
        Err(failure) => {
            output::complain(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), failure::Failure> {
    match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Test(args) => test::run(args),
        Command::Plan(args) => plan::run(&cli.instance(), args),
        Command::Apply(args) if args.last_good => {
            last_good::run(&cli.instance(), &cli.management(), &args.json)
        }
        Command::Apply(args) => apply::run(&cli.instance(), args),
        Command::Confirm(args) => confirm::run(&cli.instance(), args),
        Command::Rollback(args) => rollback::run(&cli.instance(), args),
        Command::Status(args) => status::run(&cli.instance(), args),
        Command::Counters(args) => counters::run(&cli.instance(), args),
        Command::Flows(args) => flows::run(&cli.instance(), args),
        Command::Detach => detach::run(&cli.instance()),
        Command::Run(args) => run::run(&cli.instance(), cli.management(), args),
    }
}
