//! `cargo xtask bench`: builds the benchmark and what it measures, runs it, and exits as it
//! exits.

use std::ffi::OsString;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{packages, process, workspace::Workspace};

/// Builds and runs the benchmark with these arguments, which are its own.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<ExitCode> {
    packages::offer_filters();
    let built = workspace.build(&[
        "--release",
        "--package=edge-filter",
        "--package=edge-filter-tests",
        "--bin=edge-filter",
        "--bin=bench",
    ])?;
    let mut bench = Command::new(built.executable("bench")?);
    bench
        .args(arguments)
        .env("EDGE_FILTER_BIN", built.executable("edge-filter")?);
    process::exit_code(&mut bench)
}
