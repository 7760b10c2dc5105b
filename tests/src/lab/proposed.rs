//! `edge-filter plan` in the lab, and its exit codes.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Lab;
use super::product::expect_exit;

/// Nothing would change.
pub const NO_CHANGE: i32 = 0;
/// What would change cannot be told, or would be refused.
pub const FAILED: i32 = 1;
/// Something would change.
pub const CHANGES: i32 = 2;

/// `plan` with what else is typed.
///
/// # Errors
/// The program is not there.
pub fn plan_command(lab: &Lab, policy: &Path, more: &[&str]) -> Result<Command> {
    let mut command = lab.edge_filter(&["plan"])?;
    command.arg(policy).args(more);
    Ok(command)
}

/// `plan --json`, which must exit with `code`.
///
/// # Errors
/// It exits with another one, or prints no JSON.
pub fn planned(lab: &Lab, policy: &Path, code: i32) -> Result<Value> {
    let output = expect_exit(&mut plan_command(lab, policy, &["--json"])?, code)?;
    serde_json::from_slice(&output.stdout).context("read `plan --json`")
}
