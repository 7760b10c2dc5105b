//! `edge-filter apply`: enforce a policy.

use super::applied::{report, report_trial};
use super::args::ApplyArgs;
use super::failure::Failure;
use super::intent::Intent;
use super::lockout;
use crate::generation::Instance;
use crate::generation::apply::{Source, apply};
use crate::generation::status::{TrialStatus, status};

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
    if applied.confirm_deadline.is_none() {
        return report(&applied, &args.json);
    }
    let own = |trial: &TrialStatus| trial.generation == applied.generation;
    // It is applied, whether this can be read or not.
    let trial = status(instance).ok().and_then(|status| status.trial);
    report_trial(&applied, trial.filter(own).as_ref(), &args.json)
}
