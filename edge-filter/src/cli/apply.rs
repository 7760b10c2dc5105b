//! `edge-filter apply`: enforce a policy.

use super::applied::report;
use super::args::ApplyArgs;
use super::failure::Failure;
use super::intent::Intent;
use super::lockout;
use crate::generation::Instance;
use crate::generation::apply::{Source, apply};

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
    };
    let applied = apply(
        instance,
        source,
        plans,
        sites,
        args.confirm,
        planned.as_ref(),
    )?;
    report(&applied, &args.json)
}
