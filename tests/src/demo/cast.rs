//! Who takes part in the demonstration: addresses and counter names, taken from
//! the shipped policy by what its documented rows say (protocol, port, side), so
//! that a host's own addresses in the policy are played too.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use edge_filter::policy::{Direction, Endpoint, Policy, Rule};
use ipnet::IpNet;

/// IP protocol numbers.
pub(super) const TCP: u8 = 6;
/// The same for UDP.
pub(super) const UDP: u8 = 17;

/// The players of one address family.
#[derive(Debug, Clone)]
pub(super) struct Cast {
    /// The Access Edge.
    pub access_edge: IpAddr,
    /// The edge's internal address.
    pub internal_edge: IpAddr,
    /// An address that the edge host has and no rule speaks of.
    pub other_edge: IpAddr,
    /// A public instant-messaging partner.
    pub partner: IpAddr,
    /// A Windows Live Messenger client.
    pub messenger: IpAddr,
    /// Somebody on the Internet: neither of them.
    pub client: IpAddr,
    /// A Front End server.
    pub front_end: IpAddr,
}

/// The rules of the ten documented rows.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    /// The Access Edge to anybody, TCP 5061.
    pub s1: String,
    /// Public IM partners to the Access Edge, TCP 5061.
    pub s2: String,
    /// The Access Edge to public IM partners, TCP 5061.
    pub s3: String,
    /// Clients to the Access Edge, TCP 443.
    pub s4: String,
    /// The Access Edge to Messenger, TCP 50000-59999.
    pub s5: String,
    /// The Access Edge to Messenger, UDP 3478.
    pub s6: String,
    /// Messenger to the Access Edge, UDP 3478.
    pub s7: String,
    /// Anybody to the Access Edge, TCP 5269.
    pub s8: String,
    /// The Access Edge to anybody, TCP 5269.
    pub s9: String,
    /// Anybody to the internal edge, TCP 23456.
    pub s10: String,
}

/// Which address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    fn holds(self, network: &IpNet) -> bool {
        matches!(
            (self, network),
            (Self::V4, IpNet::V4(_)) | (Self::V6, IpNet::V6(_))
        )
    }

    /// The one of this family.
    fn pick(self, v4: [u8; 4], v6: [u16; 8]) -> IpAddr {
        match self {
            Self::V4 => v4.into(),
            Self::V6 => v6.into(),
        }
    }
}

impl Cast {
    /// Casts the players of `family`.
    pub(super) fn new(policy: &Policy, family: Family) -> Result<Self> {
        let (partners, messenger, xmpp) = (
            only(policy, "external", Direction::Inbound, TCP, 5061)?,
            only(policy, "external", Direction::Inbound, UDP, 3478)?,
            only(policy, "internal", Direction::Inbound, TCP, 23456)?,
        );
        // Addresses that the policy does not name (RFC 5737, RFC 3849).
        let cast = Self {
            access_edge: host(&partners.to, family, partners)?,
            internal_edge: host(&xmpp.to, family, xmpp)?,
            other_edge: family.pick([192, 0, 2, 99], [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x99]),
            partner: host(&partners.from, family, partners)?,
            messenger: host(&messenger.from, family, messenger)?,
            client: family.pick(
                [198, 51, 100, 200],
                [0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0x200],
            ),
            front_end: family.pick([192, 0, 2, 140], [0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x140]),
        };
        for (player, address) in [("client", cast.client), ("other edge", cast.other_edge)] {
            ensure!(
                !names(policy, address),
                "the policy names {address}, which the demo needs for its {player}"
            );
        }
        Ok(cast)
    }
}

impl Rows {
    /// Finds the rows' rules.
    pub(super) fn new(policy: &Policy) -> Result<Self> {
        use Direction::{Inbound, Outbound};
        let external = |direction, protocol, port| -> Result<String> {
            Ok(only(policy, "external", direction, protocol, port)?
                .id
                .clone())
        };
        // Two rows open 5061 from the Access Edge; the one to partners comes first, or
        // it would never count.
        let sip = opening(policy, "external", Outbound, TCP, 5061);
        let [s3, s1] = sip[..] else {
            bail!(
                "{}: {} outbound rules of external open port 5061, not two",
                policy.name,
                sip.len()
            );
        };
        Ok(Self {
            s1: s1.id.clone(),
            s2: external(Inbound, TCP, 5061)?,
            s3: s3.id.clone(),
            s4: external(Inbound, TCP, 443)?,
            s5: external(Outbound, TCP, 50_000)?,
            s6: external(Outbound, UDP, 3478)?,
            s7: external(Inbound, UDP, 3478)?,
            s8: external(Inbound, TCP, 5269)?,
            s9: external(Outbound, TCP, 5269)?,
            s10: only(policy, "internal", Inbound, TCP, 23456)?.id.clone(),
        })
    }
}

/// The rules of a hook that open this port.
fn opening<'a>(
    policy: &'a Policy,
    role: &'a str,
    direction: Direction,
    protocol: u8,
    port: u16,
) -> Vec<&'a Rule> {
    let opens = |rule: &&Rule| {
        rule.transports.iter().any(|transport| {
            transport.protocol == protocol
                && transport.ports.iter().any(|range| range.contains(&port))
        })
    };
    policy.rules_of(role, direction).filter(opens).collect()
}

/// The only rule of a hook that opens this port.
fn only<'a>(
    policy: &'a Policy,
    role: &'a str,
    direction: Direction,
    protocol: u8,
    port: u16,
) -> Result<&'a Rule> {
    let found = opening(policy, role, direction, protocol, port);
    let [only] = found[..] else {
        bail!(
            "{}: {} {direction} rules of {role} open protocol {protocol} port {port}, not one",
            policy.name,
            found.len()
        );
    };
    Ok(only)
}

/// A host of a rule's side: the twentieth, or the last of a small network.
fn host(side: &Endpoint, family: Family, rule: &Rule) -> Result<IpAddr> {
    let network = side
        .networks
        .iter()
        .flatten()
        .find(|network| family.holds(network));
    network
        .and_then(|network| network.hosts().take(20).last())
        .with_context(|| format!("rule {} names no {family:?} address there", rule.id))
}

/// Whether a network of any rule, other than "any", holds the address.
fn names(policy: &Policy, address: IpAddr) -> bool {
    policy
        .rules
        .iter()
        .flat_map(|rule| [&rule.from, &rule.to])
        .flat_map(|side| side.networks.iter().flatten())
        .any(|network| network.prefix_len() > 0 && network.contains(&address))
}
