//! The three that judge a frame: the reference model, the data path on the
//! host, and the data path in the kernel. They must agree on every frame.

mod clock;
mod host;
mod kernel;
mod model;

use std::fmt;

use edge_filter::policy::{Action, Direction, Policy};

pub use clock::{Entry, KernelClock};
pub use host::HostJudge;
pub use kernel::{KernelJudge, require_root};
pub use model::ModelJudge;

/// What became of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The name of the counter that moved.
    pub counter: String,
    /// Whether it passed.
    pub action: Action,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.counter, self.action)
    }
}

/// One that judges the frames of one hook.
pub trait Judge {
    /// What becomes of `frame`.
    fn judge(&mut self, frame: &[u8]) -> Verdict;
}

/// A hook of a policy, as the judges are made for it.
#[derive(Debug, Clone, Copy)]
pub struct Hook<'p> {
    /// The policy.
    pub policy: &'p Policy,
    /// The role.
    pub interface: &'p str,
    /// The side.
    pub direction: Direction,
    /// Whether super-packets can appear (`docs/verdicts.md` §3).
    pub software_lengths: bool,
}

impl<'p> Hook<'p> {
    /// The inbound hook of the role `interface`, in the driver.
    #[must_use]
    pub fn inbound(policy: &'p Policy, interface: &'p str) -> Self {
        Self {
            policy,
            interface,
            direction: Direction::Inbound,
            software_lengths: false,
        }
    }
}

/// A frame as hexadecimal digits, for messages.
#[must_use]
pub fn hex(frame: &[u8]) -> String {
    use fmt::Write as _;
    frame.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
