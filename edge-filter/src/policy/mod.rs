//! The policy as written: the YAML language of version 1, its checks, and the
//! reference model of what it means.
//!
//! [`Policy`] is what everything else works on. It is *resolved*: names of
//! networks and services are replaced by what they stand for, disabled groups
//! are gone, and every rule knows the line it was written on.

use std::collections::BTreeSet;

mod check;
pub mod counter;
pub mod describe;
pub mod diagnostic;
mod document;
pub mod explain;
pub mod interface;
pub mod last_resort;
mod lint;
pub mod model;
mod network;
mod outline;
pub mod packet;
mod ports;
mod reader;
pub mod rule;
mod schema;

pub use counter::{CounterId, CounterKind, DropReason, EssentialCounter};
pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use interface::{Interface, Outbound, Trust};
pub use reader::{Checked, read, text_hash};
pub use rule::{Action, Direction, Endpoint, Ports, Rule, Transport};
pub use schema::SCHEMA;

use ipnet::IpNet;

/// A checked policy, ready to be compiled or to be modelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The policy's own name.
    pub name: String,
    /// SHA-256 of the policy's text, in lower-case hexadecimal.
    pub hash: String,
    /// `audit` lets every would-be drop pass and counts it as `audit:ID`.
    pub mode: Mode,
    /// The roles, in file order.
    pub interfaces: Vec<Interface>,
    /// What a host needs to stay on its network at all.
    pub essentials: Essentials,
    /// Further ethertypes to let through, in host byte order.
    pub ethertypes: BTreeSet<u16>,
    /// The size of the flow table.
    pub flows: Flows,
    /// What happens to a packet that no rule decides.
    pub default_action: Action,
    /// The rules of the enabled groups, in file order: the first match decides.
    pub rules: Vec<Rule>,
    /// The packets whose verdicts the policy states itself.
    pub tests: Vec<PacketTest>,
}

impl Policy {
    /// The role named `name`.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces
            .iter()
            .find(|interface| interface.name == name)
    }

    /// Whether the hook of the role `interface` is attached (`docs/verdicts.md`
    /// §15). At one that is not, everything passes.
    #[must_use]
    pub fn is_attached(&self, interface: &str, direction: Direction) -> bool {
        let Some(role) = self.interface(interface) else {
            return false;
        };
        let has_rules = |role: &Interface, direction| {
            let mut rules = self.rules_of(&role.name, direction);
            rules.next().is_some()
                && (direction, role.outbound) != (Direction::Outbound, Outbound::Ignore)
        };
        let inbound = has_rules(role, Direction::Inbound);
        let outbound = has_rules(role, Direction::Outbound);
        match direction {
            Direction::Inbound => {
                let from_inside = self.interfaces.iter().any(|role| {
                    role.trust == Trust::Trusted && has_rules(role, Direction::Inbound)
                });
                inbound || outbound || (role.trust == Trust::Untrusted && from_inside)
            }
            Direction::Outbound => outbound || (role.outbound == Outbound::Enforce && inbound),
        }
    }

    /// The rules of one hook, in the order in which they are asked.
    pub fn rules_of<'a>(
        &'a self,
        interface: &'a str,
        direction: Direction,
    ) -> impl Iterator<Item = &'a Rule> {
        self.rules
            .iter()
            .filter(move |rule| rule.interface == interface && rule.direction == direction)
    }
}

/// Whether verdicts are carried out, or only counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Drops are drops.
    #[default]
    Enforce,
    /// Would-be drops pass, and are counted as `audit:ID`.
    Audit,
}

/// The essentials (`docs/verdicts.md`): what each of them admits by itself.
/// An essential set to `drop` admits nothing, though a rule still may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Essentials {
    /// ARP (RFC 826).
    pub arp: Action,
    /// IPv6 neighbour discovery (RFC 4861), router advertisements excepted.
    pub nd: Action,
    /// Multicast listener discovery (RFC 2710, RFC 3810).
    pub mld: Action,
    /// ICMP errors whose quoted packet was one that was allowed out (RFC 4890).
    pub icmp_errors: Action,
    /// LACP, EAPOL, LLDP and STP to 01:80:c2:00:00:0X (IEEE 802.1Q).
    pub link_control: Action,
    /// Echo requests to the protected host, and its replies.
    pub ping: Action,
    /// DHCP to a client on the protected host (RFC 2131, RFC 8415).
    pub dhcp_client: Action,
    /// The sources that router advertisements are taken from.
    pub router_advertisements: Vec<IpNet>,
}

impl Default for Essentials {
    fn default() -> Self {
        Self {
            arp: Action::Allow,
            nd: Action::Allow,
            mld: Action::Allow,
            icmp_errors: Action::Allow,
            link_control: Action::Allow,
            ping: Action::Drop,
            dhcp_client: Action::Drop,
            router_advertisements: Vec::new(),
        }
    }
}

/// The flow table's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flows {
    /// The number of conversations that it can hold.
    pub entries: u32,
}

impl Default for Flows {
    fn default() -> Self {
        Self { entries: 65_536 }
    }
}

/// One of the policy's own `tests:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketTest {
    /// What the test is called.
    pub name: String,
    /// The packet, and the hook that it meets.
    pub packet: PacketSpec,
    /// What must become of it.
    pub expect: Expectation,
    /// The line of the policy on which the test begins, counted from 1.
    pub line: usize,
}

/// A packet as people describe it: enough to build one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PacketSpec {
    /// The role whose hook it meets.
    pub interface: String,
    /// The side of that hook.
    pub direction: Direction,
    /// The IP protocol number.
    pub protocol: u8,
    /// The source address.
    pub source: std::net::IpAddr,
    /// The source port; protocols with ports only. 40000 if none was given.
    pub source_port: Option<u16>,
    /// The destination address, of the source's family.
    pub destination: std::net::IpAddr,
    /// The destination port; protocols with ports only.
    pub destination_port: Option<u16>,
    /// The TCP flags, as the low six bits of RFC 9293; SYN if none were given.
    pub tcp_flags: Option<u8>,
}

/// What a test expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The verdict.
    pub action: Action,
    /// The id of the counter that must move, when the test names one.
    pub rule: Option<String>,
}
