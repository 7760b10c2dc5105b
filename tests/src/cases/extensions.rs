//! IPv6 extension headers (RFC 8200 §4; `docs/verdicts.md` §5.3).

use edge_filter::policy::DropReason::{Default, ExtensionHeaders, Malformed};

use super::hosts::{HOST, PEER};
use super::row::{Base, Row};
use crate::craft::{
    Extension, Frame, Ipv6, Segment, authentication, destination_options, extension, fragment,
    hop_by_hop, raw, routing, sctp, tcp, udp,
};

const RFC: &str = "RFC 8200 §4; verdicts §5.3";
const LIMIT: &str = "RFC 7112; verdicts §5.3";
const AH: &str = "RFC 4302 §2.2; verdicts §5.3";

pub(super) fn packet(segment: Segment) -> Ipv6 {
    Ipv6::new(PEER.v6, HOST.v6, segment)
}

pub(super) fn options(count: usize) -> Vec<Extension> {
    vec![destination_options(); count]
}

/// Each header that is walked, once, hop-by-hop first.
fn each() -> Vec<Extension> {
    vec![
        hop_by_hop(),
        destination_options(),
        routing(4),
        fragment(0, false),
        authentication(3),
        extension(135),
        extension(139),
        extension(140),
    ]
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = walked();
    rows.extend(limits());
    rows.extend(lengths());
    rows
}

fn walked() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, counter, segment) in [
        ("tcp", "tcp-5061", tcp()),
        ("udp", "udp-3478", udp()),
        ("sctp", "sctp-2905", sctp()),
        ("esp", "esp", raw(50, &[0; 8])),
    ] {
        let base = Base::new("ipv6", counter, packet(segment));
        for header in each() {
            let name = format!("extension/{name}-behind-{}", header.number());
            rows.push(base.passes(name, RFC, |packet| packet.extensions([header])));
        }
        rows.push(
            base.passes(format!("extension/{name}-behind-each"), RFC, |packet| {
                packet.extensions(each())
            }),
        );
    }
    let base = Base::new("ipv6", "tcp-5061", packet(tcp()));
    // The port of the segment behind the chain decides.
    rows.push(
        base.drops("extension/other-port-behind-each", Default, RFC, |packet| {
            packet.extensions(each()).segment(tcp().to_port(22))
        }),
    );
    // Without an extension header of its own, 50 ends the chain.
    rows.push(
        base.counts("extension/esp-is-not-walked", "esp", RFC, |packet| {
            packet.extensions([extension(50)])
        }),
    );
    for number in [61, 143, 253, 254, 255] {
        rows.push(base.drops(
            format!("extension/{number}-is-not-walked"),
            Default,
            RFC,
            |packet| packet.extensions([extension(number)]),
        ));
    }
    rows
}

fn limits() -> Vec<Row> {
    let base = Base::new("ipv6", "tcp-5061", packet(tcp()));
    let with = |first: Extension, rest: usize| {
        let mut chain = vec![first];
        chain.extend(options(rest));
        chain
    };
    let then = |count: usize, last: Extension| {
        let mut chain = options(count);
        chain.push(last);
        chain
    };
    let mut rows = Vec::new();
    for count in [2, 7, 8] {
        let name = format!("extension/{count}-headers");
        rows.push(base.passes(name, LIMIT, |packet| packet.extensions(options(count))));
    }
    for count in [9, 10, 20, 100] {
        rows.push(base.drops(
            format!("extension/{count}-headers"),
            ExtensionHeaders,
            LIMIT,
            |p| p.extensions(options(count)),
        ));
    }
    rows.extend([
        base.passes("extension/hop-by-hop-and-7", LIMIT, |p| {
            p.extensions(with(hop_by_hop(), 7))
        }),
        base.passes("extension/7-and-atomic-fragment", LIMIT, |packet| {
            packet.extensions(then(7, fragment(0, false)))
        }),
        base.drops(
            "extension/hop-by-hop-and-8",
            ExtensionHeaders,
            LIMIT,
            |packet| packet.extensions(with(hop_by_hop(), 8)),
        ),
        base.drops(
            "extension/8-and-atomic-fragment",
            ExtensionHeaders,
            LIMIT,
            |packet| packet.extensions(then(8, fragment(0, false))),
        ),
        base.drops(
            "extension/8-and-fragment",
            ExtensionHeaders,
            LIMIT,
            |packet| packet.extensions(then(8, fragment(1, true))),
        ),
        base.drops(
            "extension/8-and-routing-0",
            ExtensionHeaders,
            LIMIT,
            |packet| packet.extensions(then(8, routing(0))),
        ),
        // The ninth is not read, so it cannot be cut.
        base.drops("extension/ninth-cut", ExtensionHeaders, LIMIT, |packet| {
            packet.extensions(options(9)).payload_length(8 * 8)
        }),
        base.drops(
            "extension/hop-by-hop-second",
            ExtensionHeaders,
            RFC,
            |packet| packet.extensions([destination_options(), hop_by_hop()]),
        ),
        base.drops(
            "extension/hop-by-hop-twice",
            ExtensionHeaders,
            RFC,
            |packet| packet.extensions([hop_by_hop(), hop_by_hop()]),
        ),
        base.drops(
            "extension/hop-by-hop-behind-fragment",
            ExtensionHeaders,
            RFC,
            |packet| packet.extensions([fragment(0, false), hop_by_hop()]),
        ),
        base.drops(
            "extension/hop-by-hop-second-and-cut",
            ExtensionHeaders,
            RFC,
            |packet| {
                packet
                    .extensions([destination_options(), hop_by_hop()])
                    .payload_length(8)
            },
        ),
    ]);
    rows
}

fn lengths() -> Vec<Row> {
    let base = Base::new("ipv6", "tcp-5061", packet(tcp()));
    let esp = Base::new("ipv6", "esp", packet(raw(50, &[0; 8])));
    let mut rows = Vec::new();
    for number in [0, 43, 60, 135, 139, 140] {
        rows.extend([
            base.passes(format!("extension/{number}-of-256-bytes"), RFC, |packet| {
                packet.extensions([extension(number).longer(31)])
            }),
            base.passes(format!("extension/{number}-of-2048-bytes"), RFC, |packet| {
                packet.extensions([extension(number).longer(255)])
            }),
            base.drops(
                format!("extension/{number}-past-the-end"),
                Malformed,
                RFC,
                |packet| packet.extensions([extension(number).length_field(255)]),
            ),
            // 8 + 20 bytes are there, it says 32.
            base.drops(
                format!("extension/{number}-just-past-the-end"),
                Malformed,
                RFC,
                |packet| packet.extensions([extension(number).length_field(3)]),
            ),
            base.drops(
                format!("extension/{number}-over-the-segment"),
                Malformed,
                RFC,
                |packet| packet.extensions([extension(number).length_field(1)]),
            ),
        ]);
    }
    for number in [0, 43, 44, 51, 60, 135, 139, 140] {
        for end in [1, 7] {
            rows.push(base.drops(
                format!("extension/{number}-ends-at-{end}"),
                Malformed,
                RFC,
                |p| {
                    p.extensions([extension(number).length_field(0)])
                        .payload_length(end)
                },
            ));
        }
        rows.push(base.frame_drops(
            format!("extension/{number}-cut-in-the-frame"),
            Malformed,
            RFC,
            |_| Frame::from(packet(tcp()).extensions([extension(number)])).keep(47),
        ));
    }
    for header in each() {
        let name = format!("extension/{}-and-nothing-behind", header.number());
        rows.push(base.drops(name, Malformed, RFC, |packet| {
            packet.extensions([header]).segment(raw(6, &[]))
        }));
    }
    rows.extend([
        // Nothing is left for ESP, and it needs nothing.
        esp.passes("extension/to-the-very-end", RFC, |packet| {
            packet
                .extensions([destination_options()])
                .segment(raw(50, &[]))
        }),
        esp.passes("extension/over-esp-to-the-very-end", RFC, |packet| {
            packet.extensions([destination_options().length_field(1)])
        }),
        // Its length counts words of four bytes, beginning with two.
        base.passes("extension/authentication-of-12-bytes", AH, |packet| {
            packet.extensions([authentication(0)])
        }),
        base.passes("extension/authentication-of-28-bytes", AH, |packet| {
            packet.extensions([authentication(4)])
        }),
        base.passes("extension/authentication-of-8-bytes", AH, |packet| {
            packet.extensions([extension(51)])
        }),
        base.passes("extension/authentication-of-1028-bytes", AH, |packet| {
            packet.extensions([authentication(254)])
        }),
        base.drops(
            "extension/authentication-past-the-end",
            Malformed,
            AH,
            |packet| packet.extensions([authentication(3).length_field(255)]),
        ),
        // 12 + 20 bytes are there, it says 36.
        base.drops(
            "extension/authentication-just-past-the-end",
            Malformed,
            AH,
            |packet| packet.extensions([authentication(0).length_field(7)]),
        ),
    ]);
    rows
}
