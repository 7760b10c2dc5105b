//! From a packet as people describe it to one Ethernet frame, valid down to
//! its checksums.

use std::net::IpAddr;

use etherparse::{
    IpHeaders, IpNumber, Ipv4Header, Ipv6Header, PacketBuilder, PacketBuilderStep, TcpHeader,
    VlanId,
};
use thiserror::Error;

use super::{PacketSpec, Policy};

/// The source MAC of every frame: locally administered (IEEE 802, U/L bit).
pub const SOURCE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The destination MAC of every frame: locally administered.
pub const DESTINATION_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// The source port where none was given.
pub const DEFAULT_SOURCE_PORT: u16 = 40_000;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

const SYN: u8 = 0x02;
const HOP_LIMIT: u8 = 64;
const PAYLOAD: &[u8] = b"edge-filter";

/// What IPv6 takes for an extension header, or for the end of the chain, and
/// so never for a protocol (IANA, "IPv6 Extension Header Types"; 59 is "no next
/// header"). ESP (50) is judged as a protocol.
const NOT_PROTOCOLS_UNDER_IPV6: [u8; 9] = [0, 43, 44, 51, 59, 60, 135, 139, 140];

/// Why there is no such packet.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PacketError {
    /// The policy has no such role.
    #[error("the policy has no interface `{0}`")]
    UnknownInterface(String),
    /// One address is IPv4, the other IPv6.
    #[error("{from} and {to} are of different families, so no packet runs between them")]
    MixedFamilies {
        /// The source.
        from: IpAddr,
        /// The destination.
        to: IpAddr,
    },
    /// IPv6 reads the number as part of its own headers.
    #[error("{0} is no protocol under IPv6, but one of its extension headers or their end")]
    NotAProtocol(u8),
    /// The protocol has ports, and the one to go to is missing.
    #[error("protocol {0} has ports: give the destination one")]
    NoDestinationPort(u8),
    /// The protocol has no ports, and one was given.
    #[error("protocol {0} has no ports: give addresses alone")]
    Portless(u8),
    /// TCP flags for something that is not TCP.
    #[error("protocol {0} has no TCP flags")]
    Flagless(u8),
}

/// The frame that `spec` describes, untagged unless its role does not list
/// `untagged` among its `vlans`; then it carries the lowest VLAN id listed.
///
/// It begins with the destination MAC and has no FCS.
pub fn frame(policy: &Policy, spec: &PacketSpec) -> Result<Vec<u8>, PacketError> {
    let role = policy
        .interface(&spec.interface)
        .ok_or_else(|| PacketError::UnknownInterface(spec.interface.clone()))?;
    let tag = match &role.vlans {
        Some(vlans) if !vlans.contains(&0) => vlans.first().copied(),
        _ => None,
    };
    let transport = Transport::of(spec)?;
    let ip = ip_headers(spec)?;

    let ethernet = PacketBuilder::ethernet2(SOURCE_MAC, DESTINATION_MAC);
    let packet = match tag {
        None => ethernet.ip(ip),
        Some(id) => ethernet
            .single_vlan(VlanId::try_new(id & 0x0fff).expect("masked to the 12 bits of an id"))
            .ip(ip),
    };
    Ok(transport.write(packet, spec.protocol))
}

/// What stands behind the IP header.
enum Transport {
    Tcp { ports: (u16, u16), flags: u8 },
    Udp { ports: (u16, u16) },
    Sctp { ports: (u16, u16) },
    EchoRequest,
    EchoRequestV6,
    Opaque,
}

impl Transport {
    fn of(spec: &PacketSpec) -> Result<Self, PacketError> {
        let protocol = spec.protocol;
        if spec.tcp_flags.is_some() && protocol != TCP {
            return Err(PacketError::Flagless(protocol));
        }
        if !matches!(protocol, TCP | UDP | SCTP) {
            if spec.source_port.is_some() || spec.destination_port.is_some() {
                return Err(PacketError::Portless(protocol));
            }
            return Ok(match protocol {
                ICMP if spec.source.is_ipv4() => Self::EchoRequest,
                ICMPV6 if spec.source.is_ipv6() => Self::EchoRequestV6,
                _ => Self::Opaque,
            });
        }
        let ports = (
            spec.source_port.unwrap_or(DEFAULT_SOURCE_PORT),
            spec.destination_port
                .ok_or(PacketError::NoDestinationPort(protocol))?,
        );
        Ok(match protocol {
            TCP => Self::Tcp {
                ports,
                flags: spec.tcp_flags.unwrap_or(SYN),
            },
            UDP => Self::Udp { ports },
            _ => Self::Sctp { ports },
        })
    }

    /// The whole frame, with this transport behind the headers of `packet`.
    fn write(self, packet: PacketBuilderStep<IpHeaders>, protocol: u8) -> Vec<u8> {
        let mut frame = Vec::new();
        let written = match self {
            Self::Tcp { ports, flags } => packet
                .tcp_header(tcp_header(ports, flags))
                .write(&mut frame, PAYLOAD),
            Self::Udp {
                ports: (source, destination),
            } => packet.udp(source, destination).write(&mut frame, PAYLOAD),
            Self::Sctp { ports } => packet.write(&mut frame, IpNumber::SCTP, &sctp_header(ports)),
            Self::EchoRequest => packet.icmpv4_echo_request(1, 1).write(&mut frame, PAYLOAD),
            Self::EchoRequestV6 => packet.icmpv6_echo_request(1, 1).write(&mut frame, PAYLOAD),
            Self::Opaque => packet.write(&mut frame, IpNumber(protocol), PAYLOAD),
        };
        written.expect("a short payload fits every length field, and a Vec takes all bytes");
        frame
    }
}

fn ip_headers(spec: &PacketSpec) -> Result<IpHeaders, PacketError> {
    // Lengths and the protocol are filled in as the frame is written.
    match (spec.source, spec.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Header {
                time_to_live: HOP_LIMIT,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv4Header::default()
            };
            Ok(IpHeaders::Ipv4(
                header,
                etherparse::Ipv4Extensions::default(),
            ))
        }
        (IpAddr::V6(_), IpAddr::V6(_)) if NOT_PROTOCOLS_UNDER_IPV6.contains(&spec.protocol) => {
            Err(PacketError::NotAProtocol(spec.protocol))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                hop_limit: HOP_LIMIT,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            Ok(IpHeaders::Ipv6(
                header,
                etherparse::Ipv6Extensions::default(),
            ))
        }
        (from, to) => Err(PacketError::MixedFamilies { from, to }),
    }
}

fn tcp_header((source, destination): (u16, u16), flags: u8) -> TcpHeader {
    let set = |bit: u32| flags & (1 << bit) != 0;
    TcpHeader {
        fin: set(0),
        syn: set(1),
        rst: set(2),
        psh: set(3),
        ack: set(4),
        urg: set(5),
        ece: set(6),
        cwr: set(7),
        ..TcpHeader::new(source, destination, 1, 0xffff)
    }
}

/// The common header of RFC 9260, section 3.1, with no chunk behind it.
fn sctp_header((source, destination): (u16, u16)) -> [u8; 12] {
    let mut header = [0; 12];
    header[..2].copy_from_slice(&source.to_be_bytes());
    header[2..4].copy_from_slice(&destination.to_be_bytes());
    header[4..8].copy_from_slice(&1_u32.to_be_bytes());
    // The CRC is transmitted low byte first (RFC 9260, appendix A).
    let checksum = crc32c(&header).to_le_bytes();
    header[8..].copy_from_slice(&checksum);
    header
}

/// CRC-32C (Castagnoli), bit by bit: twelve bytes are worth no table.
fn crc32c(bytes: &[u8]) -> u32 {
    let remainder = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 {
                crc >> 1
            } else {
                (crc >> 1) ^ 0x82f6_3b78
            }
        })
    });
    !remainder
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;
    use crate::policy::Direction;
    use crate::policy::model::tests::{EXTERNAL, Hook};

    fn policy(vlans: Option<&[u16]>) -> Policy {
        let mut policy = Hook::inbound(&[]).policy;
        policy.interfaces[0].vlans = vlans.map(|ids| ids.iter().copied().collect());
        policy
    }

    fn spec(protocol: u8, to: &str, port: Option<u16>) -> PacketSpec {
        let destination: IpAddr = to.parse().unwrap();
        let source = if destination.is_ipv4() {
            "198.51.100.7"
        } else {
            "2001:db8::7"
        };
        PacketSpec {
            interface: EXTERNAL.to_owned(),
            direction: Direction::Inbound,
            protocol,
            source: source.parse().unwrap(),
            source_port: None,
            destination,
            destination_port: port,
            tcp_flags: None,
        }
    }

    const V4: &str = "192.0.2.10";
    const V6: &str = "2001:db8::10";

    #[test]
    fn tcp_is_a_syn_from_port_40000_with_sound_checksums() {
        let bytes = frame(&policy(None), &spec(TCP, V4, Some(5061))).unwrap();
        let packet = SlicedPacket::from_ethernet(&bytes).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &packet.net else {
            panic!("{packet:?}")
        };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
            panic!("{packet:?}")
        };
        let header = tcp.to_header();
        assert_eq!(
            (header.source_port, header.destination_port),
            (40_000, 5061)
        );
        assert!(header.syn && !header.ack);
        assert_eq!(
            ip.header().header_checksum(),
            ip.header().to_header().calc_header_checksum()
        );
        let checksum = header
            .calc_checksum_ipv4(&ip.header().to_header(), tcp.payload())
            .unwrap();
        assert_eq!(header.checksum, checksum);
    }

    #[test]
    fn flags_are_taken_as_they_are_given() {
        let fin_ack_urg = PacketSpec {
            tcp_flags: Some(0x31),
            ..spec(TCP, V6, Some(443))
        };
        let bytes = frame(&policy(None), &fin_ack_urg).unwrap();
        assert_eq!(bytes[14 + 40 + 13], 0x31);
    }

    #[test]
    fn udp_and_sctp_have_ports_under_both_families() {
        for (to, header) in [(V4, 20), (V6, 40)] {
            for protocol in [UDP, SCTP] {
                let from_port_53 = PacketSpec {
                    source_port: Some(53),
                    ..spec(protocol, to, Some(3478))
                };
                let bytes = frame(&policy(None), &from_port_53).unwrap();
                assert_eq!(bytes[14 + header..14 + header + 4], [0, 53, 0x0d, 0x96]);
            }
        }
    }

    #[test]
    fn sctp_has_the_castagnoli_checksum() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn icmp_is_an_echo_request_under_its_own_family_alone() {
        let first_byte = |protocol, to, header: usize| {
            frame(&policy(None), &spec(protocol, to, None)).unwrap()[14 + header]
        };
        assert_eq!(first_byte(ICMP, V4, 20), 8);
        assert_eq!(first_byte(ICMPV6, V6, 40), 128);
        assert_eq!(first_byte(ICMP, V6, 40), PAYLOAD[0]);
        assert_eq!(first_byte(ICMPV6, V4, 20), PAYLOAD[0]);
    }

    #[test]
    fn every_protocol_number_can_be_had_under_ipv4() {
        for protocol in (0..=255).filter(|number| !matches!(*number, TCP | UDP | SCTP)) {
            let bytes = frame(&policy(None), &spec(protocol, V4, None)).unwrap();
            assert_eq!(bytes[14 + 9], protocol);
        }
    }

    #[test]
    fn extension_headers_are_no_protocols_under_ipv6() {
        for protocol in 0..=255 {
            let port = matches!(protocol, TCP | UDP | SCTP).then_some(1);
            let built = frame(&policy(None), &spec(protocol, V6, port));
            if NOT_PROTOCOLS_UNDER_IPV6.contains(&protocol) {
                assert_eq!(built, Err(PacketError::NotAProtocol(protocol)));
            } else {
                assert_eq!(built.unwrap()[14 + 6], protocol);
            }
        }
    }

    #[test]
    fn a_role_without_untagged_frames_gets_its_lowest_tag() {
        let tag = |vlans| frame(&policy(vlans), &spec(TCP, V4, Some(1))).unwrap()[12..16].to_vec();
        assert_eq!(tag(Some(&[300, 20])), [0x81, 0x00, 0, 20]);
        assert_eq!(tag(Some(&[300, 0]))[..2], [0x08, 0x00]);
        assert_eq!(tag(None)[..2], [0x08, 0x00]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |spec| frame(&policy(None), &spec).unwrap_err();
        let tcp = spec(TCP, V4, Some(1));
        let elsewhere = PacketSpec {
            interface: "dmz".to_owned(),
            ..tcp.clone()
        };
        assert_eq!(
            refused(elsewhere),
            PacketError::UnknownInterface("dmz".to_owned())
        );
        let mixed = PacketSpec {
            source: V6.parse().unwrap(),
            ..tcp
        };
        assert!(matches!(refused(mixed), PacketError::MixedFamilies { .. }));
        assert_eq!(
            refused(spec(TCP, V4, None)),
            PacketError::NoDestinationPort(TCP)
        );
        assert_eq!(refused(spec(47, V4, Some(1))), PacketError::Portless(47));
        let flagged_udp = PacketSpec {
            tcp_flags: Some(SYN),
            ..spec(UDP, V4, Some(1))
        };
        assert_eq!(refused(flagged_udp), PacketError::Flagless(UDP));
    }
}
