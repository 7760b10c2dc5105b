//! The IPv6 header (RFC 8200; `docs/verdicts.md` §5.1, §5.2).

use edge_filter::policy::DropReason::{Default, Malformed};

use super::hosts::{FRIEND, HOST, PEER};
use super::row::{Base, Row};
use crate::craft::{Frame, Ipv6, hop_by_hop, raw, tcp};

const RFC: &str = "RFC 8200 §3; verdicts §5";
const JUMBO: &str = "RFC 2675; verdicts §5.2";

pub(super) fn rows() -> Vec<Row> {
    let packet = || Ipv6::new(PEER.v6, HOST.v6, tcp());
    let base = Base::new("ipv6", "tcp-5061", packet());
    let padded = Base::within("ipv6", "tcp-5061", packet(), |p| Frame::from(p).pad(20));
    let mut rows = Vec::new();
    for version in [0, 4, 5, 7, 15] {
        let name = format!("version-{version}");
        rows.push(base.drops(name, Malformed, RFC, |packet| packet.version(version)));
    }
    for end in [0, 1, 8, 20, 39, 40, 59] {
        let name = format!("cut-at-{end}");
        rows.push(base.frame_drops(name, Malformed, RFC, |frame| frame.keep(end)));
    }
    for length in [0, 1, 19, 21, 0xffff] {
        let name = format!("payload-length-{length}");
        rows.push(base.drops(name, Malformed, RFC, |packet| packet.payload_length(length)));
    }
    for padding in [1, 6, 1000] {
        rows.push(base.frame_passes(format!("padding-{padding}"), RFC, |f| f.pad(padding)));
    }
    rows.extend([
        base.frame_drops("under-the-type-of-ipv4", Malformed, RFC, |f| {
            f.ethertype(0x0800)
        }),
        base.passes("hop-limit-0", RFC, |packet| packet.hop_limit(0)),
        padded.drops("payload-length-19-in-padding", Malformed, RFC, |p| {
            p.payload_length(19)
        }),
        padded.drops("payload-length-0-in-padding", Malformed, RFC, |p| {
            p.payload_length(0)
        }),
        padded.passes("payload-length-40-of-40", RFC, |packet| {
            packet.payload_length(40)
        }),
        padded.drops("payload-length-41-of-40", Malformed, RFC, |p| {
            p.payload_length(41)
        }),
        base.drops("jumbogram", Malformed, JUMBO, |packet| {
            // The jumbo payload option, for 65,536 bytes.
            let option = [0xc2, 4, 0, 1, 0, 0];
            let header = (2..)
                .zip(option)
                .fold(hop_by_hop(), |h, (at, byte)| h.byte(at, byte));
            packet.extensions([header]).payload_length(0)
        }),
        base.drops(
            "payload-length-0-no-next-header",
            Malformed,
            RFC,
            |packet| packet.segment(raw(59, &[])),
        ),
    ]);
    // Neither extension headers nor known protocols.
    for protocol in [2, 4, 41, 47, 61, 99, 114, 136, 253, 255] {
        let friend = Base::new(
            "ipv6",
            "friend",
            Ipv6::new(FRIEND.v6, HOST.v6, raw(protocol, &[0])),
        );
        rows.push(friend.passes(format!("protocol-{protocol}/allowed"), RFC, |packet| packet));
        rows.push(base.drops(
            format!("protocol-{protocol}/not-allowed"),
            Default,
            RFC,
            |packet| packet.segment(tcp().as_protocol(protocol)),
        ));
    }
    rows
}
