//! The end of an instance: nothing is filtered, nothing is left.

use super::Instance;
use crate::kernel::KernelError;
use crate::kernel::link::{self, Link};

/// Takes every program of `instance` off its device, and removes its pins and
/// its records. Returns the devices that were filtered.
///
/// # Errors
/// The kernel refuses; what is left can be tried again.
pub fn detach(instance: &Instance) -> Result<Vec<String>, KernelError> {
    if !instance.pins.exists() {
        return Ok(Vec::new());
    }
    let lock = instance.pins.lock()?;
    let mut released = Vec::new();
    for (device, direction) in instance.pins.links()? {
        Link::from_pin(instance.pins.link(&device, direction))?.detach()?;
        released.push(device);
    }
    for (generation, device, direction) in instance.pins.pinned_counters()? {
        link::unpin(&instance.pins.counters(generation, &device, direction))?;
    }
    for record in instance.state.records()? {
        instance.state.remove_record(record.generation)?;
    }
    instance.state.remove_tally()?;
    instance.pins.remove()?;
    drop(lock);
    Ok(released)
}
