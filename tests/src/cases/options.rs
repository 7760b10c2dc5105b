//! IPv4 options (RFC 791, RFC 7126; `docs/verdicts.md` §4.5).

use edge_filter::policy::DropReason::{Default, Malformed, Options};

use super::hosts::{HOST, PEER};
use super::row::{Base, Row};
use crate::craft::{Ipv4, sctp, tcp, udp};

const RFC: &str = "RFC 791; verdicts §4.5";
const SOURCE_ROUTE: &str = "RFC 7126 §4.3, §4.4; verdicts §4.5";

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, counter, segment) in [
        ("tcp", "tcp-5061", tcp()),
        ("udp", "udp-3478", udp()),
        ("sctp", "sctp-2905", sctp()),
    ] {
        let base = Base::new("ipv4", counter, Ipv4::new(PEER.v4, HOST.v4, segment));
        for (option, bytes) in allowed() {
            let name = format!("options/{name}-{option}");
            rows.push(base.passes(name, RFC, |packet| packet.options(&bytes)));
        }
        for (option, bytes) in source_routes() {
            let name = format!("options/{name}-{option}");
            rows.push(base.drops(name, Options, SOURCE_ROUTE, |packet| packet.options(&bytes)));
        }
        for (option, bytes) in broken() {
            let name = format!("options/{name}-{option}");
            rows.push(base.drops(name, Malformed, RFC, |packet| packet.options(&bytes)));
        }
    }
    rows.extend(ports_behind_options());
    rows
}

fn allowed() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no-operation", vec![1, 1, 1, 1]),
        ("no-operations-to-the-end", vec![1; 40]),
        ("end-of-list", vec![0, 0, 0, 0]),
        ("router-alert", vec![148, 4, 0, 0]),
        ("record-route", vec![7, 7, 4, 0, 0, 0, 0, 0]),
        ("timestamp", vec![68, 8, 5, 0, 0, 0, 0, 0]),
        ("unknown-of-two-bytes", vec![94, 2, 1, 1]),
        (
            "unknown-to-the-very-end",
            vec![94, 40].into_iter().chain([0xee; 38]).collect(),
        ),
        // Without the copied bit it is another option.
        ("type-3", vec![3, 7, 4, 192, 0, 2, 10, 0]),
        ("type-9", vec![9, 7, 4, 192, 0, 2, 10, 0]),
        (
            "source-route-after-end-of-list",
            vec![0, 131, 7, 4, 192, 0, 2, 10],
        ),
        ("garbage-after-end-of-list", vec![1, 0, 7, 0, 7, 1, 7, 200]),
        (
            "source-route-inside-an-option",
            vec![94, 8, 131, 4, 137, 4, 0, 0],
        ),
        (
            "end-of-list-inside-an-option",
            vec![94, 4, 0, 0, 1, 1, 1, 0],
        ),
    ]
}

fn source_routes() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("loose-source-route", vec![131, 7, 4, 192, 0, 2, 10, 0]),
        ("strict-source-route", vec![137, 7, 4, 192, 0, 2, 10, 0]),
        (
            "source-route-already-followed",
            vec![131, 7, 8, 192, 0, 2, 10, 0],
        ),
        ("source-route-of-two-bytes", vec![131, 2, 0, 0]),
        (
            "source-route-to-the-very-end",
            vec![137, 8, 4, 192, 0, 2, 10, 0],
        ),
        ("source-route-last", vec![1, 1, 137, 2]),
        ("source-route-after-no-operations", {
            let mut bytes = vec![1; 33];
            bytes.extend([131, 7, 4, 192, 0, 2, 10]);
            bytes
        }),
        (
            "source-route-after-an-option",
            vec![7, 3, 4, 131, 3, 4, 0, 0],
        ),
        (
            "source-route-before-a-broken-option",
            vec![131, 3, 4, 7, 0, 0, 0, 0],
        ),
        // A walker that takes a length for a type would see the end of the list.
        (
            "source-route-after-an-option-of-zeros",
            vec![94, 4, 0, 0, 131, 3, 4, 0],
        ),
    ]
}

fn broken() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("length-0", vec![7, 0, 4, 0]),
        ("length-1", vec![7, 1, 4, 0]),
        ("length-past-the-header", vec![7, 5, 4, 0]),
        ("length-255", vec![148, 255, 0, 0]),
        (
            "length-41",
            vec![94, 41].into_iter().chain([0xee; 38]).collect(),
        ),
        ("length-byte-missing", vec![1, 1, 1, 7]),
        (
            "length-byte-missing-at-40",
            vec![1; 39].into_iter().chain([148]).collect(),
        ),
        ("source-route-length-0", vec![131, 0, 4, 0]),
        ("source-route-length-1", vec![137, 1, 4, 0]),
        ("source-route-past-the-header", vec![131, 5, 4, 0]),
        ("source-route-without-length-byte", vec![1, 1, 1, 131]),
        (
            "length-0-before-a-source-route",
            vec![7, 0, 131, 3, 4, 0, 0, 0],
        ),
        (
            "second-option-past-the-header",
            vec![148, 4, 0, 0, 94, 5, 0, 0],
        ),
    ]
}

/// The ports stand where the header length says, and nowhere else.
fn ports_behind_options() -> Vec<Row> {
    let base = Base::new("ipv4", "tcp-5061", Ipv4::new(PEER.v4, HOST.v4, tcp()));
    // Read where a header without options ends, its last two bytes are the
    // destination port 5061; read rightly, it is an option of four bytes.
    let decoy = [94, 4, 0x13, 0xc5, 1, 1, 1, 1];
    vec![
        base.passes("options/ports-behind-them", RFC, |packet| {
            packet.options(&decoy)
        }),
        base.drops("options/allowed-port-in-front", Default, RFC, |packet| {
            packet.options(&decoy).segment(tcp().to_port(22))
        }),
        base.drops(
            "options/allowed-port-in-front-of-udp",
            Default,
            RFC,
            |packet| {
                packet
                    .options(&[94, 4, 0x0d, 0x96])
                    .segment(udp().to_port(53))
            },
        ),
    ]
}
