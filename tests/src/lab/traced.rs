//! Commands below strace(1), which does something to one of their system calls.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use anyhow::Result;

use super::Lab;

/// The system calls that move files and directories, of whichever there are.
pub const MOVING: &str = "?rename,?renameat,?renameat2";

impl Lab {
    /// A command as it is, below strace, of which only `calls` are looked at.
    #[must_use]
    pub fn below_strace(&self, command: &Command, calls: &str, options: &[&str]) -> Command {
        let mut traced = self.edge.command_in("strace", &self.mounts);
        self.places(&mut traced)
            .args(["--quiet=all", &format!("--trace={calls}")])
            .args(options)
            .arg(command.get_program())
            .args(command.get_args());
        traced
    }

    /// Runs the product until SIGKILL ends it at the so many-th of its `calls`; whether it did.
    pub fn killed_at(&self, arguments: &[&str], calls: &str, number: u32) -> Result<bool> {
        let command = self.edge_filter(arguments)?;
        let inject = format!("--inject={calls}:signal=SIGKILL:when={number}");
        let options = ["--follow-forks", "--output=/dev/null", &inject];
        let output = self.below_strace(&command, calls, &options).output()?;
        Ok(output.status.signal().is_some())
    }
}
