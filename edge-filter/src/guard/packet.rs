//! Packets that must pass: in words, and as the frames that the reference model judges.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::{
    ArpHardwareId, ArpOperation, ArpPacket, EtherType, IpHeaders, Ipv4Header, Ipv6Header,
    PacketBuilder, PacketBuilderStep, TcpHeader,
};

use crate::policy::packet::{DESTINATION_MAC, SOURCE_MAC};

/// A packet of what keeps a host on its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The VLAN ids that it bears, the outermost first.
    pub tags: Vec<u16>,
    /// What it is.
    pub content: Content,
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A TCP segment of SSH.
    Tcp {
        /// Its source.
        from: SocketAddr,
        /// Its destination.
        to: SocketAddr,
        /// Its flags.
        flags: Flags,
    },
    /// A datagram of DHCP.
    Udp {
        /// Its source.
        from: SocketAddr,
        /// Its destination.
        to: SocketAddr,
    },
    /// ARP (RFC 826).
    Arp {
        /// Whether it asks; otherwise it answers.
        asks: bool,
        /// Who speaks.
        sender: Ipv4Addr,
        /// Who is meant.
        target: Ipv4Addr,
    },
    /// Neighbour discovery (RFC 4861).
    Neighbour {
        /// Which message it is.
        message: Message,
        /// Who speaks.
        from: Ipv6Addr,
        /// Who is addressed.
        to: Ipv6Addr,
    },
}

/// The TCP flags of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flags {
    /// It opens a connection.
    Syn,
    /// It answers that.
    SynAck,
    /// It is part of an open one.
    Ack,
}

/// Messages of neighbour discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Type 134.
    RouterAdvertisement,
    /// Type 135.
    Solicitation,
    /// Type 136.
    Advertisement,
}

/// RFC 2131 §4.1, RFC 8415 §7.2: the ports of servers and clients.
pub const DHCP: (u16, u16) = (67, 68);
/// The same of DHCPv6.
pub const DHCPV6: (u16, u16) = (547, 546);

/// IEEE 802.1Q.
const TAG: u16 = 0x8100;
const HOP_LIMIT: u8 = 64;
/// RFC 4861 §6.1.2, §7.1: a packet with less has crossed a router.
const NEIGHBOURS_HOP_LIMIT: u8 = 255;
/// Enough for a lease or a segment; nobody reads it.
const PAYLOAD: &[u8] = b"edge-filter";

impl Packet {
    /// The frame, from the destination MAC on, without FCS.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = [DESTINATION_MAC, SOURCE_MAC].concat();
        for tag in &self.tags {
            frame.extend(TAG.to_be_bytes());
            frame.extend((tag & 0x0fff).to_be_bytes());
        }
        let (ethertype, packet) = self.content.bytes();
        frame.extend(ethertype.0.to_be_bytes());
        frame.extend(packet);
        frame
    }
}

impl Content {
    fn bytes(self) -> (EtherType, Vec<u8>) {
        let mut bytes = Vec::new();
        let written = match self {
            Self::Arp {
                asks,
                sender,
                target,
            } => return (EtherType::ARP, arp(asks, sender, target)),
            Self::Tcp { from, to, flags } => ip(from.ip(), to.ip(), HOP_LIMIT)
                .tcp_header(TcpHeader {
                    syn: flags != Flags::Ack,
                    ack: flags != Flags::Syn,
                    ..TcpHeader::new(from.port(), to.port(), 1, 0xffff)
                })
                .write(&mut bytes, &[]),
            Self::Udp { from, to } => ip(from.ip(), to.ip(), HOP_LIMIT)
                .udp(from.port(), to.port())
                .write(&mut bytes, PAYLOAD),
            Self::Neighbour { message, from, to } => {
                let target = match message {
                    Message::RouterAdvertisement => &[0; 8][..],
                    Message::Solicitation => &to.octets(),
                    Message::Advertisement => &from.octets(),
                };
                ip(from.into(), to.into(), NEIGHBOURS_HOP_LIMIT)
                    .icmpv6_raw(message.number(), 0, [0; 4])
                    .write(&mut bytes, target)
            }
        };
        written.expect("a short payload fits every length field, and a Vec takes all bytes");
        let ethertype = if bytes[0] >> 4 == 4 {
            EtherType::IPV4
        } else {
            EtherType::IPV6
        };
        (ethertype, bytes)
    }

    /// Where it comes from, of what has IP.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp { from, .. } | Self::Udp { from, .. } => Some(from.ip()),
            Self::Neighbour { from, .. } => Some((*from).into()),
            Self::Arp { .. } => None,
        }
    }
}

impl Message {
    fn number(self) -> u8 {
        match self {
            Self::RouterAdvertisement => 134,
            Self::Solicitation => 135,
            Self::Advertisement => 136,
        }
    }
}

fn arp(asks: bool, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let (operation, hardware) = if asks {
        (ArpOperation::REQUEST, [0; 6])
    } else {
        (ArpOperation::REPLY, DESTINATION_MAC)
    };
    let packet = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        operation,
        &SOURCE_MAC,
        &sender.octets(),
        &hardware,
        &target.octets(),
    );
    packet
        .expect("addresses have the lengths of their kinds")
        .to_bytes()
        .to_vec()
}

fn ip(from: IpAddr, to: IpAddr, hop_limit: u8) -> PacketBuilderStep<IpHeaders> {
    // Lengths and the protocol are filled in as the packet is written.
    let headers = match (from, to) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => IpHeaders::Ipv4(
            Ipv4Header {
                time_to_live: hop_limit,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv4Header::default()
            },
            etherparse::Ipv4Extensions::default(),
        ),
        (source, destination) => IpHeaders::Ipv6(
            Ipv6Header {
                hop_limit,
                source: sixteen_bytes(source),
                destination: sixteen_bytes(destination),
                ..Ipv6Header::default()
            },
            etherparse::Ipv6Extensions::default(),
        ),
    };
    PacketBuilder::ip(headers)
}

fn sixteen_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.content)?;
        for tag in &self.tags {
            write!(f, " in VLAN {tag}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { from, to, flags } => {
                let flags = match flags {
                    Flags::Syn => "SYN",
                    Flags::SynAck => "SYN+ACK",
                    Flags::Ack => "ACK",
                };
                write!(f, "TCP {flags} from {from} to {to}")
            }
            Self::Udp { from, to } => write!(f, "UDP from {from} to {to}"),
            Self::Arp {
                asks: true, target, ..
            } => write!(f, "ARP request for {target}"),
            Self::Arp { sender, .. } => write!(f, "ARP reply of {sender}"),
            Self::Neighbour { message, from, to } => {
                let message = match message {
                    Message::RouterAdvertisement => "router advertisement",
                    Message::Solicitation => "neighbour solicitation",
                    Message::Advertisement => "neighbour advertisement",
                };
                write!(f, "ICMPv6 {message} from {from} to {to}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(tags: &[u16], content: Content) -> Packet {
        Packet {
            tags: tags.to_vec(),
            content,
        }
    }

    fn tcp(flags: Flags) -> Content {
        Content::Tcp {
            from: "198.51.100.7:50122".parse().unwrap(),
            to: "192.0.2.10:22".parse().unwrap(),
            flags,
        }
    }

    #[test]
    fn tags_stand_before_the_ethertype_the_outermost_first() {
        let frame = packet(&[30, 4], tcp(Flags::Syn)).frame();
        assert_eq!(frame[12..22], [0x81, 0, 0, 30, 0x81, 0, 0, 4, 0x08, 0]);
        let frame = packet(&[], tcp(Flags::Syn)).frame();
        assert_eq!(frame[12..15], [0x08, 0, 0x45]);
    }

    #[test]
    fn flags_are_those_of_the_name() {
        for (flags, bits, word) in [
            (Flags::Syn, 0x02, "SYN"),
            (Flags::SynAck, 0x12, "SYN+ACK"),
            (Flags::Ack, 0x10, "ACK"),
        ] {
            let packet = packet(&[], tcp(flags));
            assert_eq!(packet.frame()[14 + 20 + 13], bits);
            let words = format!("TCP {word} from 198.51.100.7:50122 to 192.0.2.10:22");
            assert_eq!(packet.to_string(), words);
        }
    }

    #[test]
    fn neighbours_speak_with_the_full_hop_limit() {
        let packet = packet(
            &[7],
            Content::Neighbour {
                message: Message::RouterAdvertisement,
                from: "fe80::1".parse().unwrap(),
                to: "ff02::1".parse().unwrap(),
            },
        );
        let frame = packet.frame();
        assert_eq!(frame[16..18], [0x86, 0xdd]);
        assert_eq!(
            (frame[18 + 7], frame[18 + 40], frame[18 + 41]),
            (255, 134, 0)
        );
        // RFC 4861 §6.1.2: 16 octets or more.
        assert_eq!(frame.len(), 18 + 40 + 16);
        let words = "ICMPv6 router advertisement from fe80::1 to ff02::1 in VLAN 7";
        assert_eq!(packet.to_string(), words);
    }

    #[test]
    fn arp_is_said_by_the_source_of_its_frame() {
        let content = Content::Arp {
            asks: true,
            sender: "192.0.2.1".parse().unwrap(),
            target: "192.0.2.10".parse().unwrap(),
        };
        let frame = packet(&[], content).frame();
        assert_eq!(frame[6..12], frame[22..28]);
        assert_eq!(frame[12..14], [0x08, 0x06]);
        assert_eq!(frame[28..32], [192, 0, 2, 1]);
        assert_eq!(frame.len(), 14 + 28);
    }
}
