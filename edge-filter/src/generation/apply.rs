//! From one generation to the next: everything is loaded first, then the
//! devices change hands one by one, and any failure takes all of it back.

use std::os::fd::{AsFd, OwnedFd};

use edge_filter_ebpf::config::{Constant, NONE};

use super::plan::HookPlan;
use super::record::{HookRecord, PolicyRecord, Record, SlotRecord};
use super::{Instance, tally};
use crate::kernel::KernelError;
use crate::kernel::device::{Device, XdpMode};
use crate::kernel::link::{self, Link};
use crate::kernel::object::{self, LoadedProgram};
use crate::kernel::offload::takes_vlan_tags_off;
use crate::policy::{Direction, Policy};

/// Where programs may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeChoice {
    /// In the driver; in the network stack where the driver cannot.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

/// What was applied.
#[derive(Debug)]
pub struct Applied {
    /// The number of the generation.
    pub generation: u64,
    /// Each hook, in the order of the policy.
    pub hooks: Vec<AppliedHook>,
    /// The devices that are not filtered any more.
    pub released: Vec<String>,
    /// What did not matter enough to take everything back.
    pub warnings: Vec<String>,
}

/// A hook that was applied.
#[derive(Debug)]
pub struct AppliedHook {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    pub direction: Direction,
    /// Where the program runs.
    pub mode: XdpMode,
    /// Why it does not run in the driver, where `auto` tried that in vain.
    pub fallback: Option<String>,
}

/// A hook on its way: first loaded, then swapped.
struct Change {
    plan: HookPlan,
    program: LoadedProgram,
    mode: XdpMode,
    /// Generic mode will do if the driver refuses.
    may_fall_back: bool,
    fallback: Option<String>,
    /// The link there is, with the program that runs behind it.
    present: Option<(Link, OwnedFd)>,
    /// The link that was made because there was none.
    created: Option<Link>,
}

/// Applies `plans`, the hooks of `policy`.
///
/// # Errors
/// Whatever failed; what was enforced before is enforced still.
pub fn apply(
    instance: &Instance,
    policy: &Policy,
    plans: Vec<HookPlan>,
    choice: ModeChoice,
) -> Result<Applied, KernelError> {
    let fresh = !instance.pins.exists();
    let lock = instance.pins.lock()?;
    let result = locked(instance, policy, plans, choice);
    if result.is_err() && fresh {
        // Nothing of this instance was there before.
        let _ = instance.pins.remove();
    }
    drop(lock);
    result
}

fn locked(
    instance: &Instance,
    policy: &Policy,
    plans: Vec<HookPlan>,
    choice: ModeChoice,
) -> Result<Applied, KernelError> {
    let generation = next_generation(instance)?;
    let mut present = present_links(instance)?;
    let mut changes = Vec::with_capacity(plans.len());
    for plan in plans {
        changes.push(load(plan, choice, &mut present)?);
    }
    if let Err(error) = swap(instance, policy, generation, &mut changes) {
        take_back(instance, generation, &mut changes);
        return Err(error);
    }

    let mut warnings = Vec::new();
    let mut released = Vec::new();
    for (mut link, pinned_name) in present {
        let device = link.filtered_device(pinned_name);
        match device.and_then(|device| link.detach().map(|()| device)) {
            Ok(device) => released.extend(device),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    // A program that could not be taken off counts on.
    if warnings.is_empty()
        && let Err(error) = tally::fold(instance, generation)
    {
        warnings.push(error.to_string());
    }
    warnings.extend(changes.iter().filter_map(hidden_tags));
    let hooks = changes.into_iter().map(|change| AppliedHook {
        interface: change.plan.interface,
        device: change.plan.device.name,
        direction: change.plan.direction,
        mode: change.mode,
        fallback: change.fallback,
    });
    Ok(Applied {
        generation,
        hooks: hooks.collect(),
        released,
        warnings,
    })
}

/// A warning, if the role lists VLANs and the device hides them.
fn hidden_tags(change: &Change) -> Option<String> {
    let HookPlan {
        interface,
        device,
        image,
        ..
    } = &change.plan;
    let judged = image.config.get(Constant::Vlans) != NONE;
    let hidden = judged && takes_vlan_tags_off(device).unwrap_or(false);
    let name = &device.name;
    hidden.then(|| {
        format!(
            "{interface}: {name} takes VLAN tags off before the filter sees them, so that tagged \
             frames look untagged\n  help: `ethtool -K {name} rxvlan off` leaves them on"
        )
    })
}

fn next_generation(instance: &Instance) -> Result<u64, KernelError> {
    let recorded = instance
        .state
        .records()?
        .first()
        .map_or(0, |record| record.generation);
    let mut pinned = instance.pins.pinned_counters()?;
    pinned.extend(instance.pins.links()?);
    let pinned = pinned
        .iter()
        .map(|(generation, ..)| *generation)
        .max()
        .unwrap_or(0);
    let folded = instance.state.tally()?.folded;
    Ok(recorded.max(pinned).max(folded) + 1)
}

/// Every pinned link, with the name under which it is pinned.
fn present_links(instance: &Instance) -> Result<Vec<(Link, String)>, KernelError> {
    let links = instance
        .pins
        .links()?
        .into_iter()
        .map(|(generation, device, direction)| {
            let pin = instance.pins.link(generation, &device, direction);
            Ok((Link::from_pin(pin)?, device))
        });
    links.collect()
}

/// Loads the program of one hook, and claims the link that its device has.
fn load(
    plan: HookPlan,
    choice: ModeChoice,
    present: &mut Vec<(Link, String)>,
) -> Result<Change, KernelError> {
    let mut own = None;
    for (number, (link, _)) in present.iter().enumerate() {
        // The number alone may be that of a device in another namespace.
        if link.device_index()? == Some(plan.device.index) && plan.device.runs(link.program_id()?) {
            own = Some(number);
        }
    }
    let present = own.map(|number| present.swap_remove(number).0);
    let mode = match &present {
        Some(_) => present_mode(&plan.device, choice)?,
        None if choice == ModeChoice::Generic => XdpMode::Generic,
        None => XdpMode::Native,
    };
    let program = object::load(&plan.image, plan.direction, mode == XdpMode::Generic, None)?;
    let present = match present {
        Some(link) => {
            let old = link.program()?;
            Some((link, old))
        }
        None => None,
    };
    let may_fall_back = choice == ModeChoice::Auto;
    Ok(Change {
        plan,
        program,
        mode,
        may_fall_back,
        fallback: None,
        present,
        created: None,
    })
}

/// The mode of a link stays for as long as it is attached.
fn present_mode(device: &Device, choice: ModeChoice) -> Result<XdpMode, KernelError> {
    let mode = device.xdp.map_or(XdpMode::Native, |xdp| xdp.mode);
    let wanted = match choice {
        ModeChoice::Auto => mode,
        ModeChoice::Native => XdpMode::Native,
        ModeChoice::Generic => XdpMode::Generic,
    };
    if mode == wanted {
        return Ok(mode);
    }
    Err(KernelError::new(format!(
        "filter {} in {} mode",
        device.name,
        wanted.as_str()
    ))
    .because(format!(
        "it is filtered in {} mode, and a link keeps its mode",
        mode.as_str()
    ))
    .try_this("use --mode auto, or run `edge-filter detach` first"))
}

/// Attaches what is new, then replaces what is there: new devices come first,
/// they are what can fail.
///
/// The record is on disk before any packet meets a program that would outlive
/// this process: a new link ends with it until it is pinned.
fn swap(
    instance: &Instance,
    policy: &Policy,
    generation: u64,
    changes: &mut [Change],
) -> Result<(), KernelError> {
    for change in &mut *changes {
        change.pin_counters(instance, generation)?;
    }
    for change in changes.iter_mut().filter(|change| change.present.is_none()) {
        change.attach(instance, generation)?;
    }
    instance
        .state
        .write_record(&record(policy, generation, changes)?)?;
    for change in &mut *changes {
        if let Some(link) = &mut change.created {
            let pin =
                instance
                    .pins
                    .link(generation, &change.plan.device.name, change.plan.direction);
            link.pin(&pin)?;
        }
    }
    replace_all(changes)
}

fn record(policy: &Policy, generation: u64, changes: &mut [Change]) -> Result<Record, KernelError> {
    let hooks = changes.iter_mut().map(|change| {
        Ok(HookRecord {
            interface: change.plan.interface.clone(),
            device: change.plan.device.name.clone(),
            direction: change.plan.direction,
            program_id: change.program.facts()?.id,
            counters: change
                .plan
                .image
                .counters
                .iter()
                .map(SlotRecord::from)
                .collect(),
        })
    });
    let policy = PolicyRecord {
        name: policy.name.clone(),
        hash: policy.hash.clone(),
    };
    Ok(Record::new(
        generation,
        policy,
        hooks.collect::<Result<_, KernelError>>()?,
    ))
}

/// Replaces the programs behind all links there are; on failure, those already
/// replaced get their old program back.
fn replace_all(changes: &mut [Change]) -> Result<(), KernelError> {
    for number in 0..changes.len() {
        let Err(error) = changes[number].replace() else {
            continue;
        };
        for change in &changes[..number] {
            if let Some((link, old)) = &change.present {
                let device = &change.plan.device.name;
                let new = change.program.descriptor();
                if let Err(second) = link.replace(device, old.as_fd(), new) {
                    return Err(error.try_this(format!("{device} has the new policy: {second}")));
                }
            }
        }
        return Err(error);
    }
    Ok(())
}

/// Detaches and removes what a failed `swap` made.
fn take_back(instance: &Instance, generation: u64, changes: &mut [Change]) {
    for change in changes {
        if let Some(link) = &mut change.created {
            let _ = link.detach();
        }
        let HookPlan {
            device, direction, ..
        } = &change.plan;
        let _ = link::unpin(&instance.pins.counters(generation, &device.name, *direction));
    }
    let _ = instance.state.remove_record(generation);
}

impl Change {
    fn pin_counters(&self, instance: &Instance, generation: u64) -> Result<(), KernelError> {
        let HookPlan {
            device, direction, ..
        } = &self.plan;
        let pin = instance.pins.counters(generation, &device.name, *direction);
        self.program.pin_counters(&pin)
    }

    /// Attaches the program to a device that has no link of ours, in generic
    /// mode if the driver refuses and the choice allows it.
    fn attach(&mut self, instance: &Instance, generation: u64) -> Result<(), KernelError> {
        match Link::create(&self.plan.device, self.program.descriptor(), self.mode) {
            Ok(link) => {
                self.created = Some(link);
                return Ok(());
            }
            Err(refusal) if refusal.by_driver && self.may_fall_back => {
                self.fallback = Some(refusal.error.to_string());
            }
            Err(refusal) => return Err(refusal.error),
        }
        self.mode = XdpMode::Generic;
        self.program = object::load(&self.plan.image, self.plan.direction, true, None)?;
        let HookPlan {
            device, direction, ..
        } = &self.plan;
        link::unpin(&instance.pins.counters(generation, &device.name, *direction))?;
        self.pin_counters(instance, generation)?;
        let link = Link::create(&self.plan.device, self.program.descriptor(), self.mode);
        self.created = Some(link.map_err(|refusal| refusal.error)?);
        Ok(())
    }

    /// Puts the program behind the link there is, if there is one.
    fn replace(&self) -> Result<(), KernelError> {
        let Some((link, old)) = &self.present else {
            return Ok(());
        };
        link.replace(
            &self.plan.device.name,
            self.program.descriptor(),
            old.as_fd(),
        )
    }
}
