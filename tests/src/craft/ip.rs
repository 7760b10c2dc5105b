//! Either family of IP, for what both have in common.

use std::net::IpAddr;

use super::{Frame, Ipv4, Ipv6, Segment};

/// An IP packet of either family.
#[derive(Debug, Clone)]
pub enum Ip {
    /// IPv4.
    V4(Ipv4),
    /// IPv6.
    V6(Ipv6),
}

/// A family of IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The word that names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// The length of the fixed header, in bytes.
    #[must_use]
    pub fn header_length(self) -> usize {
        match self {
            Self::V4 => 20,
            Self::V6 => 40,
        }
    }
}

impl Ip {
    /// A valid packet between two addresses of one family.
    #[must_use]
    pub fn new(source: IpAddr, destination: IpAddr, segment: Segment) -> Self {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Self::V4(Ipv4::new(source, destination, segment))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Self::V6(Ipv6::new(source, destination, segment))
            }
            _ => panic!("{source} and {destination} are of different families"),
        }
    }

    /// The source address, of the packet's family.
    #[must_use]
    pub fn source(self, source: IpAddr) -> Self {
        match (self, source) {
            (Self::V4(packet), IpAddr::V4(source)) => Self::V4(packet.source(source)),
            (Self::V6(packet), IpAddr::V6(source)) => Self::V6(packet.source(source)),
            _ => panic!("{source} is of another family"),
        }
    }

    /// The destination address, of the packet's family.
    #[must_use]
    pub fn destination(self, destination: IpAddr) -> Self {
        match (self, destination) {
            (Self::V4(packet), IpAddr::V4(address)) => Self::V4(packet.destination(address)),
            (Self::V6(packet), IpAddr::V6(address)) => Self::V6(packet.destination(address)),
            _ => panic!("{destination} is of another family"),
        }
    }

    /// What the packet carries.
    #[must_use]
    pub fn segment(self, segment: Segment) -> Self {
        match self {
            Self::V4(packet) => Self::V4(packet.segment(segment)),
            Self::V6(packet) => Self::V6(packet.segment(segment)),
        }
    }

    /// The time to live, or hop limit.
    #[must_use]
    pub fn hop_limit(self, limit: u8) -> Self {
        match self {
            Self::V4(packet) => Self::V4(packet.ttl(limit)),
            Self::V6(packet) => Self::V6(packet.hop_limit(limit)),
        }
    }

    /// Overrides the length field so that the packet ends `bytes` behind its
    /// headers, whatever the segment's length.
    #[must_use]
    pub fn declares(self, bytes: usize) -> Self {
        let length = |headers: usize| u16::try_from(headers + bytes).expect("a length of 16 bits");
        match self {
            Self::V4(packet) => {
                let length = length(packet.header_length());
                Self::V4(packet.total_length(length))
            }
            Self::V6(packet) => {
                let length = length(packet.header_length() - 40);
                Self::V6(packet.payload_length(length))
            }
        }
    }

    /// The length of the headers before the segment, in bytes.
    #[must_use]
    pub fn header_length(&self) -> usize {
        match self {
            Self::V4(packet) => packet.header_length(),
            Self::V6(packet) => packet.header_length(),
        }
    }

    /// The packet, with its checksums.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::V4(packet) => packet.bytes(),
            Self::V6(packet) => packet.bytes(),
        }
    }
}

impl From<Ipv4> for Ip {
    fn from(packet: Ipv4) -> Self {
        Self::V4(packet)
    }
}

impl From<Ipv6> for Ip {
    fn from(packet: Ipv6) -> Self {
        Self::V6(packet)
    }
}

impl From<Ip> for Frame {
    fn from(packet: Ip) -> Self {
        match packet {
            Ip::V4(packet) => packet.into(),
            Ip::V6(packet) => packet.into(),
        }
    }
}
