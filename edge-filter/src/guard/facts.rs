//! What matters of a host before it is filtered.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A host, as the guard sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The devices that are about to be filtered.
    pub devices: Vec<Device>,
    /// The SSH sessions that the command may have been started from: mostly one, or none.
    pub sessions: Vec<Session>,
}

/// A device that is about to be filtered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its role.
    pub interface: String,
    /// Its name.
    pub name: String,
    /// Whether what arrives is judged.
    pub inbound: bool,
    /// Whether what leaves is.
    pub outbound: bool,
    /// The devices whose packets cross it: itself, and what stands on it.
    pub layers: Vec<Layer>,
}

/// A device whose packets cross a filtered one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The VLAN ids that its packets bear where they are filtered, the outermost first.
    pub tags: Vec<u16>,
    /// Whether it finds its neighbours by ARP and neighbour discovery.
    pub resolves: bool,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// The routers whose advertisements it lives on.
    pub routers: Vec<Ipv6Addr>,
}

/// An address of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Whether it ends unless a DHCP server renews its lease.
    pub leased: bool,
}

/// An SSH session with this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// The devices by which its packets may arrive.
    pub arrives: Vec<String>,
    /// The device by which this host's packets leave, if the route is known.
    pub leaves: Option<String>,
}
