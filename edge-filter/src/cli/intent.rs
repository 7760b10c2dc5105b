//! What is to be enforced, and where: as it is typed, or as it was planned.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::args::{ApplyArgs, MemoryArgs, TargetArgs};
use super::failure::Failure;
use super::policy_file;

use crate::generation::plan::{HookPlan, Overrides, plan};
use crate::generation::planned::Planned;
use crate::generation::sites::Sites;
use crate::kernel::KernelError;
use crate::policy::{Checked, Policy};

/// A policy, and how it is to be enforced.
#[derive(Debug)]
pub(super) struct Intent {
    pub(super) file: PathBuf,
    pub(super) policy: Policy,
    pub(super) text: String,
    pub(super) overrides: Overrides,
    pub(super) plans: Vec<HookPlan>,
    pub(super) sites: Sites,
    /// The plan that it comes from.
    pub(super) planned: Option<Planned>,
}

impl Intent {
    /// What `apply` was asked for. Warnings go to standard error.
    pub(super) fn of(args: &ApplyArgs) -> Result<Self, Failure> {
        match (&args.plan, &args.policy) {
            (Some(plan), _) => Self::planned(plan, &args.memory),
            (None, Some(policy)) => Self::typed(policy, &args.target, &args.memory),
            (None, None) => unreachable!("the command line has one of both"),
        }
    }

    /// What was typed. Warnings go to standard error.
    pub(super) fn typed(
        file: &Path,
        target: &TargetArgs,
        memory: &MemoryArgs,
    ) -> Result<Self, Failure> {
        let overrides = overrides(&target.interface)?;
        let (Checked { policy, .. }, text) = policy_file::read_aloud(file)?;
        let plans = plan(&policy, &overrides, memory.budget())?;
        Ok(Self {
            file: file.to_owned(),
            policy,
            text,
            overrides,
            plans,
            sites: target.sites(),
            planned: None,
        })
    }

    fn planned(path: &Path, memory: &MemoryArgs) -> Result<Self, Failure> {
        let planned = Planned::read(path)?;
        let target = TargetArgs {
            interface: planned.interfaces.clone().into_iter().collect(),
            mode: word(&planned.mode, path)?,
            egress: word(&planned.egress, path)?,
        };
        let overrides = overrides(&target.interface)?;
        let file = planned.policy.file.clone();
        let text = planned.policy.text.clone();
        let Checked { policy, .. } = policy_file::check(&file, &text)?;
        let plans = plan(&policy, &overrides, memory.budget())?;
        Ok(Self {
            file,
            policy,
            text,
            overrides,
            plans,
            sites: target.sites(),
            planned: Some(planned),
        })
    }
}

impl TargetArgs {
    fn sites(&self) -> Sites {
        Sites {
            mode: self.mode.into(),
            egress: self.egress.into(),
        }
    }

    /// The words of `--mode` and `--egress`.
    pub(super) fn words(&self) -> (String, String) {
        (said(&self.mode), said(&self.egress))
    }
}

fn said(value: &impl ValueEnum) -> String {
    let word = value.to_possible_value().expect("every value has a word");
    word.get_name().to_owned()
}

fn word<T: ValueEnum>(word: &str, path: &Path) -> Result<T, KernelError> {
    T::from_str(word, false).map_err(|error| {
        KernelError::new(format!("read the plan {}", path.display()))
            .because(error)
            .try_this("make it anew with `edge-filter plan POLICY --out FILE`")
    })
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
