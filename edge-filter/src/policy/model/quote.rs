//! Section 7: the packet that an ICMP error quotes (RFC 792, RFC 4443), and the
//! one that it mirrors.

use std::net::IpAddr;

use super::ip;
use super::protocol::{has_ports, ports_of};
use super::{Flow, take};
use crate::policy::DropReason;

/// The packet that would have run the other way, if the error, sent to
/// `outer_destination`, quotes one that was sent from there.
pub(super) fn mirror(quoted: &[u8], outer_destination: IpAddr) -> Result<Option<Flow>, DropReason> {
    let sent = if outer_destination.is_ipv4() {
        v4(quoted)?
    } else {
        v6(quoted)?
    };
    Ok(sent
        .filter(|sent| sent.source == outer_destination)
        .map(|sent| Flow {
            source: sent.destination,
            destination: sent.source,
            protocol: sent.protocol,
            ports: sent
                .ports
                .map(|(source, destination)| (destination, source)),
        }))
}

fn v4(quoted: &[u8]) -> Result<Option<Flow>, DropReason> {
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
    Ok(Some(flow(
        ip::v4_address(header, 12),
        ip::v4_address(header, 16),
        header[9],
        &quoted[header_length..],
    )))
}

fn v6(quoted: &[u8]) -> Result<Option<Flow>, DropReason> {
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
    Ok(Some(flow(
        ip::v6_address(header, 8),
        ip::v6_address(header, 24),
        chain.protocol,
        chain.payload,
    )))
}

fn flow(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Flow {
    let ports = has_ports(protocol).then(|| ports_of(payload));
    Flow {
        source,
        destination,
        protocol,
        ports,
    }
}
