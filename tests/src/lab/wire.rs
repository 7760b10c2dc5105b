//! A wire of the lab: a veth pair between two namespaces, silent by itself.
//!
//! Byte-exact counting needs a wire on which nothing moves but what a test sends:
//! no neighbour discovery, no multicast reports, no segmentation offload. The
//! devices are therefore without ARP and multicast, every neighbour is entered by
//! hand, and TCP is told to build one segment at a time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::{Context, Result};

use super::namespace::Namespace;

/// A hardware address.
pub type Mac = [u8; 6];

/// One end of a wire.
#[derive(Debug, Clone)]
pub struct End {
    /// The namespace that the device stands in.
    pub namespace: Namespace,
    /// The device's name.
    pub device: &'static str,
    /// Its hardware address.
    pub mac: Mac,
}

/// A veth pair.
#[derive(Debug, Clone)]
pub struct Wire {
    /// The filtered end.
    pub edge: End,
    /// The end that frames come from.
    pub world: End,
}

/// What is to be made: names, queues and addresses.
#[derive(Debug, Clone)]
pub struct WirePlan {
    /// The name of the device at the edge, which is also its role.
    pub edge_device: &'static str,
    /// The name of the device at the other end.
    pub world_device: &'static str,
    /// Distinguishes the hardware addresses of this wire.
    pub number: u8,
    /// The queues that the far end sends through. The edge receives through one:
    /// with more than one here, veth refuses native XDP.
    pub world_queues: u8,
    /// The addresses at the edge.
    pub edge: Vec<IpAddr>,
    /// The addresses at the far end.
    pub world: Vec<IpAddr>,
}

/// Packets and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Frames.
    pub packets: u64,
    /// Bytes, from the destination MAC on.
    pub bytes: u64,
}

impl Wire {
    /// Makes the pair, gives both ends their addresses and brings them up.
    pub fn new(edge: &Namespace, world: &Namespace, plan: &WirePlan) -> Result<Self> {
        let mac = |end| [0x02, 0, 0, 0, plan.number, end];
        let wire = Self {
            edge: End {
                namespace: edge.clone(),
                device: plan.edge_device,
                mac: mac(1),
            },
            world: End {
                namespace: world.clone(),
                device: plan.world_device,
                mac: mac(2),
            },
        };
        let (edge_end, world_end) = (&wire.edge, &wire.world);
        edge.ip(&format!(
            "link add name {} address {} numtxqueues 1 numrxqueues 1 type veth \
             peer name {} address {} numtxqueues {} numrxqueues 1 netns {}\n",
            edge_end.device,
            format_mac(edge_end.mac),
            world_end.device,
            format_mac(world_end.mac),
            plan.world_queues,
            world.path(),
        ))?;
        edge_end.configure(&plan.edge)?;
        world_end.configure(&plan.world)?;
        super::offload::keep_vlan_tags(edge_end)?;
        edge_end.reach(&plan.world, world_end.mac, 1)?;
        world_end.reach(&plan.edge, edge_end.mac, 1)?;
        Ok(wire)
    }
}

impl End {
    fn configure(&self, addresses: &[IpAddr]) -> Result<()> {
        let device = self.device;
        for (name, value) in [
            (
                "ipv6/conf",
                "addr_gen_mode=1 accept_ra=0 router_solicitations=0",
            ),
            // The edge must receive by itself whatever the filter is said to stop:
            // only then does "refused" prove anything.
            (
                "ipv4/conf",
                "rp_filter=0 accept_local=1 accept_source_route=1",
            ),
        ] {
            for setting in value.split(' ') {
                let (key, value) = setting.split_once('=').unwrap_or((setting, ""));
                self.namespace
                    .sysctl(&format!("{name}/{device}/{key}"), value)?;
            }
        }
        let mut script = format!("link set dev {device} gso_max_segs 1 multicast off arp off up\n");
        for address in addresses {
            let nodad = if address.is_ipv6() { "nodad" } else { "" };
            let _ = writeln!(script, "addr add {address} dev {device} {nodad}");
        }
        self.namespace.ip(&script)
    }

    /// Makes `addresses` reachable through this end, at the neighbour `mac`. The
    /// metric decides where two wires lead to one address.
    pub fn reach(&self, addresses: &[IpAddr], mac: Mac, metric: u32) -> Result<()> {
        let (device, mac) = (self.device, format_mac(mac));
        let mut script = String::new();
        for address in addresses {
            let _ = writeln!(
                script,
                "neigh replace {address} lladdr {mac} nud permanent dev {device}"
            );
            let _ = writeln!(script, "route add {address} dev {device} metric {metric}");
        }
        self.namespace.ip(&script)
    }

    /// Gives the device back what it loses when it goes down or away: its `addresses`, and
    /// the way to its `peers`, at the neighbour `mac`.
    pub fn restore(&self, addresses: &[IpAddr], peers: &[IpAddr], mac: Mac) -> Result<()> {
        let (device, mac) = (self.device, format_mac(mac));
        let mut script = format!("link set {device} up\n");
        for address in addresses {
            let nodad = if address.is_ipv6() { "nodad" } else { "" };
            let _ = writeln!(script, "addr replace {address} dev {device} {nodad}");
        }
        for peer in peers {
            let _ = writeln!(
                script,
                "neigh replace {peer} lladdr {mac} nud permanent dev {device}"
            );
            let _ = writeln!(script, "route replace {peer} dev {device} metric 1");
        }
        self.namespace.ip(&script)
    }

    /// What the kernel says that the device has received: packets, and its own
    /// count of bytes. A veth device with native XDP counts bytes without the
    /// Ethernet header (`veth_xdp_rcv`), another one with it.
    pub fn received(&self) -> Result<Traffic> {
        let counts = self.counts()?;
        let field = |index: usize| {
            counts
                .get(index)
                .copied()
                .context("a short line in net/dev")
        };
        Ok(Traffic {
            packets: field(1)?,
            bytes: field(0)?,
        })
    }

    /// The device's line of `/proc/net/dev`.
    fn counts(&self) -> Result<Vec<u64>> {
        let table = self
            .namespace
            .enter(|| Ok(std::fs::read_to_string("/proc/thread-self/net/dev")?))?;
        let devices: BTreeMap<&str, &str> = table
            .lines()
            .filter_map(|line| line.trim().split_once(':'))
            .collect();
        let line = devices
            .get(self.device)
            .with_context(|| format!("{} has no device {}", self.namespace.name(), self.device))?;
        line.split_whitespace()
            .map(|number| Ok(number.parse()?))
            .collect()
    }
}

/// `02:00:00:00:01:02`
fn format_mac(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl std::ops::Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            packets: self.packets - earlier.packets,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl std::iter::Sum for Traffic {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| sum + part)
    }
}
