//! TCP, UDP, SCTP, ICMP and ICMPv6 headers (`docs/verdicts.md` §6).

use crate::counter::Counter;
use crate::frame::{Frame, Header};
use crate::packet::{Family, Ip, Key, NO_ICMP, Packet, protocol};
use crate::quote;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// The flags of RFC 9293 without CWR and ECE, which RFC 3168 added.
const LOW_SIX: u8 = 0x3f;

/// Reads the header at the payload's begin, and completes the packet.
///
/// # Errors
/// The counter of the fault that the header has.
#[inline(always)]
pub fn read<F: Frame>(frame: &mut F, ip: Ip) -> Result<Packet, Counter> {
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
        icmp: NO_ICMP,
        mirror: key,
        mirrors: false,
    };
    let ports = match (ip.protocol, ip.family) {
        (protocol::TCP, _) => tcp(frame, ip.payload, length)?,
        (protocol::UDP, _) => udp(frame, ip.payload, length)?,
        (protocol::SCTP, _) => sctp(frame, ip.payload, length)?,
        (protocol::ICMP, Family::V4) | (protocol::ICMPV6, Family::V6) => {
            let kind = icmp(frame, ip.payload, length)?;
            packet.icmp = u32::from(kind);
            if quote::is_error(ip.family, kind) {
                packet.mirrors = quote::read(frame, &ip, &mut packet.mirror)?;
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

/// The ports, the source's in the high half.
#[inline(always)]
fn tcp<F: Frame>(frame: &mut F, at: u32, length: u32) -> Result<u32, Counter> {
    if length < 20 {
        return Err(Counter::MALFORMED);
    }
    let header = frame.header::<20>(at)?;
    let offset = u32::from(header.u8::<12>() >> 4) * 4;
    if offset < 20 || offset > length {
        return Err(Counter::MALFORMED);
    }
    let flags = header.u8::<13>() & LOW_SIX;
    if flags == 0
        || flags & (SYN | FIN) == SYN | FIN
        || flags & (SYN | RST) == SYN | RST
        || flags & (FIN | ACK) == FIN
    {
        return Err(Counter::TCP_FLAGS);
    }
    Ok(header.u32::<0>())
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

/// Type and code.
#[inline(always)]
fn icmp<F: Frame>(frame: &mut F, at: u32, length: u32) -> Result<u16, Counter> {
    if length < 8 {
        return Err(Counter::MALFORMED);
    }
    Ok(frame.header::<8>(at)?.u16::<0>())
}
