//! Roles: the named sides of a host, each with the devices that play it.

use std::collections::BTreeSet;

use ipnet::IpNet;

/// A role. Rules name roles, never devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The role's name.
    pub name: String,
    /// The devices that play it, unless the command line says otherwise.
    pub devices: Vec<String>,
    /// What is done with packets that leave.
    pub outbound: Outbound,
    /// Whether conversations opened from this side are tracked.
    pub trust: Trust,
    /// The VLAN ids that may appear, `None` for any. 0 stands for `untagged`,
    /// and so for a priority tag (IEEE 802.1Q, VID 0).
    pub vlans: Option<BTreeSet<u16>>,
    /// Addresses that must never be the source of an inbound packet here. It
    /// has an effect on untrusted roles alone (BCP 38).
    pub protects: Vec<IpNet>,
}

/// What is done with packets that leave through a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outbound {
    /// Rules decide.
    Enforce,
    /// Rules only record flows; nothing is dropped.
    Track,
    /// Nothing is attached.
    #[default]
    Ignore,
}

/// Whether a role faces the protected side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// It faces outsiders.
    #[default]
    Untrusted,
    /// It faces the protected side.
    Trusted,
}
