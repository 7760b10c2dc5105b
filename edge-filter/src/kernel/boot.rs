//! Which start of the machine this is.

use std::fs;

use super::KernelError;

/// `boot_id` of random(4): another one with each start.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What tells this start of the machine from all others.
///
/// # Errors
/// The kernel does not say.
pub fn id() -> Result<String, KernelError> {
    match fs::read_to_string(BOOT_ID) {
        Ok(id) => Ok(id.trim().to_owned()),
        Err(error) => Err(KernelError::new(format!("read {BOOT_ID}"))
            .because(error)
            .try_this("mount proc on /proc")),
    }
}
