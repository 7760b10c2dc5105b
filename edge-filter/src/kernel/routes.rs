//! Routes and routers, as rtnetlink knows them.

use std::io;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::netlink;

/// A router on a device's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Router {
    /// The device's index.
    pub device: u32,
    /// The router's address; of one that advertises itself, link-local.
    pub address: Ipv6Addr,
}

/// What router advertisements have brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertised {
    /// The gateways of routes that were advertised.
    pub routers: Vec<Router>,
    /// The devices of those that name no gateway, such as the link's own prefix.
    pub on_link: Vec<u32>,
}

/// The device by which packets from `local` leave for `peer`; none if nothing leads there.
///
/// # Errors
/// The kernel refuses to tell.
pub fn device_towards(peer: IpAddr, local: IpAddr) -> io::Result<Option<u32>> {
    let mut request = RouteMessage::default();
    let (family, length) = match peer {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    request.header.address_family = family;
    request.header.destination_prefix_length = length;
    request.header.source_prefix_length = length;
    request.attributes = vec![
        RouteAttribute::Destination(peer.into()),
        RouteAttribute::Source(local.into()),
    ];
    match netlink::get(NETLINK_ROUTE, RouteNetlinkMessage::GetRoute(request)) {
        Ok(answer) => {
            Ok(route_of(answer)?
                .attributes
                .iter()
                .find_map(|attribute| match attribute {
                    RouteAttribute::Oif(device) => Some(*device),
                    _ => None,
                }))
        }
        Err(error) => match error.raw_os_error() {
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL) => Ok(None),
            _ => Err(error),
        },
    }
}

/// The IPv6 routes that router advertisements have brought (`RTPROT_RA`), whether the
/// kernel took them or a network manager did.
///
/// # Errors
/// The kernel refuses to tell.
pub fn advertised() -> io::Result<Advertised> {
    let mut request = RouteMessage::default();
    request.header.address_family = AddressFamily::Inet6;
    request.header.protocol = RouteProtocol::Ra;
    let request = RouteNetlinkMessage::GetRoute(request);
    let mut found = Advertised::default();
    for answer in netlink::dump_selected(NETLINK_ROUTE, request)? {
        let route = route_of(answer)?;
        // Kernels that do not select list everything.
        if route.header.protocol != RouteProtocol::Ra {
            continue;
        }
        let (mut device, mut gateway) = (None, None);
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Oif(index) => device = Some(*index),
                RouteAttribute::MultiPath(hops) => {
                    for hop in hops {
                        let gateway = hop.attributes.iter().find_map(gateway_of);
                        found.add(Some(hop.interface_index), gateway);
                    }
                }
                other => gateway = gateway.or(gateway_of(other)),
            }
        }
        found.add(device, gateway);
    }
    Ok(found)
}

/// The neighbours that have said of themselves that they are routers (`NTF_ROUTER`, RFC
/// 4861 §4.4).
///
/// # Errors
/// The kernel refuses to tell.
pub fn neighbouring() -> io::Result<Vec<Router>> {
    let mut request = NeighbourMessage::default();
    request.header.family = AddressFamily::Inet6;
    let request = RouteNetlinkMessage::GetNeighbour(request);
    let mut found = Vec::new();
    for answer in netlink::dump(NETLINK_ROUTE, request)? {
        let RouteNetlinkMessage::NewNeighbour(neighbour) = answer else {
            return Err(io::Error::other(format!("unexpected answer {answer:?}")));
        };
        if !neighbour.header.flags.contains(NeighbourFlags::Router) {
            continue;
        }
        found.extend(neighbour.attributes.iter().find_map(|attribute| {
            let NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) = attribute
            else {
                return None;
            };
            Some(Router {
                device: neighbour.header.ifindex,
                address: *address,
            })
        }));
    }
    Ok(found)
}

impl Advertised {
    fn add(&mut self, device: Option<u32>, gateway: Option<Ipv6Addr>) {
        match (device, gateway) {
            (Some(device), Some(address)) => {
                let router = Router { device, address };
                if !self.routers.contains(&router) {
                    self.routers.push(router);
                }
            }
            (Some(device), None) => self.on_link.push(device),
            (None, _) => {}
        }
    }
}

fn gateway_of(attribute: &RouteAttribute) -> Option<Ipv6Addr> {
    match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet6(address))
        | RouteAttribute::Via(RouteVia::Inet6(address)) => Some(*address),
        _ => None,
    }
}

fn route_of(answer: RouteNetlinkMessage) -> io::Result<RouteMessage> {
    match answer {
        RouteNetlinkMessage::NewRoute(route) => Ok(route),
        other => Err(io::Error::other(format!("unexpected answer {other:?}"))),
    }
}
