//! edge-filter's own tasks, run as `cargo xtask …`. Nobody who only uses the
//! binary needs them.

mod build_ebpf;
mod compiled;
mod demo;
mod manifest;
mod packages;
mod process;
mod strip;
mod test;
mod toolchain;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::workspace::Workspace;

/// The tasks of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Enforce the shipped policy between two network namespaces, with real connections (needs root)
    Demo,
    /// Check formatting, lints and the BPF object, then run every test (the kernel's need root)
    Test(TestArgs),
    /// Build the BPF object that is committed under edge-filter-ebpf/prebuilt/
    BuildEbpf(BuildEbpfArgs),
}

#[derive(Args)]
struct TestArgs {
    /// Run the long figures in full instead of at a tenth
    #[arg(long)]
    soak: bool,
}

#[derive(Args)]
struct BuildEbpfArgs {
    /// Write nothing; fail when the sources and the committed object disagree
    #[arg(long)]
    check: bool,
    /// With --check: fail when the object cannot be rebuilt and compared byte for byte
    #[arg(long, requires = "check")]
    require_rebuild: bool,
    /// The rustup toolchain to build with where the distribution's packages are not installed
    #[arg(long, value_name = "TOOLCHAIN", default_value = "nightly")]
    nightly: String,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::locate()?;
    match task {
        Task::Demo => demo::run(&workspace),
        Task::Test(args) => test::run(&workspace, args.soak),
        Task::BuildEbpf(args) if args.check => {
            let rebuild = if args.require_rebuild {
                build_ebpf::Rebuild::Required
            } else {
                build_ebpf::Rebuild::WhenSameTools
            };
            build_ebpf::check(&workspace, &args.nightly, rebuild)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::BuildEbpf(args) => {
            build_ebpf::build(&workspace, &args.nightly)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
