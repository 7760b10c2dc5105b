//! Which devices get which tables.

use std::collections::BTreeMap;

use crate::compile::TableImage;
use crate::compile::budget::{Budget, compile_all};
use crate::kernel::KernelError;
use crate::kernel::device::{self, Device};
use crate::policy::{Direction, Interface, Policy};

/// One device of one hook, and the tables that it gets.
#[derive(Debug)]
pub struct HookPlan {
    /// The role.
    pub interface: String,
    /// The side.
    pub direction: Direction,
    /// The device.
    pub device: Device,
    /// The tables.
    pub image: TableImage,
}

/// The devices of each role, where the command line names them.
pub type Overrides = BTreeMap<String, Vec<String>>;

/// The devices of each role that are to be filtered as soon as they are there.
pub type Absent = BTreeMap<String, Vec<String>>;

/// Adds a device to those of a role, unless it is among them.
pub(super) fn add(devices: &mut BTreeMap<String, Vec<String>>, role: &str, name: &str) {
    let of_role = devices.entry(role.to_owned()).or_default();
    if !of_role.iter().any(|known| known == name) {
        of_role.push(name.to_owned());
    }
}

/// What `policy` enforces on this machine: the hooks of `docs/verdicts.md` §15.
///
/// # Errors
/// An override names no role; a role has no device, or one that is missing or
/// taken; the rules do not fit the tables, or the tables not the budget.
pub fn plan(
    policy: &Policy,
    overrides: &Overrides,
    budget: Budget,
) -> Result<Vec<HookPlan>, KernelError> {
    plan_but_for(policy, overrides, budget, |_| false).map(|(plans, _)| plans)
}

/// The same, but for the devices that `leaves` names.
///
/// # Errors
/// As [`plan`].
pub(super) fn plan_but_for(
    policy: &Policy,
    overrides: &Overrides,
    budget: Budget,
    leaves: impl Fn(&str) -> bool,
) -> Result<(Vec<HookPlan>, Absent), KernelError> {
    let mut absent = Absent::new();
    check_overrides(policy, overrides)?;
    let devices_of = |interface: &'_ Interface| {
        let named = overrides.get(&interface.name);
        named.unwrap_or(&interface.devices).clone()
    };
    let hooks = compile_all(policy, |interface| devices_of(interface).len(), budget)?;
    let mut plans: Vec<HookPlan> = Vec::new();
    for interface in &policy.interfaces {
        let role = &interface.name;
        let images: Vec<_> = hooks
            .iter()
            .filter(|hook| hook.known.interface == *role)
            .map(|hook| (hook.known.direction, &hook.image))
            .collect();
        if images.is_empty() {
            continue;
        }
        let devices = devices_of(interface);
        if devices.is_empty() {
            return Err(KernelError::new(format!("attach the role '{role}'"))
                .because("it has no device")
                .try_this(format!(
                    "`edge-filter apply POLICY --interface {role}=DEVICE` names one"
                )));
        }
        for name in &devices {
            if leaves(name) {
                absent.entry(role.clone()).or_default().push(name.clone());
                continue;
            }
            let device = device::find(name)?;
            if let Some(other) = plans.iter().find(|plan| plan.device.index == device.index) {
                let attaching = KernelError::new(format!("attach the role '{role}' to {name}"));
                return Err(if other.interface == *role {
                    attaching
                        .because("the device is named twice")
                        .try_this("name each device once")
                } else {
                    attaching
                        .because(format!("the role '{}' is attached there", other.interface))
                        .try_this("give each role devices of its own")
                });
            }
            plans.extend(images.iter().map(|(direction, image)| HookPlan {
                interface: role.clone(),
                direction: *direction,
                device: device.clone(),
                image: (*image).clone(),
            }));
        }
    }
    Ok((plans, absent))
}

fn check_overrides(policy: &Policy, overrides: &Overrides) -> Result<(), KernelError> {
    for role in overrides.keys() {
        if policy.interface(role).is_none() {
            let roles: Vec<&str> = policy
                .interfaces
                .iter()
                .map(|interface| &*interface.name)
                .collect();
            return Err(KernelError::new(format!("attach the role '{role}'"))
                .because("the policy has no such interface")
                .try_this(format!("it has {}", roles.join(", "))));
        }
    }
    Ok(())
}
