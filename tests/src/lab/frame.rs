//! Frames that no socket would send: fragments, chains of extension headers,
//! tags, borrowed addresses. Everything in them but the stated defect is sound,
//! checksums included.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use etherparse::{
    EtherType, Ethernet2Header, IpFragOffset, IpNumber, Ipv4Header, Ipv4Options,
    Ipv6FragmentHeader, Ipv6Header, TcpHeader, UdpHeader,
};

use super::wire::Wire;

/// What stands between the network header and the transport's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Nothing: a sound packet.
    None,
    /// The packet is cut into two fragments.
    Fragments,
    /// So many destination-options headers (IPv6).
    ExtensionHeaders(u8),
    /// Loose source routing, all hops done (IPv4, option 131).
    SourceRoute,
    /// Routing header type 0, all hops done (IPv6).
    RoutingHeader0,
}

/// The first fragment's payload, bytes; a multiple of 8 (RFC 791, RFC 8200).
const FIRST_FRAGMENT: usize = 16;
/// What fragments are put together by. One of a kind is in flight at a time.
const IDENTIFICATION: u16 = 0xef01;
const HOP_LIMIT: u8 = 64;

/// The packets, network header first, that carry a UDP datagram.
pub fn udp(
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
    defect: Defect,
) -> Result<Vec<Vec<u8>>> {
    let (source, destination) = (from.port(), to.port());
    let header = match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => UdpHeader::with_ipv4_checksum(
            source,
            destination,
            &Ipv4Header::new(8, HOP_LIMIT, IpNumber::UDP, a.octets(), b.octets())?,
            payload,
        )?,
        (IpAddr::V6(a), IpAddr::V6(b)) => UdpHeader::with_ipv6_checksum(
            source,
            destination,
            &ipv6_header(a, b, IpNumber::UDP, 0)?,
            payload,
        )?,
        _ => bail!("{from} and {to} are of different families"),
    };
    let segment = [&header.to_bytes()[..], payload].concat();
    network(from.ip(), to.ip(), IpNumber::UDP, &segment, defect)
}

/// The packet, network header first, that carries a TCP segment with the low six
/// flags of RFC 9293.
pub fn tcp(from: SocketAddr, to: SocketAddr, flags: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let mut header = TcpHeader::new(from.port(), to.port(), 1, 1024);
    header.fin = flags & 0x01 != 0;
    header.syn = flags & 0x02 != 0;
    header.rst = flags & 0x04 != 0;
    header.psh = flags & 0x08 != 0;
    header.ack = flags & 0x10 != 0;
    header.urg = flags & 0x20 != 0;
    header.checksum = match (from.ip(), to.ip()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            header.calc_checksum_ipv4_raw(a.octets(), b.octets(), payload)?
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            header.calc_checksum_ipv6_raw(a.octets(), b.octets(), payload)?
        }
        _ => bail!("{from} and {to} are of different families"),
    };
    let segment = [&header.to_bytes()[..], payload].concat();
    let mut packets = network(from.ip(), to.ip(), IpNumber::TCP, &segment, Defect::None)?;
    packets.pop().context("no packet")
}

/// The frame that carries `packet` to the edge, behind the given VLAN ids (802.1Q,
/// outermost first).
#[must_use]
pub fn to_edge(wire: &Wire, vlans: &[u16], packet: &[u8]) -> Vec<u8> {
    let ether_type = match packet.first() {
        Some(first) if first >> 4 == 6 => EtherType::IPV6,
        _ => EtherType::IPV4,
    };
    let outermost = if vlans.is_empty() {
        ether_type
    } else {
        EtherType::VLAN_TAGGED_FRAME
    };
    let header = Ethernet2Header {
        source: wire.world.mac,
        destination: wire.edge.mac,
        ether_type: outermost,
    };
    let mut frame = header.to_bytes().to_vec();
    for (index, vlan) in vlans.iter().enumerate() {
        let last = index + 1 == vlans.len();
        let next = if last {
            ether_type
        } else {
            EtherType::VLAN_TAGGED_FRAME
        };
        frame.extend(vlan.to_be_bytes());
        frame.extend(next.0.to_be_bytes());
    }
    frame.extend(packet);
    frame
}

fn network(
    from: IpAddr,
    to: IpAddr,
    protocol: IpNumber,
    segment: &[u8],
    defect: Defect,
) -> Result<Vec<Vec<u8>>> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(from, to, protocol, segment, defect),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6(from, to, protocol, segment, defect),
        _ => bail!("{from} and {to} are of different families"),
    }
}

fn ipv4(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpNumber,
    segment: &[u8],
    defect: Defect,
) -> Result<Vec<Vec<u8>>> {
    let packet = |part: &[u8], offset: usize, more: bool, options: &[u8]| -> Result<Vec<u8>> {
        let mut header = Ipv4Header::new(0, HOP_LIMIT, protocol, from.octets(), to.octets())?;
        header.identification = IDENTIFICATION;
        header.dont_fragment = !more && offset == 0;
        header.more_fragments = more;
        header.fragment_offset = IpFragOffset::try_new(u16::try_from(offset / 8)?)?;
        header.options = Ipv4Options::try_from(options)?;
        header.set_payload_len(part.len())?;
        header.header_checksum = header.calc_header_checksum();
        Ok([&header.to_bytes()[..], part].concat())
    };
    Ok(match defect {
        Defect::None => vec![packet(segment, 0, false, &[])?],
        Defect::Fragments => {
            let (first, last) = split(segment)?;
            vec![
                packet(first, 0, true, &[])?,
                packet(last, FIRST_FRAGMENT, false, &[])?,
            ]
        }
        Defect::SourceRoute => {
            // Type, length, pointer past the end, one hop, end of list (RFC 791).
            let [a, b, c, d] = from.octets();
            vec![packet(segment, 0, false, &[131, 7, 8, a, b, c, d, 0])?]
        }
        Defect::ExtensionHeaders(_) | Defect::RoutingHeader0 => bail!("{defect:?} is IPv6's"),
    })
}

fn ipv6(
    from: Ipv6Addr,
    to: Ipv6Addr,
    protocol: IpNumber,
    segment: &[u8],
    defect: Defect,
) -> Result<Vec<Vec<u8>>> {
    let packet = |next: IpNumber, payload: &[u8]| -> Result<Vec<u8>> {
        let header = ipv6_header(from, to, next, payload.len())?;
        Ok([&header.to_bytes()[..], payload].concat())
    };
    Ok(match defect {
        Defect::None => vec![packet(protocol, segment)?],
        Defect::Fragments => {
            let part = |part: &[u8], offset: usize, more: bool| -> Result<Vec<u8>> {
                let header = Ipv6FragmentHeader {
                    next_header: protocol,
                    fragment_offset: IpFragOffset::try_new(u16::try_from(offset / 8)?)?,
                    more_fragments: more,
                    identification: IDENTIFICATION.into(),
                };
                packet(
                    IpNumber::IPV6_FRAGMENTATION_HEADER,
                    &[&header.to_bytes()[..], part].concat(),
                )
            };
            let (first, last) = split(segment)?;
            vec![part(first, 0, true)?, part(last, FIRST_FRAGMENT, false)?]
        }
        Defect::ExtensionHeaders(count) => {
            let mut payload = Vec::new();
            for index in 1..=count {
                let next = if index == count {
                    protocol
                } else {
                    IpNumber::IPV6_DESTINATION_OPTIONS
                };
                // Eight bytes: next header, length 0, one PadN that fills the rest.
                payload.extend([next.0, 0, 1, 4, 0, 0, 0, 0]);
            }
            payload.extend(segment);
            vec![packet(IpNumber::IPV6_DESTINATION_OPTIONS, &payload)?]
        }
        Defect::RoutingHeader0 => {
            // Next header, length 0 (no address), type 0, no segments left.
            let routing = [protocol.0, 0, 0, 0, 0, 0, 0, 0];
            vec![packet(
                IpNumber::IPV6_ROUTE_HEADER,
                &[&routing[..], segment].concat(),
            )?]
        }
        Defect::SourceRoute => bail!("{defect:?} is IPv4's"),
    })
}

fn ipv6_header(from: Ipv6Addr, to: Ipv6Addr, next: IpNumber, length: usize) -> Result<Ipv6Header> {
    Ok(Ipv6Header {
        payload_length: u16::try_from(length)?,
        next_header: next,
        hop_limit: HOP_LIMIT,
        source: from.octets(),
        destination: to.octets(),
        ..Ipv6Header::default()
    })
}

fn split(segment: &[u8]) -> Result<(&[u8], &[u8])> {
    let parts = segment.split_at_checked(FIRST_FRAGMENT);
    parts.context("too little to fragment")
}
