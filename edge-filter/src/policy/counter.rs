//! The names of counters. Every packet moves exactly one of them.

use std::fmt;

use super::Action;

/// A counter of one hook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CounterId {
    /// `ID`: a rule decided.
    Rule(String),
    /// `ID/reply`: the packet answers what the rule `ID` allows.
    Reply(String),
    /// An essential admitted the packet.
    Essential(EssentialCounter),
    /// `allow:default`: no rule matched, and the default is to allow.
    AllowDefault,
    /// `allow:untracked`: the hook only tracks, and no rule or essential
    /// admitted the packet.
    AllowUntracked,
    /// `audit:ID`: the drop rule `ID` would have dropped the packet.
    AuditRule(String),
    /// `audit:REASON`: the packet would have been dropped for this reason.
    AuditDrop(DropReason),
    /// `drop:REASON`.
    Drop(DropReason),
}

/// What kind of counter it is, as `counters --json` prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CounterKind {
    /// A rule's own.
    Rule,
    /// That of a rule's replies.
    Reply,
    /// An essential's.
    Essential,
    /// The default action's, when it is to allow; or the packets that a hook
    /// which only tracks lets by.
    Default,
    /// A would-be drop's.
    Audit,
    /// A drop reason's.
    Drop,
}

/// The essentials that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EssentialCounter {
    /// `arp`
    Arp,
    /// `nd`
    Nd,
    /// `mld`
    Mld,
    /// `icmp-error`
    IcmpError,
    /// `link-control`
    LinkControl,
    /// `ping`
    Ping,
    /// `dhcp-client`
    DhcpClient,
    /// `ethertype`: one of the policy's `ethertypes`.
    Ethertype,
}

/// Why a packet was dropped when no rule dropped it (`docs/verdicts.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// No rule matched, and the default is to drop.
    Default,
    /// A header is cut short, or contradicts itself or the frame.
    Malformed,
    /// A fragment, first or later.
    Fragment,
    /// More than eight IPv6 extension headers, or hop-by-hop not first.
    ExtensionHeaders,
    /// IPv6 next header 59.
    NoNextHeader,
    /// IPv4 source routing, IPv6 routing header type 0.
    Options,
    /// TCP flags that no TCP sends.
    TcpFlags,
    /// An ethertype that is not let through.
    Ethertype,
    /// A VLAN id that may not appear on this role.
    Vlan,
    /// An essential protocol, misused.
    Essentials,
    /// An address that cannot be a source, or land.
    Martian,
    /// The data path ran out of iterations. Never seen; counted all the same.
    Internal,
}

impl EssentialCounter {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Arp,
        Self::Nd,
        Self::Mld,
        Self::IcmpError,
        Self::LinkControl,
        Self::Ping,
        Self::DhcpClient,
        Self::Ethertype,
    ];

    /// The counter's id.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arp => "arp",
            Self::Nd => "nd",
            Self::Mld => "mld",
            Self::IcmpError => "icmp-error",
            Self::LinkControl => "link-control",
            Self::Ping => "ping",
            Self::DhcpClient => "dhcp-client",
            Self::Ethertype => "ethertype",
        }
    }
}

impl DropReason {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Default,
        Self::Malformed,
        Self::Fragment,
        Self::ExtensionHeaders,
        Self::NoNextHeader,
        Self::Options,
        Self::TcpFlags,
        Self::Ethertype,
        Self::Vlan,
        Self::Essentials,
        Self::Martian,
        Self::Internal,
    ];

    /// What follows `drop:` or `audit:` in the counter's id.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Malformed => "malformed",
            Self::Fragment => "fragment",
            Self::ExtensionHeaders => "extension-headers",
            Self::NoNextHeader => "no-next-header",
            Self::Options => "options",
            Self::TcpFlags => "tcp-flags",
            Self::Ethertype => "ethertype",
            Self::Vlan => "vlan",
            Self::Essentials => "essentials",
            Self::Martian => "martian",
            Self::Internal => "internal",
        }
    }
}

impl CounterId {
    /// What kind of counter it is.
    #[must_use]
    pub fn kind(&self) -> CounterKind {
        match self {
            Self::Rule(_) => CounterKind::Rule,
            Self::Reply(_) => CounterKind::Reply,
            Self::Essential(_) => CounterKind::Essential,
            Self::AllowDefault | Self::AllowUntracked => CounterKind::Default,
            Self::AuditRule(_) | Self::AuditDrop(_) => CounterKind::Audit,
            Self::Drop(_) => CounterKind::Drop,
        }
    }

    /// What became of the packets that it counts; `None` for a rule's own
    /// counter, whose rule says it.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Rule(_) => None,
            Self::Drop(_) => Some(Action::Drop),
            _ => Some(Action::Allow),
        }
    }
}

impl fmt::Display for CounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(id) => f.write_str(id),
            Self::Reply(id) => write!(f, "{id}/reply"),
            Self::Essential(essential) => f.write_str(essential.as_str()),
            Self::AllowDefault => f.write_str("allow:default"),
            Self::AllowUntracked => f.write_str("allow:untracked"),
            Self::AuditRule(id) => write!(f, "audit:{id}"),
            Self::AuditDrop(reason) => write!(f, "audit:{}", reason.as_str()),
            Self::Drop(reason) => write!(f, "drop:{}", reason.as_str()),
        }
    }
}

impl CounterKind {
    /// The word that `counters --json` prints.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Reply => "reply",
            Self::Essential => "essential",
            Self::Default => "default",
            Self::Audit => "audit",
            Self::Drop => "drop",
        }
    }
}
