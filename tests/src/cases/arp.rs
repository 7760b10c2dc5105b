//! ARP (RFC 826; `docs/verdicts.md` §2).

use std::net::Ipv4Addr;

use edge_filter::policy::DropReason::{Default, Essentials, Malformed};

use super::hosts::{HOST, PEER, from};
use super::policies::Kind;
use super::row::{Base, Row};
use crate::craft::{Arp, Family, Frame, Mac, tcp};

const RFC: &str = "RFC 826; verdicts §2";

/// Someone else's hardware address.
const STRANGER: Mac = [0x02, 0, 0, 0, 0, 0x99];

pub(super) fn rows() -> Vec<Row> {
    let request = Base::new("arp", "arp", Arp::request(PEER.v4, HOST.v4));
    let mut rows = valid(&request);
    rows.extend(malformed(&request));
    rows.extend(senders(&request));
    rows.extend(not_essential());
    rows
}

fn valid(request: &Base<Arp>) -> Vec<Row> {
    vec![
        request.passes("request", RFC, |arp| arp),
        request.passes("reply", RFC, |_| Arp::reply(PEER.v4, HOST.v4)),
        request.passes("gratuitous", RFC, |_| Arp::request(PEER.v4, PEER.v4)),
        request.passes("probe", "RFC 5227; verdicts §2", |_| {
            Arp::request(Ipv4Addr::UNSPECIFIED, HOST.v4)
        }),
        request.passes("operation-9", RFC, |arp| Arp {
            operation: 9,
            ..arp
        }),
        request.passes("target-mac-of-another", RFC, |arp| Arp {
            target: (STRANGER, arp.target.1),
            ..arp
        }),
        request.frame_passes("broadcast", RFC, |frame| frame.to([0xff; 6])),
        request.frame_passes("padded", RFC, |frame| frame.pad(18)),
    ]
}

fn malformed(request: &Base<Arp>) -> Vec<Row> {
    vec![
        request.drops("hardware-6", Malformed, RFC, |arp| Arp {
            hardware: 6,
            ..arp
        }),
        request.drops("hardware-0x0100", Malformed, RFC, |arp| Arp {
            hardware: 0x0100,
            ..arp
        }),
        request.drops("protocol-ipv6", Malformed, RFC, |arp| Arp {
            protocol: 0x86dd,
            ..arp
        }),
        request.drops("protocol-8", Malformed, RFC, |arp| Arp {
            protocol: 0x0008,
            ..arp
        }),
        request.drops("hardware-length-8", Malformed, RFC, |arp| Arp {
            hardware_length: 8,
            ..arp
        }),
        request.drops("hardware-length-0", Malformed, RFC, |arp| Arp {
            hardware_length: 0,
            ..arp
        }),
        request.drops("protocol-length-16", Malformed, RFC, |arp| Arp {
            protocol_length: 16,
            ..arp
        }),
        request.frame_drops("cut-at-27", Malformed, RFC, |frame| frame.keep(27)),
        request.frame_drops("cut-at-8", Malformed, RFC, |frame| frame.keep(8)),
        request.frame_drops("cut-at-0", Malformed, RFC, |frame| frame.keep(0)),
    ]
}

fn senders(request: &Base<Arp>) -> Vec<Row> {
    vec![
        request.drops("sender-not-the-source", Essentials, RFC, |arp| Arp {
            sender: (STRANGER, arp.sender.1),
            ..arp
        }),
        request.drops(
            "sender-differs-in-the-last-byte",
            Essentials,
            RFC,
            |mut arp| {
                arp.sender.0[5] ^= 1;
                arp
            },
        ),
        request.drops(
            "sender-differs-in-the-first-byte",
            Essentials,
            RFC,
            |mut arp| {
                arp.sender.0[0] ^= 0x80;
                arp
            },
        ),
        request.frame_drops("source-not-the-sender", Essentials, RFC, |frame| {
            frame.sent_by(STRANGER)
        }),
        request.drops("reply-sender-not-the-source", Essentials, RFC, |arp| Arp {
            operation: 2,
            sender: (STRANGER, arp.sender.1),
            ..arp
        }),
        // The first fault decides.
        request.drops(
            "malformed-and-sender-not-the-source",
            Malformed,
            RFC,
            |arp| Arp {
                hardware: 6,
                sender: (STRANGER, arp.sender.1),
                ..arp
            },
        ),
    ]
}

fn not_essential() -> Vec<Row> {
    let tcp = Base::new("arp", "tcp-5061", from(PEER, Family::V4, tcp())).under(Kind::NoEssentials);
    vec![
        tcp.other_drops(
            "not-essential",
            Default,
            RFC,
            Arp::request(PEER.v4, HOST.v4),
        ),
        tcp.other_drops(
            "not-essential-sender",
            Essentials,
            RFC,
            Arp {
                sender: (STRANGER, PEER.v4),
                ..Arp::request(PEER.v4, HOST.v4)
            },
        ),
        tcp.other_drops("not-essential-cut", Malformed, RFC, {
            Frame::from(Arp::request(PEER.v4, HOST.v4)).keep(27)
        }),
    ]
}
