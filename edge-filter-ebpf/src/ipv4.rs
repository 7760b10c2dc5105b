//! IPv4 (RFC 791; `docs/verdicts.md` §4).

use crate::config::Constant;
use crate::counter::Counter;
use crate::frame::{Frame, Header};
use crate::packet::{Address, Family, Ip};
use crate::tables::Tables;
use crate::walks::Walks;

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
pub fn read<F: Walks, T: Tables>(frame: &mut F, tables: &T, at: u32) -> Result<Ip, Counter> {
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
        source: Address::left(header.left_u32::<12>()),
        destination: Address::left(header.left_u32::<16>()),
        protocol: header.u8::<9>(),
        hop_limit: header.u8::<8>(),
        fragment_header: false,
        payload,
        end: at + total_length,
    };
    if header_length > 20 {
        frame.options(at + 20, payload)?;
    }
    Ok(ip)
}

/// Walks the options from `at` to `end` (RFC 7126 on source routing).
///
/// # Errors
/// The counter of the fault that they have.
#[inline(always)]
pub fn walk<F: Frame>(frame: &mut F, mut at: u32, end: u32) -> Result<(), Counter> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::{self, ByHand};
    use crate::memory::Memory;
    use crate::packet::protocol::TCP;

    fn judge(bytes: &[u8]) -> Result<Ip, Counter> {
        read(&mut Memory::new(bytes), &ByHand::new(), 0)
    }

    fn options(options: &[u8]) -> Result<Ip, Counter> {
        judge(&by_hand::ipv4(TCP, options, &by_hand::tcp()))
    }

    #[test]
    fn what_the_header_says() {
        let ip = options(&[]).unwrap();
        assert_eq!(ip.source, by_hand::key().source);
        assert_eq!(ip.destination, by_hand::key().destination);
        assert_eq!((ip.protocol, ip.hop_limit), (TCP, 64));
        assert_eq!((ip.payload, ip.end), (20, 40));
    }

    #[test]
    fn every_first_byte_but_that_of_a_header_that_fits_is_malformed() {
        let whole = by_hand::ipv4(TCP, &[], &by_hand::tcp());
        for first in 0..=u8::MAX {
            let mut bytes = whole.clone();
            bytes[0] = first;
            let passes = matches!(first, 0x45..=0x4a);
            let fault = judge(&bytes).err();
            // Longer headers read the segment as options, and find other faults.
            assert!(passes || fault == Some(Counter::MALFORMED), "{first:#x}");
        }
    }

    #[test]
    fn the_total_length_lies_between_header_and_frame() {
        let whole = by_hand::ipv4(TCP, &[], &by_hand::tcp());
        for length in 0..=u16::MAX {
            let mut bytes = whole.clone();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            let end = judge(&bytes).map(|ip| ip.end);
            let expected = if (20..=40).contains(&length) {
                Ok(length.into())
            } else {
                Err(Counter::MALFORMED)
            };
            assert_eq!(end.ok(), expected.ok(), "{length}");
        }
    }

    /// Only a length of 0 in a frame past 65,535 bytes stands for the frame's.
    #[test]
    fn software_lengths() {
        for (left, software, expected) in [
            (65_535, 1, None),
            (65_536, 1, Some(65_536)),
            (65_536, 0, None),
            (200_000, 1, Some(200_000)),
        ] {
            let mut bytes = by_hand::ipv4(TCP, &[], &by_hand::tcp());
            bytes[2..4].fill(0);
            bytes.resize(left, 0);
            let tables = ByHand::new().with(Constant::SoftwareLengths, software);
            let ip = read(&mut Memory::new(&bytes), &tables, 0).ok();
            assert_eq!(ip.map(|ip| ip.end), expected, "{left}, {software}");
            bytes[3] = 19;
            let ip = read(&mut Memory::new(&bytes), &tables, 0);
            assert_eq!(ip.err(), Some(Counter::MALFORMED), "19 is no 0");
        }
    }

    #[test]
    fn every_fragment_is_one() {
        let whole = by_hand::ipv4(TCP, &[], &by_hand::tcp());
        for field in 0..=u16::MAX {
            let mut bytes = whole.clone();
            bytes[6..8].copy_from_slice(&field.to_be_bytes());
            let expected = (field & 0x3fff != 0).then_some(Counter::FRAGMENT);
            assert_eq!(judge(&bytes).err(), expected, "{field:#x}");
        }
    }

    #[test]
    fn options_are_walked_to_their_end() {
        let fault = |list: &[u8]| options(list).err();
        assert_eq!(fault(&[1; 40]), None, "as many as there is room for");
        assert_eq!(
            fault(&[1, 1, 1, 131]),
            Some(Counter::MALFORMED),
            "no length"
        );
        assert_eq!(fault(&[131, 3, 4, 0]), Some(Counter::OPTIONS));
        assert_eq!(fault(&[1, 137, 3, 4]), Some(Counter::OPTIONS));
        assert_eq!(fault(&[0, 131, 3, 4]), None, "behind the end of the list");
        assert_eq!(fault(&[7, 4, 131, 3]), None, "within an option");
        assert_eq!(fault(&[7, 3, 131, 3]), Some(Counter::MALFORMED));
        for length in 0..=u8::MAX {
            let expected = !matches!(length, 2..=4);
            let found = fault(&[7, length, 1, 1]) == Some(Counter::MALFORMED);
            assert_eq!(found, expected, "{length}");
        }
    }
}
