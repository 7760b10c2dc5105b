//! `edge-filter apply`: enforce a policy.

use std::fmt::Write;

use super::args::ApplyArgs;
use super::failure::Failure;
use super::intent::Intent;
use super::lockout;
use super::output::{complain, print};
use crate::generation::Instance;
use crate::generation::apply::{Applied, Source, apply};
use crate::policy::Policy;

pub(super) fn run(instance: &Instance, args: &ApplyArgs) -> Result<(), Failure> {
    let Intent {
        policy,
        text,
        plans,
        sites,
        planned,
        ..
    } = Intent::of(args)?;
    lockout::guard(&policy, &plans, args.allow_lockout)?;
    let source = Source {
        policy: &policy,
        text: &text,
        planned: planned.as_ref(),
    };
    let applied = apply(instance, source, plans, sites)?;
    for warning in &applied.warnings {
        complain(&format!("warning: {warning}"));
    }
    print(&report(&policy, &applied))
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
