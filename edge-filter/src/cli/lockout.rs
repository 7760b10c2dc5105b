//! What `apply` does about a policy that would lock its administrator out.

use super::failure::Failure;
use super::output::complain;
use crate::generation::plan::HookPlan;
use crate::guard;
use crate::policy::Policy;

/// Refuses a policy that cuts off the session that it is applied from or what the host
/// lives on; says so and goes on if that is `allowed`.
pub(super) fn guard(policy: &Policy, plans: &[HookPlan], allowed: bool) -> Result<(), Failure> {
    match guard::look(policy, plans) {
        Ok(None) => Ok(()),
        Ok(Some(lock_out)) if !allowed => Err(Failure::LockOut(Box::new(lock_out))),
        Ok(Some(lock_out)) => {
            complain(&format!("warning: {lock_out}"));
            Ok(())
        }
        Err(error) if !allowed => Err(error.into()),
        Err(error) => {
            complain(&format!("warning: {error}"));
            Ok(())
        }
    }
}
