//! A recorded policy on those of its devices that are there.

use super::applied::Applied;
use super::attached::{Attached, Trouble};
use super::plan::{Absent, HookPlan, Overrides, plan, plan_but_for};
use crate::compile::budget::Budget;
use crate::kernel::KernelError;
use crate::kernel::device;
use crate::policy::Policy;

/// What `policy` comes to on `devices`, and those of them that are gone: they keep no other
/// one from its policy. One that is filtered in another network namespace is not gone.
///
/// # Errors
/// As [`plan`]; where no device is there, the first is what cannot be found.
pub(super) fn plan_on_those_there(
    policy: &Policy,
    devices: &Overrides,
    attached: &[Attached],
) -> Result<(Vec<HookPlan>, Absent), KernelError> {
    let is_elsewhere = |name: &str| {
        let mut links = attached.iter().filter(|link| link.device == name);
        links.any(|link| matches!(link.running, Err(Trouble::DeviceElsewhere)))
    };
    let is_gone = |name: &str| !device::is_there(name) && !is_elsewhere(name);
    // It had room when it was applied.
    let (plans, absent) = plan_but_for(policy, devices, Budget::UNLIMITED, is_gone)?;
    if plans.is_empty() && !absent.is_empty() {
        return Ok((plan(policy, devices, Budget::UNLIMITED)?, Absent::new()));
    }
    Ok((plans, absent))
}

/// What was applied, with a warning that names the devices that are `absent`.
pub(super) fn warn_of(absent: &Absent, mut applied: Applied) -> Applied {
    let names: Vec<&str> = absent.values().flatten().map(|name| &**name).collect();
    if !names.is_empty() {
        applied.warnings.push(format!(
            "not there: {}; the policy is enforced without, and `edge-filter run` filters them \
             when they come",
            names.join(", ")
        ));
    }
    applied
}
