//! The lock-out guard: what must keep passing on the devices that a policy is about to
//! filter, and whether it does.
//!
//! [`facts`] says what matters of a host, and `gather` asks the kernel for it; `session`
//! finds the SSH session that a command was started from. From there on nothing is asked
//! any more: [`needs`] turns facts into packets that must pass, [`judge`] puts them to the
//! reference model of the policy, and [`remedy`] finds what would let them pass. What is
//! needed, and why, stands in `docs/lockout.md`.

pub mod facts;
mod gather;
pub mod judge;
mod leases;
pub mod needs;
pub mod packet;
pub mod remedy;
mod session;
#[cfg(test)]
mod tests;

pub use judge::LockOut;

use crate::generation::plan::HookPlan;
use crate::kernel::KernelError;
use crate::policy::Policy;

/// Whether `policy`, enforced as `plans` say, would lock its administrator out of this
/// host, or take from it what it lives on.
///
/// # Errors
/// The kernel does not tell what must pass.
pub fn look(policy: &Policy, plans: &[HookPlan]) -> Result<Option<LockOut>, KernelError> {
    let facts = gather::facts(plans)?;
    Ok(judge::lock_out(policy, &needs::of(&facts, policy)))
}
