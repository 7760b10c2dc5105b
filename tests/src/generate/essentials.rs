//! Frames that hosts and networks say to each other beside the traffic that
//! rules are about, right and slightly wrong.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edge_filter::policy::{Policy, Rule};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::draft::{DESTINATION_MAC, Draft, SOURCE_MAC, ethernet};
use super::flow::Flow;
use super::{Dice, any, bytes, chance};

const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

/// ARP, right or with a byte that is not.
pub(super) fn arp(dice: &mut Dice) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, any(dice, &[1, 2])];
    packet.extend(SOURCE_MAC);
    packet.extend([192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10]);
    if chance(dice, 30) {
        let wrong = dice.random_range(0..14);
        packet[wrong] ^= 1 << dice.random_range(0..8);
    }
    ethernet(DESTINATION_MAC, &[], 0x0806, &packet)
}

/// Link control, or what nearly is.
pub(super) fn link_control(dice: &mut Dice) -> Vec<u8> {
    let destination = [
        0x01,
        0x80,
        0xc2,
        0,
        0,
        any(dice, &[0x00, 0x02, 0x0e, 0x0f, 0x10]),
    ];
    if chance(dice, 40) {
        let llc = any(dice, &[[0x42, 0x42, 3], [0x42, 0x42, 4], [0xaa, 0xaa, 3]]);
        let size = any(dice, &[2, 3, 3, 3]);
        let length = any(dice, &[3, 38, 0x05ff, 0x0600]);
        return ethernet(destination, &[], length, &llc[..size]);
    }
    let ethertype = any(dice, &[0x8809, 0x888e, 0x88cc, 0x88cd]);
    let payload = bytes(dice, 20);
    ethernet(destination, &[], ethertype, &payload)
}

/// Neighbour and listener discovery, from whom it may come and from others.
pub(super) fn discovery(dice: &mut Dice, policy: &Policy) -> Draft {
    let kind = any(
        dice,
        &[130, 131, 132, 133, 134, 135, 136, 137, 138, 142, 143],
    );
    let expected = if (133..=137).contains(&kind) { 255 } else { 1 };
    let router = policy.essentials.router_advertisements.choose(dice);
    let source = match (router, dice.random_range(0..4)) {
        (Some(network), 0..2) => network.network(),
        (_, 2) => Ipv6Addr::UNSPECIFIED.into(),
        _ => LINK_LOCAL.into(),
    };
    let flow = Flow {
        source,
        destination: ALL_NODES.into(),
        protocol: 58,
        ports: None,
    };
    let mut draft = Draft::of(dice, &flow);
    draft.hop_limit = if chance(dice, 80) {
        expected
    } else {
        any(dice, &[0, 1, 64, 254])
    };
    draft.payload = vec![kind, u8::from(chance(dice, 10)), 0, 0, 0, 0, 0, 0];
    draft.payload.extend(bytes(dice, 16));
    draft
}

/// Echo requests and replies, of both families.
pub(super) fn ping(dice: &mut Dice) -> Draft {
    let (source, destination, protocol, kinds): (IpAddr, IpAddr, u8, [u8; 2]) = if chance(dice, 50)
    {
        ([198, 51, 100, 1].into(), [192, 0, 2, 10].into(), 1, [8, 0])
    } else {
        (LINK_LOCAL.into(), ALL_SERVERS.into(), 58, [128, 129])
    };
    let mut draft = Draft::of(
        dice,
        &Flow {
            source,
            destination,
            protocol,
            ports: None,
        },
    );
    draft.payload[0] = any(dice, &kinds);
    draft
}

/// DHCP of both families, in either direction, with now and then the ports of
/// the other.
pub(super) fn dhcp(dice: &mut Dice) -> Draft {
    let ipv4 = chance(dice, 50);
    let ports_of_ipv4 = if chance(dice, 90) { ipv4 } else { !ipv4 };
    let mut ports = if ports_of_ipv4 { (67, 68) } else { (547, 546) };
    let (source, destination): (IpAddr, IpAddr) = if ipv4 {
        let nobody = chance(dice, 50);
        let source = if nobody {
            Ipv4Addr::UNSPECIFIED
        } else {
            Ipv4Addr::new(192, 0, 2, 1)
        };
        (source.into(), Ipv4Addr::BROADCAST.into())
    } else {
        (LINK_LOCAL.into(), ALL_SERVERS.into())
    };
    if chance(dice, 50) {
        ports = (ports.1, ports.0);
    }
    Draft::of(
        dice,
        &Flow {
            source,
            destination,
            protocol: 17,
            ports: Some(ports),
        },
    )
}

/// An ICMP error about a packet whose mirror `rule` mostly matches.
pub(super) fn icmp_error(dice: &mut Dice, rule: &Rule, others: &[&Rule]) -> Option<Draft> {
    let mirrored = if chance(dice, 80) {
        Flow::inside(dice, rule, others)?
    } else {
        Flow::beside(dice, rule, others)?
    };
    let mut sent = Draft::of(dice, &mirrored.reversed());
    let (receiver, router): (_, IpAddr) = (sent.source, router(sent.is_ipv4()));
    match dice.random_range(0..12) {
        0 => sent.fragment = any(dice, &[0x2000, 1]),
        1 => super::faults::extend(dice, &mut sent),
        2 => sent.source = sent.destination,
        _ => {}
    }
    let mut quoted = sent.packet();
    match dice.random_range(0..12) {
        0 => quoted.truncate(dice.random_range(0..=quoted.len())),
        1 => quoted[0] ^= 1 << dice.random_range(0..8),
        2 => quoted.truncate(if sent.is_ipv4() { 28 } else { 48 }),
        _ => {}
    }
    let (protocol, kinds): (u8, &[u8]) = if sent.is_ipv4() {
        (1, &[3, 11, 12, 4])
    } else {
        (58, &[1, 2, 3, 4])
    };
    let flow = Flow {
        source: router,
        destination: receiver,
        protocol,
        ports: None,
    };
    let mut error = Draft::of(dice, &flow);
    error.payload = vec![any(dice, kinds), any(dice, &[0, 1, 4]), 0, 0, 0, 0, 5, 0];
    error.payload.append(&mut quoted);
    Some(error)
}

fn router(ipv4: bool) -> IpAddr {
    if ipv4 {
        Ipv4Addr::new(198, 18, 0, 1).into()
    } else {
        LINK_LOCAL.into()
    }
}
