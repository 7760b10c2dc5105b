//! Section 7: the packet that an ICMP error quotes (RFC 792, RFC 4443).

use std::net::IpAddr;

use super::conversations::Tuple;
use super::ip;
use super::protocol::{ICMP, ICMPV6, has_ports, ports_of};
use super::replies::echo_request;
use super::{Flow, take, word};
use crate::policy::DropReason;

/// The packet that an error quotes.
#[derive(Debug)]
pub(super) struct Quote {
    pub(super) sent: Flow,
    /// Type and identifier, if it is ICMP under IPv4 or `ICMPv6` under IPv6.
    icmp: Option<(u8, u16)>,
}

impl Quote {
    /// The entry that it may have made (section 13.6).
    pub(super) fn tuple(&self) -> Option<Tuple> {
        match self.icmp {
            None => Some(self.sent.tuple(None)),
            Some((kind, identifier)) => {
                (kind == echo_request(&self.sent)).then(|| self.sent.tuple(Some(identifier)))
            }
        }
    }

    /// The entry that it may have answered.
    pub(super) fn mirror_tuple(&self) -> Option<Tuple> {
        match self.icmp {
            None => Some(self.sent.mirror().tuple(None)),
            Some(_) => None,
        }
    }
}

/// What the error, sent to `outer_destination`, quotes, if that was sent from there.
pub(super) fn read(quoted: &[u8], outer_destination: IpAddr) -> Result<Option<Quote>, DropReason> {
    let sent = if outer_destination.is_ipv4() {
        v4(quoted)?
    } else {
        v6(quoted)?
    };
    Ok(sent.filter(|quote| quote.sent.source == outer_destination))
}

fn v4(quoted: &[u8]) -> Result<Option<Quote>, DropReason> {
    let (header, _) = take(quoted, 20)?;
    let (version, words) = (header[0] >> 4, header[0] & 0x0f);
    if version != 4 || words < 5 {
        return Err(DropReason::Malformed);
    }
    let header_length = usize::from(words) * 4;
    take(quoted, header_length + 8)?;
    if ip::is_v4_fragment(header) {
        return Ok(None);
    }
    Ok(Some(quote(
        ip::v4_address(header, 12),
        ip::v4_address(header, 16),
        header[9],
        &quoted[header_length..],
    )))
}

fn v6(quoted: &[u8]) -> Result<Option<Quote>, DropReason> {
    let (header, behind) = take(quoted, 40)?;
    if header[0] >> 4 != 6 {
        return Err(DropReason::Malformed);
    }
    let chain = match ip::skip_extension_headers(header[6], behind) {
        Ok(chain) => chain,
        Err(DropReason::Malformed) => return Err(DropReason::Malformed),
        Err(_) => return Ok(None),
    };
    take(chain.payload, 8)?;
    Ok(Some(quote(
        ip::v6_address(header, 8),
        ip::v6_address(header, 24),
        chain.protocol,
        chain.payload,
    )))
}

fn quote(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Quote {
    let own_icmp = if source.is_ipv4() { ICMP } else { ICMPV6 };
    Quote {
        sent: Flow {
            source,
            destination,
            protocol,
            ports: has_ports(protocol).then(|| ports_of(payload)),
        },
        icmp: (protocol == own_icmp).then(|| (payload[0], word(payload, 4))),
    }
}
