//! The IPv4 header (RFC 791; `docs/verdicts.md` §4).

use edge_filter::policy::DropReason::{Default, Fragment, Malformed};

use super::hosts::{FRIEND, HOST, PEER};
use super::row::{Base, Row};
use crate::craft::{Ipv4, raw, sctp, tcp, udp};

const RFC: &str = "RFC 791; verdicts §4";
const FRAGMENTS: &str = "RFC 1858, RFC 3128, RFC 5722; verdicts §4.4";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = header();
    rows.extend(lengths());
    rows.extend(fragments());
    rows.extend(protocols());
    rows
}

fn base() -> Base<Ipv4> {
    Base::new("ipv4", "tcp-5061", Ipv4::new(PEER.v4, HOST.v4, tcp()))
}

fn header() -> Vec<Row> {
    let base = base();
    let mut rows = Vec::new();
    for version in [0, 1, 5, 6, 7, 15] {
        let name = format!("version-{version}");
        rows.push(base.drops(name, Malformed, RFC, |packet| packet.version(version)));
    }
    for ihl in 0..5 {
        let name = format!("ihl-{ihl}");
        rows.push(base.drops(name, Malformed, RFC, |packet| packet.ihl(ihl)));
    }
    rows.extend([
        // 20 + 20 bytes of packet, 44 of header.
        base.drops("ihl-beyond-the-packet", Malformed, RFC, |packet| {
            packet.ihl(11)
        }),
        base.drops("ihl-15-beyond-the-packet", Malformed, RFC, |packet| {
            packet.ihl(15)
        }),
        // The header takes the whole packet, and leaves nothing to TCP.
        base.drops("ihl-up-to-the-end", Malformed, RFC, |packet| packet.ihl(10)),
        base.frame_drops("under-the-type-of-ipv6", Malformed, RFC, |f| {
            f.ethertype(0x86dd)
        }),
        base.passes("ttl-0", RFC, |packet| packet.ttl(0)),
        base.passes("dont-fragment-clear", RFC, |packet| packet.fragment(0)),
        base.passes("reserved-flag", RFC, |packet| packet.fragment(0x8000)),
        base.passes("ihl-15-no-operations", RFC, |packet| {
            packet.options(&[1; 40])
        }),
    ]);
    for end in [0, 1, 9, 19] {
        let name = format!("cut-at-{end}");
        rows.push(base.frame_drops(name, Malformed, RFC, |frame| frame.keep(end)));
    }
    for end in [20, 39, 59] {
        rows.push(
            base.drops(format!("options-cut-at-{end}"), Malformed, RFC, |packet| {
                let end = u16::try_from(end).expect("under 60");
                packet.options(&[1; 40]).total_length(end)
            }),
        );
    }
    rows
}

fn lengths() -> Vec<Row> {
    let base = base();
    let mut rows = Vec::new();
    for length in [0, 1, 19, 20, 21, 39] {
        let name = format!("total-length-{length}");
        rows.push(base.drops(name, Malformed, RFC, |packet| packet.total_length(length)));
    }
    for length in [41, 60, 0xffff] {
        let name = format!("total-length-{length}");
        rows.push(base.drops(name, Malformed, RFC, |packet| packet.total_length(length)));
    }
    // Ethernet pads to 46 bytes, or to whatever it likes.
    for padding in [1, 6, 46, 1000] {
        rows.push(base.frame_passes(format!("padding-{padding}"), RFC, |f| f.pad(padding)));
    }
    let padded = Base::within(
        "ipv4",
        "tcp-5061",
        Ipv4::new(PEER.v4, HOST.v4, tcp()),
        |packet| crate::craft::Frame::from(packet).pad(20),
    );
    rows.extend([
        // What the packet lacks may not be taken from the padding.
        padded.drops("total-length-39-in-padding", Malformed, RFC, |p| {
            p.total_length(39)
        }),
        padded.drops("total-length-20-in-padding", Malformed, RFC, |p| {
            p.total_length(20)
        }),
        padded.passes("total-length-60-of-60", RFC, |packet| {
            packet.total_length(60)
        }),
        padded.drops("total-length-61-of-60", Malformed, RFC, |p| {
            p.total_length(61)
        }),
    ]);
    rows
}

fn fragments() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, counter, segment) in [
        ("tcp", "tcp-5061", tcp()),
        ("udp", "udp-3478", udp()),
        ("sctp", "sctp-2905", sctp()),
        ("esp", "esp", raw(50, &[0; 16])),
    ] {
        let base = Base::new("ipv4", counter, Ipv4::new(PEER.v4, HOST.v4, segment));
        for (fault, field) in [
            ("first", 0x2000),
            ("middle", 0x2010),
            ("last", 0x0010),
            ("offset-1", 0x0001),
            ("offset-1-more", 0x2001),
            ("offset-8191", 0x1fff),
            ("offset-4096", 0x1000),
            ("dont-fragment-and-more", 0x6000),
            ("dont-fragment-and-offset", 0x4001),
            ("reserved-and-more", 0xa000),
        ] {
            let name = format!("fragment/{name}-{fault}");
            rows.push(base.drops(name, Fragment, FRAGMENTS, |packet| packet.fragment(field)));
        }
    }
    let base = base();
    rows.extend([
        // RFC 1858: the flags only come with the next fragment.
        base.drops("fragment/tiny", Fragment, FRAGMENTS, |packet| {
            packet.segment(tcp().keep(8)).fragment(0x2000)
        }),
        base.drops("fragment/empty", Fragment, FRAGMENTS, |packet| {
            packet.segment(tcp().keep(0)).fragment(0x0010)
        }),
        // The first fault decides.
        base.drops(
            "fragment/with-source-route",
            Fragment,
            FRAGMENTS,
            |packet| packet.fragment(0x2000).options(&[131, 7, 4, 192, 0, 2, 10]),
        ),
        base.drops(
            "fragment/and-total-length-19",
            Malformed,
            FRAGMENTS,
            |packet| packet.fragment(0x2000).total_length(19),
        ),
        base.drops(
            "fragment/with-broken-options",
            Fragment,
            FRAGMENTS,
            |packet| packet.fragment(0x0001).options(&[7, 0]),
        ),
    ]);
    rows
}

/// Numbers that are extension headers under IPv6 are protocols here.
fn protocols() -> Vec<Row> {
    let mut rows = Vec::new();
    // As an extension header it would be eight bytes long, and TCP behind it.
    let headers = |protocol| {
        let mut bytes = vec![6, 0, 1, 4, 0, 0, 0, 0];
        bytes.extend(&Ipv4::new(PEER.v4, HOST.v4, tcp()).bytes()[20..]);
        raw(protocol, &bytes)
    };
    for protocol in [0, 43, 44, 51, 59, 60, 135, 139, 140] {
        let friend = Base::new(
            "ipv4",
            "friend",
            Ipv4::new(FRIEND.v4, HOST.v4, headers(protocol)),
        );
        rows.push(friend.passes(format!("protocol-{protocol}/allowed"), RFC, |packet| packet));
        rows.push(
            friend.passes(format!("protocol-{protocol}/empty"), RFC, |packet| {
                packet.segment(raw(protocol, &[]))
            }),
        );
        let peer = base();
        rows.push(peer.drops(
            format!("protocol-{protocol}/not-walked"),
            Default,
            RFC,
            |packet| packet.segment(headers(protocol)),
        ));
    }
    rows
}
