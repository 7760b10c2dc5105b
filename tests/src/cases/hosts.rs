//! Who is who in the cases (RFC 5737, RFC 3849). Everyone outside
//! the role's `protects` unless said otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::craft::{Family, Ip, Segment};

/// A host of either family: its two addresses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host {
    /// Its IPv4 address.
    pub(super) v4: Ipv4Addr,
    /// Its IPv6 address.
    pub(super) v6: Ipv6Addr,
}

impl Host {
    const fn new(v4: [u8; 4], net: u16, host: u16) -> Self {
        Self {
            v4: Ipv4Addr::new(v4[0], v4[1], v4[2], v4[3]),
            v6: Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host),
        }
    }

    /// Its address of one family.
    pub(super) fn address(self, family: Family) -> IpAddr {
        match family {
            Family::V4 => self.v4.into(),
            Family::V6 => self.v6.into(),
        }
    }
}

/// The protected host; lies in `protects`.
pub(super) const HOST: Host = Host::new([192, 0, 2, 10], 0, 0x15);
/// An outsider: the rules for ports apply.
pub(super) const PEER: Host = Host::new([198, 51, 100, 7], 0x100, 7);
/// A rule admits whatever it sends.
pub(super) const FRIEND: Host = Host::new([203, 0, 113, 9], 0x200, 9);
/// Excepted from that rule, though it lies in the friend's network.
pub(super) const STRANGER: Host = Host::new([203, 0, 113, 11], 0x200, 11);
/// Rules admit its ICMP.
pub(super) const MONITOR: Host = Host::new([203, 0, 113, 130], 0x300, 130);
/// A router on the way: no rule knows it.
pub(super) const ROUTER: Host = Host::new([198, 51, 100, 254], 0x100, 0xfe);

/// A link-local neighbour.
pub(super) const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
/// The link-local router from which `router-advertisements` are taken, where
/// the policy lists one.
pub(super) const GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// All nodes on the link.
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A packet from `source` to the protected host.
pub(super) fn from(source: Host, family: Family, segment: Segment) -> Ip {
    Ip::new(source.address(family), HOST.address(family), segment)
}
