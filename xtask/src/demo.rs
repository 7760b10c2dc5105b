//! `cargo xtask demo`: builds the demo and the binary that it shows, runs it,
//! and exits as it exits.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// Builds and runs the demo.
pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode> {
    let built = workspace.build(&[
        "--package=edge-filter",
        "--package=edge-filter-tests",
        "--bin=edge-filter",
        "--bin=demo",
    ])?;
    let mut demo = Command::new(built.executable("demo")?);
    demo.current_dir(workspace.root())
        .env("EDGE_FILTER_BIN", built.executable("edge-filter")?);
    process::exit_code(&mut demo)
}
