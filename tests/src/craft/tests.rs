//! The valid frames, as another parser reads them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::{
    Family, Frame, Ip, Ipv4, Ipv6, Tag, authentication, destination_options, echo, fragment,
    hop_by_hop, tcp, udp,
};

const V4: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(198, 51, 100, 7), Ipv4Addr::new(192, 0, 2, 10));
const V6: (Ipv6Addr, Ipv6Addr) = (
    Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10),
);

fn pair(family: Family) -> (IpAddr, IpAddr) {
    match family {
        Family::V4 => (V4.0.into(), V4.1.into()),
        Family::V6 => (V6.0.into(), V6.1.into()),
    }
}

#[test]
fn transport_checksums_are_what_etherparse_computes() {
    for family in Family::BOTH {
        let (source, destination) = pair(family);
        for segment in [
            tcp().tcp_options(3),
            udp(),
            echo(family),
            tcp().data(&[7; 5]),
        ] {
            let frame = Frame::from(Ip::new(source, destination, segment)).bytes();
            let packet = SlicedPacket::from_ethernet(&frame).expect("a valid frame");
            let net = packet.net.expect("a network header");
            let transport = packet.transport.expect("a transport header");
            let (written, computed) = match (&transport, &net) {
                (TransportSlice::Tcp(slice), NetSlice::Ipv4(_)) => (
                    slice.checksum(),
                    slice.calc_checksum_ipv4(V4.0.octets(), V4.1.octets()),
                ),
                (TransportSlice::Tcp(slice), NetSlice::Ipv6(_)) => (
                    slice.checksum(),
                    slice.calc_checksum_ipv6(V6.0.octets(), V6.1.octets()),
                ),
                (TransportSlice::Udp(slice), NetSlice::Ipv4(ip)) => (
                    slice.checksum(),
                    slice
                        .to_header()
                        .calc_checksum_ipv4(&ip.header().to_header(), slice.payload()),
                ),
                (TransportSlice::Udp(slice), NetSlice::Ipv6(ip)) => (
                    slice.checksum(),
                    slice
                        .to_header()
                        .calc_checksum_ipv6(&ip.header().to_header(), slice.payload()),
                ),
                (TransportSlice::Icmpv4(slice), _) => (
                    slice.checksum(),
                    Ok(slice.icmp_type().calc_checksum(slice.payload())),
                ),
                (TransportSlice::Icmpv6(slice), NetSlice::Ipv6(_)) => {
                    assert!(slice.is_checksum_valid(V6.0.octets(), V6.1.octets()));
                    continue;
                }
                other => panic!("unexpected headers: {other:?}"),
            };
            assert_eq!(
                written,
                computed.expect("a length that fits"),
                "{transport:?}"
            );
        }
    }
}

#[test]
fn ipv4_options_and_header_checksum_are_valid() {
    let frame = Frame::from(Ipv4::new(V4.0, V4.1, udp()).options(&[1, 148, 4, 0, 0])).bytes();
    let packet = SlicedPacket::from_ethernet(&frame).expect("a valid frame");
    let Some(NetSlice::Ipv4(ip)) = packet.net else {
        panic!("no IPv4: {packet:?}")
    };
    let header = ip.header().to_header();
    assert_eq!(header.ihl(), 7);
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    assert!(matches!(packet.transport, Some(TransportSlice::Udp(_))));
}

#[test]
fn extension_chains_lead_to_the_transport_header() {
    let chain = [
        hop_by_hop(),
        destination_options().longer(2),
        fragment(0, false),
        authentication(3),
    ];
    let packet = Ipv6::new(V6.0, V6.1, tcp()).extensions(chain);
    assert_eq!(packet.header_length(), 40 + 8 + 24 + 8 + 24);
    let frame = Frame::from(packet).bytes();
    let packet = SlicedPacket::from_ethernet(&frame).expect("a valid frame");
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
        panic!("no TCP: {packet:?}")
    };
    assert_eq!((tcp.source_port(), tcp.destination_port()), (40_000, 5061));
}

#[test]
fn tags_stand_outermost_first() {
    let frame = Frame::from(Ipv4::new(V4.0, V4.1, udp())).tags([Tag::dot1ad(200), Tag::dot1q(100)]);
    assert_eq!(frame.network_offset(), 22);
    let frame = frame.bytes();
    assert_eq!(frame[12..18], [0x88, 0xa8, 0, 200, 0x81, 0]);
    let packet = SlicedPacket::from_ethernet(&frame).expect("a valid frame");
    assert_eq!(
        packet
            .vlan_ids()
            .iter()
            .map(|id| id.value())
            .collect::<Vec<_>>(),
        [200, 100]
    );
}
