//! From facts to the packets that must pass. `docs/lockout.md` says why each is needed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::facts::{Device, Facts, Layer, Session};
use super::packet::{Content, Flags, Message, Packet};
use crate::policy::model::conversations::Tuple;
use crate::policy::packet::DEFAULT_SOURCE_PORT;
use crate::policy::{Direction, Policy};

const TCP: u8 = 6;

/// Something that a host needs, and the packets of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What it is.
    pub purpose: Purpose,
    /// The conversation that is open already, as this host sends it.
    pub open: Option<Tuple>,
    /// Its packets, in the order in which they come.
    pub steps: Vec<Step>,
}

/// What a host needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// The SSH session that the command was started from.
    Session,
    /// Another one, once that has ended.
    NextSession,
    /// To find neighbours by ARP, on this device.
    Arp(String),
    /// The same by neighbour discovery.
    NeighbourDiscovery(String),
    /// The DHCP lease of an address of this device.
    Lease(String, IpAddr),
    /// The advertisements of a router, on this device.
    RouterAdvertisement(String, Ipv6Addr),
}

/// A packet that must pass a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    pub direction: Direction,
    /// The packet. Where the kernel does not know it to the last field (the address of a
    /// DHCP server), each that it may be: one that passes will do.
    pub packets: Vec<Packet>,
}

/// Everything that the host of `facts` needs. `policy` tells where it expects DHCP servers.
#[must_use]
pub fn of(facts: &Facts, policy: &Policy) -> Vec<Need> {
    let mut needs = Vec::new();
    for session in &facts.sessions {
        needs.push(this_session(facts, session));
        needs.push(next_session(facts, session));
    }
    for device in &facts.devices {
        for layer in &device.layers {
            let at = Place { device, layer };
            needs.extend(at.arp());
            needs.extend(at.neighbour_discovery(&facts.sessions));
            needs.extend(at.leases(policy));
            needs.extend(at.router_advertisements());
        }
    }
    needs.retain(|need| !need.steps.is_empty());
    needs
}

fn this_session(facts: &Facts, session: &Session) -> Need {
    let Session { peer, local, .. } = session;
    Need {
        purpose: Purpose::Session,
        open: Some(Tuple {
            source: local.ip(),
            destination: peer.ip(),
            protocol: TCP,
            ports: (local.port(), peer.port()),
        }),
        steps: both_ways(facts, session, *peer, (Flags::Ack, Flags::Ack)),
    }
}

fn next_session(facts: &Facts, session: &Session) -> Need {
    let port = match session.peer.port() {
        DEFAULT_SOURCE_PORT => DEFAULT_SOURCE_PORT + 1,
        _ => DEFAULT_SOURCE_PORT,
    };
    let peer = SocketAddr::new(session.peer.ip(), port);
    Need {
        purpose: Purpose::NextSession,
        open: None,
        steps: both_ways(facts, session, peer, (Flags::Syn, Flags::SynAck)),
    }
}

/// A segment of `peer` wherever it may arrive, and the answer where it leaves.
fn both_ways(
    facts: &Facts,
    session: &Session,
    peer: SocketAddr,
    (asks, answers): (Flags, Flags),
) -> Vec<Step> {
    let segment = |from, to, flags| Content::Tcp { from, to, flags };
    let inbound = segment(peer, session.local, asks);
    let outbound = segment(session.local, peer, answers);
    let mut steps = Vec::new();
    for at in places(facts).filter(|at| session.arrives.contains(&at.layer.name)) {
        steps.extend(at.step(Direction::Inbound, [inbound]));
    }
    for at in places(facts).filter(|at| session.leaves.as_ref() == Some(&at.layer.name)) {
        steps.extend(at.step(Direction::Outbound, [outbound]));
    }
    steps
}

fn places(facts: &Facts) -> impl Iterator<Item = Place<'_>> {
    facts.devices.iter().flat_map(|device| {
        let layers = device.layers.iter();
        layers.map(move |layer| Place { device, layer })
    })
}

/// A layer of a filtered device.
#[derive(Clone, Copy)]
pub(super) struct Place<'f> {
    pub(super) device: &'f Device,
    pub(super) layer: &'f Layer,
}

impl Place<'_> {
    /// None where that side is not judged, or nothing is asked.
    fn step(
        self,
        direction: Direction,
        contents: impl IntoIterator<Item = Content>,
    ) -> Option<Step> {
        let judged = match direction {
            Direction::Inbound => self.device.inbound,
            Direction::Outbound => self.device.outbound,
        };
        let packets: Vec<Packet> = contents
            .into_iter()
            .map(|content| Packet {
                tags: self.layer.tags.clone(),
                content,
            })
            .collect();
        (judged && !packets.is_empty()).then(|| Step {
            interface: self.device.interface.clone(),
            device: self.device.name.clone(),
            direction,
            packets,
        })
    }

    pub(super) fn need(self, purpose: Purpose, contents: Vec<(Direction, Vec<Content>)>) -> Need {
        let steps = contents
            .into_iter()
            .filter_map(|(direction, contents)| self.step(direction, contents));
        Need {
            purpose,
            open: None,
            steps: steps.collect(),
        }
    }

    fn arp(self) -> Option<Need> {
        use Direction::{Inbound, Outbound};
        let own = self
            .layer
            .addresses
            .iter()
            .find_map(|own| match own.address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            });
        let own = own.filter(|_| self.layer.resolves)?;
        let other = beside(own);
        let arp = |asks, sender, target| {
            vec![Content::Arp {
                asks,
                sender,
                target,
            }]
        };
        Some(self.need(
            Purpose::Arp(self.layer.name.clone()),
            vec![
                (Outbound, arp(true, own, other)),
                (Inbound, arp(false, other, own)),
                (Inbound, arp(true, other, own)),
                (Outbound, arp(false, own, other)),
            ],
        ))
    }

    /// Every host with IPv6 has link-local addresses, which may serve nobody: it is needed
    /// where there is another address, a router, or the session itself.
    fn neighbour_discovery(self, sessions: &[Session]) -> Option<Need> {
        use Direction::{Inbound, Outbound};
        let own: Vec<Ipv6Addr> = self.addresses_v6().collect();
        let is_used = own.iter().any(|address| !address.is_unicast_link_local())
            || !self.layer.routers.is_empty()
            || sessions.iter().any(|session| {
                session.peer.is_ipv6() && session.arrives.contains(&self.layer.name)
            });
        if !self.layer.resolves || !is_used {
            return None;
        }
        let other = self.neighbour();
        let said = |message, from, to| vec![Content::Neighbour { message, from, to }];
        let (asks, answers) = (Message::Solicitation, Message::Advertisement);
        let mut contents = Vec::new();
        for own in own {
            contents.extend([
                (Outbound, said(asks, own, solicited_node(other))),
                (Inbound, said(answers, other, own)),
                (Inbound, said(asks, other, solicited_node(own))),
                (Outbound, said(answers, own, other)),
            ]);
        }
        Some(self.need(
            Purpose::NeighbourDiscovery(self.layer.name.clone()),
            contents,
        ))
    }

    fn router_advertisements(self) -> Vec<Need> {
        const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let need = self.layer.routers.iter().map(|router| {
            let content = Content::Neighbour {
                message: Message::RouterAdvertisement,
                from: *router,
                to: ALL_NODES,
            };
            self.need(
                Purpose::RouterAdvertisement(self.layer.name.clone(), *router),
                vec![(Direction::Inbound, vec![content])],
            )
        });
        need.collect()
    }

    pub(super) fn addresses_v6(self) -> impl Iterator<Item = Ipv6Addr> {
        self.layer
            .addresses
            .iter()
            .filter_map(|own| match own.address {
                IpAddr::V6(address) => Some(address),
                IpAddr::V4(_) => None,
            })
    }

    /// Somebody on the link: its router if there is one.
    pub(super) fn neighbour(self) -> Ipv6Addr {
        const FIRST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        const SECOND: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
        let router = self.layer.routers.first().copied();
        router.unwrap_or_else(|| {
            let taken = self.addresses_v6().any(|own| own == FIRST);
            if taken { SECOND } else { FIRST }
        })
    }
}

/// Another address of the same network, as if it were a neighbour's.
pub(super) fn beside(address: Ipv4Addr) -> Ipv4Addr {
    Ipv4Addr::from_bits(address.to_bits() ^ 1)
}

/// RFC 4291 §2.7.1.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session => f.write_str("the SSH session that this command comes by"),
            Self::NextSession => f.write_str("a new SSH connection from the same place"),
            Self::Arp(device) => write!(f, "the IPv4 neighbours of {device}"),
            Self::NeighbourDiscovery(device) => write!(f, "the IPv6 neighbours of {device}"),
            Self::Lease(device, address) => {
                write!(f, "the DHCP lease of {address} on {device}")
            }
            Self::RouterAdvertisement(device, router) => {
                write!(
                    f,
                    "the advertisements of the router {router} that {device} lives on"
                )
            }
        }
    }
}
