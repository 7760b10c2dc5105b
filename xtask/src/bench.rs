//! `cargo xtask bench`: builds the benchmark, runs it, and exits as it exits.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::{process, workspace::Workspace};

/// Builds and runs the benchmark.
pub(crate) fn run(
    workspace: &Workspace,
    repeats: u32,
    rounds: u32,
    json: Option<PathBuf>,
) -> Result<ExitCode> {
    let built = workspace.build(&["--release", "--package=edge-filter-tests", "--bin=bench"])?;
    let mut bench = Command::new(built.executable("bench")?);
    bench
        .arg(repeats.to_string())
        .arg(rounds.to_string())
        .args(json);
    let status = bench
        .status()
        .with_context(|| format!("starting `{}`", process::shown(&bench)))?;
    // A benchmark that a signal ended has no code; that is a failure as well.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
