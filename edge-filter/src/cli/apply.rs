//! `edge-filter apply`: enforce a policy.

use std::fmt::Write;

use super::args::ApplyArgs;
use super::failure::Failure;
use super::output::{complain, print};
use super::policy_file;
use crate::generation::Instance;
use crate::generation::apply::{Applied, apply};
use crate::generation::plan::{Overrides, not_enforced, plan};
use crate::kernel::KernelError;
use crate::policy::Policy;

pub(super) fn run(instance: &Instance, args: &ApplyArgs) -> Result<(), Failure> {
    let overrides = overrides(&args.interface)?;
    let policy = policy_file::read_aloud(&args.policy)?.policy;
    let plans = plan(&policy, &overrides)?;
    let applied = apply(instance, &policy, plans, args.mode.into())?;
    for warning in &applied.warnings {
        complain(&format!("warning: {warning}"));
    }
    for (role, rules) in not_enforced(&policy) {
        complain(&format!(
            "note: {role}: this version does not enforce outbound rules yet; {rules} of them \
             were checked, and everything outbound passes"
        ));
    }
    print(&report(&policy, &applied))
}

fn overrides(named: &[(String, Vec<String>)]) -> Result<Overrides, KernelError> {
    let mut overrides = Overrides::new();
    for (role, devices) in named {
        if overrides.insert(role.clone(), devices.clone()).is_some() {
            return Err(KernelError::new(format!("attach the role '{role}'"))
                .because("--interface names it twice")
                .try_this(format!("write --interface {role}=DEVICE,DEVICE")));
        }
    }
    Ok(overrides)
}

fn report(policy: &Policy, applied: &Applied) -> String {
    let mut text = String::new();
    if applied.hooks.is_empty() {
        let _ = writeln!(
            text,
            "policy '{}' has no inbound rules: no device is filtered",
            policy.name
        );
    } else {
        let _ = writeln!(
            text,
            "policy '{}' is enforced as generation {}",
            policy.name, applied.generation
        );
    }
    for hook in &applied.hooks {
        let _ = writeln!(
            text,
            "  {} {}: {} mode on {}",
            hook.interface,
            hook.direction,
            hook.mode.as_str(),
            hook.device
        );
        if let Some(reason) = &hook.fallback {
            let _ = writeln!(
                text,
                "    generic, because native mode failed: {}",
                reason.replace("\n  help:", "\n      help:")
            );
        }
    }
    for device in &applied.released {
        let _ = writeln!(text, "  {device} is not filtered any more");
    }
    text
}
