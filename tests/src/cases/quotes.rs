//! What an ICMP error quotes, and whether that was allowed out
//! (`docs/verdicts.md` §7, §9.3; RFC 4890, CVE-2019-5598).

use std::net::IpAddr;

use edge_filter::policy::DropReason::{Default, Malformed};

use super::hosts::{FRIEND, HOST, MONITOR, NEIGHBOUR, PEER, ROUTER, STRANGER, from};
use super::row::{Base, Row};
use crate::craft::{
    Extension, Family, Frame, Ip, Ipv4, Ipv6, Segment, authentication, destination_options, error,
    extension, fragment, hop_by_hop, icmp, icmpv6, raw, routing, sctp, tcp, udp,
};

const RFC: &str = "RFC 4890, CVE-2019-5598; verdicts §7";
const RULES: &str = "verdicts §9.3";

/// The error of this family that says "unreachable".
pub(super) fn unreachable(family: Family, quote: &[u8]) -> Segment {
    error(family, if family == Family::V4 { 3 } else { 1 }, quote)
}

/// A packet from the host to a peer, as it went out.
pub(super) fn sent(family: Family, segment: Segment) -> Ip {
    Ip::new(HOST.address(family), PEER.address(family), segment)
}

/// The host's answer to what `tcp-5061` admits.
pub(super) fn answer() -> Segment {
    tcp().ports(5061, 40_000)
}

/// An error by a router, with the quoted packet as what the rows change.
fn quoting<P: Clone + Into<Ip> + 'static>(family: Family, quoted: P) -> Base<P> {
    Base::within(family.name(), "icmp-error", quoted, move |quoted| {
        let quote = quoted.into().bytes();
        from(ROUTER, family, unreachable(family, &quote)).into()
    })
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        rows.extend(protocols(family));
        rows.extend(addresses(family));
        rows.extend(short(family));
    }
    rows.extend(ipv4_headers());
    rows.extend(ipv6_headers());
    rows
}

fn protocols(family: Family) -> Vec<Row> {
    let base = quoting(family, sent(family, answer()));
    let echo_reply = match family {
        Family::V4 => icmp(0, 0),
        Family::V6 => icmpv6(129, 0),
    };
    let mut rows = Vec::new();
    for (name, segment) in [
        ("tcp", answer()),
        ("tcp-of-8-bytes", answer().keep(8)),
        ("tcp-without-flags", answer().flags(0)),
        ("tcp-data-offset-0", answer().data_offset(0)),
        ("tcp-range", tcp().ports(50_000, 1)),
        ("udp", udp().ports(3478, 40_000)),
        ("udp-length-0", udp().ports(3478, 40_000).udp_length(0)),
        ("sctp", sctp().ports(2905, 2905)),
        ("esp", raw(50, &[0; 8])),
    ] {
        let name = format!("quote/{name}");
        rows.push(base.passes(name, RFC, |packet| packet.segment(segment)));
    }
    for (name, segment) in [
        ("other-port", tcp().ports(22, 40_000)),
        // The rule's port on the outsider's side is no mirror of the rule.
        ("ports-exchanged", tcp().ports(40_000, 5061)),
        ("other-protocol", udp().ports(5061, 40_000)),
        ("port-of-a-drop-rule", tcp().ports(5062, 40_000)),
        ("gre", raw(47, &[0; 8])),
        ("echo-reply", echo_reply.clone()),
        ("protocol-255", answer().as_protocol(255)),
    ] {
        let name = format!("quote/{name}");
        rows.push(base.drops(name, Default, RULES, |packet| packet.segment(segment)));
    }
    // To a host whose pings a rule admits, the reply was allowed out.
    rows.push(
        base.passes("quote/echo-reply-to-a-monitor", RULES, |packet| {
            packet
                .segment(echo_reply)
                .destination(MONITOR.address(family))
        }),
    );
    rows.push(base.passes("quote/anything-to-a-friend", RULES, |packet| {
        packet
            .segment(raw(253, &[0; 8]))
            .destination(FRIEND.address(family))
    }));
    rows.push(
        base.drops("quote/anything-to-a-stranger", Default, RULES, |packet| {
            packet
                .segment(raw(253, &[0; 8]))
                .destination(STRANGER.address(family))
        }),
    );
    rows
}

fn addresses(family: Family) -> Vec<Row> {
    let base = quoting(family, sent(family, answer()));
    let other: IpAddr = match family {
        Family::V4 => "192.0.2.11".parse().expect("an address"),
        Family::V6 => "2001:db8::16".parse().expect("an address"),
    };
    let error = Base::new(family.name(), "icmp-error", {
        from(
            ROUTER,
            family,
            unreachable(family, &sent(family, answer()).bytes()),
        )
    });
    vec![
        // The errors that CVE-2019-5598 is about: the quote was not sent by
        // whom the error is sent to.
        base.drops("quote/source-of-another", Default, RFC, |packet| {
            packet.source(other)
        }),
        base.drops("quote/source-is-the-peer", Default, RFC, |packet| {
            packet
                .source(PEER.address(family))
                .destination(HOST.address(family))
        }),
        error.drops("quote/error-to-another", Default, RFC, |packet| {
            packet.destination(other)
        }),
        error.passes("quote/error-by-the-peer", RFC, |packet| {
            packet.source(PEER.address(family))
        }),
        base.passes("quote/hop-limit-0", RFC, |packet| packet.hop_limit(0)),
        // The martian rules are for packets that arrive, not for what they quote.
        base.passes("quote/sent-to-loopback", RFC, |packet| {
            packet.destination(match family {
                Family::V4 => "127.0.0.1".parse().expect("an address"),
                Family::V6 => "::1".parse().expect("an address"),
            })
        }),
    ]
}

/// Quotes cut short, by the packet and by the frame.
fn short(family: Family) -> Vec<Row> {
    let header = family.header_length();
    let quote = sent(family, answer()).bytes();
    let base = Base::within(family.name(), "icmp-error", quote, move |quote| {
        Frame::from(from(ROUTER, family, unreachable(family, &quote)))
    });
    let mut rows = Vec::new();
    for length in [0, 1, 8, header - 1, header, header + 4, header + 7] {
        rows.push(base.drops(
            format!("quote/of-{length}-bytes"),
            Malformed,
            RFC,
            |mut quote| {
                quote.truncate(length);
                quote
            },
        ));
        rows.push(
            base.frame_drops(format!("quote/cut-at-{length}"), Malformed, RFC, |frame| {
                frame.keep(header + 8 + length)
            }),
        );
    }
    rows.push(base.passes(
        format!("quote/of-{}-bytes", header + 8),
        RFC,
        |mut quote| {
            quote.truncate(header + 8);
            quote
        },
    ));
    // Padding is no quote.
    let padded = Base::within(
        family.name(),
        "icmp-error",
        sent(family, answer()).bytes(),
        move |quote| Frame::from(from(ROUTER, family, unreachable(family, &quote))).pad(40),
    );
    rows.push(padded.drops("quote/in-the-padding", Malformed, RFC, |_| Vec::new()));
    rows.push(
        padded.drops("quote/ports-in-the-padding", Malformed, RFC, |mut quote| {
            quote.truncate(header);
            quote
        }),
    );
    for version in [0, 4, 5, 6, 15] {
        if u8::from(family == Family::V4) * 4 + u8::from(family == Family::V6) * 6 == version {
            continue;
        }
        rows.push(base.drops(
            format!("quote/version-{version}"),
            Malformed,
            RFC,
            |mut quote| {
                quote[0] = version << 4 | quote[0] & 0x0f;
                quote
            },
        ));
    }
    let other = if family == Family::V4 {
        Family::V6
    } else {
        Family::V4
    };
    rows.push(
        base.drops("quote/of-the-other-family", Malformed, RFC, |_| {
            sent(other, answer()).bytes()
        }),
    );
    rows
}

fn ipv4_headers() -> Vec<Row> {
    let base = quoting(Family::V4, Ipv4::new(HOST.v4, PEER.v4, answer()));
    let mut rows = Vec::new();
    for ihl in 0..5 {
        let name = format!("quote/ihl-{ihl}");
        rows.push(base.drops(name, Malformed, RFC, |packet| packet.ihl(ihl)));
    }
    // Errors quote as much as fits; the length that was sent may be any.
    for length in [0, 19, 20, 1500] {
        let name = format!("quote/total-length-{length}");
        rows.push(base.passes(name, RFC, |packet| packet.total_length(length)));
    }
    for (name, options) in [
        ("options", vec![1; 8]),
        ("source-route", vec![131, 7, 4, 192, 0, 2, 10, 0]),
        ("broken-option", vec![7, 0, 0, 0]),
        ("ihl-15", vec![1; 40]),
    ] {
        let name = format!("quote/{name}");
        rows.push(base.passes(name, RFC, |packet| packet.options(&options)));
    }
    for (name, field) in [
        ("first", 0x2000),
        ("middle", 0x2010),
        ("last", 0x0010),
        ("offset-1", 0x0001),
    ] {
        let name = format!("quote/{name}-fragment");
        rows.push(base.drops(name, Default, RFC, |packet| packet.fragment(field)));
    }
    rows.extend([
        base.passes("quote/reserved-flag", RFC, |packet| packet.fragment(0x8000)),
        base.drops("quote/ihl-beyond-it", Malformed, RFC, |packet| {
            packet.ihl(15)
        }),
        base.drops("quote/ports-cut-behind-options", Malformed, RFC, |packet| {
            packet.options(&[1; 8]).segment(answer().keep(7))
        }),
        base.passes("quote/ports-behind-options", RFC, |packet| {
            packet.options(&[1; 8]).segment(answer().keep(8))
        }),
        // Read without its options, the quote's ports would be 5061 and 0.
        base.drops("quote/allowed-port-in-front", Default, RFC, |packet| {
            packet
                .options(&[0x13, 0xc5, 0, 0])
                .segment(tcp().ports(22, 40_000))
        }),
        // A fragment whose ports are cut needs them all the same.
        base.drops("quote/fragment-cut", Malformed, RFC, |packet| {
            packet.fragment(0x2000).segment(answer().keep(7))
        }),
    ]);
    rows
}

fn ipv6_headers() -> Vec<Row> {
    let packet = || Ipv6::new(HOST.v6, PEER.v6, answer());
    let base = quoting(Family::V6, packet());
    let options = |count| vec![destination_options(); count];
    let atomic = || fragment(0, false);
    let mut rows = Vec::new();
    let walked: [(&str, Vec<Extension>); 9] = [
        ("hop-by-hop", vec![hop_by_hop()]),
        ("destination-options", options(1)),
        ("8-headers", options(8)),
        ("routing-4", vec![routing(4)]),
        ("atomic-fragment", vec![atomic()]),
        ("authentication", vec![authentication(3)]),
        ("mobility", vec![extension(135)]),
        ("hip", vec![extension(139)]),
        ("shim6", vec![extension(140)]),
    ];
    for (name, chain) in walked {
        let name = format!("quote/{name}");
        rows.push(base.passes(name, RFC, |packet| packet.extensions(chain)));
    }
    let faults: [(&str, Vec<Extension>); 8] = [
        ("9-headers", options(9)),
        (
            "hop-by-hop-second",
            vec![destination_options(), hop_by_hop()],
        ),
        ("first-fragment", vec![fragment(0, true)]),
        ("last-fragment", vec![fragment(16, false)]),
        ("routing-0", vec![routing(0)]),
        (
            "fragment-past-the-end",
            vec![fragment(1, true), options(1)[0].clone().length_field(255)],
        ),
        ("routing-0-past-the-end", vec![routing(0).length_field(255)]),
        ("ninth-past-the-end", {
            let mut chain = options(8);
            chain.push(destination_options().length_field(255));
            chain
        }),
    ];
    for (name, chain) in faults {
        let name = format!("quote/{name}");
        rows.push(base.drops(name, Default, RFC, |packet| packet.extensions(chain)));
    }
    for length in [0, 1, 1400, 0xffff] {
        let name = format!("quote/payload-length-{length}");
        rows.push(base.passes(name, RFC, |packet| packet.payload_length(length)));
    }
    rows.extend([
        base.drops("quote/no-next-header", Default, RFC, |packet| {
            packet.segment(answer().as_protocol(59))
        }),
        base.drops("quote/atomic-twice", Malformed, RFC, |packet| {
            packet.extensions([atomic(), atomic()])
        }),
        base.drops("quote/extension-past-the-end", Malformed, RFC, |packet| {
            packet.extensions([destination_options().length_field(255)])
        }),
        base.drops(
            "quote/authentication-past-the-end",
            Malformed,
            RFC,
            |packet| packet.extensions([authentication(3).length_field(255)]),
        ),
        base.drops("quote/extension-cut", Malformed, RFC, |packet| {
            packet.segment(raw(60, &[6, 0, 1, 4, 0, 0, 0]))
        }),
        base.drops("quote/ports-cut-behind-options", Malformed, RFC, |packet| {
            packet.extensions(options(1)).segment(answer().keep(7))
        }),
        base.passes("quote/ports-behind-options", RFC, |packet| {
            packet.extensions(options(1)).segment(answer().keep(8))
        }),
        base.drops("quote/other-port-behind-options", Default, RFC, |packet| {
            packet
                .extensions(options(1))
                .segment(tcp().ports(22, 40_000))
        }),
        base.drops("quote/from-a-neighbour", Default, RFC, |packet| {
            packet.source(NEIGHBOUR)
        }),
    ]);
    // The error itself may stand behind extension headers.
    let outer = Ipv6::new(
        ROUTER.v6,
        HOST.v6,
        unreachable(Family::V6, &packet().bytes()),
    );
    let outer = Base::new("ipv6", "icmp-error", outer);
    rows.push(outer.passes("quote/error-behind-options", RFC, |error| {
        error.extensions([hop_by_hop(), destination_options()])
    }));
    rows
}
