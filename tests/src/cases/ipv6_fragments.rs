//! IPv6 fragment headers, routing headers and the end of all headers (RFC 8200
//! §4.4, §4.5, §4.7; `docs/verdicts.md` §5.3).

use edge_filter::policy::DropReason::{Fragment, Malformed, NoNextHeader, Options};

use super::extensions::{options, packet};
use super::row::{Base, Row};
use crate::craft::{
    Extension, destination_options, extension, fragment, hop_by_hop, raw, routing, tcp, udp,
};

const RFC: &str = "RFC 8200 §4.4; verdicts §5.3";
const FRAGMENTS: &str = "RFC 7112; verdicts §5.3";
const ATOMIC: &str = "RFC 6946; verdicts §5.3";
const TWO_FRAGMENTS: &str = "CVE-2023-4809; verdicts §5.3";
const TYPE_0: &str = "RFC 5095; verdicts §5.3";
const NOTHING: &str = "RFC 8200 §4.7; verdicts §5.3";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = fragments();
    rows.extend(routing_and_nothing());
    rows
}

fn fragments() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, counter, segment) in [
        ("tcp", "tcp-5061", tcp()),
        ("udp", "udp-3478", udp()),
        ("esp", "esp", raw(50, &[0; 8])),
    ] {
        let base = Base::new("ipv6", counter, packet(segment));
        for (fault, header) in [
            ("first", fragment(0, true)),
            ("middle", fragment(16, true)),
            ("last", fragment(16, false)),
            ("offset-1", fragment(1, false)),
            ("offset-8191", fragment(8191, false)),
            ("offset-4096", fragment(4096, false)),
            ("offset-32", fragment(32, false)),
        ] {
            let name = format!("fragment/{name}-{fault}");
            rows.push(base.drops(name, Fragment, FRAGMENTS, |packet| {
                packet.extensions([header])
            }));
        }
    }
    let base = Base::new("ipv6", "tcp-5061", packet(tcp()));
    let atomic = || fragment(0, false);
    let mut passes = |name, chain: Vec<Extension>| {
        rows.push(base.passes(format!("fragment/{name}"), ATOMIC, |p| p.extensions(chain)));
    };
    passes("atomic-reserved-bits", vec![atomic().byte(3, 0x06)]);
    // The second byte is reserved, and not a length.
    passes("atomic-reserved-byte", vec![atomic().byte(1, 255)]);
    passes("atomic-behind-hop-by-hop", vec![hop_by_hop(), atomic()]);
    passes(
        "atomic-before-destination-options",
        vec![atomic(), destination_options()],
    );
    let mut drops = |name, reason, reference, chain: Vec<Extension>| {
        rows.push(
            base.drops(format!("fragment/{name}"), reason, reference, |p| {
                p.extensions(chain)
            }),
        );
    };
    let between = || vec![atomic(), destination_options(), atomic()];
    drops(
        "atomic-twice",
        Malformed,
        TWO_FRAGMENTS,
        vec![atomic(), atomic()],
    );
    drops("atomic-twice-apart", Malformed, TWO_FRAGMENTS, between());
    drops(
        "atomic-then-first",
        Malformed,
        TWO_FRAGMENTS,
        vec![atomic(), fragment(0, true)],
    );
    drops(
        "atomic-then-last",
        Malformed,
        TWO_FRAGMENTS,
        vec![atomic(), fragment(9, false)],
    );
    drops(
        "first-then-atomic",
        Fragment,
        TWO_FRAGMENTS,
        vec![fragment(0, true), atomic()],
    );
    drops(
        "behind-options",
        Fragment,
        FRAGMENTS,
        vec![destination_options(), fragment(0, true)],
    );
    drops(
        "behind-hop-by-hop",
        Fragment,
        FRAGMENTS,
        vec![hop_by_hop(), fragment(2, true)],
    );
    drops(
        "before-routing-0",
        Fragment,
        FRAGMENTS,
        vec![fragment(0, true), routing(0)],
    );
    drops("at-the-eighth-place", Fragment, FRAGMENTS, {
        let mut chain = options(7);
        chain.push(fragment(0, true));
        chain
    });
    rows.push(base.drops("fragment/tiny", Fragment, FRAGMENTS, |packet| {
        packet
            .extensions([fragment(0, true)])
            .segment(tcp().keep(8))
    }));
    rows
}

fn routing_and_nothing() -> Vec<Row> {
    let base = Base::new("ipv6", "tcp-5061", packet(tcp()));
    let mut rows = Vec::new();
    for kind in [1, 2, 3, 4, 253, 255] {
        let name = format!("routing/type-{kind}");
        rows.push(base.passes(name, RFC, |packet| packet.extensions([routing(kind)])));
    }
    for (name, chain) in [
        ("type-0", vec![routing(0)]),
        (
            "type-0-segments-left",
            vec![routing(0).longer(2).byte(3, 1)],
        ),
        ("type-0-behind-hop-by-hop", vec![hop_by_hop(), routing(0)]),
        ("type-0-behind-type-2", vec![routing(2), routing(0)]),
        (
            "type-0-behind-atomic-fragment",
            vec![fragment(0, false), routing(0)],
        ),
        ("type-0-past-the-end", vec![routing(0).length_field(255)]),
    ] {
        let name = format!("routing/{name}");
        rows.push(base.drops(name, Options, TYPE_0, |packet| packet.extensions(chain)));
    }
    rows.push(
        base.drops("routing/type-0-cut-at-7", Malformed, TYPE_0, |packet| {
            packet.extensions([routing(0)]).payload_length(7)
        }),
    );
    for (name, chain) in [
        ("at-once", vec![]),
        ("behind-options", vec![destination_options()]),
        ("behind-atomic-fragment", vec![fragment(0, false)]),
        ("behind-mobility", vec![extension(135)]),
        ("behind-8-headers", options(8)),
    ] {
        rows.push(base.drops(
            format!("no-next-header/{name}"),
            NoNextHeader,
            NOTHING,
            |packet| packet.extensions(chain).segment(tcp().as_protocol(59)),
        ));
    }
    rows.push(
        base.drops("no-next-header/one-byte", NoNextHeader, NOTHING, |packet| {
            packet.segment(raw(59, &[0]))
        }),
    );
    rows
}
