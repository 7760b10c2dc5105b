//! The end of an instance: nothing is filtered, nothing is left.

use super::trial::remove_successors;
use super::{Instance, owner};
use crate::kernel::KernelError;
use crate::kernel::attachment::Attachment;
use crate::kernel::unpin;

/// Takes every program of `instance` off its device, and removes its pins and
/// its state. Returns the devices that were filtered.
///
/// It works where the state is damaged, and one device
/// that does not let go keeps no other one filtered.
///
/// # Errors
/// The kernel refuses; what is left can be tried again. Or the state is that of another
/// instance.
pub fn detach(instance: &Instance) -> Result<Vec<String>, KernelError> {
    owner::check(instance)?;
    if !instance.pins.exists() {
        // Pins end with the machine, the state does not.
        instance.state.clear()?;
        return Ok(Vec::new());
    }
    let lock = instance.pins.lock()?;
    let released = release_all(instance)?;
    instance.state.clear()?;
    drop(lock);
    Ok(released)
}

/// Takes every program off its device, and removes the pins, and what the state says of
/// them; the history stays. The caller holds the lock.
///
/// # Errors
/// As [`detach`].
pub(super) fn release_all(instance: &Instance) -> Result<Vec<String>, KernelError> {
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
    if let Some(error) = refused {
        return Err(error);
    }
    for (generation, device, direction) in instance.pins.pinned_counters()? {
        unpin(&instance.pins.counters(generation, &device, direction))?;
    }
    remove_successors(instance, |_, _, _| true)?;
    for (_, path) in instance.pins.flow_tables()? {
        unpin(&path)?;
    }
    instance.state.clear_present()?;
    instance.pins.remove()?;
    // Both sides of a device are one device.
    released.sort();
    released.dedup();
    Ok(released)
}
