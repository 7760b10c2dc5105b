//! What was chosen with the policy that is to be enforced, and no hook tells: the devices
//! that are waited for.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Instance;
use super::plan::{Absent, HookPlan};
use super::record::Record;
use super::status::HookStatus;

/// A device that plays a role, is not filtered, and would be as soon as it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Awaited {
    /// The device.
    pub device: String,
    /// The role.
    pub interface: String,
}

/// The devices that were chosen last, by role.
pub(super) struct Lasting(BTreeMap<String, Vec<String>>);

impl Lasting {
    /// Those of the policy that is looked after: of `record` if that is on trial, else of what
    /// was committed last. What cannot be read chose nothing.
    pub(super) fn now(instance: &Instance, record: Option<&Record>) -> Self {
        if let Some(trial) = record.filter(|record| record.trial.is_some()) {
            let mut devices: Absent = trial.absent.clone();
            for hook in trial.hooks.iter().filter(|hook| !hook.passes) {
                let of_role = devices.entry(hook.interface.clone()).or_default();
                of_role.push(hook.device.clone());
            }
            return Self(devices);
        }
        let history = instance.state.history().unwrap_or_default();
        let last = history.into_iter().next();
        Self(last.map(|last| last.devices).unwrap_or_default())
    }

    /// The devices that are waited for and would not be under `plans`. One that has one of
    /// `hooks` is not waited for.
    pub(super) fn not_awaited_under(
        &self,
        plans: &[HookPlan],
        hooks: &[HookStatus],
    ) -> Vec<Awaited> {
        let is_filtered = |name: &str| {
            let mut filtered = hooks.iter().filter(|hook| hook.filtered);
            filtered.any(|hook| hook.device == name)
        };
        let is_planned = |name: &str| plans.iter().any(|plan| plan.device.name == name);
        let mut not_awaited = Vec::new();
        for (interface, names) in &self.0 {
            for device in names {
                let awaited = Awaited {
                    device: device.clone(),
                    interface: interface.clone(),
                };
                if !is_filtered(device) && !is_planned(device) && !not_awaited.contains(&awaited) {
                    not_awaited.push(awaited);
                }
            }
        }
        not_awaited
    }
}
