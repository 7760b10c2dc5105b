//! Sections 3 to 5: IPv4 (RFC 791), IPv6 (RFC 8200) and the lengths that
//! software offload leaves behind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{take, word};
use crate::policy::DropReason;

/// The largest length that the headers' own length fields can hold.
const MAX_LENGTH: usize = 65_535;
const MAX_EXTENSION_HEADERS: usize = 8;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NO_NEXT_HEADER: u8 = 59;
/// Beside the four above: destination options, mobility, HIP, shim6.
const EXTENSION_HEADERS: [u8; 8] = [
    HOP_BY_HOP,
    ROUTING,
    FRAGMENT,
    AUTHENTICATION,
    60,
    135,
    139,
    140,
];

/// IPv4 options that route by the sender's will: loose and strict source route.
const SOURCE_ROUTES: [u8; 2] = [131, 137];

/// A packet whose IP headers are sound.
#[derive(Debug)]
pub(super) struct Packet<'f> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Time to live, or hop limit.
    pub(super) hop_limit: u8,
    /// An IPv6 fragment header stood among the extension headers.
    pub(super) fragment_header: bool,
    /// The protocol, behind all extension headers.
    pub(super) protocol: u8,
    /// From behind the last header to the end that the packet declares.
    pub(super) payload: &'f [u8],
}

/// Section 4. `rest` begins with the IPv4 header, and ends with the frame.
pub(super) fn v4(rest: &[u8], software_lengths: bool) -> Result<Packet<'_>, DropReason> {
    take(rest, 20)?;
    let (version, words) = (rest[0] >> 4, rest[0] & 0x0f);
    if version != 4 || words < 5 {
        return Err(DropReason::Malformed);
    }
    let header_length = usize::from(words) * 4;
    let (header, _) = take(rest, header_length)?;

    let mut total_length = usize::from(word(header, 2));
    if total_length == 0 && software_lengths && rest.len() > MAX_LENGTH {
        total_length = rest.len();
    }
    if total_length < header_length {
        return Err(DropReason::Malformed);
    }
    let (packet, _padding) = take(rest, total_length)?;

    if is_v4_fragment(header) {
        return Err(DropReason::Fragment);
    }
    check_options(&header[20..])?;
    Ok(Packet {
        source: v4_address(header, 12),
        destination: v4_address(header, 16),
        hop_limit: header[8],
        fragment_header: false,
        protocol: header[9],
        payload: &packet[header_length..],
    })
}

/// Whether more fragments are to come, or the offset is not 0.
pub(super) fn is_v4_fragment(header: &[u8]) -> bool {
    let (more_fragments, offset) = (word(header, 6) & 0x2000, word(header, 6) & 0x1fff);
    more_fragments != 0 || offset != 0
}

/// Section 4.5.
fn check_options(mut options: &[u8]) -> Result<(), DropReason> {
    loop {
        options = match options {
            [] | [0, ..] => return Ok(()),
            [1, rest @ ..] => rest,
            [kind, length, ..] if *length >= 2 => {
                let (_, rest) = take(options, usize::from(*length))?;
                if SOURCE_ROUTES.contains(kind) {
                    return Err(DropReason::Options);
                }
                rest
            }
            _ => return Err(DropReason::Malformed),
        };
    }
}

/// Section 5. `rest` begins with the IPv6 header, and ends with the frame.
pub(super) fn v6(rest: &[u8], software_lengths: bool) -> Result<Packet<'_>, DropReason> {
    let (header, behind) = take(rest, 40)?;
    if header[0] >> 4 != 6 {
        return Err(DropReason::Malformed);
    }
    let mut payload_length = usize::from(word(header, 4));
    if payload_length == 0 && software_lengths && behind.len() > MAX_LENGTH {
        payload_length = behind.len();
    }
    if payload_length == 0 {
        return Err(DropReason::Malformed);
    }
    let (declared, _padding) = take(behind, payload_length)?;
    let Chain {
        protocol,
        payload,
        fragment_header,
    } = skip_extension_headers(header[6], declared)?;
    Ok(Packet {
        source: v6_address(header, 8),
        destination: v6_address(header, 24),
        hop_limit: header[7],
        fragment_header,
        protocol,
        payload,
    })
}

/// What stands behind the extension headers.
pub(super) struct Chain<'f> {
    pub(super) protocol: u8,
    pub(super) payload: &'f [u8],
    /// A fragment header stood among them.
    pub(super) fragment_header: bool,
}

/// Section 5.3: the protocol, and what lies behind the extension headers.
/// `kind` is what the fixed header names as next; `rest` is what follows it.
pub(super) fn skip_extension_headers(
    mut kind: u8,
    mut rest: &[u8],
) -> Result<Chain<'_>, DropReason> {
    let mut seen = 0;
    let mut fragment_seen = false;
    loop {
        if kind == NO_NEXT_HEADER {
            return Err(DropReason::NoNextHeader);
        }
        if !EXTENSION_HEADERS.contains(&kind) {
            return Ok(Chain {
                protocol: kind,
                payload: rest,
                fragment_header: fragment_seen,
            });
        }
        if seen == MAX_EXTENSION_HEADERS || (kind == HOP_BY_HOP && seen > 0) {
            return Err(DropReason::ExtensionHeaders);
        }
        seen += 1;
        if rest.len() < 8 {
            return Err(DropReason::Malformed);
        }
        let units = usize::from(rest[1]);
        let length = match kind {
            FRAGMENT => {
                if fragment_seen {
                    return Err(DropReason::Malformed);
                }
                fragment_seen = true;
                let (offset, more_fragments) = (word(rest, 2) >> 3, word(rest, 2) & 1);
                if offset != 0 || more_fragments != 0 {
                    return Err(DropReason::Fragment);
                }
                8
            }
            ROUTING if rest[2] == 0 => return Err(DropReason::Options),
            AUTHENTICATION => (units + 2) * 4,
            _ => (units + 1) * 8,
        };
        kind = rest[0];
        (_, rest) = rest.split_at_checked(length).ok_or(DropReason::Malformed)?;
    }
}

/// The IPv4 address at `offset` of `header`.
pub(super) fn v4_address(header: &[u8], offset: usize) -> IpAddr {
    let mut octets = [0; 4];
    octets.copy_from_slice(&header[offset..offset + 4]);
    Ipv4Addr::from(octets).into()
}

/// The IPv6 address at `offset` of `header`.
pub(super) fn v6_address(header: &[u8], offset: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&header[offset..offset + 16]);
    Ipv6Addr::from(octets).into()
}
