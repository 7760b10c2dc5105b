//! Section 8: addresses that cannot be a source (BCP 38, RFC 6890).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::protocol::UDP;
use super::transport::Segment;
use crate::policy::{Direction, DropReason, Interface, Trust};

const DHCP_CLIENT: u16 = 68;
const DHCP_SERVER: u16 = 67;
/// Neighbour solicitation, which duplicate address detection sends.
const SOLICITATION: u8 = 135;
/// Multicast listener reports and done.
const LISTENER_REPORTS: [u8; 3] = [131, 132, 143];

/// Section 8.
pub(super) fn check(
    segment: &Segment,
    interface: &Interface,
    direction: Direction,
) -> Result<(), DropReason> {
    let (source, destination) = (segment.flow.source, segment.flow.destination);
    let spoofed = direction == Direction::Inbound
        && interface.trust == Trust::Untrusted
        && interface
            .protects
            .iter()
            .any(|network| network.contains(&source));
    let impossible = never_a_source(source) && !has_no_address_yet(segment);
    if impossible || source == destination || spoofed {
        return Err(DropReason::Martian);
    }
    Ok(())
}

fn never_a_source(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(address) => {
            let first = address.octets()[0];
            first == 127
                || first >> 4 == 0b1110
                || address == Ipv4Addr::UNSPECIFIED
                || address == Ipv4Addr::BROADCAST
        }
        IpAddr::V6(address) => {
            address == Ipv6Addr::LOCALHOST
                || address == Ipv6Addr::UNSPECIFIED
                || address.octets()[0] == 0xff
        }
    }
}

/// Whether the unspecified address stands in a message that a host sends
/// before it has an address.
fn has_no_address_yet(segment: &Segment) -> bool {
    match (segment.flow.source, &segment.icmp) {
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), _) => {
            segment.flow.protocol == UDP && segment.flow.ports == Some((DHCP_CLIENT, DHCP_SERVER))
        }
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), Some(icmp)) => {
            icmp.kind == SOLICITATION || LISTENER_REPORTS.contains(&icmp.kind)
        }
        _ => false,
    }
}
