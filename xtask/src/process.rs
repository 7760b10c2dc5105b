//! Running other programs: what was run is part of every error.

use std::process::{Command, ExitCode, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// The command as one would type it, without its environment.
pub(crate) fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command whose output the user sees; fails unless it exits 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Runs a command whose output the user sees, to exit as it exits.
pub(crate) fn exit_code(command: &mut Command) -> Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    // What a signal ended has no code; that is a failure as well.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs a command and returns what it printed; standard error goes to the user.
pub(crate) fn stdout(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting `{}`", shown(command)))?;
    succeeded(command, &output)?;
    String::from_utf8(output.stdout)
        .with_context(|| format!("reading what `{}` printed", shown(command)))
}

/// What a command prints, if it exists, succeeds and prints text. For asking
/// whether a tool is there: everything that fails means that it is not.
pub(crate) fn probe(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()
}

fn succeeded(command: &Command, output: &Output) -> Result<()> {
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), output.status);
    }
    Ok(())
}
