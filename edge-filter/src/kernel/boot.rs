//! Which boot of the machine this is (`random(4)`: `/proc/sys/kernel/random/boot_id`).

use std::fs;
use std::sync::OnceLock;

/// The number that the kernel chose at this boot; none where `/proc` does not tell.
#[must_use]
pub fn boot_id() -> Option<&'static str> {
    static BOOT: OnceLock<Option<String>> = OnceLock::new();
    let read = || {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(text.trim_end().to_owned())
    };
    BOOT.get_or_init(read).as_deref()
}
