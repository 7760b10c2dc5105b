//! The end of an instance: nothing is filtered, nothing is left.

use super::trial::remove_successors;
use super::{Instance, owner};
use crate::kernel::attachment::Attachment;
use crate::kernel::{KernelError, signals, unpin};

/// Takes every program of `instance` off its device, and removes its pins and
/// its state. Returns the devices that were filtered.
///
/// It works where the state is damaged, and one device that does not let go keeps no other
/// one filtered. Where the state cannot be removed, nothing is taken off: the daemon and the
/// next boot would enforce it again.
///
/// # Errors
/// The kernel refuses; what is left can be tried again. Or the state is that of another
/// instance, or cannot be removed.
pub fn detach(instance: &Instance) -> Result<Vec<String>, KernelError> {
    owner::check(instance)?;
    if !instance.pins.exists() {
        // Pins end with the machine, the state does not.
        instance.state.clear()?;
        return Ok(Vec::new());
    }
    let lock = instance.pins.lock()?;
    check_forgetting(
        instance,
        "nothing was changed: what was committed would be enforced again by the daemon and at the \
         next boot. Until then, `edge-filter detach --state-dir DIR`, an empty directory, opens \
         the devices all the same",
    )?;
    // What was taken off is forgotten, too: a signal waits for that.
    let _held = signals::hold();
    let released = release_all(instance)?;
    instance.state.clear().map_err(|error| {
        error.leaving(
            "nothing is filtered any more, but what was committed is still recorded: the daemon \
             and the next boot enforce it again",
        )
    })?;
    // Whatever else is in there, what was committed is forgotten.
    instance.pins.remove()?;
    drop(lock);
    Ok(released)
}

/// Fails, with how things stand `now`, if what the state holds could not be removed.
///
/// # Errors
/// It could not.
pub(super) fn check_forgetting(instance: &Instance, now: &str) -> Result<(), KernelError> {
    let remedy = "`mount -o remount,rw` makes a file system writable: try again then";
    let checked = instance.state.check_clearing();
    checked.map_err(|error| error.leaving(now).try_this(remedy))
}

/// Takes every program off its device, and removes the pins, and what the state says of
/// them; the history and the pin root itself stay. The caller holds the lock.
///
/// # Errors
/// As [`detach`].
pub(super) fn release_all(instance: &Instance) -> Result<Vec<String>, KernelError> {
    // In the middle of it, one would leave some devices open and others not.
    let _held = signals::hold();
    let mut released = Vec::new();
    let mut refused = None;
    for pin in instance.pins.attachments()? {
        match Attachment::open(&instance.pins, &pin).and_then(|mut attachment| {
            let name = attachment.whereabouts()?.device_name(pin.device);
            attachment.detach()?;
            Ok(name)
        }) {
            Ok(name) => released.extend(name),
            Err(error) => refused = Some(error),
        }
    }
    // Both sides of a device are one device.
    released.sort();
    released.dedup();
    if let Some(error) = refused {
        return Err(error.leaving(match &*released {
            [] => "nothing was taken off".to_owned(),
            names => format!(
                "not filtered any more: {}; the others are",
                names.join(", ")
            ),
        }));
    }
    forget(instance).map_err(|error| error.leaving("nothing is filtered any more"))?;
    Ok(released)
}

/// Removes the pins of what was attached, and what the state says of it.
fn forget(instance: &Instance) -> Result<(), KernelError> {
    for (generation, device, direction) in instance.pins.pinned_counters()? {
        unpin(&instance.pins.counters(generation, &device, direction))?;
    }
    remove_successors(instance, |_, _, _| true)?;
    for (_, path) in instance.pins.flow_tables()? {
        unpin(&path)?;
    }
    instance.state.clear_present()
}
