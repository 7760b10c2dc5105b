//! TCP, UDP, SCTP, ICMP, and protocols without ports (`docs/verdicts.md` §6).

use edge_filter::policy::DropReason::{Default, Malformed};

use super::hosts::{FRIEND, Host, MONITOR, PEER, from};
use super::row::{Base, Row};
use crate::craft::{Family, Frame, Segment, echo, icmp, icmpv6, raw, sctp, tcp, udp};

const CUT: &str = "verdicts §6";
const UDP: &str = "RFC 768; verdicts §6";
const TCP: &str = "RFC 9293 §3.1; verdicts §6";
const SCTP: &str = "RFC 9260 §3.1; verdicts §6";

/// A base whose segment is what the rows change.
fn base(counter: &'static str, source: Host, family: Family, segment: Segment) -> Base<Segment> {
    Base::within(family.name(), counter, segment, move |s| {
        from(source, family, s).into()
    })
}

/// The same, with 20 bytes behind the packet that are not the packet's.
fn padded(counter: &'static str, family: Family, segment: Segment) -> Base<Segment> {
    Base::within(family.name(), counter, segment, move |segment| {
        Frame::from(from(PEER, family, segment)).pad(20)
    })
}

pub(super) fn rows() -> Vec<Row> {
    Family::BOTH.into_iter().flat_map(family_rows).collect()
}

fn family_rows(family: Family) -> Vec<Row> {
    let mut rows = cuts(family);
    rows.extend(tcp_rows(family));
    rows.extend(udp_rows(family));
    rows.extend(sctp_and_icmp(family));
    rows.extend(without_ports(family));
    rows
}

/// Headers cut three ways: the packet says so, the packet says so and the frame
/// goes on all the same, the frame says so.
fn cuts(family: Family) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, counter, source, segment, ends) in [
        (
            "tcp",
            "tcp-5061",
            PEER,
            tcp(),
            [0, 1, 2, 4, 8, 13, 14, 19].as_slice(),
        ),
        ("udp", "udp-3478", PEER, udp(), &[0, 1, 2, 4, 6, 7]),
        ("sctp", "sctp-2905", PEER, sctp(), &[0, 1, 2, 4, 8, 11]),
        (
            icmp_name(family),
            icmp_name(family),
            MONITOR,
            echo(family),
            &[0, 1, 2, 4, 7],
        ),
    ] {
        for end in ends.iter().copied() {
            let on_segment = base(counter, source, family, segment.clone());
            let on_packet = Base::new(
                family.name(),
                counter,
                from(source, family, segment.clone()),
            );
            rows.extend([
                on_segment.drops(format!("{name}-of-{end}"), Malformed, CUT, |s| s.keep(end)),
                on_packet.drops(
                    format!("{name}-declared-as-{end}"),
                    Malformed,
                    CUT,
                    |packet| packet.declares(end),
                ),
                on_packet.frame_drops(format!("{name}-cut-at-{end}"), Malformed, CUT, |frame| {
                    frame.keep(family.header_length() + end)
                }),
            ]);
        }
    }
    rows
}

fn icmp_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "icmp",
        Family::V6 => "icmpv6",
    }
}

fn tcp_rows(family: Family) -> Vec<Row> {
    let base = base("tcp-5061", PEER, family, tcp());
    let padded = padded("tcp-5061", family, tcp());
    let mut rows = Vec::new();
    for offset in 0..5 {
        let name = format!("tcp-data-offset-{offset}");
        rows.push(base.drops(name, Malformed, TCP, |tcp| tcp.data_offset(offset)));
    }
    for offset in [6, 8, 15] {
        let name = format!("tcp-data-offset-{offset}-of-20-bytes");
        rows.push(base.drops(name, Malformed, TCP, |tcp| tcp.data_offset(offset)));
    }
    rows.extend([
        base.passes("tcp-data-offset-15", TCP, |tcp| tcp.tcp_options(10)),
        base.passes("tcp-data-offset-6", TCP, |tcp| tcp.tcp_options(1)),
        base.passes("tcp-data-offset-15-over-data", TCP, |tcp| {
            tcp.data(&[1; 60]).data_offset(15)
        }),
        base.passes("tcp-with-data", TCP, |tcp| tcp.data(&[0; 1000])),
        base.passes("tcp-odd-data", TCP, |tcp| tcp.data(&[0; 7])),
        base.passes("tcp-reserved-bits", "RFC 9293 §3.1; verdicts §6", |tcp| {
            tcp.flags(0x0e02)
        }),
        base.drops("tcp-options-cut", Malformed, TCP, |tcp| {
            tcp.tcp_options(10).keep(59)
        }),
        padded.drops("tcp-data-offset-6-into-padding", Malformed, TCP, |tcp| {
            tcp.data_offset(6)
        }),
        padded.drops("tcp-of-19-and-padding", Malformed, TCP, |tcp| tcp.keep(19)),
        // The first fault decides.
        base.drops("tcp-data-offset-4-without-flags", Malformed, TCP, |tcp| {
            tcp.data_offset(4).flags(0)
        }),
        base.passes("tcp-from-port-0", CUT, |tcp| tcp.ports(0, 5061)),
        base.drops("tcp-other-port", Default, CUT, |tcp| tcp.to_port(5060)),
    ]);
    rows
}

fn udp_rows(family: Family) -> Vec<Row> {
    let base = base("udp-3478", PEER, family, udp());
    let padded = padded("udp-3478", family, udp());
    let mut rows = Vec::new();
    for length in [0, 1, 7] {
        let name = format!("udp-length-{length}");
        rows.push(base.drops(name, Malformed, UDP, |udp| udp.udp_length(length)));
    }
    for length in [17, 256, 0xffff] {
        let name = format!("udp-length-{length}-of-16");
        rows.push(base.drops(name, Malformed, UDP, |udp| udp.udp_length(length)));
    }
    for length in [8, 15, 16] {
        let name = format!("udp-length-{length}-of-16");
        rows.push(base.passes(name, UDP, |udp| udp.udp_length(length)));
    }
    rows.extend([
        base.passes("udp-without-data", UDP, |udp| udp.keep(8).udp_length(8)),
        base.drops("udp-length-9-without-data", Malformed, UDP, |udp| {
            udp.keep(8).udp_length(9)
        }),
        padded.drops("udp-length-17-into-padding", Malformed, UDP, |udp| {
            udp.udp_length(17)
        }),
        padded.drops("udp-length-36-into-padding", Malformed, UDP, |udp| {
            udp.udp_length(36)
        }),
        base.drops("udp-other-port", Default, CUT, |udp| udp.to_port(3479)),
    ]);
    rows
}

fn sctp_and_icmp(family: Family) -> Vec<Row> {
    let sctp = base("sctp-2905", PEER, family, sctp());
    let ping = base(icmp_name(family), MONITOR, family, echo(family));
    vec![
        sctp.passes("sctp-of-12", SCTP, |sctp| sctp.keep(12)),
        sctp.drops("sctp-other-port", Default, CUT, |sctp| sctp.to_port(2904)),
        ping.passes("icmp-of-8", CUT, |icmp| icmp.keep(8)),
        ping.passes("icmp-code-255", CUT, |icmp| icmp.code(255)),
        ping.passes("icmp-type-255", CUT, |icmp| icmp.icmp_type(255)),
    ]
}

fn without_ports(family: Family) -> Vec<Row> {
    let friend = base("friend", FRIEND, family, raw(253, &[0]));
    let esp = base("esp", PEER, family, raw(50, &[0; 16]));
    let tcp = base("tcp-5061", PEER, family, tcp());
    // The other family's ICMP is a protocol like any other: no types, nothing
    // quoted, nothing needed.
    let (foreign, error, ping) = match family {
        Family::V4 => (58, icmpv6(1, 0), icmpv6(128, 0)),
        Family::V6 => (1, icmp(3, 0), icmp(8, 0)),
    };
    let mut rows = vec![
        friend.passes("foreign-icmp-of-1-byte", CUT, |_| raw(foreign, &[3])),
        friend.passes("foreign-icmp-error-quotes-nothing", CUT, |_| error),
        friend.passes("foreign-icmp-echo", CUT, |_| ping.clone()),
        friend.passes("udp-lite-of-1-byte", CUT, |_| raw(136, &[0])),
        friend.passes("dccp-of-1-byte", CUT, |_| raw(33, &[0])),
        esp.passes("esp-of-1-byte", "RFC 4303; verdicts §6", |esp| esp.keep(1)),
    ];
    // What looks like ports is none.
    for (name, protocol) in [
        ("udp-lite", 136),
        ("dccp", 33),
        ("gre", 47),
        ("protocol-255", 255),
    ] {
        rows.push(
            tcp.drops(format!("{name}-has-no-ports"), Default, CUT, |tcp| {
                tcp.as_protocol(protocol)
            }),
        );
    }
    rows
}
