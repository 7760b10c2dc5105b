//! Section 9: what a host needs to stay on its network, but for ARP and link
//! control, which are not IP.

use super::allows;
use super::protocol::{ICMPV6, UDP};
use super::quote::Quote;
use super::transport::Segment;
use crate::policy::{Direction, DropReason, EssentialCounter, Essentials};

/// Router advertisement and redirect: what routers say.
const FROM_ROUTERS: [u8; 2] = [134, 137];
/// Query, reports, done.
const LISTENER_DISCOVERY: [u8; 4] = [130, 131, 132, 143];

/// Section 9: the essential that admits the packet, if one does.
/// `is_talked_about` says whether an error that quotes a packet is about a
/// conversation.
pub(super) fn judge(
    essentials: &Essentials,
    direction: Direction,
    segment: &Segment,
    is_talked_about: impl Fn(&Quote) -> bool,
) -> Result<Option<EssentialCounter>, DropReason> {
    if is_neighbour_discovery(segment) {
        check_neighbour_discovery(essentials, segment)?;
        if allows(essentials.nd) {
            return Ok(Some(EssentialCounter::Nd));
        }
    }
    let quote = segment.icmp.as_ref().and_then(|icmp| icmp.quote.as_ref());
    Ok(
        if allows(essentials.mld) && is_listener_discovery(segment) {
            Some(EssentialCounter::Mld)
        } else if allows(essentials.icmp_errors) && quote.is_some_and(is_talked_about) {
            Some(EssentialCounter::IcmpError)
        } else if allows(essentials.ping) && is_ping(segment, direction) {
            Some(EssentialCounter::Ping)
        } else if allows(essentials.dhcp_client) && is_dhcp(segment, direction) {
            Some(EssentialCounter::DhcpClient)
        } else {
            None
        },
    )
}

/// The type, if it is a message of `ICMPv6` under IPv6.
fn icmpv6_type(segment: &Segment) -> Option<u8> {
    let icmp = segment.icmp.as_ref()?;
    (segment.flow.protocol == ICMPV6).then_some(icmp.kind)
}

fn is_neighbour_discovery(segment: &Segment) -> bool {
    matches!(icmpv6_type(segment), Some(133..=137))
}

/// RFC 4861, sections 6.1, 7.1 and 8.1; RFC 6980.
fn check_neighbour_discovery(essentials: &Essentials, segment: &Segment) -> Result<(), DropReason> {
    let Some(icmp) = &segment.icmp else {
        return Ok(());
    };
    let source = segment.flow.source;
    let listed = essentials
        .router_advertisements
        .iter()
        .any(|network| network.contains(&source));
    let unasked = FROM_ROUTERS.contains(&icmp.kind) && !listed;
    if segment.hop_limit != 255 || icmp.code != 0 || segment.fragment_header || unasked {
        return Err(DropReason::Essentials);
    }
    Ok(())
}

fn is_listener_discovery(segment: &Segment) -> bool {
    segment.hop_limit == 1
        && icmpv6_type(segment).is_some_and(|kind| LISTENER_DISCOVERY.contains(&kind))
}

/// Others ask, the host answers.
fn is_ping(segment: &Segment, direction: Direction) -> bool {
    let Some(icmp) = &segment.icmp else {
        return false;
    };
    let (request, reply) = if segment.flow.source.is_ipv4() {
        (8, 0)
    } else {
        (128, 129)
    };
    icmp.kind
        == match direction {
            Direction::Inbound => request,
            Direction::Outbound => reply,
        }
}

/// RFC 2131, section 4.1; RFC 8415, section 7.2.
fn is_dhcp(segment: &Segment, direction: Direction) -> bool {
    let (server, client) = if segment.flow.source.is_ipv4() {
        (67, 68)
    } else {
        (547, 546)
    };
    segment.flow.protocol == UDP
        && segment.flow.ports
            == Some(match direction {
                Direction::Inbound => (server, client),
                Direction::Outbound => (client, server),
            })
}
