//! Why a command failed.

use std::path::PathBuf;

use thiserror::Error;

use crate::guard::LockOut;
use crate::kernel::KernelError;
use crate::policy::Diagnostics;

/// A failure, as it is shown. Every one but `ReaderGone`, `Changes` and `LastResort` exits
/// with 1.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// The policy's file cannot be read.
    #[error("error: cannot read {}: {cause}\n  help: name a policy, as YAML in UTF-8", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The policy is wrong; each finding says where.
    #[error("{0}")]
    Invalid(#[from] Diagnostics),
    /// The policy would cut off whoever applies it.
    #[error("error: {0}\n\n  --allow-lockout applies the policy all the same")]
    LockOut(Box<LockOut>),
    /// The kernel, or what belongs to it.
    #[error("error: {0}")]
    Kernel(#[from] KernelError),
    /// What was typed describes no packet, or one that meets no hook.
    #[error("error: {0}")]
    NoVerdict(String),
    /// Tests of the policy failed; their report was printed.
    #[error("error: {failed} of {all} tests failed")]
    TestsFailed {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
    },
    /// The report cannot be written. The command itself is done.
    #[error(
        "error: cannot write to standard output: {0}\n  help: the command itself was carried out; only its report is incomplete"
    )]
    Output(std::io::Error),
    /// `plan` has printed changes: no error.
    #[error("")]
    Changes,
    /// The policy of last resort is enforced in the place of another, and that was said.
    #[error("")]
    LastResort,
    /// Nobody reads on, as when `head` has seen enough: no error.
    #[error("")]
    ReaderGone,
    /// Something was printed already; nothing is left to say.
    #[error("")]
    Said,
}
