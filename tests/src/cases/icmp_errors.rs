//! ICMP errors as messages: their types and codes, the essential, and the
//! faults of the packet that carries them (`docs/verdicts.md` §6, §9.3).

use edge_filter::policy::DropReason::{Default, Fragment, Malformed, Martian, Options};

use super::hosts::{HOST, MONITOR, PEER, ROUTER, from};
use super::policies::Kind;
use super::quotes::{answer, sent};
use super::row::{Base, Row};
use crate::craft::{Family, Ipv4, Ipv6, Segment, error, fragment, icmp, tcp};

const RFC: &str = "RFC 4890, RFC 1191, RFC 8201; verdicts §7";
const ESSENTIAL: &str = "verdicts §9.3";

fn types(family: Family) -> &'static [u8] {
    match family {
        Family::V4 => &[3, 11, 12],
        Family::V6 => &[1, 2, 3, 4],
    }
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        rows.extend(each_type(family));
        rows.extend(not_errors(family));
        rows.extend(not_essential(family));
    }
    rows.extend(carriers());
    rows
}

fn each_type(family: Family) -> Vec<Row> {
    let quote = sent(family, answer()).bytes();
    let refused = sent(family, tcp().ports(22, 40_000)).bytes();
    let mut rows = Vec::new();
    for kind in types(family).iter().copied() {
        let base = Base::within(family.name(), "icmp-error", error(family, kind, &quote), {
            move |segment: Segment| from(ROUTER, family, segment).into()
        });
        for code in [0, 1, 3, 4, 13, 255] {
            let name = format!("icmp-error/{kind}-code-{code}");
            rows.push(base.passes(name, RFC, |error| error.code(code)));
        }
        rows.extend([
            // The four bytes before the quote: an MTU, a pointer, or nothing.
            base.passes(format!("icmp-error/{kind}-mtu-1280"), RFC, |error| {
                error.word(6, 1280)
            }),
            base.drops(
                format!("icmp-error/{kind}-quotes-nothing"),
                Malformed,
                RFC,
                |error| error.keep(8),
            ),
            base.drops(
                format!("icmp-error/{kind}-of-7-bytes"),
                Malformed,
                RFC,
                |e| e.keep(7),
            ),
            base.drops(
                format!("icmp-error/{kind}-not-sent"),
                Default,
                ESSENTIAL,
                |_| error(family, kind, &refused),
            ),
        ]);
    }
    rows
}

/// What is no error is not judged by what it carries.
fn not_errors(family: Family) -> Vec<Row> {
    let quote = sent(family, answer()).bytes();
    let (others, rule): (&[u8], _) = match family {
        // 4 is the source quench, 5 a redirect: both once quoted packets.
        Family::V4 => (&[0, 1, 2, 4, 5, 8, 10, 13, 17], "icmp"),
        Family::V6 => (&[0, 5, 11, 12, 100, 127, 128, 129], "icmpv6"),
    };
    let from_router = Base::new(family.name(), "icmp-error", {
        from(ROUTER, family, error(family, types(family)[0], &quote))
    });
    let from_monitor = Base::new(family.name(), rule, {
        from(MONITOR, family, error(family, others[0], &quote))
    });
    let mut rows = Vec::new();
    for kind in others.iter().copied() {
        let message = error(family, kind, &quote);
        rows.push(
            from_router.drops(format!("icmp-error/not-{kind}"), Default, RFC, |packet| {
                packet.segment(message.clone())
            }),
        );
        rows.push(
            from_monitor.passes(format!("icmp-error/not-{kind}-by-a-rule"), RFC, |packet| {
                packet.segment(message.keep(8))
            }),
        );
    }
    rows
}

fn not_essential(family: Family) -> Vec<Row> {
    let kind = types(family)[0];
    let rule = if family == Family::V4 {
        "icmp"
    } else {
        "icmpv6"
    };
    let segment = || error(family, kind, &sent(family, answer()).bytes());
    let refused = error(family, kind, &sent(family, tcp().ports(22, 1)).bytes());
    let none =
        Base::new(family.name(), rule, from(MONITOR, family, segment())).under(Kind::NoEssentials);
    let monitor = Base::new(
        family.name(),
        "icmp-error",
        from(MONITOR, family, segment()),
    );
    vec![
        none.drops("icmp-error/not-essential", Default, ESSENTIAL, |packet| {
            packet.source(ROUTER.address(family))
        }),
        // Even where only a rule admits errors, they quote something.
        none.drops(
            "icmp-error/not-essential-quotes-nothing",
            Malformed,
            RFC,
            |packet| packet.segment(segment().keep(8)),
        ),
        none.drops(
            "icmp-error/not-essential-quote-cut",
            Malformed,
            RFC,
            |packet| packet.segment(segment().keep(8 + family.header_length() + 7)),
        ),
        // The essential admits nothing; the rule still does.
        monitor.counts("icmp-error/not-sent-by-a-rule", rule, ESSENTIAL, |packet| {
            packet.segment(refused)
        }),
        monitor.drops(
            "icmp-error/by-a-rule-quotes-nothing",
            Malformed,
            RFC,
            |packet| packet.segment(segment().keep(8)),
        ),
        monitor.drops(
            "icmp-error/from-the-host-itself",
            Martian,
            "verdicts §8",
            |packet| packet.source(HOST.address(family)),
        ),
        monitor.drops(
            "icmp-error/malformed-from-the-host-itself",
            Malformed,
            "verdicts §7",
            |p| p.source(HOST.address(family)).segment(segment().keep(8)),
        ),
    ]
}

/// Faults of the packet that carries an error.
fn carriers() -> Vec<Row> {
    let quote = sent(Family::V4, answer()).bytes();
    let v4 = Ipv4::new(ROUTER.v4, HOST.v4, error(Family::V4, 3, &quote));
    let v4 = Base::new("ipv4", "icmp-error", v4);
    let quote = sent(Family::V6, answer()).bytes();
    let v6 = Ipv6::new(ROUTER.v6, HOST.v6, error(Family::V6, 1, &quote));
    let v6 = Base::new("ipv6", "icmp-error", v6);
    let ping = icmp(8, 0).data(&[0; 20]);
    vec![
        v4.drops("icmp-error/fragment", Fragment, RFC, |error| {
            error.fragment(0x2000)
        }),
        v4.drops("icmp-error/source-route", Options, RFC, |error| {
            error.options(&[131, 7, 4, 192, 0, 2, 10])
        }),
        v4.passes("icmp-error/behind-options", RFC, |error| {
            error.options(&[1; 8])
        }),
        v4.drops(
            "icmp-error/quote-past-total-length",
            Malformed,
            RFC,
            |error| error.total_length(20 + 8 + 27),
        ),
        v4.drops("icmp-error/not-an-error", Default, RFC, |error| {
            error.segment(ping)
        }),
        v4.drops("icmp-error/land", Martian, "verdicts §8.2", |error| {
            error.source(PEER.v4).destination(PEER.v4)
        }),
        v6.drops("icmp-error/fragment", Fragment, RFC, |error| {
            error.extensions([fragment(0, true)])
        }),
        v6.passes("icmp-error/atomic-fragment", RFC, |error| {
            error.extensions([fragment(0, false)])
        }),
        v6.drops(
            "icmp-error/quote-past-payload-length",
            Malformed,
            RFC,
            |error| error.payload_length(8 + 47),
        ),
    ]
}
