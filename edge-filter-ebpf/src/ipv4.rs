//! IPv4 (RFC 791; `docs/verdicts.md` §4).

use crate::config::Constant;
use crate::counter::Counter;
use crate::frame::{Frame, Header};
use crate::packet::{Address, Family, Ip};
use crate::tables::Tables;

/// More fragments, and the fragment offset.
pub(crate) const FRAGMENT: u16 = 0x3fff;

/// The longest header has 40 bytes of options.
const MAX_OPTIONS: u32 = 40;
const END_OF_LIST: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// Reads the IPv4 header at offset `at`.
///
/// # Errors
/// The counter of the fault that the header has.
#[inline(always)]
pub fn read<F: Frame, T: Tables>(frame: &mut F, tables: &T, at: u32) -> Result<Ip, Counter> {
    let left = frame.length().wrapping_sub(at);
    let header = frame.header::<20>(at)?;
    let first = header.u8::<0>();
    if first >> 4 != 4 || first & 0x0f < 5 {
        return Err(Counter::MALFORMED);
    }
    let header_length = u32::from(first & 0x0f) * 4;
    let mut total_length = u32::from(header.u16::<2>());
    if total_length == 0 && tables.constant(Constant::SoftwareLengths) != 0 && left > 0xffff {
        total_length = left;
    }
    if header_length > left || total_length < header_length || total_length > left {
        return Err(Counter::MALFORMED);
    }
    if header.u16::<6>() & FRAGMENT != 0 {
        return Err(Counter::FRAGMENT);
    }
    let payload = at + header_length;
    let ip = Ip {
        family: Family::V4,
        source: Address::v4(header.u32::<12>()),
        destination: Address::v4(header.u32::<16>()),
        protocol: header.u8::<9>(),
        hop_limit: header.u8::<8>(),
        payload,
        end: at + total_length,
    };
    if header_length > 20 {
        read_options(frame, at + 20, payload)?;
    }
    Ok(ip)
}

/// Walks the options from `at` to `end` (RFC 7126 on source routing).
#[inline(always)]
fn read_options<F: Frame>(frame: &mut F, mut at: u32, end: u32) -> Result<(), Counter> {
    for _ in 0..MAX_OPTIONS {
        if at >= end {
            return Ok(());
        }
        let kind = frame.header::<1>(at)?.u8::<0>();
        if kind == END_OF_LIST {
            return Ok(());
        }
        if kind == NO_OPERATION {
            at += 1;
            continue;
        }
        if end - at < 2 {
            return Err(Counter::MALFORMED);
        }
        let length = u32::from(frame.header::<2>(at)?.u8::<1>());
        if length < 2 || length > end - at {
            return Err(Counter::MALFORMED);
        }
        if matches!(kind, LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE) {
            return Err(Counter::OPTIONS);
        }
        at += length;
    }
    if at >= end {
        Ok(())
    } else {
        Err(Counter::INTERNAL)
    }
}
