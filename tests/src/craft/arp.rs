//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use super::{DESTINATION_MAC, Frame, Mac, SOURCE_MAC};

/// An ARP packet. All fields are as on the wire, in host byte order.
#[derive(Debug, Clone)]
pub struct Arp {
    /// The hardware type; 1 is Ethernet.
    pub hardware: u16,
    /// The protocol type; 0x0800 is IPv4.
    pub protocol: u16,
    /// The length of a hardware address.
    pub hardware_length: u8,
    /// The length of a protocol address.
    pub protocol_length: u8,
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Who says so.
    pub sender: (Mac, Ipv4Addr),
    /// Who is meant.
    pub target: (Mac, Ipv4Addr),
}

impl Arp {
    /// A request by `sender` for `target`.
    #[must_use]
    pub fn request(sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            hardware: 1,
            protocol: 0x0800,
            hardware_length: 6,
            protocol_length: 4,
            operation: 1,
            sender: (SOURCE_MAC, sender),
            target: ([0; 6], target),
        }
    }

    /// A reply by `sender` to `target`.
    #[must_use]
    pub fn reply(sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        let target = (DESTINATION_MAC, target);
        Self {
            operation: 2,
            target,
            ..Self::request(sender, target.1)
        }
    }
}

impl From<Arp> for Frame {
    fn from(arp: Arp) -> Self {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend(arp.hardware.to_be_bytes());
        bytes.extend(arp.protocol.to_be_bytes());
        bytes.extend([arp.hardware_length, arp.protocol_length]);
        bytes.extend(arp.operation.to_be_bytes());
        for (mac, address) in [arp.sender, arp.target] {
            bytes.extend(mac);
            bytes.extend(address.octets());
        }
        Self::new(0x0806, bytes)
    }
}
