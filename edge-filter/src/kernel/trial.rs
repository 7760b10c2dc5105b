//! Trials: programs that hand over to another one when their time has come.
//!
//! The program that takes over stands in an array of one, which is pinned: the kernel
//! empties it with the last reference that a process or a pin has to it. Which program
//! that is, the kernel itself tells; no file has to be believed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::{KernelError, syscall};

/// A point in time, by the clock that goes on while the machine sleeps
/// (`CLOCK_BOOTTIME`): since the machine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SinceBoot(pub Duration);

impl SinceBoot {
    /// Now.
    ///
    /// # Errors
    /// The kernel refuses to tell the time.
    pub fn now() -> Result<Self, KernelError> {
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map(|time| Self(time.into()))
            .map_err(|error| KernelError::new("read the clock").because(io::Error::from(error)))
    }

    /// The same in nanoseconds, as programs compare it.
    pub(super) fn nanoseconds(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Makes the array that holds `program`, and pins it at `path`.
///
/// # Errors
/// The kernel or the BPF file system refuses.
pub fn pin_successor(path: &Path, program: BorrowedFd<'_>) -> Result<(), KernelError> {
    syscall::program_array(program)
        .and_then(|array| syscall::pin(array.as_fd(), path))
        .map_err(|error| {
            KernelError::new(format!(
                "pin the program that decides after the trial at {}",
                path.display()
            ))
            .because(error)
        })
}

/// The program that takes over from `program` when its time has come; none if it is no
/// program on trial.
///
/// # Errors
/// The kernel refuses to tell.
pub fn successor(program: BorrowedFd<'_>) -> Result<Option<OwnedFd>, KernelError> {
    let asking = |error| {
        KernelError::new("ask the kernel which program decides after a trial")
            .because(error)
            .if_forbidden()
    };
    let id = syscall::program_in_array_of(program).map_err(asking)?;
    id.map(syscall::program_by_id).transpose().map_err(asking)
}

/// The kernel's number of that program.
///
/// # Errors
/// The kernel refuses to tell.
pub fn successor_id(program: BorrowedFd<'_>) -> Result<Option<u32>, KernelError> {
    let Some(successor) = successor(program)? else {
        return Ok(None);
    };
    syscall::program_id(successor.as_fd())
        .map(Some)
        .map_err(|error| KernelError::new("ask the kernel about a program").because(error))
}
