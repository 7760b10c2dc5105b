//! Reading several files and pins while somebody may be changing them.

use std::thread;
use std::time::Duration;

use super::Instance;
use crate::kernel::KernelError;

/// How often a reading is tried while somebody changes what is read.
const READINGS: u32 = 100;
/// The pause between two of them.
const PAUSE: Duration = Duration::from_millis(10);

/// Reads while nothing changes: what `apply` and `detach` leave behind at any
/// instant is whole, but several files and pins are not read in an instant.
pub(super) fn steadily<T>(
    instance: &Instance,
    read: impl Fn() -> Result<T, KernelError>,
) -> Result<T, KernelError> {
    let stand = || -> Result<_, KernelError> {
        Ok((
            instance.state.tally()?.folded,
            instance.state.stamps()?,
            instance.pins.attachments()?,
            instance.pins.pinned_counters()?,
        ))
    };
    for _ in 0..READINGS {
        let before = stand()?;
        let answer = read();
        if stand()? == before {
            return answer;
        }
        thread::sleep(PAUSE);
    }
    Err(
        KernelError::new(format!("read {}", instance.pins.path().display()))
            .because("it is being changed all the time")
            .try_this("find out what applies policies again and again"),
    )
}
