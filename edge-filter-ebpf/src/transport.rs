//! TCP, UDP, SCTP, ICMP and ICMPv6 headers (`docs/verdicts.md` §6).

use crate::counter::Counter;
use crate::flow::Flows;
use crate::frame::{Frame, Header};
use crate::packet::tcp::{ACK, FIN, RST, SYN};
use crate::packet::{Family, Ip, Key, NO_ICMP, Packet, protocol};
use crate::quote;
use crate::tables::Tables;
use crate::walks::Walks;

/// The flags of RFC 9293 without CWR and ECE, which RFC 3168 added.
pub(crate) const LOW_SIX: u8 = 0x3f;

/// The combinations of these flags that a TCP sends, one bit for each: any, but neither
/// SYN with FIN or RST, nor FIN without ACK, nor none at all.
pub(crate) const VALID_FLAGS: u64 = {
    let mut valid = 0;
    let mut flags = 1;
    while flags <= LOW_SIX {
        let starts_and_ends = flags & SYN != 0 && flags & (FIN | RST) != 0;
        let ends_unacknowledged = flags & (FIN | ACK) == FIN;
        if !starts_and_ends && !ends_unacknowledged {
            valid |= 1 << flags;
        }
        flags += 1;
    }
    valid
};

/// Reads the header at the payload's begin, and completes the packet.
///
/// # Errors
/// The counter of the fault that the header has.
#[inline(always)]
pub fn read<F: Walks, T: Tables + Flows>(
    frame: &mut F,
    ip: Ip,
    tables: &T,
) -> Result<Packet, Counter> {
    let length = ip.end - ip.payload;
    let mut key = Key {
        family: ip.family,
        source: ip.source,
        destination: ip.destination,
        protocol: ip.protocol,
        source_port: 0,
        destination_port: 0,
    };
    let mut packet = Packet {
        key,
        hop_limit: ip.hop_limit,
        fragment_header: ip.fragment_header,
        icmp: NO_ICMP,
        identifier: 0,
        tcp_flags: 0,
        mirrors_allowed: false,
    };
    let ports = match (ip.protocol, ip.family) {
        (protocol::TCP, _) => {
            let (ports, flags) = tcp(frame, ip.payload, length)?;
            packet.tcp_flags = flags;
            ports
        }
        (protocol::UDP, _) => udp(frame, ip.payload, length)?,
        (protocol::SCTP, _) => sctp(frame, ip.payload, length)?,
        (protocol::ICMP, Family::V4) | (protocol::ICMPV6, Family::V6) => {
            let (kind, identifier) = icmp(frame, ip.payload, length)?;
            packet.icmp = u32::from(kind);
            packet.identifier = identifier;
            if quote::is_error(ip.family, kind) {
                packet.mirrors_allowed = frame.mirrors_allowed(&ip, tables)?;
            }
            0
        }
        _ => 0,
    };
    key.source_port = (ports >> 16) as u16;
    key.destination_port = ports as u16;
    packet.key = key;
    Ok(packet)
}

/// The ports, the source's in the high half, and the low six flags.
#[inline(always)]
fn tcp<F: Frame>(frame: &mut F, at: u32, length: u32) -> Result<(u32, u8), Counter> {
    if length < 20 {
        return Err(Counter::MALFORMED);
    }
    let header = frame.header::<20>(at)?;
    let offset = u32::from(header.u8::<12>() >> 4) * 4;
    if offset < 20 || offset > length {
        return Err(Counter::MALFORMED);
    }
    let flags = header.u8::<13>() & LOW_SIX;
    if VALID_FLAGS >> flags & 1 == 0 {
        return Err(Counter::TCP_FLAGS);
    }
    Ok((header.u32::<0>(), flags))
}

#[inline(always)]
fn udp<F: Frame>(frame: &mut F, at: u32, length: u32) -> Result<u32, Counter> {
    if length < 8 {
        return Err(Counter::MALFORMED);
    }
    let header = frame.header::<8>(at)?;
    let declared = u32::from(header.u16::<4>());
    if declared < 8 || declared > length {
        return Err(Counter::MALFORMED);
    }
    Ok(header.u32::<0>())
}

#[inline(always)]
fn sctp<F: Frame>(frame: &mut F, at: u32, length: u32) -> Result<u32, Counter> {
    if length < 12 {
        return Err(Counter::MALFORMED);
    }
    Ok(frame.header::<12>(at)?.u32::<0>())
}

/// Type and code; and the identifier that an echo has.
#[inline(always)]
fn icmp<F: Frame>(frame: &mut F, at: u32, length: u32) -> Result<(u16, u16), Counter> {
    if length < 8 {
        return Err(Counter::MALFORMED);
    }
    let header = frame.header::<8>(at)?;
    Ok((header.u16::<0>(), header.u16::<4>()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::{self, ByHand};
    use crate::memory::Memory;

    /// The packet that `segment` makes as the payload of either family.
    fn judge(family: Family, protocol: u8, segment: &[u8]) -> Result<Packet, Counter> {
        let end = u32::try_from(segment.len()).unwrap();
        let ip = Ip {
            family,
            source: by_hand::key().source,
            destination: by_hand::key().destination,
            protocol,
            hop_limit: 64,
            fragment_header: false,
            payload: 0,
            end,
        };
        // Behind the packet's end the frame goes on: padding is never a header.
        let frame = [segment, &[0x55; 64]].concat();
        read(&mut Memory::new(&frame), ip, &ByHand::new())
    }

    fn fault(protocol: u8, segment: &[u8]) -> Option<Counter> {
        let [v4, v6] =
            [Family::V4, Family::V6].map(|family| judge(family, protocol, segment).err());
        assert_eq!(v4, v6, "either family");
        v4
    }

    #[test]
    fn ports_are_read_where_the_protocol_has_them() {
        for (protocol, ports) in [
            (protocol::TCP, (40_000, 5061)),
            (protocol::SCTP, (40_000, 5061)),
            (47, (0, 0)),
            (136, (0, 0)),
        ] {
            let key = judge(Family::V4, protocol, &by_hand::tcp()).unwrap().key;
            assert_eq!((key.source_port, key.destination_port), ports, "{protocol}");
        }
    }

    #[test]
    fn a_header_is_whole_or_malformed() {
        let udp = [0x9c, 0x40, 0x0d, 0x96, 0, 8, 0, 0];
        for (protocol, segment, needs) in [
            (protocol::TCP, by_hand::tcp(), 20),
            (protocol::UDP, udp.to_vec(), 8),
            (protocol::SCTP, by_hand::tcp(), 12),
        ] {
            for length in 0..=segment.len() {
                let expected = (length < needs).then_some(Counter::MALFORMED);
                assert_eq!(
                    fault(protocol, &segment[..length]),
                    expected,
                    "{protocol}: {length}"
                );
            }
        }
        for (family, protocol) in [(Family::V4, protocol::ICMP), (Family::V6, protocol::ICMPV6)] {
            let echo = [128, 0, 0, 0, 0, 0, 0, 0];
            for length in 0..8 {
                let short = judge(family, protocol, &echo[..length]);
                assert_eq!(short, Err(Counter::MALFORMED), "{length}");
            }
            assert_eq!(judge(family, protocol, &echo).unwrap().icmp, 0x8000);
        }
    }

    #[test]
    fn the_data_offset_lies_within_the_segment() {
        for words in 0..16_u8 {
            let mut segment = by_hand::tcp();
            segment.extend([0; 20]);
            segment[12] = words << 4;
            let expected = (!(5..=10).contains(&words)).then_some(Counter::MALFORMED);
            assert_eq!(fault(protocol::TCP, &segment), expected, "{words}");
        }
    }

    #[test]
    fn flags_that_no_tcp_sends() {
        for flags in 0..=u8::MAX {
            let mut segment = by_hand::tcp();
            segment[13] = flags;
            let has = |flag: u8| flags & flag != 0;
            let low_six = flags & 0x3f;
            let bad =
                low_six == 0 || (has(SYN) && (has(FIN) || has(RST))) || (has(FIN) && !has(ACK));
            let expected = bad.then_some(Counter::TCP_FLAGS);
            assert_eq!(fault(protocol::TCP, &segment), expected, "{flags:#04x}");
        }
    }

    #[test]
    fn the_udp_length_lies_within_the_payload() {
        for length in 0..=u16::MAX {
            let mut segment = vec![0x9c, 0x40, 0x0d, 0x96, 0, 0, 0, 0, 1, 2, 3, 4];
            segment[4..6].copy_from_slice(&length.to_be_bytes());
            let expected = (!(8..=12).contains(&length)).then_some(Counter::MALFORMED);
            assert_eq!(fault(protocol::UDP, &segment), expected, "{length}");
        }
    }

    #[test]
    fn the_other_familys_icmp_has_no_type() {
        for (family, protocol) in [(Family::V6, protocol::ICMP), (Family::V4, protocol::ICMPV6)] {
            let packet = judge(family, protocol, &[3, 0]).unwrap();
            assert_eq!(packet.icmp, NO_ICMP);
        }
    }
}
