//! Rules and the default, where they meet hostile frames: first match, drop
//! rules, the edges of ranges, and tunnels (`docs/verdicts.md` §10).

use edge_filter::policy::DropReason::{Default, TcpFlags};

use super::hosts::{FRIEND, HOST, MONITOR, PEER, STRANGER, from};
use super::policies::Kind;
use super::quotes::{sent, unreachable};
use super::row::{Base, Row};
use crate::craft::{Family, Ip, icmp, icmpv6, raw, sctp, tcp, udp};

const RULES: &str = "verdicts §10";
const AUDIT: &str = "verdicts §9.3, §10.1";
const TUNNELS: &str = "CVE-2020-10136; verdicts §6, §10";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        rows.extend(matching(family));
        rows.extend(audited_group(family));
        rows.extend(tunnels(family));
    }
    rows
}

fn matching(family: Family) -> Vec<Row> {
    let to = |port| move |packet: Ip| packet.segment(tcp().to_port(port));
    let range = Base::new(
        family.name(),
        "tcp-range",
        from(PEER, family, tcp().to_port(55_000)),
    );
    let port = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp()));
    let friend = Base::new(
        family.name(),
        "friend",
        from(FRIEND, family, tcp().to_port(1)),
    );
    let other_icmp = match family {
        Family::V4 => icmpv6(128, 0),
        Family::V6 => icmp(8, 0),
    };
    let mut rows = vec![
        // The drop rule stands first, though the next one holds the port too.
        port.denied_by("rule/drop-first", "tcp-5062-no", RULES, to(5062)),
        port.drops("rule/port-below", Default, RULES, to(5060)),
        port.drops("rule/port-above", Default, RULES, to(5063)),
        // 5061 with its bytes swapped lies in the other rule's range.
        port.counts(
            "rule/port-swapped",
            "tcp-range",
            RULES,
            to(5061_u16.swap_bytes()),
        ),
        port.drops("rule/port-only-as-source", Default, RULES, |packet| {
            packet.segment(tcp().ports(5061, 40_000))
        }),
        port.drops("rule/other-protocol", Default, RULES, |packet| {
            packet.segment(udp().to_port(5061))
        }),
        port.drops("rule/sctp-to-a-port-of-tcp", Default, RULES, |packet| {
            packet.segment(sctp().to_port(5061))
        }),
        port.denied_by("rule/drop-beats-a-friend", "tcp-5062-no", RULES, |packet| {
            to(5062)(packet).source(FRIEND.address(family))
        }),
        range.passes("rule/range-begins", RULES, to(50_000)),
        range.passes("rule/range-ends", RULES, to(59_999)),
        range.drops("rule/range-below", Default, RULES, to(49_999)),
        range.drops("rule/range-above", Default, RULES, to(60_000)),
        friend.passes("rule/port-65535", RULES, to(0xffff)),
        friend.passes("rule/port-0", RULES, to(0)),
        friend.drops("rule/excepted-source", Default, RULES, |packet| {
            packet.source(STRANGER.address(family))
        }),
        friend.counts("rule/icmp-of-a-friend", "friend", RULES, |packet| {
            packet.segment(icmp(8, 0).as_protocol(if family == Family::V4 { 1 } else { 58 }))
        }),
    ];
    // A rule for one family's ICMP does not hold for the other's number.
    let monitor = match family {
        Family::V4 => ("icmp", icmp(8, 0)),
        Family::V6 => ("icmpv6", icmpv6(128, 0)),
    };
    let monitor = Base::new(family.name(), monitor.0, from(MONITOR, family, monitor.1));
    let counter = if family == Family::V4 {
        "icmpv6"
    } else {
        "icmp"
    };
    rows.push(
        monitor.counts("rule/icmp-of-the-other-family", counter, RULES, |packet| {
            packet.segment(other_icmp)
        }),
    );
    rows
}

/// Drop rules in audit mode: they pass, they end the search, and they admit no
/// errors about what they let pass. Nothing else is audited.
fn audited_group(family: Family) -> Vec<Row> {
    let base =
        Base::new(family.name(), "tcp-5061", from(PEER, family, tcp())).under(Kind::AuditedGroup);
    let error = unreachable(family, &sent(family, tcp().ports(5062, 1)).bytes());
    vec![
        base.counts(
            "audited-group/drop-rule",
            "audit:tcp-5062-no",
            AUDIT,
            |packet| packet.segment(tcp().to_port(5062)),
        ),
        base.drops("audited-group/error-about-it", Default, AUDIT, |packet| {
            packet.segment(error)
        }),
        base.drops("audited-group/other-port", Default, AUDIT, |packet| {
            packet.segment(tcp().to_port(5060))
        }),
        base.drops("audited-group/fault", TcpFlags, AUDIT, |packet| {
            packet.segment(tcp().to_port(5062).flags(0))
        }),
    ]
}

/// Only the outer header counts: what is inside neither admits nor condemns.
fn tunnels(family: Family) -> Vec<Row> {
    let good = Ip::new(PEER.v4.into(), HOST.v4.into(), tcp()).bytes();
    let good_v6 = Ip::new(PEER.v6.into(), HOST.v6.into(), tcp()).bytes();
    let martian = Ip::new(HOST.v4.into(), HOST.v4.into(), tcp().flags(0)).bytes();
    let header = |header: &[u8], inner: &[u8]| [header, inner].concat();
    // VXLAN: the flag and a network identifier, then a frame.
    let vxlan = header(
        &[8, 0, 0, 0, 0, 0, 1, 0],
        &crate::craft::Frame::new(0x0800, good.clone()).bytes(),
    );
    let peer = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp()));
    let friend = Base::new(
        family.name(),
        "friend",
        from(FRIEND, family, tcp().to_port(1)),
    );
    let mut rows = Vec::new();
    for (name, segment) in [
        ("ipip", raw(4, &good)),
        ("ipv6-inside", raw(41, &good_v6)),
        ("gre", raw(47, &header(&[0, 0, 8, 0], &good))),
        ("gre-ethernet", raw(47, &header(&[0, 0, 0x65, 0x58], &good))),
        ("ethernet-inside", raw(97, &good)),
        ("mpls-inside", raw(137, &good)),
        ("vxlan", udp().to_port(4789).data(&vxlan)),
        ("teredo", udp().to_port(3544).data(&good_v6)),
    ] {
        rows.push(peer.drops(
            format!("tunnel/{name}-admits-nothing"),
            Default,
            TUNNELS,
            |packet| packet.segment(segment),
        ));
    }
    for (name, segment) in [
        ("ipip", raw(4, &martian)),
        ("ipip-cut", raw(4, &martian[..7])),
        ("ipv6-inside", raw(41, &martian)),
        ("gre", raw(47, &header(&[0, 0, 8, 0], &martian))),
        ("gre-cut", raw(47, &[0])),
        ("vxlan", udp().to_port(4789).data(&martian)),
    ] {
        rows.push(friend.passes(
            format!("tunnel/{name}-condemns-nothing"),
            TUNNELS,
            |packet| packet.segment(segment),
        ));
    }
    rows
}
