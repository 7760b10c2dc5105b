//! Valid frames, to be cut at every byte.

use super::hosts::{ALL_NODES, FRIEND, HOST, MONITOR, NEIGHBOUR, PEER, ROUTER, from};
use super::quotes::{answer, sent, unreachable};
use super::row::TAGS;
use crate::craft::{
    Arp, Extension, Family, Frame, Ip, Ipv4, Ipv6, Neighbour, Segment, authentication,
    destination_options, echo, extension, fragment, hop_by_hop, listener, neighbour, raw, routing,
    sctp, tcp, udp,
};

/// A frame that the standard policy lets pass.
#[derive(Debug, Clone)]
pub struct ValidFrame {
    /// Such as `ipv6/tag2/tcp-behind-8-headers`.
    pub name: String,
    /// The frame.
    pub frame: Vec<u8>,
    /// Where its network header begins.
    pub network_offset: usize,
    /// Where the last header ends that the verdict needs. Every shorter prefix
    /// is `drop:malformed`.
    pub header_end: usize,
    /// The counter that lets it pass.
    pub counter: String,
}

impl ValidFrame {
    /// The prefixes that lack something, from the Ethernet header on.
    pub fn prefixes(&self) -> impl Iterator<Item = &[u8]> {
        (14..self.header_end).map(|end| &self.frame[..end])
    }

    /// The prefixes of an IP packet that lack something although the length in
    /// the IP header is right, so that only the header that is cut tells.
    #[must_use]
    pub fn shortened(&self) -> Vec<Vec<u8>> {
        let ip = self.network_offset;
        let (field, counted_from) = match self.frame[ip - 2..ip] {
            [0x08, 0x00] => (ip + 2, ip),
            [0x86, 0xdd] => (ip + 4, ip + 40),
            _ => return Vec::new(),
        };
        let fixed = counted_from.max(ip + 20);
        (fixed..self.header_end)
            .map(|end| {
                let length = u16::try_from(end - counted_from).expect("a short frame");
                let mut bytes = self.frame[..end].to_vec();
                bytes[field..field + 2].copy_from_slice(&length.to_be_bytes());
                bytes
            })
            .collect()
    }
}

/// At least 50 valid frames of every kind that can pass.
#[must_use]
pub fn valid_frames() -> Vec<ValidFrame> {
    let mut frames = Vec::new();
    let mut add = |group: &str, name: &str, counter: &str, needed: usize, frame: Frame| {
        // Every number of tags in turn.
        let tags = frames.len() % TAGS.len();
        let frame = frame.tags(TAGS[tags].iter().copied());
        frames.push(ValidFrame {
            name: format!("{group}/tag{tags}/{name}"),
            network_offset: frame.network_offset(),
            header_end: frame.network_offset() + needed,
            frame: frame.bytes(),
            counter: counter.to_owned(),
        });
    };
    for family in Family::BOTH {
        for (name, counter, needed, packet) in both_families(family) {
            let needed = packet.header_length() + needed;
            add(family.name(), name, counter, needed, packet.into());
        }
    }
    for (name, counter, needed, packet) in ipv4_options() {
        let needed = packet.header_length() + needed;
        add("ipv4", name, counter, needed, packet.into());
    }
    for (name, counter, needed, packet) in ipv6_chains() {
        let needed = packet.header_length() + needed;
        add("ipv6", name, counter, needed, packet.into());
    }
    add(
        "arp",
        "request",
        "arp",
        28,
        Arp::request(PEER.v4, HOST.v4).into(),
    );
    add(
        "arp",
        "reply",
        "arp",
        28,
        Arp::reply(PEER.v4, HOST.v4).into(),
    );
    add(
        "arp",
        "padded",
        "arp",
        28,
        Frame::from(Arp::request(PEER.v4, HOST.v4)).pad(18),
    );
    frames
}

/// A name, a counter, how many bytes behind the IP headers the verdict needs,
/// and the packet.
type Valid<P> = (&'static str, &'static str, usize, P);

fn both_families(family: Family) -> Vec<Valid<Ip>> {
    let quote = |segment: Segment| {
        from(
            ROUTER,
            family,
            unreachable(family, &sent(family, segment).bytes()),
        )
    };
    let quoted = 8 + family.header_length() + 8;
    let icmp = if family == Family::V4 {
        "icmp"
    } else {
        "icmpv6"
    };
    vec![
        ("tcp-syn", "tcp-5061", 20, from(PEER, family, tcp())),
        (
            "tcp-options",
            "tcp-5061",
            40,
            from(PEER, family, tcp().tcp_options(5)),
        ),
        (
            "tcp-data-offset-15",
            "tcp-5061",
            60,
            from(PEER, family, tcp().tcp_options(10)),
        ),
        (
            "tcp-data",
            "tcp-range",
            20,
            from(PEER, family, tcp().to_port(50_000).data(&[7; 40])),
        ),
        ("udp", "udp-3478", 8, from(PEER, family, udp())),
        (
            "udp-without-data",
            "udp-3478",
            8,
            from(PEER, family, udp().keep(8).udp_length(8)),
        ),
        ("sctp", "sctp-2905", 12, from(PEER, family, sctp())),
        ("echo-request", icmp, 8, from(MONITOR, family, echo(family))),
        ("esp", "esp", 0, from(PEER, family, raw(50, &[9; 24]))),
        (
            "any-protocol",
            "friend",
            0,
            from(FRIEND, family, raw(253, &[9; 24])),
        ),
        ("error-quoting-tcp", "icmp-error", quoted, quote(answer())),
        (
            "error-quoting-udp",
            "icmp-error",
            quoted,
            quote(udp().ports(3478, 40_000)),
        ),
        (
            "error-quoting-sctp",
            "icmp-error",
            quoted,
            quote(sctp().ports(2905, 1)),
        ),
        (
            "error-quoting-esp",
            "icmp-error",
            quoted,
            quote(raw(50, &[0; 8])),
        ),
    ]
}

fn ipv4_options() -> Vec<Valid<Ipv4>> {
    let packet = |segment| Ipv4::new(PEER.v4, HOST.v4, segment);
    vec![
        (
            "tcp-behind-router-alert",
            "tcp-5061",
            20,
            packet(tcp()).options(&[148, 4, 0, 0]),
        ),
        (
            "tcp-behind-40-bytes",
            "tcp-5061",
            20,
            packet(tcp()).options(&[1; 40]),
        ),
        (
            "udp-behind-record-route",
            "udp-3478",
            8,
            packet(udp()).options(&[7, 7, 4, 0, 0, 0, 0]),
        ),
        (
            "sctp-behind-end-of-list",
            "sctp-2905",
            12,
            packet(sctp()).options(&[0, 9, 9, 9]),
        ),
        (
            "esp-behind-options",
            "esp",
            0,
            packet(raw(50, &[0; 8])).options(&[1, 1, 1, 0]),
        ),
    ]
}

fn ipv6_chains() -> Vec<Valid<Ipv6>> {
    let chain = |segment: Segment, headers: Vec<Extension>| {
        Ipv6::new(PEER.v6, HOST.v6, segment).extensions(headers)
    };
    let eight = || vec![destination_options(); 8];
    let each = vec![
        hop_by_hop(),
        destination_options(),
        routing(4),
        fragment(0, false),
        authentication(3),
        extension(135),
        extension(139),
        extension(140),
    ];
    let quoted =
        Ipv6::new(HOST.v6, PEER.v6, answer()).extensions([hop_by_hop(), fragment(0, false)]);
    let error = Ipv6::new(ROUTER.v6, HOST.v6, unreachable(Family::V6, &quoted.bytes()));
    let on_link = |segment, limit| Ipv6::new(NEIGHBOUR, HOST.v6, segment).hop_limit(limit);
    let listen = || listener(131, ALL_NODES);
    vec![
        (
            "tcp-behind-hop-by-hop",
            "tcp-5061",
            20,
            chain(tcp(), vec![hop_by_hop()]),
        ),
        (
            "tcp-behind-atomic-fragment",
            "tcp-5061",
            20,
            chain(tcp(), vec![fragment(0, false)]),
        ),
        (
            "tcp-behind-authentication",
            "tcp-5061",
            20,
            chain(tcp(), vec![authentication(3)]),
        ),
        (
            "tcp-behind-routing-2",
            "tcp-5061",
            20,
            chain(tcp(), vec![routing(2).longer(2)]),
        ),
        (
            "tcp-behind-8-headers",
            "tcp-5061",
            20,
            chain(tcp(), eight()),
        ),
        ("tcp-behind-each", "tcp-5061", 20, chain(tcp(), each)),
        ("tcp-behind-64-bytes", "tcp-5061", 20, {
            chain(tcp(), vec![destination_options().longer(7)])
        }),
        ("udp-behind-8-headers", "udp-3478", 8, chain(udp(), eight())),
        (
            "sctp-behind-options",
            "sctp-2905",
            12,
            chain(sctp(), vec![destination_options()]),
        ),
        (
            "esp-behind-options",
            "esp",
            0,
            chain(raw(50, &[0; 8]), vec![destination_options()]),
        ),
        ("error-quoting-a-chain", "icmp-error", 8 + 56 + 8, error),
        (
            "solicitation",
            "nd",
            8,
            on_link(neighbour(Neighbour::Solicitation(HOST.v6)), 255),
        ),
        (
            "advertisement",
            "nd",
            8,
            on_link(neighbour(Neighbour::Advertisement(NEIGHBOUR)), 255),
        ),
        (
            "router-solicitation",
            "nd",
            8,
            on_link(neighbour(Neighbour::RouterSolicitation), 255),
        ),
        (
            "listener-report",
            "mld",
            8,
            on_link(listen(), 1).extensions([hop_by_hop()]),
        ),
    ]
}
