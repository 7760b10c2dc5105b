//! `apply` within limits: whatever runs out, it is applied whole or refused whole.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, bail, ensure};
use nix::sys::signal::Signal;

use super::probe::Probe;
use super::product::{Mode, expect_exit};
use super::standing::Standing;
use super::trial::{FIRST, MOVED};
use super::{Lab, Plan, sample};

/// What became of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The dynamic loader had too little: not one line of ours ran.
    NotStarted,
    /// Refused, with a cause and a remedy.
    Refused,
    /// Applied, with a warning.
    Warned,
    /// Applied.
    Applied,
}

/// A lab that enforces one policy of two, on both sides of a device.
#[derive(Debug)]
pub struct Subject {
    /// The lab.
    pub lab: Lab,
    /// Their files.
    pub policies: [PathBuf; 2],
    egress: &'static str,
    /// What an `apply` that lacks nothing says: about the policy.
    remarks: String,
}

impl Subject {
    /// One whose outbound hook is at this site.
    pub fn new(egress: &'static str) -> Result<Self> {
        Self::prepared(egress, |_| Ok(()))
    }

    /// The same, in a lab that was prepared before anything is applied.
    pub fn prepared(
        egress: &'static str,
        prepare: impl FnOnce(&Lab) -> Result<()>,
    ) -> Result<Self> {
        let lab = Lab::new(&Plan::default())?;
        prepare(&lab)?;
        let first = sample::both_ways();
        let moved = first.replacen("ports: [3478]", "ports: [3479]", 1);
        let policies = [
            lab.mounts.write("first.yaml", &first)?,
            lab.mounts.write("moved.yaml", &moved)?,
        ];
        let mut subject = Self {
            lab,
            policies,
            egress,
            remarks: String::new(),
        };
        subject.remarks = subject.apply_first()?;
        Ok(subject)
    }

    /// `apply` of one of the policies, with `limit` of prlimit(1).
    pub fn command(&self, policy: &Path, limit: &str) -> Result<Command> {
        let apply = self.lab.apply_command(policy, Mode::Native)?;
        let mut command = self.lab.edge.command_in("prlimit", &self.lab.mounts);
        command
            .env("EDGE_FILTER_PIN_ROOT", self.lab.mounts.pin_root())
            .env("EDGE_FILTER_STATE_DIR", self.lab.mounts.state_dir())
            .arg(limit)
            .arg(apply.get_program())
            .args(apply.get_args())
            .args(["--egress", self.egress]);
        Ok(command)
    }

    /// Applies the first policy; what that says.
    fn apply_first(&self) -> Result<String> {
        let mut command = self.lab.apply_command(&self.policies[0], Mode::Native)?;
        let output = expect_exit(command.args(["--egress", self.egress]), 0)?;
        Ok(String::from_utf8(output.stderr)?)
    }

    /// The first policy is enforced, and nothing else is there.
    pub fn apply_ordinarily(&self) -> Result<()> {
        let said = self.apply_first()?.replace("first.yaml", "");
        let remarks = self.remarks.replace("first.yaml", "");
        ensure!(said == remarks, "an ordinary `apply` says:\n{said}");
        let pins = self.lab.mounts.pins()?;
        // The root, its five directories, three hooks with counters, and a flow table.
        ensure!(pins.len() == 6 + 6 + 1, "pins leak: {pins:?}");
        let history = self.lab.json(&["rollback", "--list"])?;
        let newest = history[0]["generation"].as_u64();
        ensure!(newest == Some(self.lab.status()?.policy.generation));
        Ok(())
    }

    /// Tries the other policy within a limit; fails unless it was applied whole or refused
    /// whole, in which case it says one of `causes`.
    pub fn attempt(
        &self,
        probe: &mut Probe<'_>,
        command: &mut Command,
        causes: &[&str],
    ) -> Result<Outcome> {
        let before = Standing::of(&self.lab)?;
        let output = command.output()?;
        let outcome = self.outcome(&output, causes)?;
        let open = probe.open()?;
        let expected = match outcome {
            Outcome::NotStarted | Outcome::Refused => FIRST,
            Outcome::Warned | Outcome::Applied => MOVED,
        };
        ensure!(open == expected, "{open:?} is open after {output:?}");
        probe.settle()?;
        if expected == FIRST {
            before.assert_same(&self.lab)?;
        } else {
            let status = self.lab.status()?;
            ensure!(
                status
                    .hooks
                    .iter()
                    .all(|hook| { hook.filtered && hook.generation == status.policy.generation }),
                "{status:?}"
            );
            self.apply_ordinarily()?;
            ensure!(probe.open()? == FIRST);
        }
        Ok(outcome)
    }

    /// What became of an attempt; a refusal says one of `causes`.
    pub fn outcome(&self, output: &Output, causes: &[&str]) -> Result<Outcome> {
        let said = String::from_utf8_lossy(&output.stderr).replace("moved.yaml", "first.yaml");
        let said = said.replacen(&self.remarks, "", 1);
        match output.status.code() {
            Some(0) if !said.is_empty() => Ok(Outcome::Warned),
            Some(0) => Ok(Outcome::Applied),
            Some(127) => Ok(Outcome::NotStarted),
            Some(1) => {
                ensure!(!said.contains("panicked"), "{said}");
                ensure!(
                    said.starts_with("error: ") && said.contains("help: "),
                    "{said}"
                );
                ensure!(causes.iter().any(|cause| said.contains(cause)), "{said}");
                Ok(Outcome::Refused)
            }
            // The kernel cannot even map the program.
            None if output.status.signal() == Some(Signal::SIGKILL as i32) && said.is_empty() => {
                Ok(Outcome::NotStarted)
            }
            None if output.status.signal() == Some(Signal::SIGSEGV as i32) && said.is_empty() => {
                Ok(Outcome::NotStarted)
            }
            _ => bail!("{}: {said}", output.status),
        }
    }
}
