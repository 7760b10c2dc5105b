//! `cargo xtask demo`: builds the demo and the binary that it shows, runs it,
//! and exits as it exits.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

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
    let status = demo
        .status()
        .with_context(|| format!("starting `{}`", process::shown(&demo)))?;
    // A demo that a signal ended has no code; that is a failure as well.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
