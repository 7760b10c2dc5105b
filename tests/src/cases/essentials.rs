//! Neighbour discovery, multicast listeners, ping and DHCP (`docs/verdicts.md`
//! §9).

use std::net::Ipv6Addr;

use edge_filter::policy::DropReason::{Default, Essentials, Fragment};

use super::hosts::{ALL_NODES, GATEWAY, HOST, MONITOR, NEIGHBOUR, PEER, ROUTER, from};
use super::policies::Kind;
use super::row::{Base, Row};
use crate::craft::{
    Extension, Family, Ipv6, Neighbour, Segment, destination_options, echo, fragment, hop_by_hop,
    icmp, icmpv6, listener, listener_report, neighbour, tcp, udp,
};

const ND: &str = "RFC 4861; verdicts §9.1";
const RA: &str = "RFC 4861 §6.1.2, §8.1; verdicts §9.1";
const MLD: &str = "RFC 2710, RFC 3810; verdicts §9.2";
const PING: &str = "RFC 792, RFC 4443; verdicts §9.4";
const DHCP: &str = "RFC 2131, RFC 8415; verdicts §9.5";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = neighbours();
    rows.extend(routers());
    rows.extend(listeners());
    rows.extend(pings());
    rows.extend(dhcp());
    rows
}

fn from_link(source: Ipv6Addr, segment: Segment) -> Ipv6 {
    Ipv6::new(source, HOST.v6, segment).hop_limit(255)
}

fn neighbours() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, message) in [
        ("router-solicitation", Neighbour::RouterSolicitation),
        ("solicitation", Neighbour::Solicitation(HOST.v6)),
        ("advertisement", Neighbour::Advertisement(NEIGHBOUR)),
    ] {
        let segment = move || neighbour(message);
        let base = Base::new("ipv6", "nd", from_link(NEIGHBOUR, segment()));
        let mut drops = |fault: &str, change: &dyn Fn(Ipv6) -> Ipv6| {
            rows.push(base.drops(format!("nd/{name}-{fault}"), Essentials, ND, change));
        };
        for limit in [0, 1, 64, 254] {
            drops(&format!("hop-limit-{limit}"), &|packet| {
                packet.hop_limit(limit)
            });
        }
        for code in [1, 255] {
            drops(&format!("code-{code}"), &|packet| {
                packet.segment(segment().code(code))
            });
        }
        let chain = |packet: Ipv6| packet.extensions([hop_by_hop(), destination_options()]);
        drops("hop-limit-254-behind-options", &|packet| {
            chain(packet).hop_limit(254)
        });
        // RFC 4861 has no unicast rule for the source.
        drops("hop-limit-254-from-a-monitor", &|packet| {
            packet.source(MONITOR.v6).hop_limit(254)
        });
        rows.push(base.passes(format!("nd/{name}"), ND, |packet| packet));
        rows.push(base.passes(format!("nd/{name}-behind-options"), ND, chain));
        rows.push(base.passes(format!("nd/{name}-of-8-bytes"), ND, |packet| {
            packet.segment(segment().keep(8))
        }));
        rows.push(base.passes(format!("nd/{name}-global-source"), ND, |p| {
            p.source(ROUTER.v6)
        }));
        rows.push(base.passes(format!("nd/{name}-from-a-monitor"), ND, |p| {
            p.source(MONITOR.v6)
        }));

        let dropped =
            Base::new("ipv6", "icmpv6", from_link(MONITOR.v6, segment())).under(Kind::NoEssentials);
        rows.push(
            dropped.drops(format!("nd/{name}-not-essential"), Default, ND, |packet| {
                packet.source(NEIGHBOUR)
            }),
        );
        rows.push(dropped.drops(
            format!("nd/{name}-not-essential-hop-limit"),
            Essentials,
            ND,
            |p| p.hop_limit(254),
        ));
        rows.push(dropped.drops(
            format!("nd/{name}-not-essential-code"),
            Essentials,
            ND,
            |p| p.segment(segment().code(1)),
        ));
    }
    // Hosts ignore these (RFC 6980 §5); the contract treats an atomic fragment
    // as if its header were not there.
    let base = Base::new(
        "ipv6",
        "nd",
        from_link(NEIGHBOUR, neighbour(Neighbour::Solicitation(HOST.v6))),
    );
    rows.push(base.drops(
        "nd/solicitation-atomic-fragment",
        Essentials,
        "RFC 6980; verdicts §9.1",
        |packet| packet.extensions([fragment(0, false)]),
    ));
    rows.push(base.drops(
        "nd/solicitation-fragment",
        Fragment,
        "RFC 6980; verdicts §5.3",
        |packet| packet.extensions([fragment(0, true)]),
    ));
    // The types beside them are no neighbour discovery.
    let monitor = Base::new("ipv6", "icmpv6", from_link(MONITOR.v6, icmpv6(136, 0)))
        .under(Kind::NoEssentials);
    for kind in [127, 138, 139, 148] {
        rows.push(
            monitor.passes(format!("nd/type-{kind}-hop-limit-64"), ND, |packet| {
                packet.segment(icmpv6(kind, 1)).hop_limit(64)
            }),
        );
    }
    // Under IPv4 the numbers mean nothing.
    let ping = Base::within("ipv4", "icmp", echo(Family::V4), |segment| {
        from(MONITOR, Family::V4, segment).into()
    });
    for kind in 133..=137 {
        rows.push(ping.passes(format!("nd/type-{kind}"), ND, |s| s.icmp_type(kind).code(1)));
    }
    rows
}

fn routers() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, message) in [
        ("router-advertisement", Neighbour::RouterAdvertisement),
        ("redirect", Neighbour::Redirect(GATEWAY, PEER.v6)),
    ] {
        let listed = Base::new("ipv6", "nd", from_link(GATEWAY, neighbour(message)))
            .under(Kind::AllEssentials);
        let without_nd = Base::new("ipv6", "icmpv6", from_link(MONITOR.v6, icmpv6(135, 0)))
            .under(Kind::RoutersWithoutNd);
        let by_default = Base::new("ipv6", "nd", from_link(GATEWAY, icmpv6(135, 0)));
        let none = Base::new("ipv6", "icmpv6", from_link(MONITOR.v6, icmpv6(135, 0)))
            .under(Kind::NoEssentials);
        let code = neighbour(message).code(1);
        rows.extend([
            listed.passes(format!("nd/{name}"), RA, |packet| packet),
            listed.passes(format!("nd/{name}-to-all-nodes"), RA, |p| {
                p.destination(ALL_NODES)
            }),
            listed.drops(format!("nd/{name}-hop-limit-254"), Essentials, RA, |p| {
                p.hop_limit(254)
            }),
            listed.drops(format!("nd/{name}-code-1"), Essentials, RA, |p| {
                p.segment(code)
            }),
            listed.drops(
                format!("nd/{name}-from-another"),
                Essentials,
                RA,
                |packet| packet.source("fe80::2".parse().expect("an address")),
            ),
            listed.drops(
                format!("nd/{name}-from-a-monitor"),
                Essentials,
                RA,
                |packet| packet.source(MONITOR.v6),
            ),
            listed.drops(
                format!("nd/{name}-global-suffix"),
                Essentials,
                RA,
                |packet| packet.source("2001:db8::1".parse().expect("an address")),
            ),
            by_default.drops(
                format!("nd/{name}-no-router-listed"),
                Essentials,
                RA,
                |packet| packet.segment(neighbour(message)),
            ),
            none.drops(
                format!("nd/{name}-not-essential"),
                Essentials,
                RA,
                |packet| packet.segment(neighbour(message)),
            ),
            // A listed router's still needs `nd: allow`, or a rule.
            without_nd.drops(
                format!("nd/{name}-listed-without-nd"),
                Default,
                RA,
                |packet| packet.segment(neighbour(message)).source(GATEWAY),
            ),
            without_nd.drops(
                format!("nd/{name}-not-listed-without-nd"),
                Essentials,
                RA,
                |packet| packet.segment(neighbour(message)),
            ),
        ]);
    }
    rows
}

fn listeners() -> Vec<Row> {
    let packet = |segment| Ipv6::new(NEIGHBOUR, ALL_NODES, segment).hop_limit(1);
    let alert = || {
        // The router alert option, value 0 (RFC 2711), and padding.
        let option: [(usize, u8); 6] = [(2, 5), (3, 2), (4, 0), (5, 0), (6, 1), (7, 0)];
        option
            .into_iter()
            .fold(hop_by_hop(), |header, (at, byte)| header.byte(at, byte))
    };
    let chain = |headers: Vec<Extension>| move |packet: Ipv6| packet.extensions(headers);
    let mut rows = Vec::new();
    for (name, segment) in [
        ("query", listener(130, ALL_NODES)),
        ("report", listener(131, ALL_NODES)),
        ("done", listener(132, ALL_NODES)),
        ("report-2", listener_report(ALL_NODES)),
    ] {
        let base = Base::new("ipv6", "mld", packet(segment.clone()));
        rows.push(base.passes(format!("mld/{name}"), MLD, |packet| packet));
        rows.push(base.passes(
            format!("mld/{name}-router-alert"),
            MLD,
            chain(vec![alert()]),
        ));
        for limit in [0, 2, 64, 255] {
            let name = format!("mld/{name}-hop-limit-{limit}");
            rows.push(base.drops(name, Default, MLD, |packet| packet.hop_limit(limit)));
        }
        rows.push(
            base.counts(format!("mld/{name}-of-a-rule"), "icmpv6", MLD, |packet| {
                packet.source(MONITOR.v6).hop_limit(2)
            }),
        );
        let none = Base::new("ipv6", "icmpv6", packet(segment).source(MONITOR.v6))
            .under(Kind::NoEssentials);
        rows.push(none.drops(
            format!("mld/{name}-not-essential"),
            Default,
            MLD,
            |packet| packet.source(NEIGHBOUR),
        ));
    }
    let base = Base::new("ipv6", "mld", packet(listener(131, ALL_NODES)));
    for kind in [129, 142, 144, 151] {
        rows.push(
            base.drops(format!("mld/type-{kind}"), Default, MLD, |packet| {
                packet.segment(icmpv6(kind, 0))
            }),
        );
    }
    rows.push(base.passes("mld/atomic-fragment", MLD, chain(vec![fragment(0, false)])));
    rows
}

fn pings() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        let (rule, reply, odd) = match family {
            Family::V4 => ("icmp", icmp(0, 0), icmp(13, 0)),
            Family::V6 => ("icmpv6", icmpv6(129, 0), icmpv6(127, 0)),
        };
        let allowed = Base::new(family.name(), "ping", from(PEER, family, echo(family)))
            .under(Kind::AllEssentials);
        let by_rule = Base::new(family.name(), rule, from(MONITOR, family, echo(family)));
        rows.extend([
            allowed.passes("ping/request", PING, |packet| packet),
            allowed.passes("ping/request-of-8-bytes", PING, |packet| {
                packet.segment(echo(family).keep(8))
            }),
            allowed.drops("ping/reply", Default, PING, |packet| packet.segment(reply)),
            allowed.drops("ping/other-type", Default, PING, |packet| {
                packet.segment(odd)
            }),
            by_rule.passes("ping/by-a-rule", PING, |packet| packet),
            by_rule.drops("ping/not-essential", Default, PING, |packet| {
                packet.source(PEER.address(family))
            }),
        ]);
    }
    rows
}

fn dhcp() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        let (server, client) = match family {
            Family::V4 => (67, 68),
            Family::V6 => (547, 546),
        };
        let (other_server, other_client) = if server == 67 { (547, 546) } else { (67, 68) };
        let offer = || udp().ports(server, client);
        let allowed = Base::new(family.name(), "dhcp-client", from(ROUTER, family, offer()))
            .under(Kind::AllEssentials);
        let none = Base::new(family.name(), "tcp-5061", from(ROUTER, family, tcp()));
        let ports = |source, destination| {
            move |packet: crate::craft::Ip| packet.segment(udp().ports(source, destination))
        };
        rows.extend([
            allowed.passes("dhcp/offer", DHCP, |packet| packet),
            allowed.drops(
                "dhcp/other-family",
                Default,
                DHCP,
                ports(other_server, other_client),
            ),
            allowed.drops(
                "dhcp/from-another-port",
                Default,
                DHCP,
                ports(server + 1000, client),
            ),
            allowed.drops(
                "dhcp/to-another-port",
                Default,
                DHCP,
                ports(server, client + 1000),
            ),
            allowed.drops("dhcp/tcp", Default, DHCP, |packet| {
                packet.segment(tcp().ports(server, client))
            }),
            none.drops("dhcp/not-essential", Default, DHCP, ports(server, client)),
        ]);
    }
    rows
}
