//! The lab: an edge host and the world around it, in namespaces of their own.
//!
//! ```text
//!   edge                        world
//!   external ───────────────── outside
//!   internal ───────────────── inside
//! ```
//!
//! Two network namespaces and two veth pairs stand for a host with an external
//! and an internal side, or, with a third namespace for those inside, for a gateway
//! between them; the filter is only ever attached to `external` and
//! `internal`. Everything is held by file descriptors of this process (see
//! [`namespace`] and [`mounts`]), so that it vanishes with it, however it ends.

use std::net::IpAddr;

use anyhow::{Result, ensure};
use nix::unistd::geteuid;

pub mod boot;
pub mod conversation;
pub mod daemon;
mod ethtool;
pub mod foreign;
pub mod frame;
pub mod limited;
pub mod meter;
pub mod mounts;
pub mod namespace;
pub mod offload;
pub mod open;
pub mod packet;
pub mod probe;
pub mod product;
pub mod proposed;
pub mod sample;
pub mod sink;
pub mod standing;
mod statistics;
pub mod stream;
pub mod swaps;
pub mod threaded;
pub mod traced;
pub mod trial;
pub mod volume;
pub mod wire;

pub use statistics::Statistics;

use mounts::Mounts;
use namespace::Namespace;
use wire::{Wire, WirePlan};

/// Two namespaces, two wires, and private mounts.
#[derive(Debug)]
pub struct Lab {
    /// The host that is protected.
    pub edge: Namespace,
    /// Everybody else: on both sides of a host, outside of a gateway.
    pub world: Namespace,
    /// The wire of the role `external`.
    pub external: Wire,
    /// The wire of the role `internal`.
    pub internal: Wire,
    /// The bpffs and the scratch directory.
    pub mounts: Mounts,
}

/// Who has which address, and how the wires are made.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The edge's addresses on `external`.
    pub external: Vec<IpAddr>,
    /// The world's addresses on `outside`.
    pub outside: Vec<IpAddr>,
    /// The edge's addresses on `internal`.
    pub internal: Vec<IpAddr>,
    /// The world's addresses on `inside`.
    pub inside: Vec<IpAddr>,
    /// The queues that `outside` sends through; more than one, and `external`
    /// refuses native XDP.
    pub outside_queues: u8,
    /// What the edge is.
    pub shape: Shape,
}

/// What stands at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A host with two sides.
    Host,
    /// A gateway, which forwards between its sides.
    Gateway,
}

impl Default for Plan {
    /// One IPv4 and one IPv6 address at each end, of the documentation prefixes
    /// (RFC 5737, RFC 3849).
    fn default() -> Self {
        let pair = |v4: [u8; 4], v6: [u16; 8]| vec![IpAddr::from(v4), IpAddr::from(v6)];
        Self {
            external: pair([192, 0, 2, 10], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10]),
            outside: pair([203, 0, 113, 25], [0x2001, 0xdb8, 0xcafe, 0, 0, 0, 0, 0x25]),
            internal: pair([192, 0, 2, 130], [0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x10]),
            inside: pair([192, 0, 2, 200], [0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x200]),
            outside_queues: 1,
            shape: Shape::Host,
        }
    }
}

impl Lab {
    /// Builds the lab. It needs root, and `ip` of iproute2.
    pub fn new(plan: &Plan) -> Result<Self> {
        ensure!(
            geteuid().is_root(),
            "the lab makes network namespaces and loads BPF, which only root may do: run it again \
             with `sudo env \"PATH=$PATH\" cargo xtask test` (or `demo`)"
        );
        let edge = Namespace::new("edge")?;
        let world = Namespace::new("world")?;
        let site = match plan.shape {
            Shape::Host => world.clone(),
            Shape::Gateway => Namespace::new("site")?,
        };
        // These hold for every device only if `all` says so too (ip-sysctl).
        edge.sysctl("ipv4/conf/all/rp_filter", "0")?;
        edge.sysctl("ipv4/conf/all/accept_source_route", "1")?;
        world.sysctl("ipv4/conf/all/rp_filter", "0")?;
        let external = Wire::new(
            &edge,
            &world,
            &WirePlan {
                edge_device: "external",
                world_device: "outside",
                number: 1,
                world_queues: plan.outside_queues,
                edge: plan.external.clone(),
                world: plan.outside.clone(),
            },
        )?;
        let internal = Wire::new(
            &edge,
            &site,
            &WirePlan {
                edge_device: "internal",
                world_device: "inside",
                number: 2,
                world_queues: 1,
                edge: plan.internal.clone(),
                world: plan.inside.clone(),
            },
        )?;
        // Whoever knocks at the wrong side's door gets there by the wrong wire.
        external.world.reach(&plan.internal, external.edge.mac, 2)?;
        internal.world.reach(&plan.external, internal.edge.mac, 2)?;
        if plan.shape == Shape::Gateway {
            edge.sysctl("ipv4/ip_forward", "1")?;
            edge.sysctl("ipv6/conf/all/forwarding", "1")?;
            external.world.reach(&plan.inside, external.edge.mac, 1)?;
            internal.world.reach(&plan.outside, internal.edge.mac, 1)?;
        }
        Ok(Self {
            edge,
            world,
            external,
            internal,
            mounts: Mounts::new()?,
        })
    }

    /// Both wires, the external one first.
    #[must_use]
    pub fn wires(&self) -> [&Wire; 2] {
        [&self.external, &self.internal]
    }
}
