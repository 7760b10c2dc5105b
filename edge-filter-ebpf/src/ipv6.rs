//! IPv6 and its extension headers (RFC 8200; `docs/verdicts.md` §5).

use crate::config::Constant;
use crate::counter::Counter;
use crate::frame::{Frame, Header};
use crate::packet::{Address, Chain, Family, Ip};
use crate::tables::Tables;
use crate::walks::Walks;

const HEADER: u32 = 40;
/// The most extension headers that are walked (RFC 7112 asks for a limit).
const MAX_EXTENSIONS: u32 = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Reads the IPv6 header at offset `at`, and the extension headers behind it.
///
/// # Errors
/// The counter of the fault that they have.
#[inline(always)]
pub fn read<F: Walks, T: Tables>(frame: &mut F, tables: &T, at: u32) -> Result<Ip, Counter> {
    let whole = frame.length();
    let header = frame.header::<40>(at)?;
    if header.u8::<0>() >> 4 != 6 {
        return Err(Counter::MALFORMED);
    }
    let left = whole - at - HEADER;
    let mut length = u32::from(header.u16::<4>());
    let next = header.u8::<6>();
    if length == 0 && tables.constant(Constant::SoftwareLengths) != 0 && left > 0xffff {
        length = left;
    }
    if length == 0 || length > left {
        return Err(Counter::MALFORMED);
    }
    let end = at + HEADER + length;
    let hop_limit = header.u8::<7>();
    let source = Address {
        high: header.u64::<8>(),
        low: header.u64::<16>(),
    };
    let destination = Address {
        high: header.u64::<24>(),
        low: header.u64::<32>(),
    };
    let chain = behind_extensions(frame, next, at + HEADER, end)?;
    Ok(Ip {
        family: Family::V6,
        source,
        destination,
        protocol: chain.protocol,
        hop_limit,
        fragment_header: chain.fragment_header,
        payload: chain.payload,
        end,
    })
}

/// What stands behind all extension headers, of which there are seldom any.
#[inline(always)]
pub(crate) fn behind_extensions<F: Walks>(
    frame: &mut F,
    next: u8,
    at: u32,
    end: u32,
) -> Result<Chain, Counter> {
    if next == NO_NEXT_HEADER || is_extension(next) {
        frame.extension_headers(next, at, end)
    } else {
        Ok(Chain {
            protocol: next,
            payload: at,
            fragment_header: false,
        })
    }
}

/// Walks the extension headers from `at` on; `next` names the first.
///
/// # Errors
/// The counter of the fault that they have.
#[inline(always)]
pub fn walk<F: Frame>(
    frame: &mut F,
    mut next: u8,
    mut at: u32,
    end: u32,
) -> Result<Chain, Counter> {
    let mut fragment_seen = false;
    for count in 0..=MAX_EXTENSIONS {
        if next == NO_NEXT_HEADER {
            return Err(Counter::NO_NEXT_HEADER);
        }
        if !is_extension(next) {
            return Ok(Chain {
                protocol: next,
                payload: at,
                fragment_header: fragment_seen,
            });
        }
        if count == MAX_EXTENSIONS || (next == HOP_BY_HOP && count != 0) {
            return Err(Counter::EXTENSION_HEADERS);
        }
        if end - at < 8 {
            return Err(Counter::MALFORMED);
        }
        let header = frame.header::<8>(at)?;
        let length = match next {
            FRAGMENT => {
                if fragment_seen {
                    return Err(Counter::MALFORMED);
                }
                // Offset and M; the two bits between them are reserved.
                if header.u16::<2>() & 0xfff9 != 0 {
                    return Err(Counter::FRAGMENT);
                }
                fragment_seen = true;
                8
            }
            AUTHENTICATION => (u32::from(header.u8::<1>()) + 2) * 4,
            _ => {
                if next == ROUTING && header.u8::<2>() == 0 {
                    return Err(Counter::OPTIONS);
                }
                (u32::from(header.u8::<1>()) + 1) * 8
            }
        };
        if length > end - at {
            return Err(Counter::MALFORMED);
        }
        next = header.u8::<0>();
        at += length;
    }
    Err(Counter::INTERNAL)
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION | MOBILITY | HIP | SHIM6
    )
}
