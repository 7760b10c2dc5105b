//! Whose a state directory is: two instances must not write into one, where each would
//! take the records of the other for what is over.

use std::fs;
use std::path::PathBuf;

use super::Instance;
use crate::kernel::KernelError;

/// The pin root, as records name it.
pub(super) fn pin_root(instance: &Instance) -> PathBuf {
    let path = instance.pins.path();
    // One that is not there yet is known by what it was called.
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Fails if the state directory holds the state of an instance that has its pins elsewhere.
/// Where it cannot be read, or does not say so, that is not known.
///
/// # Errors
/// It does.
pub(super) fn check(instance: &Instance) -> Result<(), KernelError> {
    let own = pin_root(instance);
    let records = instance.state.records().unwrap_or_default();
    let other = records
        .iter()
        .filter(|record| record.is_of_this_boot())
        .filter_map(|record| record.pin_root.as_ref())
        .find(|pin_root| fs::canonicalize(pin_root).is_ok_and(|there| there != own));
    let Some(other) = other else {
        return Ok(());
    };
    let state = instance.state.place().display();
    Err(KernelError::new(format!("use the state directory {state}"))
        .because(format!(
            "the instance whose --pin-root is {} keeps its state there",
            other.display()
        ))
        .try_this(format!(
            "each instance has a state directory of its own: name another one with --state-dir, or \
             that instance with --pin-root {}",
            other.display()
        )))
}
