//! Where programs may run: what the user chose.

use serde::{Deserialize, Serialize};

use crate::kernel::device::XdpMode;
use crate::kernel::site::Site;
use crate::policy::Direction;

/// Where XDP programs may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeChoice {
    /// In the driver; in the network stack where the driver cannot.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

/// What runs programs on what leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EgressChoice {
    /// TCX; the clsact qdisc where the kernel has no TCX.
    #[default]
    Auto,
    /// TCX (Linux 6.6), or not at all.
    Tcx,
    /// The clsact qdisc.
    Clsact,
}

/// Where programs may run, on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sites {
    /// Inbound.
    pub mode: ModeChoice,
    /// Outbound.
    pub egress: EgressChoice,
}

impl Sites {
    /// The site that is tried first, and whether another one will do.
    pub(super) fn first(self, direction: Direction) -> (Site, bool) {
        match direction {
            Direction::Inbound => match self.mode {
                ModeChoice::Auto => (Site::Xdp(XdpMode::Native), true),
                ModeChoice::Native => (Site::Xdp(XdpMode::Native), false),
                ModeChoice::Generic => (Site::Xdp(XdpMode::Generic), false),
            },
            Direction::Outbound => match self.egress {
                EgressChoice::Auto => (Site::Tcx, true),
                EgressChoice::Tcx => (Site::Tcx, false),
                EgressChoice::Clsact => (Site::Clsact, false),
            },
        }
    }

    /// Whether an attachment may be at `site`.
    pub(super) fn allow(self, site: Site) -> bool {
        let direction = match site {
            Site::Xdp(_) => Direction::Inbound,
            Site::Tcx | Site::Clsact => Direction::Outbound,
        };
        let (first, any) = self.first(direction);
        any || first == site
    }
}
