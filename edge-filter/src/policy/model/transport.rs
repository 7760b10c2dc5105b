//! Section 6: what lies behind the IP headers, as far as a verdict needs it.

use super::ip::Packet;
use super::protocol::{ICMP, ICMPV6, SCTP, TCP, UDP, ports_of};
use super::quote::{self, Quote};
use super::{Flow, take, word};
use crate::policy::DropReason;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// All but the two of ECN (RFC 3168).
const LOW_SIX_FLAGS: u8 = 0x3f;

/// Unreachable, time exceeded, parameter problem.
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
/// Unreachable, too big, time exceeded, parameter problem.
const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];

/// A packet that is sound as far as it is read.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) flow: Flow,
    /// Time to live, or hop limit.
    pub(super) hop_limit: u8,
    /// An IPv6 fragment header stood before it.
    pub(super) fragment_header: bool,
    /// The low six flags of TCP; 0 if it is not TCP.
    pub(super) tcp_flags: u8,
    /// Set for ICMP under IPv4 and for `ICMPv6` under IPv6.
    pub(super) icmp: Option<Icmp>,
}

/// An ICMP or `ICMPv6` message.
#[derive(Debug)]
pub(super) struct Icmp {
    pub(super) kind: u8,
    pub(super) code: u8,
    /// What stands behind the checksum: of an echo, its identifier.
    pub(super) identifier: u16,
    /// Of an error: what it quotes, as far as that counts (section 7).
    pub(super) quote: Option<Quote>,
}

/// Section 6.
pub(super) fn segment(packet: &Packet<'_>) -> Result<Segment, DropReason> {
    let ipv4 = packet.source.is_ipv4();
    let mut ports = None;
    let mut icmp = None;
    let mut tcp_flags = 0;
    match packet.protocol {
        TCP => {
            tcp_flags = check_tcp(packet.payload)?;
            ports = Some(ports_of(packet.payload));
        }
        UDP => {
            check_udp(packet.payload)?;
            ports = Some(ports_of(packet.payload));
        }
        SCTP => {
            take(packet.payload, 12)?;
            ports = Some(ports_of(packet.payload));
        }
        ICMP if ipv4 => icmp = Some(read_icmp(packet, &ICMP_ERRORS)?),
        ICMPV6 if !ipv4 => icmp = Some(read_icmp(packet, &ICMPV6_ERRORS)?),
        _ => {}
    }
    let flow = Flow {
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol,
        ports,
    };
    Ok(Segment {
        flow,
        hop_limit: packet.hop_limit,
        fragment_header: packet.fragment_header,
        tcp_flags,
        icmp,
    })
}

/// The low six flags.
fn check_tcp(payload: &[u8]) -> Result<u8, DropReason> {
    take(payload, 20)?;
    let (words, flags) = (payload[12] >> 4, payload[13] & LOW_SIX_FLAGS);
    if words < 5 {
        return Err(DropReason::Malformed);
    }
    take(payload, usize::from(words) * 4)?;
    let all = |wanted: u8| flags & wanted == wanted;
    if flags == 0 || all(SYN | FIN) || all(SYN | RST) || (all(FIN) && !all(ACK)) {
        return Err(DropReason::TcpFlags);
    }
    Ok(flags)
}

fn check_udp(payload: &[u8]) -> Result<(), DropReason> {
    take(payload, 8)?;
    let length = usize::from(word(payload, 4));
    if length < 8 {
        return Err(DropReason::Malformed);
    }
    take(payload, length)?;
    Ok(())
}

fn read_icmp(packet: &Packet<'_>, errors: &[u8]) -> Result<Icmp, DropReason> {
    let (header, quoted) = take(packet.payload, 8)?;
    let (kind, code) = (header[0], header[1]);
    let quote = if errors.contains(&kind) {
        quote::read(quoted, packet.destination)?
    } else {
        None
    };
    Ok(Icmp {
        kind,
        code,
        identifier: word(header, 4),
        quote,
    })
}
