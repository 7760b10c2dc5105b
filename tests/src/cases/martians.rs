//! Sources that cannot be sources, land, and the role's `protects` (BCP 38;
//! `docs/verdicts.md` §8).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edge_filter::policy::DropReason::{Default, Essentials, Malformed, Martian, TcpFlags};

use super::hosts::{ALL_NODES, FRIEND, HOST, NEIGHBOUR, PEER, from};
use super::policies::Kind;
use super::row::{Base, Row};
use crate::craft::{
    Family, Ip, Ipv4, Ipv6, Neighbour, Segment, icmpv6, listener, listener_report, neighbour, raw,
    tcp, udp,
};

const RFC: &str = "BCP 38, RFC 6890; verdicts §8.1";
const LAND: &str = "verdicts §8.2";
const PROTECTS: &str = "BCP 38; verdicts §8.3";
const DHCP: &str = "RFC 2131; verdicts §8.1";
const DAD: &str = "RFC 4862 §5.4; verdicts §8.1";
const MLD: &str = "RFC 3590; verdicts §8.1";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = sources();
    rows.extend(unspecified_v4());
    rows.extend(unspecified_v6());
    rows.extend(land());
    rows.extend(protects());
    rows
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn sources() -> Vec<Row> {
    let martians = [
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "224.0.0.0",
        "224.0.0.1",
        "239.255.255.255",
        "255.255.255.255",
        "0.0.0.0",
        "::1",
        "::",
        "ff00::",
        "ff02::1",
        "ff0e::1",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];
    let others = [
        "126.255.255.255",
        "128.0.0.0",
        "223.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "0.0.0.1",
        "10.0.0.1",
        "169.254.1.1",
        "::2",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "fe80::1",
        "fc00::1",
        "1::",
        "0:0:0:1::1",
    ];
    let mut rows = Vec::new();
    for family in Family::BOTH {
        let of_family = |source: &IpAddr| source.is_ipv4() == (family == Family::V4);
        for (name, counter, segment) in [
            ("tcp", "tcp-5061", tcp()),
            ("udp", "udp-3478", udp()),
            ("esp", "esp", raw(50, &[0; 8])),
        ] {
            let base = Base::new(family.name(), counter, from(PEER, family, segment));
            for source in martians.map(address).into_iter().filter(of_family) {
                let name = format!("martian/{name}-from-{source}");
                rows.push(base.drops(name, Martian, RFC, |packet| packet.source(source)));
            }
            for source in others.map(address).into_iter().filter(of_family) {
                let name = format!("martian/{name}-not-from-{source}");
                rows.push(base.passes(name, RFC, |packet| packet.source(source)));
            }
        }
        let base = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp()));
        let loopback = address(if family == Family::V4 {
            "127.0.0.1"
        } else {
            "::1"
        });
        rows.extend([
            // The first fault decides.
            base.drops("martian/cut", Malformed, RFC, |packet| {
                packet.source(loopback).segment(tcp().keep(19))
            }),
            base.drops("martian/tcp-flags", TcpFlags, RFC, |packet| {
                packet.source(loopback).segment(tcp().flags(0))
            }),
            // Only sources are judged.
            base.passes("martian/to-loopback", RFC, |packet| {
                packet.destination(loopback)
            }),
        ]);
    }
    rows
}

fn unspecified_v4() -> Vec<Row> {
    let discover = || udp().ports(68, 67);
    let packet = Ipv4::new(PEER.v4, Ipv4Addr::BROADCAST, discover());
    let base = Base::new("ipv4", "udp-67", packet);
    let from_nowhere = |packet: Ipv4| packet.source(Ipv4Addr::UNSPECIFIED);
    vec![
        base.passes("unspecified/dhcp", DHCP, from_nowhere),
        base.drops("unspecified/from-port-67", Martian, DHCP, |packet| {
            from_nowhere(packet).segment(udp().ports(67, 67))
        }),
        base.drops("unspecified/ports-exchanged", Martian, DHCP, |packet| {
            from_nowhere(packet).segment(udp().ports(67, 68))
        }),
        base.drops("unspecified/to-port-68", Martian, DHCP, |packet| {
            from_nowhere(packet).segment(udp().ports(68, 68))
        }),
        base.drops("unspecified/tcp", Martian, DHCP, |packet| {
            from_nowhere(packet).segment(tcp().ports(68, 67))
        }),
        base.drops("unspecified/dhcp-to-nowhere", Martian, LAND, |packet| {
            from_nowhere(packet).destination(Ipv4Addr::UNSPECIFIED)
        }),
        base.drops("unspecified/dhcp-from-loopback", Martian, DHCP, |packet| {
            packet.source(Ipv4Addr::LOCALHOST)
        }),
    ]
}

fn unspecified_v6() -> Vec<Row> {
    let nd = |segment: Segment, limit| Ipv6::new(NEIGHBOUR, ALL_NODES, segment).hop_limit(limit);
    let solicitation = || neighbour(Neighbour::Solicitation(HOST.v6));
    let from_nowhere = |packet: Ipv6| packet.source(Ipv6Addr::UNSPECIFIED);
    let dad = Base::new("ipv6", "nd", nd(solicitation(), 255));
    let mld = Base::new("ipv6", "mld", nd(listener(131, ALL_NODES), 1));
    let mut rows = vec![
        dad.passes("unspecified/duplicate-address-detection", DAD, from_nowhere),
        // No longer a martian, still a fault.
        dad.drops(
            "unspecified/solicitation-hop-limit-254",
            Essentials,
            DAD,
            |packet| from_nowhere(packet).hop_limit(254),
        ),
        dad.drops(
            "unspecified/solicitation-code-1",
            Essentials,
            DAD,
            |packet| from_nowhere(packet).segment(solicitation().code(1)),
        ),
        dad.drops(
            "unspecified/solicitation-to-nowhere",
            Martian,
            LAND,
            |packet| from_nowhere(packet).destination(Ipv6Addr::UNSPECIFIED),
        ),
        mld.passes("unspecified/listener-report", MLD, from_nowhere),
        mld.passes("unspecified/listener-done", MLD, |packet| {
            from_nowhere(packet).segment(listener(132, ALL_NODES))
        }),
        mld.passes("unspecified/listener-report-2", MLD, |packet| {
            from_nowhere(packet).segment(listener_report(ALL_NODES))
        }),
        mld.drops(
            "unspecified/listener-report-hop-limit-2",
            Default,
            MLD,
            |packet| from_nowhere(packet).hop_limit(2),
        ),
        mld.drops("unspecified/listener-query", Martian, MLD, |packet| {
            from_nowhere(packet).segment(listener(130, ALL_NODES))
        }),
        dad.drops("unspecified/dhcp-ports", Martian, DHCP, |packet| {
            from_nowhere(packet).segment(udp().ports(68, 67))
        }),
    ];
    for (name, segment) in [
        (
            "router-solicitation",
            neighbour(Neighbour::RouterSolicitation),
        ),
        (
            "router-advertisement",
            neighbour(Neighbour::RouterAdvertisement),
        ),
        (
            "advertisement",
            neighbour(Neighbour::Advertisement(HOST.v6)),
        ),
        (
            "redirect",
            neighbour(Neighbour::Redirect(NEIGHBOUR, PEER.v6)),
        ),
        ("echo-request", icmpv6(128, 0)),
    ] {
        rows.push(
            dad.drops(format!("unspecified/{name}"), Martian, DAD, |packet| {
                from_nowhere(packet).segment(segment)
            }),
        );
    }
    rows
}

fn land() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        for kind in [Kind::Standard, Kind::Trusted] {
            let trust = if kind == Kind::Trusted {
                "trusted"
            } else {
                "untrusted"
            };
            for (name, counter, segment) in [
                ("tcp", "tcp-5061", tcp()),
                ("same-ports", "tcp-5061", tcp().ports(5061, 5061)),
                ("udp", "udp-3478", udp()),
                ("esp", "esp", raw(50, &[0; 8])),
            ] {
                let base =
                    Base::new(family.name(), counter, from(PEER, family, segment)).under(kind);
                for (whose, host) in [("peer", PEER), ("host", HOST)] {
                    let name = format!("land/{trust}-{name}-of-the-{whose}");
                    rows.push(base.drops(name, Martian, LAND, |packet| {
                        packet
                            .source(host.address(family))
                            .destination(host.address(family))
                    }));
                }
            }
        }
        let friend = Base::new(
            family.name(),
            "friend",
            from(FRIEND, family, tcp().to_port(1)),
        );
        rows.push(friend.drops("land/friend", Martian, LAND, |packet| {
            packet.destination(FRIEND.address(family))
        }));
    }
    // The last bit decides.
    let base = Base::new("ipv4", "tcp-5061", from(PEER, Family::V4, tcp()));
    rows.push(base.passes("land/neighbouring-address", LAND, |packet| {
        packet.destination(address("198.51.100.6"))
    }));
    let base = Base::new("ipv6", "tcp-5061", from(PEER, Family::V6, tcp()));
    for destination in ["2001:db8:100::6", "2001:db9:100::7", "2001:db8:100:0:1::7"] {
        rows.push(
            base.passes(format!("land/not-{destination}"), LAND, |packet: Ip| {
                packet.destination(address(destination))
            }),
        );
    }
    rows
}

fn protects() -> Vec<Row> {
    let mut rows = Vec::new();
    for (family, inside, outside) in [
        (
            Family::V4,
            ["192.0.2.8", "192.0.2.15"],
            ["192.0.2.7", "192.0.2.16"],
        ),
        (
            Family::V6,
            ["2001:db8::10", "2001:db8::1f"],
            ["2001:db8::f", "2001:db8::20"],
        ),
    ] {
        let untrusted = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp()));
        let trusted =
            Base::new(family.name(), "tcp-5061", from(PEER, family, tcp())).under(Kind::Trusted);
        for source in inside {
            rows.push(
                untrusted.drops(format!("protects/from-{source}"), Martian, PROTECTS, |p| {
                    p.source(address(source))
                }),
            );
            rows.push(
                trusted.passes(format!("protects/trusted-from-{source}"), PROTECTS, |p| {
                    p.source(address(source))
                }),
            );
        }
        for source in outside {
            rows.push(
                untrusted.passes(format!("protects/not-from-{source}"), PROTECTS, |p| {
                    p.source(address(source))
                }),
            );
        }
        let loopback = address(if family == Family::V4 {
            "127.0.0.1"
        } else {
            "::1"
        });
        rows.push(
            trusted.drops("martian/trusted-from-loopback", Martian, RFC, |packet| {
                packet.source(loopback)
            }),
        );
    }
    // It stands before the essentials.
    let nd = Ipv6::new(
        NEIGHBOUR,
        HOST.v6,
        neighbour(Neighbour::Advertisement(NEIGHBOUR)),
    );
    let nd = Base::new("ipv6", "nd", nd.hop_limit(255));
    rows.push(nd.drops(
        "protects/advertisement-from-inside",
        Martian,
        PROTECTS,
        |packet| packet.source("2001:db8::11".parse().expect("an address")),
    ));
    rows
}
