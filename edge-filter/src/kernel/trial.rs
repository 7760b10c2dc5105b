//! Trials: programs that hand over to another one when their time has come.
//!
//! The program that takes over stands in an array of one, which is pinned: the kernel
//! empties it with the last reference that a process or a pin has to it. Which program
//! that is, the kernel itself tells; no file has to be believed.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use super::{KernelError, object, syscall};

/// A point in time, by the clock that goes on while the machine sleeps
/// (`CLOCK_BOOTTIME`): since the machine was started. It is the machine's own clock, which
/// programs ask, in whatever time namespace this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SinceBoot(pub Duration);

impl SinceBoot {
    /// Now.
    ///
    /// # Errors
    /// The kernel refuses to tell the time, or how far this process's own is ahead.
    pub fn now() -> Result<Self, KernelError> {
        let reading = || KernelError::new("read the machine's clock");
        let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_err(|error| reading().because(io::Error::from(error)))?;
        let ahead = ahead_of_machine().map_err(|error| {
            reading()
                .because(error)
                .try_this("`nsenter --time=/proc/1/ns/time` runs it by the machine's own clock")
        })?;
        let now = Duration::from(now).as_nanos().cast_signed() - ahead;
        let nanoseconds = u64::try_from(now.max(0)).unwrap_or(u64::MAX);
        Ok(Self(Duration::from_nanos(nanoseconds)))
    }

    /// The same in nanoseconds, as programs compare it.
    pub(super) fn nanoseconds(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// By how many nanoseconds `CLOCK_BOOTTIME` is ahead in the time namespace of this process;
/// less than nothing if it is behind.
fn ahead_of_machine() -> io::Result<i128> {
    let offsets = match fs::read_to_string("/proc/self/timens_offsets") {
        // A kernel without time namespaces.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        offsets => offsets?,
    };
    // The offsets are those of the namespace in which children begin, which this process need
    // not have entered.
    let namespace = |name: &str| fs::read_link(format!("/proc/self/ns/{name}"));
    if namespace("time")? != namespace("time_for_children")? {
        let reason = "this process is in another time namespace than its children will be";
        return Err(io::Error::other(reason));
    }
    boottime_offset(&offsets)
        .ok_or_else(|| io::Error::other(format!("/proc/self/timens_offsets says {offsets:?}")))
}

/// The offset of `boottime`, in nanoseconds, of lines of `CLOCK SECONDS NANOSECONDS`.
fn boottime_offset(offsets: &str) -> Option<i128> {
    offsets.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let ["boottime", seconds, nanoseconds] = words[..] else {
            return None;
        };
        let seconds: i128 = seconds.parse().ok()?;
        Some(seconds * 1_000_000_000 + nanoseconds.parse::<i128>().ok()?)
    })
}

/// The program that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Successor {
    /// The kernel's number of it.
    pub id: u32,
    /// Whether it lets everything pass: nothing was filtered before the trial.
    pub passes: bool,
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

/// What is known of that program.
///
/// # Errors
/// The kernel refuses to tell.
pub fn successor_of(program: BorrowedFd<'_>) -> Result<Option<Successor>, KernelError> {
    let Some(successor) = successor(program)? else {
        return Ok(None);
    };
    let asking = |error| KernelError::new("ask the kernel about a program").because(error);
    Ok(Some(Successor {
        id: syscall::program_id(successor.as_fd()).map_err(asking)?,
        passes: object::is_passing(&syscall::program_name(successor.as_fd()).map_err(asking)?),
    }))
}

/// What the kernel itself tells of a program on trial, whether or not a record does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// When it hands over.
    pub deadline: SinceBoot,
    /// Whether it lets everything pass until then.
    pub is_open: bool,
}

/// The course of the trial that `program` is on.
///
/// # Errors
/// It is on none, or the kernel refuses to tell.
pub fn course_of(program: BorrowedFd<'_>) -> Result<Course, KernelError> {
    let asking = |error| {
        KernelError::new("ask the kernel when a trial is over")
            .because(error)
            .if_forbidden()
    };
    let map = syscall::map_named(program, object::TRIAL).map_err(asking)?;
    let map = map.ok_or_else(|| asking(io::ErrorKind::NotFound.into()))?;
    let trial = syscall::only_value(map.as_fd()).map_err(asking)?;
    let deadline = trial.first().copied().unwrap_or_default();
    Ok(Course {
        deadline: SinceBoot(Duration::from_nanos(deadline)),
        is_open: object::is_open(&syscall::program_name(program).map_err(asking)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_a_time_namespace() {
        let offsets = |seconds: &str, nanoseconds: &str| {
            let line = format!("{seconds:>10} {nanoseconds:>9}");
            boottime_offset(&format!(
                "monotonic  {:>10} {:>9}\nboottime   {line}\n",
                7, 8
            ))
        };
        assert_eq!(offsets("0", "0"), Some(0));
        assert_eq!(offsets("100000", "5"), Some(100_000_000_000_005));
        assert_eq!(offsets("-2", "500000000"), Some(-1_500_000_000));
        assert_eq!(boottime_offset("monotonic 0 0\n"), None);
        assert_eq!(offsets("soon", "0"), None);
    }
}
