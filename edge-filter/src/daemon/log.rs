//! The daemon's log: lines on standard error, each with its priority in front where
//! systemd's journal reads them (sd-daemon(3)).

use std::io::{self, Write};
use std::os::fd::AsFd;

use nix::sys::stat::fstat;

/// How much a line matters, as syslog numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Something is not as it should be.
    Error = 3,
    /// Something may become so.
    Warning = 4,
    /// What changes is enforced, and what somebody asked for.
    Notice = 5,
    /// Everything else.
    Info = 6,
}

/// Where lines go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Log {
    with_priorities: bool,
}

impl Log {
    /// To standard error.
    pub(super) fn to_stderr() -> Self {
        let journal = std::env::var("JOURNAL_STREAM").ok();
        let own = fstat(io::stderr().as_fd()).ok();
        Self {
            with_priorities: own
                .is_some_and(|own| is_stream(journal.as_deref(), own.st_dev, own.st_ino)),
        }
    }

    /// Writes `text`; each of its lines is one of the log's.
    pub(super) fn say(self, priority: Priority, text: &str) {
        // There is nobody left to tell.
        let _ = io::stderr().write_all(self.lines(priority, text).as_bytes());
    }

    fn lines(self, priority: Priority, text: &str) -> String {
        let prefix = if self.with_priorities {
            format!("<{}>", priority as u8)
        } else {
            String::new()
        };
        let lines = text.lines().map(|line| format!("{prefix}{line}\n"));
        lines.collect()
    }
}

/// Whether `JOURNAL_STREAM` names this very file: a process that was started with its
/// output elsewhere inherits the variable all the same.
fn is_stream(journal: Option<&str>, device: u64, inode: u64) -> bool {
    journal.is_some_and(|journal| journal == format!("{device}:{inode}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_its_priority_in_the_journal_alone() {
        let text = "cannot attach: busy\n  help: wait";
        let journal = Log {
            with_priorities: true,
        };
        assert_eq!(
            journal.lines(Priority::Error, text),
            "<3>cannot attach: busy\n<3>  help: wait\n"
        );
        let terminal = Log {
            with_priorities: false,
        };
        assert_eq!(
            terminal.lines(Priority::Notice, text),
            "cannot attach: busy\n  help: wait\n"
        );
    }

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_stream(Some("8:1234"), 8, 1234));
        assert!(!is_stream(Some("8:1234"), 8, 1235));
        assert!(!is_stream(None, 8, 1234));
    }
}
