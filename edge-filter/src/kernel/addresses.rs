//! The addresses of devices, as rtnetlink lists them, and what they live on.

use std::io;
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol,
};
use netlink_sys::protocols::NETLINK_ROUTE;

/// An address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceAddress {
    /// The device's index.
    pub device: u32,
    /// The address.
    pub address: IpAddr,
    /// The length of its network's prefix.
    pub prefix: u8,
    /// Whether it stays until somebody removes it (`IFA_F_PERMANENT`). The kernel removes
    /// any other when its lifetime ends.
    pub permanent: bool,
    /// Whether a router advertisement made it (`IFAPROT_KERNEL_RA`, Linux 5.18).
    pub advertised: bool,
}

/// Every address of this network namespace.
///
/// # Errors
/// The kernel refuses to tell.
pub fn all() -> io::Result<Vec<DeviceAddress>> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let mut found = Vec::new();
    for answer in super::netlink::dump(NETLINK_ROUTE, request)? {
        match answer {
            RouteNetlinkMessage::NewAddress(message) => found.extend(describe(&message)),
            other => return Err(io::Error::other(format!("unexpected answer {other:?}"))),
        }
    }
    Ok(found)
}

/// None where the kernel names no address.
fn describe(message: &AddressMessage) -> Option<DeviceAddress> {
    let (mut local, mut address) = (None, None);
    let (mut permanent, mut advertised) = (false, false);
    for attribute in &message.attributes {
        match attribute {
            // Of a point-to-point device, IFA_ADDRESS is the other end's.
            AddressAttribute::Local(found) => local = Some(*found),
            AddressAttribute::Address(found) => address = Some(*found),
            AddressAttribute::Flags(flags) => permanent = flags.contains(AddressFlags::Permanent),
            AddressAttribute::Protocol(protocol) => {
                advertised = *protocol == AddressProtocol::RouterAnnouncement;
            }
            _ => {}
        }
    }
    Some(DeviceAddress {
        device: message.header.index,
        address: local.or(address)?,
        prefix: message.header.prefix_len,
        permanent,
        advertised,
    })
}
