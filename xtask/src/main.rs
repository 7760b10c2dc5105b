//! edge-filter's own tasks, run as `cargo xtask …`. Nobody who only uses the
//! binary needs them.

mod bench;
mod build_ebpf;
mod classbench;
mod compiled;
mod demo;
mod manifest;
mod packages;
mod process;
mod strip;
mod test;
mod toolchain;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
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
    /// Measure what the programs cost and how fast they are, beside other filters (needs root)
    #[command(disable_help_flag = true)]
    Bench(BenchArgs),
    /// Turn a ClassBench filter set into a policy
    Classbench(ClassbenchArgs),
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
struct BenchArgs {
    /// What the benchmark itself takes: `cargo xtask bench --help` has it say what
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

#[derive(Args)]
struct ClassbenchArgs {
    /// The filter set: one filter a line, the first match decides
    file: PathBuf,
    /// Write the policy to this file instead of standard output
    #[arg(long, value_name = "POLICY")]
    output: Option<PathBuf>,
}

#[derive(Args)]
struct BuildEbpfArgs {
    /// Write nothing; fail when the sources and the committed object disagree
    #[arg(long)]
    check: bool,
    /// With --check: fail when the object cannot be rebuilt and compared byte for byte
    #[arg(long, requires = "check")]
    require_rebuild: bool,
    /// Build with this toolchain of rustup's even if the distribution's packages are installed
    #[arg(long, value_name = "TOOLCHAIN")]
    nightly: Option<String>,
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
        Task::Bench(args) => bench::run(&workspace, &args.arguments),
        Task::Classbench(args) => classbench::run(&workspace, args.file, args.output),
        Task::Test(args) => test::run(&workspace, args.soak),
        Task::BuildEbpf(args) if args.check => {
            let rebuild = if args.require_rebuild {
                build_ebpf::Rebuild::Required
            } else {
                build_ebpf::Rebuild::WhenSameTools
            };
            build_ebpf::check(&workspace, args.nightly.as_deref(), rebuild)?;
            Ok(ExitCode::SUCCESS)
        }
        Task::BuildEbpf(args) => {
            build_ebpf::build(&workspace, args.nightly.as_deref())?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
