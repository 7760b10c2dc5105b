//! What filters ask about, of a packet of IPv4 that has it at the same places as all
//! others.

use std::net::{IpAddr, Ipv4Addr};

use crate::craft::{Frame, Ipv4, flag, tcp};
use crate::generate::flow::Flow;

/// The five fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Header {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    /// Source and destination; of a protocol without ports, [`Self::ECHO`].
    pub(crate) ports: (u16, u16),
}

/// As a UDP header would say it: as much as the segment has.
const UDP_LENGTH: u16 = 20;

impl Header {
    /// Of nobody, to nobody.
    pub(crate) const EMPTY: Self = Self {
        source: Ipv4Addr::UNSPECIFIED,
        destination: Ipv4Addr::UNSPECIFIED,
        protocol: 0,
        ports: (0, 0),
    };

    /// Where ports would be: an ICMP echo request, which is no error.
    const ECHO: (u16, u16) = (0x0800, 0);

    /// That of `flow`; `None` if it is of IPv6.
    pub(crate) fn of(flow: &Flow) -> Option<Self> {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (flow.source, flow.destination) else {
            return None;
        };
        Some(Self {
            source,
            destination,
            protocol: flow.protocol,
            ports: flow.ports.unwrap_or(Self::ECHO),
        })
    }

    /// A frame of it, whose other bytes are sound for every protocol: the same as a
    /// segment of TCP, a datagram of UDP and a message of ICMP.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let (from, to) = self.ports;
        let segment = tcp().ports(from, to).word(4, UDP_LENGTH).flags(flag::ACK);
        let segment = segment.as_protocol(self.protocol);
        Frame::from(Ipv4::new(self.source, self.destination, segment)).bytes()
    }
}
