//! Cases for hooks that differ from the others: outbound ones, those that see
//! super-packets, and those that see frames shorter than Ethernet's header.

use std::net::Ipv4Addr;

use edge_filter::policy::DropReason::{Default, Essentials, Malformed, Martian};

use super::hosts::{HOST, PEER, ROUTER, from};
use super::policies::{ANYTHING, ANYTHING_OUT, Kind};
use super::row::{Base, Row};
use super::{Case, derive};
use crate::craft::{
    Family, Ip, Ipv6, Neighbour, Segment, echo, error, hop_by_hop, icmp, icmpv6, neighbour, tcp,
    udp,
};

const SOFTWARE: &str = "verdicts §3";
const OUTBOUND: &str = "verdicts §8.3, §9, §10";

fn finished(rows: Vec<Row>) -> Vec<Case> {
    let written: Vec<Case> = rows.into_iter().flat_map(Row::with_tags).collect();
    ordered(written.iter().flat_map(derive::variants).collect())
}

fn ordered(mut cases: Vec<Case>) -> Vec<Case> {
    cases.sort_by_key(|case| case.policy);
    cases
}

/// Frames of 0 to 13 bytes. `BPF_PROG_TEST_RUN` refuses them, and so does
/// Linux before it asks a program; a parser on its own must not accept them.
#[must_use]
pub fn runts() -> Vec<Case> {
    let base = Base::new("ethernet", "tcp-5061", from(PEER, Family::V4, tcp())).with_own_tags();
    let runt = |end| {
        base.frame_drops(format!("runt-of-{end}"), Malformed, "verdicts §1.1", |f| {
            f.cut(end)
        })
    };
    finished((0..14).map(runt).collect())
}

/// Packets too large for their own length field, which is then 0. `software`
/// says whether the hook runs where such packets exist.
#[must_use]
pub fn super_packets(software: bool) -> Vec<Case> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        // What the limit of 65,535 is counted over, besides data.
        let headers = match family {
            Family::V4 => 20 + 20,
            Family::V6 => 20,
        };
        let base = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp()));
        let sized = |bytes: usize| from(PEER, family, tcp().data(&vec![0; bytes - headers]));
        let zero = |packet: Ip| match packet {
            Ip::V4(packet) => Ip::V4(packet.total_length(0)),
            Ip::V6(packet) => Ip::V6(packet.payload_length(0)),
        };
        for bytes in [65_536, 70_000] {
            let name = format!("super-packet/of-{bytes}");
            rows.push(if software {
                base.passes(name, SOFTWARE, |_| zero(sized(bytes)))
            } else {
                base.drops(name, Malformed, SOFTWARE, |_| zero(sized(bytes)))
            });
        }
        rows.extend([
            base.drops("super-packet/of-65535", Malformed, SOFTWARE, |_| {
                zero(sized(65_535))
            }),
            base.drops("super-packet/small", Malformed, SOFTWARE, zero),
            base.passes("super-packet/length-without-need", SOFTWARE, |_| {
                sized(70_000).declares(20)
            }),
            base.drops(
                "super-packet/length-of-a-cut-segment",
                Malformed,
                SOFTWARE,
                |_| sized(70_000).declares(19),
            ),
        ]);
        if software {
            let other = tcp().to_port(22).data(&vec![0; 70_000]);
            rows.push(
                base.drops("super-packet/other-port", Default, SOFTWARE, |packet| {
                    zero(packet.segment(other))
                }),
            );
        }
    }
    let chained = Ipv6::new(PEER.v6, HOST.v6, tcp()).extensions([hop_by_hop()]);
    let chained = Base::new("ipv6", "tcp-5061", chained);
    let large = |packet: Ipv6| {
        packet
            .segment(tcp().data(&vec![0; 66_000]))
            .payload_length(0)
    };
    rows.push(if software {
        chained.passes("super-packet/behind-hop-by-hop", SOFTWARE, large)
    } else {
        chained.drops("super-packet/behind-hop-by-hop", Malformed, SOFTWARE, large)
    });
    finished(rows)
}

/// Cases for the outbound hook of the same role, under the same policies, and
/// where that hook only tracks.
#[must_use]
pub fn outbound() -> Vec<Case> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        let https = || tcp().to_port(443);
        let sent =
            move |segment: Segment| Ip::new(HOST.address(family), PEER.address(family), segment);
        let base = Base::new(family.name(), "out-tcp-443", sent(https()));
        let ping = echo(family);
        let (reply, kind) = match family {
            Family::V4 => (icmp(0, 0), 3),
            Family::V6 => (icmpv6(129, 0), 1),
        };
        // A packet that came in, and the host's complaint about it.
        let came = |segment| Ip::new(PEER.address(family), HOST.address(family), segment).bytes();
        let (server, client) = if family == Family::V4 {
            (67, 68)
        } else {
            (547, 546)
        };
        let allowed =
            Base::new(family.name(), "ping", sent(reply.clone())).under(Kind::AllEssentials);
        rows.extend([
            // `protects` guards what comes in.
            base.passes("outbound/from-the-protected", OUTBOUND, |packet| packet),
            base.drops("outbound/inbound-rule", Default, OUTBOUND, |p| {
                p.segment(tcp())
            }),
            base.denied_by(
                "outbound/drop-rule",
                "out-tcp-8443-no",
                OUTBOUND,
                |packet| packet.segment(tcp().to_port(8443)),
            ),
            base.drops("outbound/land", Martian, OUTBOUND, |packet| {
                packet.destination(HOST.address(family))
            }),
            base.drops("outbound/reply-to-a-ping", Default, OUTBOUND, |p| {
                p.segment(reply)
            }),
            allowed.passes("outbound/ping-reply", OUTBOUND, |packet| packet),
            allowed.drops("outbound/ping-request", Default, OUTBOUND, |p| {
                p.segment(ping)
            }),
            allowed.counts("outbound/dhcp-client", "dhcp-client", OUTBOUND, |packet| {
                packet.segment(udp().ports(client, server))
            }),
            // A rule of this hook allows what the error mirrors, but nobody has opened
            // that conversation.
            base.drops(
                "outbound/error-about-an-answer",
                Default,
                OUTBOUND,
                |packet| packet.segment(error(family, kind, &came(tcp().ports(443, 40_000)))),
            ),
            // The question was one that outsiders may ask.
            base.counts(
                "outbound/error-about-a-question",
                "icmp-error",
                OUTBOUND,
                |packet| packet.segment(error(family, kind, &came(tcp()))),
            ),
        ]);
    }
    // No essential admits what a server says.
    let asked = Ip::new(HOST.v6.into(), ROUTER.v6.into(), udp().ports(546, 547));
    let asked = Base::new("ipv6", "dhcp-client", asked).under(Kind::AllEssentials);
    rows.push(
        asked.drops("outbound/dhcp-server", Default, OUTBOUND, |packet| {
            packet.segment(udp().ports(547, 546))
        }),
    );
    let discover = Ip::new(HOST.v4.into(), ROUTER.v4.into(), udp().ports(68, 67));
    let discover = Base::new("ipv4", "dhcp-client", discover).under(Kind::AllEssentials);
    rows.push(
        discover.passes("outbound/dhcp-discover", OUTBOUND, |packet| {
            packet
                .source(Ipv4Addr::UNSPECIFIED.into())
                .destination(Ipv4Addr::BROADCAST.into())
        }),
    );
    let nd = Ipv6::new(
        HOST.v6,
        ROUTER.v6,
        neighbour(Neighbour::Solicitation(ROUTER.v6)),
    );
    let nd = Base::new("ipv6", "nd", nd.hop_limit(255));
    rows.push(nd.drops(
        "outbound/solicitation-hop-limit-64",
        Essentials,
        OUTBOUND,
        |packet| packet.hop_limit(64),
    ));
    rows.push(nd.drops(
        "outbound/router-advertisement",
        Essentials,
        OUTBOUND,
        |packet| packet.segment(neighbour(Neighbour::RouterAdvertisement)),
    ));
    let mut cases = finished(rows);
    for case in &mut cases {
        if case.base_counter == ANYTHING {
            case.base_counter = ANYTHING_OUT;
        }
    }
    let tracked: Vec<Case> = cases.iter().map(derive::where_only_tracked).collect();
    cases.extend(tracked);
    ordered(cases)
}
