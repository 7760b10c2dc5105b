//! The packet that an ICMP error quotes, and the one that it mirrors
//! (RFC 792, RFC 4443; `docs/verdicts.md` §7).

use crate::config::{Constant, essential};
use crate::counter::Counter;
use crate::flow::Flows;
use crate::frame::{Frame, Header};
use crate::ipv4::FRAGMENT;
use crate::ipv6;
use crate::packet::{Address, Family, Ip, Key, NO_ICMP, protocol};
use crate::replies;
use crate::tables::Tables;
use crate::walks::Walks;

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

/// The packet that an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote {
    /// The packet that mirrors it: it runs the way of the error.
    pub mirror: Key,
    /// Whether it could have been sent by the error's destination at all, and errors
    /// are asked about.
    pub counts: bool,
    /// Whether it is ICMP under IPv4 or ICMPv6 under IPv6.
    pub is_icmp: bool,
    /// The identifier, if it is an echo request; [`NO_ICMP`] if it is other ICMP.
    pub identifier: u32,
}

/// Whether the ICMP error that `outer` carries belongs to a conversation. Without
/// `icmp-errors` the quote is only checked.
///
/// # Errors
/// [`Counter::MALFORMED`] if the quote is cut short or is no IP packet.
#[inline(always)]
pub fn mirrors_allowed<F: Walks, T: Tables + Flows>(
    frame: &mut F,
    outer: &Ip,
    tables: &T,
) -> Result<bool, Counter> {
    let quote = read(frame, outer, tables)?;
    if quote.counts {
        replies::is_talked_about(&quote, tables)
    } else {
        Ok(false)
    }
}

/// Reads what the ICMP error that `outer` carries quotes.
///
/// # Errors
/// [`Counter::MALFORMED`] if the quote is cut short or is no IP packet.
#[inline(always)]
pub fn read<F: Walks, T: Tables>(frame: &mut F, outer: &Ip, tables: &T) -> Result<Quote, Counter> {
    let at = outer.payload + ICMP;
    let quoted = match outer.family {
        Family::V4 => read_v4(frame, at, outer.end)?,
        Family::V6 => read_v6(frame, at, outer.end)?,
    };
    let protocol = quoted.protocol as u8;
    let is_icmp = protocol::is_icmp(outer.family, protocol);
    let mut quote = Quote {
        mirror: Key {
            family: outer.family,
            source: quoted.destination,
            destination: outer.destination,
            protocol,
            source_port: 0,
            destination_port: 0,
        },
        counts: false,
        is_icmp,
        identifier: 0,
    };
    if quoted.protocol == NOTHING
        || quoted.source != outer.destination
        || tables.constant(Constant::Essentials) & essential::ICMP_ERRORS == 0
    {
        return Ok(quote);
    }
    quote.counts = true;
    let transport = frame.header::<8>(quoted.payload)?;
    if protocol::has_ports(protocol) {
        let ports = transport.u32::<0>();
        quote.mirror.source_port = ports as u16;
        quote.mirror.destination_port = (ports >> 16) as u16;
    }
    if is_icmp {
        let is_request = replies::is_echo_request(outer.family, transport.u8::<0>().into());
        quote.identifier = if is_request {
            transport.u16::<4>().into()
        } else {
            NO_ICMP
        };
    }
    Ok(quote)
}

/// What a quote says of the packet that it quotes.
struct Quoted {
    source: Address,
    destination: Address,
    /// The protocol; [`NOTHING`] if the packet is one that never got out.
    protocol: u32,
    /// The offset of what was quoted behind the IP headers.
    payload: u32,
}

/// No protocol number.
const NOTHING: u32 = u32::MAX;

#[inline(always)]
fn read_v4<F: Frame>(frame: &mut F, at: u32, end: u32) -> Result<Quoted, Counter> {
    let left = end - at;
    if left < 20 {
        return Err(Counter::MALFORMED);
    }
    let header = frame.header::<20>(at)?;
    let first = header.u8::<0>();
    let header_length = u32::from(first & 0x0f) * 4;
    if first >> 4 != 4 || header_length < 20 || header_length + TRANSPORT > left {
        return Err(Counter::MALFORMED);
    }
    let is_fragment = header.u16::<6>() & FRAGMENT != 0;
    Ok(Quoted {
        source: Address::v4(header.u32::<12>()),
        destination: Address::v4(header.u32::<16>()),
        protocol: if is_fragment {
            NOTHING
        } else {
            u32::from(header.u8::<9>())
        },
        payload: at + header_length,
    })
}

#[inline(always)]
fn read_v6<F: Walks>(frame: &mut F, at: u32, end: u32) -> Result<Quoted, Counter> {
    if end - at < 40 {
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
    let (protocol, payload) = match ipv6::behind_extensions(frame, next, at + 40, end) {
        Ok(chain) => (u32::from(chain.protocol), chain.payload),
        Err(fault @ (Counter::MALFORMED | Counter::NOT_LINEAR | Counter::INTERNAL)) => {
            return Err(fault);
        }
        Err(_) => {
            return Ok(Quoted {
                source,
                destination,
                protocol: NOTHING,
                payload: at,
            });
        }
    };
    if end - payload < TRANSPORT {
        return Err(Counter::MALFORMED);
    }
    Ok(Quoted {
        source,
        destination,
        protocol,
        payload,
    })
}
