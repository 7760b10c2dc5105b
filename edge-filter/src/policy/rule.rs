//! Rules: which packets, on which hook, and what becomes of them.

use std::fmt;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use jiff::civil::Date;

/// A rule with all names resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Unique and stable: the name of its counter.
    pub id: String,
    /// The group that it stands in.
    pub group: String,
    /// The role whose hook it belongs to.
    pub interface: String,
    /// The side of that hook.
    pub direction: Direction,
    /// What the packet's source must be.
    pub from: Endpoint,
    /// What the packet's destination must be. Its ports stand in `transports`.
    pub to: Endpoint,
    /// The protocols and destination ports, any one of which must match.
    /// Empty means any protocol.
    pub transports: Vec<Transport>,
    /// The verdict.
    pub action: Action,
    /// `replies: drop` was written: the rule beats replies too.
    pub drops_replies: bool,
    /// The group or the policy is in audit mode: a `drop` passes, and is
    /// counted as `audit:ID`.
    pub audit: bool,
    /// What the rule is for.
    pub comment: Option<String>,
    /// Where the rule comes from.
    pub refs: Vec<String>,
    /// The last day on which the rule is valid.
    pub expires: Option<Date>,
    /// The line on which the rule begins, counted from 1.
    pub line: usize,
}

/// One side of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// The networks, any one of which must hold the address. `None` means any
    /// address of either family.
    pub networks: Option<Vec<IpNet>>,
    /// The networks of which none may hold the address.
    pub except: Vec<IpNet>,
    /// The ports; empty for any. Only ever set for `from`.
    pub ports: Ports,
}

/// Port ranges in host byte order, both ends included. Empty means any port,
/// and no port at all.
pub type Ports = Vec<RangeInclusive<u16>>;

/// A protocol, and the destination ports that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transport {
    /// The IP protocol number.
    pub protocol: u8,
    /// The destination ports; empty for any. Set for TCP, UDP and SCTP alone.
    pub ports: Ports,
}

/// A side of a hook, as seen from the protected host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Arriving: judged by XDP.
    Inbound,
    /// Leaving: judged by TCX.
    Outbound,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// It passes.
    Allow,
    /// It does not.
    Drop,
}

impl Direction {
    /// The word that policies and counters use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl Action {
    /// The word that policies and counters use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Drop => "drop",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
