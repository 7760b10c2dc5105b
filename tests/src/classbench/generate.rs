//! Sets made up in the likeness of those that `ClassBench` makes ([`super::Flavour`]).

use std::collections::HashSet;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::flavour::{Asked, Flavour, Habits, ICMP};
use super::points::{Points, early};
use super::{Filter, Set};
use crate::generate::pool::Family;
use crate::generate::{Dice, any, chance};

/// What to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// The kind.
    pub flavour: Flavour,
    /// How many filters.
    pub filters: usize,
    /// How many in a hundred are of IPv6.
    pub v6_percent: u32,
}

/// The ports that a set names.
struct Ports {
    single: Vec<u16>,
    ranges: Vec<RangeInclusive<u16>>,
}

/// What ICMP is with IPv6.
const ICMPV6: Option<u8> = Some(58);
/// The ports that only dice choose.
const EPHEMERAL: RangeInclusive<u16> = 1024..=64_000;
/// How many ports a range holds, less one.
const SPANS: [u16; 5] = [1, 9, 19, 49, 99];
/// How far down the list of single ports the one stands that a service talks to.
const PARTNER: usize = 3;
/// Filters stand in the order of how narrow they are, give or take so many bits of both
/// prefixes.
const DISORDER: u32 = 6;

/// A set, all of whose filters are different. The narrow ones come first, as in lists that
/// people write: else few of the others would ever be met.
#[must_use]
pub fn generate(dice: &mut Dice, recipe: &Recipe) -> Set {
    let habits = recipe.flavour.habits();
    let ports = Ports::new(dice, habits);
    let mut points = [Family::V4, Family::V6]
        .map(|family| habits.crowds.map(|crowd| Points::new(crowd, family)));
    let mut known = HashSet::new();
    let mut filters = Vec::with_capacity(recipe.filters);
    while filters.len() < recipe.filters {
        let is_v6 = chance(dice, recipe.v6_percent);
        let earlier = filters.choose(dice);
        let earlier = earlier.filter(|_| chance(dice, habits.again));
        let networks = match earlier {
            Some((
                _,
                Filter {
                    source,
                    destination,
                    ..
                },
            )) => [*source, *destination],
            None => networks(dice, habits, &mut points[usize::from(is_v6)]),
        };
        let filter = filter(dice, habits, &ports, networks);
        if known.insert(filter.clone()) {
            let width = u32::from(wildcard_bits(&filter)) + dice.random_range(0..=DISORDER);
            filters.push((width, filter));
        }
    }
    filters.sort_by_key(|(width, _)| *width);
    let name = format!("{}-{}", recipe.flavour.as_str(), recipe.filters);
    Set {
        name,
        filters: filters.into_iter().map(|(_, filter)| filter).collect(),
    }
}

/// How many bits of both addresses a filter leaves open; of IPv6 a fourth part of them.
fn wildcard_bits(filter: &Filter) -> u8 {
    let networks = [filter.source, filter.destination];
    let open = networks.map(|network| {
        (network.max_prefix_len() - network.prefix_len()) / (network.max_prefix_len() / 32)
    });
    open.iter().sum()
}

/// Source and destination.
fn networks(dice: &mut Dice, habits: &Habits, points: &mut [Points; 2]) -> [IpNet; 2] {
    let lengths = habits.lengths.choose_weighted(dice, |(.., weight)| *weight);
    let (source, destination, _) = lengths.expect("weights above 0").clone();
    let [sources, destinations] = points;
    let (source, destination) = (dice.random_range(source), dice.random_range(destination));
    [
        sources.network(dice, source),
        destinations.network(dice, destination),
    ]
}

fn filter(
    dice: &mut Dice,
    habits: &Habits,
    ports: &Ports,
    [source, destination]: [IpNet; 2],
) -> Filter {
    let service = habits
        .services
        .choose_weighted(dice, |(.., weight)| *weight);
    let (protocol, from, to, _) = *service.expect("weights above 0");
    let protocol = match protocol {
        ICMP if source.addr().is_ipv6() => ICMPV6,
        protocol => protocol,
    };
    let [source_ports, destination_ports] = ports.draw(dice, [from, to]);
    Filter {
        source,
        destination,
        protocol,
        source_ports,
        destination_ports,
    }
}

impl Ports {
    fn new(dice: &mut Dice, habits: &Habits) -> Self {
        let mut single = habits.ports.to_vec();
        single.extend((0..habits.more_ports).map(|_| dice.random_range(EPHEMERAL)));
        let ranges = (0..habits.ranges).map(|_| {
            let first = dice.random_range(EPHEMERAL);
            first..=first + any(dice, &SPANS)
        });
        Self {
            single,
            ranges: ranges.collect(),
        }
    }

    /// What stands for `asked`. A single port has the same one on the other side, where
    /// that is single, too: services talk to few others.
    fn draw(&self, dice: &mut Dice, [from, to]: [Asked; 2]) -> [Option<RangeInclusive<u16>>; 2] {
        let popular = early(dice, self.single.len());
        let partner = match from {
            Asked::One => (popular + PARTNER) % self.single.len(),
            _ => popular,
        };
        let [popular, partner] = [popular, partner].map(|at| self.single[at]);
        [(from, popular), (to, partner)].map(|(asked, port)| match asked {
            Asked::Nothing => None,
            Asked::High => Some(1024..=u16::MAX),
            Asked::One => Some(port..=port),
            Asked::Range => Some(self.ranges[early(dice, self.ranges.len())].clone()),
        })
    }
}
