//! `edge-filter apply`: enforce a policy.

use super::applied::report;
use super::args::ApplyArgs;
use super::failure::Failure;
use super::policy_file;
use crate::generation::Instance;
use crate::generation::apply::{Source, apply};
use crate::generation::plan::{Overrides, plan};
use crate::generation::sites::Sites;
use crate::kernel::KernelError;
use crate::policy::Checked;

pub(super) fn run(instance: &Instance, args: &ApplyArgs) -> Result<(), Failure> {
    let overrides = overrides(&args.interface)?;
    let (Checked { policy, .. }, text) = policy_file::read_aloud(&args.policy)?;
    let plans = plan(&policy, &overrides, args.memory.budget())?;
    let source = Source {
        policy: &policy,
        text: &text,
    };
    let sites = Sites {
        mode: args.mode.into(),
        egress: args.egress.into(),
    };
    let applied = apply(instance, source, plans, sites, args.confirm)?;
    report(&applied, &args.json)
}

pub(super) fn overrides(named: &[(String, Vec<String>)]) -> Result<Overrides, KernelError> {
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
