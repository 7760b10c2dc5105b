//! `cargo xtask classbench`: builds what turns filter sets into policies, runs it, and
//! exits as it exits.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{process, workspace::Workspace};

/// Turns the set in `file` into a policy, on standard output or in the file `output`.
pub(crate) fn run(
    workspace: &Workspace,
    file: PathBuf,
    output: Option<PathBuf>,
) -> Result<ExitCode> {
    let built = workspace.build(&[
        "--release",
        "--package=edge-filter-tests",
        "--bin=classbench",
    ])?;
    let mut classbench = Command::new(built.executable("classbench")?);
    classbench.arg(file).args(output);
    process::exit_code(&mut classbench)
}
