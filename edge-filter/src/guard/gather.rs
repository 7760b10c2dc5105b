//! The facts, from the kernel.

use std::io;
use std::net::IpAddr;

use super::facts::{Address, Device, Facts, Layer, Session};
use super::session::Traces;
use crate::generation::plan::HookPlan;
use crate::kernel::addresses::DeviceAddress;
use crate::kernel::routes::{Advertised, Router};
use crate::kernel::sockets::Connection;
use crate::kernel::stack::{self, Link};
use crate::kernel::{KernelError, addresses, processes, routes, sockets};
use crate::policy::Direction;

/// What this network namespace is made of.
struct Host {
    links: Vec<Link>,
    addresses: Vec<DeviceAddress>,
    advertised: Advertised,
    /// Every neighbour that is a router.
    routers: Vec<Router>,
}

/// What matters of this host before `plans` are carried out.
///
/// # Errors
/// The kernel does not tell.
pub(super) fn facts(plans: &[HookPlan]) -> Result<Facts, KernelError> {
    let asked = |what: &str, error: io::Error| {
        KernelError::new(format!("find out {what}"))
            .because(error)
            .try_this("--allow-lockout applies the policy without knowing")
    };
    let host = Host::ask().map_err(|error| asked("what this host lives on", error))?;
    let mut devices: Vec<Device> = Vec::new();
    for plan in plans {
        let name = &plan.device.name;
        let place = devices.iter().position(|device| device.name == *name);
        let place = place.unwrap_or_else(|| {
            devices.push(Device {
                interface: plan.interface.clone(),
                name: name.clone(),
                inbound: false,
                outbound: false,
                layers: host.layers(plan.device.index),
            });
            devices.len() - 1
        });
        match plan.direction {
            Direction::Inbound => devices[place].inbound = true,
            Direction::Outbound => devices[place].outbound = true,
        }
    }
    let sessions = sessions(&host)
        .map_err(|error| asked("which SSH session this command was started from", error))?;
    Ok(Facts { devices, sessions })
}

fn sessions(host: &Host) -> io::Result<Vec<Session>> {
    let traces = Traces::of(&processes::ancestry()?);
    if traces.is_empty() {
        return Ok(Vec::new());
    }
    let found = traces.sessions(&sockets::established()?);
    if let (true, Some(process)) = (found.is_empty(), traces.unseen) {
        let message = format!("the connections of process {process}, its server, are out of sight");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    found
        .iter()
        .map(|connection| host.session(connection))
        .collect()
}

impl Host {
    fn ask() -> io::Result<Self> {
        Ok(Self {
            links: stack::links()?,
            addresses: addresses::all()?,
            advertised: routes::advertised()?,
            routers: routes::neighbouring()?,
        })
    }

    fn layers(&self, device: u32) -> Vec<Layer> {
        let layers = stack::layers(device, &self.links);
        layers
            .into_iter()
            .filter_map(|layer| {
                let mut links = self.links.iter();
                let link = links.find(|link| link.index == layer.device)?;
                let own = self
                    .addresses
                    .iter()
                    .filter(|own| own.device == layer.device);
                Some(Layer {
                    name: link.name.clone(),
                    tags: layer.tags,
                    resolves: !link.resolves_nothing,
                    addresses: own.map(describe).collect(),
                    routers: self.routers(layer.device),
                })
            })
            .collect()
    }

    /// The routers that the device lives on: those that its routes lead to, or, where it
    /// has addresses or routes of advertisements that name none, those that it knows.
    fn routers(&self, device: u32) -> Vec<std::net::Ipv6Addr> {
        let at = |routers: &[Router]| -> Vec<_> {
            let here = routers.iter().filter(|router| router.device == device);
            here.map(|router| router.address)
                .filter(std::net::Ipv6Addr::is_unicast_link_local)
                .collect()
        };
        let named = at(&self.advertised.routers);
        let mut addresses = self.addresses.iter();
        let lives_on_some = self.advertised.on_link.contains(&device)
            || addresses.any(|own| own.device == device && own.advertised);
        if named.is_empty() && lives_on_some {
            return at(&self.routers);
        }
        named
    }

    /// Its packets may arrive where its address is, or where answers leave: either is how
    /// it is mostly, and neither need be.
    fn session(&self, connection: &Connection) -> io::Result<Session> {
        let Connection { local, peer, .. } = *connection;
        let leaves = match connection.device {
            Some(device) => Some(device),
            None => routes::device_towards(peer.ip(), local.ip())?,
        };
        let holders = self
            .addresses
            .iter()
            .filter(|own| own.address == local.ip() && connection.device.is_none())
            .map(|own| own.device);
        let mut arrives: Vec<String> = Vec::new();
        for name in holders.chain(leaves).filter_map(|index| self.name(index)) {
            if !arrives.contains(&name) {
                arrives.push(name);
            }
        }
        Ok(Session {
            peer,
            local,
            arrives,
            leaves: leaves.and_then(|index| self.name(index)),
        })
    }

    fn name(&self, index: u32) -> Option<String> {
        let mut links = self.links.iter();
        let link = links.find(|link| link.index == index)?;
        Some(link.name.clone())
    }
}

/// Of addresses that end by themselves, those of IPv4 are leased; so are those of IPv6
/// that stand alone in their network, while advertisements give prefixes of 64 bits
/// (RFC 4862 §5.5.3).
fn describe(own: &DeviceAddress) -> Address {
    let is_whole = match own.address {
        IpAddr::V4(_) => true,
        IpAddr::V6(_) => own.prefix == 128,
    };
    Address {
        address: own.address,
        leased: !own.permanent && !own.advertised && is_whole,
    }
}
