//! Closing the host: the policy of last resort is enforced, by which nothing is let in but the
//! essentials and what the management rules allow.

use std::collections::BTreeSet;

use super::Instance;
use super::applied::Applied;
use super::apply::Source;
use super::attached::attached;
use super::history::Committed;
use super::keep::{Followed, Wish, follow_held};
use super::last_good::{Ground, Management, Ready};
use super::plan::Overrides;
use super::sites::Sites;
use crate::compile::budget::Budget;
use crate::kernel::KernelError;
use crate::kernel::device;
use crate::policy::last_resort::{self, LastResort};

/// Whether the policy of last resort is enforced, by what was committed.
pub(super) fn is_closed(history: &[Committed]) -> bool {
    history.iter().any(|last| last.last_resort)
}

/// Enforces the policy of last resort, as it is for the devices and the management rules of
/// now. The caller holds the lock.
///
/// # Errors
/// The kernel or the state cannot be asked.
pub(super) fn close(
    instance: &Instance,
    management: &Management,
    reason: String,
) -> Result<Ready, KernelError> {
    let mut ready = Ready::on(Ground::LastResort(reason));
    let uplinks = device::uplinks()
        .map_err(|error| KernelError::new("ask the kernel for its devices").because(error))?;
    for name in &uplinks.others {
        ready.warnings.push(format!(
            "{name} is not an Ethernet device: it cannot be filtered, and is open"
        ));
    }
    let history = instance.state.history()?;
    // A device that is gone may come again.
    let known = history.first().into_iter();
    let known = known.flat_map(|last| last.devices.values().flatten().cloned());
    // What was filtered is not left open, whatever it is.
    let records = instance.state.records()?;
    let recorded = records.iter().flat_map(|record| &record.hooks);
    let recorded = recorded.map(|hook| hook.device.clone());
    let recorded = recorded.filter(|name| !device::is_there(name) || device::find(name).is_ok());
    // Nor what is, by whatever name it has now.
    let attached = attached(instance, &records)?.into_iter();
    let attached = attached.filter(|link| link.running.is_ok());
    let attached = attached.map(|link| link.device);
    let devices = known.chain(uplinks.ethernet).chain(recorded);
    let devices = devices.chain(attached);
    let devices: BTreeSet<String> = devices.collect();
    let mut candidates = Vec::new();
    let file = management.file.display().to_string();
    match (management.read)() {
        Ok(Some(text)) => match last_resort::with_management(&file, &text, &devices) {
            Ok(policy) => candidates.push(policy),
            Err(message) => ready.warnings.push(format!(
                "the management rules cannot be used:\n{message}\n  help: `edge-filter check \
                 {file}` says when they can"
            )),
        },
        Ok(None) => ready.warnings.push(format!(
            "there are no management rules: {file} is not there, and nothing but the essentials \
             is let in"
        )),
        Err(message) => ready.warnings.push(format!(
            "the management rules cannot be read:\n{message}\n  help: have {file} belong to root, \
             or be readable by all: the daemon and the boot's unit read nothing else"
        )),
    }
    // Management rules that were good once are better than none.
    let had_rules = |last: &Committed| last.last_resort && last.policy.name != last_resort::NAME;
    if !(candidates.is_empty() && history.first().is_some_and(had_rules)) {
        candidates.extend(last_resort::alone(&devices));
    }
    for candidate in candidates {
        match enforce(instance, &candidate) {
            Ok(applied) => {
                ready.applied.extend(applied);
                let failed = ready.failed.drain(..).map(|error| error.to_string());
                ready.warnings.extend(failed);
                break;
            }
            Err(error) => ready.failed.push(error),
        }
    }
    Ok(ready)
}

/// Enforces it on its devices, or at least on one: the others are then missing.
fn enforce(instance: &Instance, last_resort: &LastResort) -> Result<Option<Applied>, KernelError> {
    let LastResort { policy, text } = last_resort;
    let overrides = Overrides::new();
    let wish = Wish {
        source: Source { policy, text },
        overrides: &overrides,
        sites: Sites::default(),
        budget: Budget::UNLIMITED,
    };
    let applied = |followed| match followed {
        Followed::Applied(applied) => Some(*applied),
        Followed::Unchanged | Followed::OnTrial(_) => None,
    };
    let error = match follow_held(instance, wish, None, true) {
        Ok(followed) => return Ok(applied(followed)),
        Err(error) => error,
    };
    let devices = policy.interfaces.iter().flat_map(|role| &role.devices);
    let mut there = devices.filter(|name| device::is_there(name));
    let one = there.find_map(|name| follow_held(instance, wish, Some(name), true).ok());
    one.map(applied).ok_or(error)
}
