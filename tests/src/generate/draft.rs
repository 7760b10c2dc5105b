//! A packet in parts that can each be spoiled, before it becomes bytes.
//! Checksums stay 0: no verdict depends on them.

use std::net::IpAddr;

use rand::RngExt;

use super::flow::Flow;
use super::{Dice, any, bytes, chance};

pub(crate) const SOURCE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
pub(crate) const DESTINATION_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];

/// SYN, SYN+ACK, ACK, FIN+ACK, PSH+ACK, RST, RST+ACK, SYN with ECN.
const TCP_FLAGS: [u8; 8] = [0x02, 0x12, 0x10, 0x11, 0x18, 0x04, 0x14, 0xc2];
/// ICMP types that are no errors.
const ICMP_TYPES: [u8; 5] = [8, 0, 5, 13, 255];
/// `ICMPv6` types that are no errors, nor neighbour discovery.
const ICMPV6_TYPES: [u8; 5] = [128, 129, 130, 143, 255];

/// A tag's protocol identifier and its control word.
pub(crate) type Tag = [u16; 2];

/// An IPv6 extension header; its first byte is filled in.
#[derive(Debug, Clone)]
pub(crate) struct Extension {
    pub(crate) kind: u8,
    pub(crate) header: Vec<u8>,
}

/// An IP packet in its frame.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) tags: Vec<Tag>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) hop_limit: u8,
    /// IPv4 options: whole words.
    pub(crate) options: Vec<u8>,
    /// IPv4 flags and fragment offset, as one word.
    pub(crate) fragment: u16,
    pub(crate) extensions: Vec<Extension>,
    pub(crate) protocol: u8,
    pub(crate) payload: Vec<u8>,
    /// Bytes behind the packet's end.
    pub(crate) padding: usize,
}

impl Extension {
    /// One of 8 bytes with nothing remarkable in it.
    pub(crate) fn plain(kind: u8) -> Self {
        // 1 is the routing type, the first octet of padding, or a part of the
        // reserved bits, by kind; the authentication header counts words less 2.
        let mut header = vec![0, 0, 1, 0, 0, 0, 0, 0];
        match kind {
            44 => header[2] = 0,
            51 => {
                header[1] = 1;
                header.extend([0; 4]);
            }
            _ => {}
        }
        Self { kind, header }
    }

    /// A fragment header with the word of offset and M.
    pub(crate) fn fragment(word: u16) -> Self {
        let [high, low] = word.to_be_bytes();
        Self {
            kind: 44,
            header: vec![0, 0, high, low, 0, 0, 0, 7],
        }
    }
}

impl Draft {
    /// A well-formed packet of `flow`, without tags, options or extension
    /// headers.
    pub(crate) fn of(dice: &mut Dice, flow: &Flow) -> Self {
        Self {
            tags: Vec::new(),
            source: flow.source,
            destination: flow.destination,
            hop_limit: any(dice, &[64, 255, 1]),
            options: Vec::new(),
            fragment: 0,
            extensions: Vec::new(),
            protocol: flow.protocol,
            payload: payload(dice, flow),
            padding: if chance(dice, 20) {
                dice.random_range(1..20)
            } else {
                0
            },
        }
    }

    pub(crate) fn is_ipv4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// The frame.
    pub(crate) fn frame(&self) -> Vec<u8> {
        let ethertype = if self.is_ipv4() { 0x0800 } else { 0x86dd };
        let mut frame = ethernet(DESTINATION_MAC, &self.tags, ethertype, &self.packet());
        frame.resize(frame.len() + self.padding, 0);
        frame
    }

    /// The packet alone.
    pub(crate) fn packet(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.v4(source.octets(), destination.octets())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.v6(source.octets(), destination.octets())
            }
            mixed => unreachable!("a flow stays in its family: {mixed:?}"),
        }
    }

    fn v4(&self, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let header_length = 20 + self.options.len();
        let [high, low] = length(header_length + self.payload.len());
        let words = u8::try_from(header_length / 4).expect("at most 60 bytes");
        let [flags, offset] = self.fragment.to_be_bytes();
        let mut packet = vec![0x40 | words, 0, high, low, 0, 7, flags, offset];
        packet.extend([self.hop_limit, self.protocol, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        packet.extend(&self.options);
        packet.extend(&self.payload);
        packet
    }

    fn v6(&self, source: [u8; 16], destination: [u8; 16]) -> Vec<u8> {
        let mut behind = self.payload.clone();
        let mut next = self.protocol;
        for extension in self.extensions.iter().rev() {
            let mut header = extension.header.clone();
            header[0] = next;
            header.append(&mut behind);
            behind = header;
            next = extension.kind;
        }
        let [high, low] = length(behind.len());
        let mut packet = vec![0x60, 0, 0, 0, high, low, next, self.hop_limit];
        packet.extend(source);
        packet.extend(destination);
        packet.append(&mut behind);
        packet
    }
}

/// A frame of anything.
pub(crate) fn ethernet(
    destination: [u8; 6],
    tags: &[Tag],
    ethertype: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = [destination, SOURCE_MAC].concat();
    for [protocol, control] in tags {
        frame.extend(protocol.to_be_bytes());
        frame.extend(control.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes)
        .expect("generated packets are short")
        .to_be_bytes()
}

fn payload(dice: &mut Dice, flow: &Flow) -> Vec<u8> {
    let data = dice.random_range(0..24);
    let data = bytes(dice, data);
    let (source, destination) = flow.ports.unwrap_or_default();
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    match flow.protocol {
        6 => {
            let options = dice.random_range(0_u8..3);
            let mut segment = ports;
            segment.extend([
                0,
                0,
                0,
                1,
                0,
                0,
                0,
                1,
                (5 + options) << 4,
                any(dice, &TCP_FLAGS),
            ]);
            segment.extend([0xff, 0xff, 0, 0, 0, 0]);
            segment.extend(vec![1; usize::from(options) * 4]);
            [segment, data].concat()
        }
        17 => {
            let [high, low] = length(8 + data.len());
            [ports, vec![high, low, 0, 0], data].concat()
        }
        132 => [ports, vec![0; 8], data].concat(),
        1 if flow.source.is_ipv4() => {
            [vec![any(dice, &ICMP_TYPES), 0, 0, 0, 0, 1, 0, 1], data].concat()
        }
        58 if flow.source.is_ipv6() => {
            [vec![any(dice, &ICMPV6_TYPES), 0, 0, 0, 0, 1, 0, 1], data].concat()
        }
        // A packet of IPv6 has at least one byte behind its header.
        _ => [vec![0], data].concat(),
    }
}
