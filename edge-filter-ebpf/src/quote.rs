//! The packet that an ICMP error quotes, and the one that it mirrors
//! (RFC 792, RFC 4443; `docs/verdicts.md` §7).

use crate::counter::Counter;
use crate::frame::{Frame, Header};
use crate::ipv4::FRAGMENT;
use crate::ipv6;
use crate::packet::{Address, Family, Ip, Key, protocol};

/// What an ICMP message holds before the quote.
const ICMP: u32 = 8;
/// What must be quoted behind the IP header (RFC 792).
const TRANSPORT: u32 = 8;

/// Whether ICMP type and code `kind` (type in the high byte) is an error.
#[inline(always)]
#[must_use]
pub const fn is_error(family: Family, kind: u16) -> bool {
    match family {
        Family::V4 => matches!(kind >> 8, 3 | 11 | 12),
        Family::V6 => matches!(kind >> 8, 1..=4),
    }
}

/// Reads the quote of the ICMP error that `outer` carries. Returns whether it
/// mirrors a packet, which `mirror` then is: the one that runs against the
/// quoted one.
///
/// # Errors
/// [`Counter::MALFORMED`] if the quote is cut short or is no IP packet.
#[inline(always)]
pub fn read<F: Frame>(frame: &mut F, outer: &Ip, mirror: &mut Key) -> Result<bool, Counter> {
    let at = outer.payload + ICMP;
    match outer.family {
        Family::V4 => read_v4(frame, outer, at, mirror),
        Family::V6 => read_v6(frame, outer, at, mirror),
    }
}

#[inline(always)]
fn read_v4<F: Frame>(
    frame: &mut F,
    outer: &Ip,
    at: u32,
    mirror: &mut Key,
) -> Result<bool, Counter> {
    let left = outer.end - at;
    if left < 20 {
        return Err(Counter::MALFORMED);
    }
    let header = frame.header::<20>(at)?;
    let first = header.u8::<0>();
    let header_length = u32::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_length < 20 || header_length + TRANSPORT > left {
        return Err(Counter::MALFORMED);
    }
    let source = Address::v4(header.u32::<12>());
    if header.u16::<6>() & FRAGMENT != 0 || source != outer.destination {
        return Ok(false);
    }
    let destination = Address::v4(header.u32::<16>());
    let protocol = header.u8::<9>();
    *mirror = against(frame, outer, destination, protocol, at + header_length)?;
    Ok(true)
}

#[inline(always)]
fn read_v6<F: Frame>(
    frame: &mut F,
    outer: &Ip,
    at: u32,
    mirror: &mut Key,
) -> Result<bool, Counter> {
    if outer.end - at < 40 {
        return Err(Counter::MALFORMED);
    }
    let header = frame.header::<40>(at)?;
    if header.u8::<0>() >> 4 != 6 {
        return Err(Counter::MALFORMED);
    }
    let next = header.u8::<6>();
    let source = Address {
        high: header.u64::<8>(),
        low: header.u64::<16>(),
    };
    let destination = Address {
        high: header.u64::<24>(),
        low: header.u64::<32>(),
    };
    let (protocol, payload) = match ipv6::walk(frame, next, at + 40, outer.end) {
        Ok(found) => found,
        Err(fault @ (Counter::MALFORMED | Counter::NOT_LINEAR | Counter::INTERNAL)) => {
            return Err(fault);
        }
        Err(_) => return Ok(false),
    };
    if outer.end - payload < TRANSPORT {
        return Err(Counter::MALFORMED);
    }
    if source != outer.destination {
        return Ok(false);
    }
    *mirror = against(frame, outer, destination, protocol, payload)?;
    Ok(true)
}

/// The packet from the quoted destination back to the quoted source.
#[inline(always)]
fn against<F: Frame>(
    frame: &mut F,
    outer: &Ip,
    quoted_destination: Address,
    protocol: u8,
    payload: u32,
) -> Result<Key, Counter> {
    let ports = if protocol::has_ports(protocol) {
        frame.header::<4>(payload)?.u32::<0>()
    } else {
        0
    };
    Ok(Key {
        family: outer.family,
        source: quoted_destination,
        destination: outer.destination,
        protocol,
        source_port: ports as u16,
        destination_port: (ports >> 16) as u16,
    })
}
