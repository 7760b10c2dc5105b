//! Packets made from the rules of a policy, as one hook may see them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use edge_filter_ebpf::packet::protocol::{TCP, has_ports};
use edge_filter_ebpf::packet::tcp::ACK;

use super::Family;
use crate::compile::budget::HookFacts;
use crate::policy::packet::DEFAULT_SOURCE_PORT;
use crate::policy::{Endpoint, PacketSpec, Policy, Ports, Rule};

/// Packets of one family.
#[derive(Debug)]
pub(super) struct Packets {
    /// For the hook's own rules.
    pub(super) own: Vec<PacketSpec>,
    /// Replies to the rules of the other hooks, and a packet that no rule was asked for.
    pub(super) others: Vec<PacketSpec>,
}

/// How many of each kind there are at most: of more rules, those at even distances.
const MOST: usize = 1024;

/// The port that stands for any.
const ANY_PORT: u16 = 1;

/// Those of `policy` and `family` at `hook`.
pub(super) fn of(policy: &Policy, hook: &HookFacts, family: Family) -> Packets {
    let (own, others): (Vec<&Rule>, Vec<&Rule>) = policy
        .rules
        .iter()
        .partition(|rule| rule.interface == hook.interface && rule.direction == hook.direction);
    let packet = |ends| spec(hook, ends);
    let own = evenly(&own).filter_map(|(number, rule)| ends(rule, number, family));
    let others = evenly(&others).filter_map(|(number, rule)| ends(rule, number, family));
    let others = others.map(Ends::mirrored).chain([Ends::of_any(family)]);
    Packets {
        own: own.map(packet).collect(),
        others: others.map(packet).collect(),
    }
}

/// The packet for the own rule of `hook` with the lowest number from which one can be
/// made, or the highest.
pub(super) fn at_the_end(policy: &Policy, hook: &HookFacts, last: bool) -> Option<PacketSpec> {
    let made = |rule| {
        let ends = Family::ALL.iter().find_map(|&family| ends(rule, 0, family));
        ends.map(|ends| spec(hook, ends))
    };
    let mut rules = policy.rules_of(&hook.interface, hook.direction);
    if last {
        rules.filter_map(made).last()
    } else {
        rules.find_map(made)
    }
}

/// Up to [`MOST`] of `rules`, with their numbers.
fn evenly<'r>(rules: &[&'r Rule]) -> impl Iterator<Item = (usize, &'r Rule)> {
    let step = rules.len().div_ceil(MOST).max(1);
    rules.iter().copied().enumerate().step_by(step)
}

/// What a packet is made of.
#[derive(Clone, Copy)]
struct Ends {
    protocol: u8,
    source: (IpAddr, Option<u16>),
    destination: (IpAddr, Option<u16>),
}

impl Ends {
    /// Of a packet that no rule was asked for.
    fn of_any(family: Family) -> Self {
        let [source, destination] = anybody(family);
        Self {
            protocol: TCP,
            source: (source, None),
            destination: (destination, Some(ANY_PORT)),
        }
    }

    /// Of a reply.
    fn mirrored(self) -> Self {
        let port = has_ports(self.protocol).then_some(DEFAULT_SOURCE_PORT);
        Self {
            protocol: self.protocol,
            source: self.destination,
            destination: (self.source.0, self.source.1.or(port)),
        }
    }
}

fn spec(hook: &HookFacts, ends: Ends) -> PacketSpec {
    PacketSpec {
        interface: hook.interface.clone(),
        direction: hook.direction,
        protocol: ends.protocol,
        source: ends.source.0,
        source_port: ends.source.1,
        destination: ends.destination.0,
        destination_port: ends.destination.1,
        tcp_flags: (ends.protocol == TCP).then_some(ACK),
    }
}

/// A packet of `family` for `rule`, which is number `number`; `None` if it has networks of
/// the other alone.
fn ends(rule: &Rule, number: usize, family: Family) -> Option<Ends> {
    let [anybody, somebody] = anybody(family);
    let source = address(&rule.from, number, family, anybody)?;
    let destination = address(&rule.to, number, family, somebody)?;
    let (protocol, ports) = match rule.transports.first() {
        Some(transport) => (transport.protocol, first(&transport.ports)),
        None => (TCP, None),
    };
    let with_ports = has_ports(protocol);
    Some(Ends {
        protocol,
        source: (source, first(&rule.from.ports).filter(|_| with_ports)),
        destination: (destination, with_ports.then_some(ports.unwrap_or(ANY_PORT))),
    })
}

fn first(ports: &Ports) -> Option<u16> {
    ports.first().map(|range| *range.start())
}

/// An address of one of an endpoint's networks, by the number of the rule; `other` where
/// it may be any.
fn address(endpoint: &Endpoint, number: usize, family: Family, other: IpAddr) -> Option<IpAddr> {
    let Some(networks) = &endpoint.networks else {
        return Some(other);
    };
    let fits = |network: &&ipnet::IpNet| network.addr().is_ipv4() == (family == Family::IPv4);
    let count = networks.iter().filter(fits).count();
    let network = networks.iter().filter(fits).nth(number % count.max(1))?;
    Some(if network.prefix_len() == 0 {
        other
    } else {
        network.network()
    })
}

/// Two addresses that stand for any (RFC 5737, RFC 3849).
fn anybody(family: Family) -> [IpAddr; 2] {
    match family {
        Family::IPv4 => [77, 78].map(|last| Ipv4Addr::new(203, 0, 113, last).into()),
        Family::IPv6 => {
            [77, 78].map(|last| Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, last).into())
        }
    }
}
