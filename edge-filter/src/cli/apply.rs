//! `edge-filter apply`: enforce a policy.

use std::fmt::Write;

use super::args::ApplyArgs;
use super::failure::Failure;
use super::lockout;
use super::output::{complain, print};
use super::policy_file;
use crate::generation::Instance;
use crate::generation::apply::{Applied, Sites, Source, apply};
use crate::generation::plan::{Overrides, plan};
use crate::kernel::KernelError;
use crate::policy::{Checked, Policy};

pub(super) fn run(instance: &Instance, args: &ApplyArgs) -> Result<(), Failure> {
    let overrides = overrides(&args.interface)?;
    let (Checked { policy, .. }, text) = policy_file::read_aloud(&args.policy)?;
    let plans = plan(&policy, &overrides, args.memory.budget())?;
    lockout::guard(&policy, &plans, args.allow_lockout)?;
    let source = Source {
        policy: &policy,
        text: &text,
    };
    let sites = Sites {
        mode: args.mode.into(),
        egress: args.egress.into(),
    };
    let applied = apply(instance, source, plans, sites)?;
    for warning in &applied.warnings {
        complain(&format!("warning: {warning}"));
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
            "policy '{}' has no enabled rules: no device is filtered",
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
            "  {} {}: {} on {}",
            hook.interface,
            hook.direction,
            hook.site.in_words(),
            hook.device
        );
        if let Some(reason) = &hook.fallback {
            let _ = writeln!(
                text,
                "    {}, because the first choice failed: {}",
                hook.site.in_words(),
                reason.replace("\n  help:", "\n      help:")
            );
        }
    }
    for (device, direction) in &applied.released {
        let _ = writeln!(text, "  {device} {direction} is not filtered any more");
    }
    text
}
