//! Network devices, as rtnetlink describes them.

use std::io;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, XdpAttached,
};
use netlink_sys::protocols::NETLINK_ROUTE;
use serde::Serialize;

use super::{KernelError, netlink};

/// A device of the caller's network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// The XDP program that is attached, if there is one.
    pub xdp: Option<AttachedXdp>,
}

/// An XDP program on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachedXdp {
    /// The kernel's number of the program.
    pub program_id: u32,
    /// Where it runs.
    pub mode: XdpMode,
}

/// Where an XDP program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum XdpMode {
    /// In the driver, before a socket buffer exists.
    Native,
    /// In the network stack.
    Generic,
}

impl XdpMode {
    /// The word that the command line uses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// The longest name that a device can have (`IFNAMSIZ` less its NUL).
const LONGEST_NAME: usize = 15;

/// Finds the device named `name`, which must be an Ethernet device.
///
/// # Errors
/// There is no such device, or it is not Ethernet.
pub fn find(name: &str) -> Result<Device, KernelError> {
    let missing = || {
        KernelError::new(format!("find the device '{name}'"))
            .because("no such device in this network namespace")
            .try_this(
                "`ip link` lists the devices; `edge-filter apply POLICY --interface ROLE=DEVICE` \
                 takes another one for the role",
            )
    };
    if name.is_empty() || name.contains('\0') {
        return Err(missing());
    }
    if name.len() > LONGEST_NAME {
        return Err(KernelError::new(format!("find the device '{name}'"))
            .because(format!(
                "a device's name has at most {LONGEST_NAME} bytes, and this has {}",
                name.len()
            ))
            .try_this("`ip link` lists the devices"));
    }
    let by_name = LinkAttribute::IfName(name.to_owned());
    let message = ask(0, Some(by_name)).map_err(|error| match error.raw_os_error() {
        Some(libc::ENODEV) => missing(),
        _ => KernelError::new(format!("ask the kernel about the device '{name}'")).because(error),
    })?;
    if message.header.link_layer_type != LinkLayerType::Ether {
        return Err(KernelError::new(format!("filter the device '{name}'"))
            .because(match message.header.link_layer_type {
                LinkLayerType::Loopback => "it is the loopback device, not Ethernet".to_owned(),
                LinkLayerType::None => "it has no link layer (a tunnel), not Ethernet".to_owned(),
                other => format!("its link layer is {other:?}, not Ethernet"),
            })
            .try_this("name the Ethernet device that its packets come by"));
    }
    Ok(describe(&message, name))
}

/// Whether there is a device named `name`, of whatever kind; where the kernel does not
/// tell, [`find`] says why.
#[must_use]
pub fn is_there(name: &str) -> bool {
    !can_be_name(name)
        || ask(0, Some(LinkAttribute::IfName(name.to_owned())))
            .map_or_else(|error| error.raw_os_error() != Some(libc::ENODEV), |_| true)
}

/// The index of the device named `name`, of whatever kind; none if it is not there.
#[must_use]
pub fn index_of(name: &str) -> Option<u32> {
    let by_name = can_be_name(name).then(|| LinkAttribute::IfName(name.to_owned()))?;
    ask(0, Some(by_name)).ok().map(|link| link.header.index)
}

fn can_be_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && !name.contains('\0')
}

/// The device of this network namespace with the number `index`. Numbers are given
/// out in each namespace anew: whoever holds one from another namespace must see
/// whether this is still the same device.
///
/// # Errors
/// There is none.
pub fn by_index(index: u32) -> io::Result<Device> {
    Ok(describe(&ask(index, None)?, ""))
}

/// Every device of this network namespace.
///
/// # Errors
/// The kernel refuses.
pub fn all() -> io::Result<Vec<Device>> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    netlink::dump(NETLINK_ROUTE, request)?
        .into_iter()
        .map(|answer| Ok(describe(&link_of(answer)?, "")))
        .collect()
}

/// The devices of this network namespace by which packets come from elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uplinks {
    /// The Ethernet devices.
    pub ethernet: Vec<String>,
    /// The others, which cannot be filtered.
    pub others: Vec<String>,
}

/// The devices by which packets come from elsewhere: those of hardware, and those whose
/// other end lies in another network namespace (a container's own, and a host's to its
/// containers), ports of bridges and members of bonds among them. What comes by the rest
/// (bridges, bonds, VLANs, tunnels) has come by one of them before, or from this host.
///
/// # Errors
/// The kernel refuses.
pub fn uplinks() -> io::Result<Uplinks> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let mut uplinks = Uplinks::default();
    for answer in netlink::dump(NETLINK_ROUTE, request)? {
        let link = link_of(answer)?;
        let name = describe(&link, "").name;
        match link.header.link_layer_type {
            LinkLayerType::Loopback => {}
            _ if !is_uplink(&link) => {}
            LinkLayerType::Ether => uplinks.ethernet.push(name),
            _ => uplinks.others.push(name),
        }
    }
    Ok(uplinks)
}

/// The kernel names no kind where a driver made the device for hardware
/// (`rtnl_link_ops`), and another namespace where the other end lies in one.
fn is_uplink(link: &LinkMessage) -> bool {
    let has = |wanted: fn(&LinkAttribute) -> bool| link.attributes.iter().any(wanted);
    let has_kind = has(|attribute| {
        let LinkAttribute::LinkInfo(infos) = attribute else {
            return false;
        };
        infos.iter().any(|info| matches!(info, LinkInfo::Kind(_)))
    });
    let leads_elsewhere = has(|attribute| matches!(attribute, LinkAttribute::LinkNetNsId(_)));
    !has_kind || leads_elsewhere
}

/// The device in the kernel's answer; it may be known by a second name.
fn describe(message: &LinkMessage, asked: &str) -> Device {
    let name = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(&**name),
            _ => None,
        });
    let xdp = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Xdp(xdp) => attached(xdp),
            _ => None,
        });
    Device {
        name: name.unwrap_or(asked).to_owned(),
        index: message.header.index,
        xdp,
    }
}

fn attached(xdp: &[LinkXdp]) -> Option<AttachedXdp> {
    let mode = xdp.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some(XdpMode::Generic),
        LinkXdp::Attached(XdpAttached::None) | LinkXdp::Flags(_) => None,
        LinkXdp::Attached(_) => Some(XdpMode::Native),
        _ => None,
    })?;
    let program_id = xdp.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) => Some(*id),
        _ => None,
    })?;
    Some(AttachedXdp { program_id, mode })
}

/// One `RTM_GETLINK`, one answer: about a number, or (where that is 0) a name.
fn ask(index: u32, name: Option<LinkAttribute>) -> io::Result<LinkMessage> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.extend(name);
    link_of(netlink::get(
        NETLINK_ROUTE,
        RouteNetlinkMessage::GetLink(link),
    )?)
}

fn link_of(answer: RouteNetlinkMessage) -> io::Result<LinkMessage> {
    match answer {
        RouteNetlinkMessage::NewLink(link) => Ok(link),
        other => Err(io::Error::other(format!("unexpected answer {other:?}"))),
    }
}
