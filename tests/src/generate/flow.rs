//! Flows inside a rule, at its edges, and one step beyond them.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use edge_filter::policy::{Endpoint, Rule};
use ipnet::IpNet;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::pool::{Family, number, port, stepped};
use super::{Dice, any, chance};

/// What IPv6 never takes for a protocol.
pub(crate) const EXTENSION_HEADERS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

/// The five fields that rules ask about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ports: Option<(u16, u16)>,
}

pub(crate) fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 132)
}

impl Flow {
    /// A flow that `rule` matches, as far as a few tries can find one; at its
    /// edges more often than not. `others` lend addresses where the rule asks
    /// for none.
    pub(crate) fn inside(dice: &mut Dice, rule: &Rule, others: &[&Rule]) -> Option<Self> {
        let family = Family::either(dice);
        let family = if can_be(rule, family) {
            family
        } else {
            other(family)
        };
        if !can_be(rule, family) {
            return None;
        }
        let source = address(dice, &rule.from, family, others)?;
        let destination = address(dice, &rule.to, family, others)?;
        let (protocol, ports) = match rule.transports.choose(dice) {
            Some(transport) => (transport.protocol, transport.ports.as_slice()),
            None => (any(dice, &[6, 17, 132, 1, 58, 47, 200]), &[][..]),
        };
        let from = port_of(dice, &rule.from.ports);
        let to = port_of(dice, ports);
        let ports = has_ports(protocol).then_some((from, to));
        Some(Self {
            source,
            destination,
            protocol,
            ports,
        })
    }

    /// A flow one step from an edge of `rule`, in one of its fields.
    pub(crate) fn beside(dice: &mut Dice, rule: &Rule, others: &[&Rule]) -> Option<Self> {
        let mut flow = Self::inside(dice, rule, others)?;
        let family = Family::of(flow.source);
        match dice.random_range(0..8) {
            0..2 => flow.source = outside(dice, &rule.from, family).unwrap_or(flow.source),
            2..4 => flow.destination = outside(dice, &rule.to, family).unwrap_or(flow.destination),
            4..7 => flow.step_port(dice, rule),
            _ => {
                flow.protocol = any(
                    dice,
                    &[flow.protocol.wrapping_add(1), flow.protocol.wrapping_sub(1)],
                );
                flow.ports = has_ports(flow.protocol).then(|| (port(dice), port(dice)));
            }
        }
        Some(flow)
    }

    /// One port, put just outside one of the ranges that the rule asks for.
    fn step_port(&mut self, dice: &mut Dice, rule: &Rule) {
        let Some((source, destination)) = &mut self.ports else {
            return;
        };
        let asked = rule
            .transports
            .iter()
            .find(|transport| transport.protocol == self.protocol);
        let ranges = asked.map_or(&[][..], |transport| &transport.ports);
        if let Some(range) = rule
            .from
            .ports
            .choose(dice)
            .filter(|_| ranges.is_empty() || chance(dice, 40))
        {
            *source = beyond(dice, range);
        } else if let Some(range) = ranges.choose(dice) {
            *destination = beyond(dice, range);
        }
    }

    /// The flow that runs the other way.
    pub(crate) fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            ports: self
                .ports
                .map(|(source, destination)| (destination, source)),
        }
    }
}

fn other(family: Family) -> Family {
    match family {
        Family::V4 => Family::V6,
        Family::V6 => Family::V4,
    }
}

/// Whether packets of this family can match `rule` at all.
fn can_be(rule: &Rule, family: Family) -> bool {
    let side = |side: &Endpoint| {
        side.networks.as_ref().is_none_or(|networks| {
            networks
                .iter()
                .any(|network| Family::of(network.addr()) == family)
        })
    };
    let protocol = rule.transports.is_empty()
        || family == Family::V4
        || rule
            .transports
            .iter()
            .any(|one| !EXTENSION_HEADERS.contains(&one.protocol));
    side(&rule.from) && side(&rule.to) && protocol
}

/// An address that `side` holds, and none of its exceptions.
fn address(dice: &mut Dice, side: &Endpoint, family: Family, others: &[&Rule]) -> Option<IpAddr> {
    (0..6).find_map(|_| {
        let network = match &side.networks {
            Some(networks) => one_of(dice, networks, family)?,
            None => borrowed(dice, family, others),
        };
        let address = within(dice, network);
        let excluded = side.except.iter().any(|network| network.contains(&address));
        (!excluded).then_some(address)
    })
}

/// A network that some other rule names, or else one of this family.
fn borrowed(dice: &mut Dice, family: Family, others: &[&Rule]) -> IpNet {
    let lender = others.choose(dice);
    let networks = lender.and_then(|rule| {
        if chance(dice, 50) {
            rule.from.networks.as_ref()
        } else {
            rule.to.networks.as_ref()
        }
    });
    networks
        .and_then(|networks| one_of(dice, networks, family))
        .unwrap_or_else(|| {
            let spare = match family {
                Family::V4 => "100.64.0.0/10",
                Family::V6 => "2400::/12",
            };
            spare.parse().expect("a network")
        })
}

fn one_of(dice: &mut Dice, networks: &[IpNet], family: Family) -> Option<IpNet> {
    let of_family: Vec<IpNet> = networks
        .iter()
        .copied()
        .filter(|network| Family::of(network.addr()) == family)
        .collect();
    of_family.choose(dice).copied()
}

/// An address inside `network`: its edges as often as anything between.
fn within(dice: &mut Dice, network: IpNet) -> IpAddr {
    let (first, last) = (network.network(), network.broadcast());
    if first == last {
        return first;
    }
    match dice.random_range(0..6) {
        0 => first,
        1 => last,
        2 => stepped(first, 1),
        3 => stepped(last, -1),
        _ => {
            let number = dice.random_range(number(first)..=number(last));
            Family::of(first).address(number)
        }
    }
}

/// The address just before or just behind one of the networks or exceptions,
/// or the edge of an exception.
fn outside(dice: &mut Dice, side: &Endpoint, family: Family) -> Option<IpAddr> {
    if let Some(exception) = one_of(dice, &side.except, family).filter(|_| chance(dice, 50)) {
        return Some(match dice.random_range(0..3) {
            0 => stepped(exception.network(), -1),
            1 => stepped(exception.broadcast(), 1),
            _ => within(dice, exception),
        });
    }
    let network = one_of(dice, side.networks.as_ref()?, family)?;
    let edges = [
        stepped(network.network(), -1),
        stepped(network.broadcast(), 1),
    ];
    Some(any(dice, &edges))
}

fn port_of(dice: &mut Dice, ranges: &[RangeInclusive<u16>]) -> u16 {
    let Some(range) = ranges.choose(dice) else {
        return port(dice);
    };
    match dice.random_range(0..3) {
        0 => *range.start(),
        1 => *range.end(),
        _ => dice.random_range(range.clone()),
    }
}

fn beyond(dice: &mut Dice, range: &RangeInclusive<u16>) -> u16 {
    any(
        dice,
        &[range.start().wrapping_sub(1), range.end().wrapping_add(1)],
    )
}
