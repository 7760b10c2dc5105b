//! `cargo xtask bench`: builds the benchmark, runs it, and exits as it exits.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// Builds and runs the benchmark.
pub(crate) fn run(
    workspace: &Workspace,
    repeats: u32,
    rounds: u32,
    sets: &[usize],
    json: Option<PathBuf>,
) -> Result<ExitCode> {
    let built = workspace.build(&["--release", "--package=edge-filter-tests", "--bin=bench"])?;
    let sets: Vec<String> = sets.iter().map(usize::to_string).collect();
    let mut bench = Command::new(built.executable("bench")?);
    bench
        .arg(repeats.to_string())
        .arg(rounds.to_string())
        .arg(sets.join(","))
        .args(json);
    process::exit_code(&mut bench)
}
