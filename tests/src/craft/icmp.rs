//! ICMP (RFC 792) and ICMPv6 (RFC 4443), neighbour discovery (RFC 4861) and
//! multicast listener discovery (RFC 2710, RFC 3810).

use std::net::Ipv6Addr;

use super::segment::Checksum;
use super::{Family, Segment};

/// A message of neighbour discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// Type 133.
    RouterSolicitation,
    /// Type 134.
    RouterAdvertisement,
    /// Type 135, for an address.
    Solicitation(Ipv6Addr),
    /// Type 136, of an address.
    Advertisement(Ipv6Addr),
    /// Type 137: to reach the second, go by the first.
    Redirect(Ipv6Addr, Ipv6Addr),
}

/// An ICMP message: eight bytes, all zero behind the code.
#[must_use]
pub fn icmp(kind: u8, code: u8) -> Segment {
    Segment::new(1, vec![kind, code, 0, 0, 0, 0, 0, 0], Checksum::Plain(2))
}

/// An ICMPv6 message: eight bytes, all zero behind the code.
#[must_use]
pub fn icmpv6(kind: u8, code: u8) -> Segment {
    Segment::new(58, vec![kind, code, 0, 0, 0, 0, 0, 0], Checksum::Pseudo(2))
}

/// An echo request of this family.
#[must_use]
pub fn echo(family: Family) -> Segment {
    match family {
        Family::V4 => icmp(8, 0),
        Family::V6 => icmpv6(128, 0),
    }
    .word(4, 0x1234)
    .word(6, 1)
    .data(&[0xe0; 16])
}

/// An ICMP error of this family and type that quotes `quote`.
#[must_use]
pub fn error(family: Family, kind: u8, quote: &[u8]) -> Segment {
    match family {
        Family::V4 => icmp(kind, 0),
        Family::V6 => icmpv6(kind, 0),
    }
    .data(quote)
}

/// A message of neighbour discovery, without options.
#[must_use]
pub fn neighbour(message: Neighbour) -> Segment {
    match message {
        Neighbour::RouterSolicitation => icmpv6(133, 0),
        // Hop limit 64, lifetime 1800 s; reachable and retransmission times 0.
        Neighbour::RouterAdvertisement => icmpv6(134, 0).byte(4, 64).word(6, 1800).data(&[0; 8]),
        Neighbour::Solicitation(target) => icmpv6(135, 0).data(&target.octets()),
        // The solicited flag.
        Neighbour::Advertisement(target) => icmpv6(136, 0).byte(4, 0x40).data(&target.octets()),
        Neighbour::Redirect(via, target) => {
            icmpv6(137, 0).data(&via.octets()).data(&target.octets())
        }
    }
}

/// Multicast listener discovery, version 1: a query (130), a report (131) or a
/// done (132) for `group`.
#[must_use]
pub fn listener(kind: u8, group: Ipv6Addr) -> Segment {
    icmpv6(kind, 0).data(&group.octets())
}

/// Multicast listener discovery, version 2: a report (143) that one group is
/// now listened to from every source.
#[must_use]
pub fn listener_report(group: Ipv6Addr) -> Segment {
    icmpv6(143, 0)
        .word(6, 1)
        .data(&[4, 0, 0, 0])
        .data(&group.octets())
}
