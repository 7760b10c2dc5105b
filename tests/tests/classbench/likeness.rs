//! Sets that are made up have the figures of those that `ClassBench` made, within what its
//! own differ by; and where those are at hand, they are held to the same.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use edge_filter_tests::classbench::{Filter, Flavour, Recipe, Set, generate};
use edge_filter_tests::generate::seeded;
use ipnet::IpNet;

use crate::real;

/// Figures of a set: shares of its filters, in percent.
#[derive(Debug)]
struct Figures {
    distinct: usize,
    /// Different networks on either side.
    sources: usize,
    destinations: usize,
    /// Different pairs of them.
    pairs: usize,
    /// Two single addresses.
    hosts: usize,
    /// A side of at most two bits.
    wide: usize,
    tcp: usize,
    udp: usize,
    any_protocol: usize,
    source_port: usize,
    single_port: usize,
    /// Ranges of destination ports that are neither one nor all.
    range: usize,
    /// Not in percent: different sorts of what stands behind the networks.
    services: usize,
    /// Not in percent: the longest chain of networks that hold each other.
    nesting: usize,
    /// Not in percent: how many bits of both prefixes the first quarter of the filters
    /// has, on average, more than the last.
    narrowing: usize,
}

impl Figures {
    fn of(set: &Set) -> Self {
        let filters = &set.filters;
        let percent = |count: usize| 100 * count / filters.len();
        let share =
            |of: fn(&Filter) -> bool| percent(filters.iter().filter(|filter| of(filter)).count());
        let sources: HashSet<IpNet> = filters.iter().map(|filter| filter.source).collect();
        let destinations: HashSet<IpNet> =
            filters.iter().map(|filter| filter.destination).collect();
        let pairs: HashSet<_> = filters
            .iter()
            .map(|filter| (filter.source, filter.destination))
            .collect();
        let services: HashSet<_> = filters
            .iter()
            .map(|filter| {
                let Filter {
                    protocol,
                    source_ports,
                    destination_ports,
                    ..
                } = filter;
                (protocol, source_ports, destination_ports)
            })
            .collect();
        let distinct: HashSet<&Filter> = filters.iter().collect();
        let quarter = filters.len() / 4;
        let bits = |filters: &[Filter]| {
            let bits = filters.iter().map(|filter| {
                usize::from(filter.source.prefix_len() + filter.destination.prefix_len())
            });
            bits.sum::<usize>() / filters.len()
        };
        Self {
            distinct: percent(distinct.len()),
            nesting: nesting(&sources).max(nesting(&destinations)),
            sources: percent(sources.len()),
            destinations: percent(destinations.len()),
            pairs: percent(pairs.len()),
            hosts: share(|filter| {
                filter.source.prefix_len() == 32 && filter.destination.prefix_len() == 32
            }),
            wide: share(|filter| {
                filter.source.prefix_len() <= 2 || filter.destination.prefix_len() <= 2
            }),
            tcp: share(|filter| filter.protocol == Some(6)),
            udp: share(|filter| filter.protocol == Some(17)),
            any_protocol: share(|filter| filter.protocol.is_none()),
            source_port: share(|filter| filter.source_ports.is_some()),
            single_port: share(|filter| is_single(filter.destination_ports.as_ref())),
            range: share(|filter| {
                let ports = filter.destination_ports.as_ref();
                ports.is_some() && !is_single(ports)
            }),
            services: services.len(),
            narrowing: bits(&filters[..quarter])
                .saturating_sub(bits(&filters[filters.len() - quarter..])),
        }
    }

    /// What is not as it is with `flavour`.
    fn strange(&self, flavour: Flavour) -> Vec<String> {
        let bounds: [(&str, usize, RangeInclusive<usize>); 15] = {
            let of = |acl, fw, ipc| match flavour {
                Flavour::Acl => acl,
                Flavour::Firewall => fw,
                Flavour::IpChain => ipc,
            };
            [
                ("distinct", self.distinct, 97..=100),
                ("sources", self.sources, of(5..=36, 12..=45, 12..=38)),
                (
                    "destinations",
                    self.destinations,
                    of(8..=42, 14..=78, 20..=50),
                ),
                ("pairs", self.pairs, of(55..=95, 38..=99, 78..=97)),
                ("hosts", self.hosts, of(44..=54, 3..=9, 12..=20)),
                ("wide", self.wide, of(0..=2, 65..=85, 3..=9)),
                ("tcp", self.tcp, of(83..=91, 50..=62, 22..=31)),
                ("udp", self.udp, of(0..=3, 28..=40, 33..=43)),
                (
                    "any protocol",
                    self.any_protocol,
                    of(5..=11, 0..=3, 30..=39),
                ),
                ("source port", self.source_port, of(0..=0, 18..=29, 13..=22)),
                (
                    "single port",
                    self.single_port,
                    of(50..=62, 50..=63, 31..=41),
                ),
                ("range", self.range, of(10..=16, 6..=14, 6..=12)),
                ("services", self.services, of(90..=250, 70..=260, 80..=250)),
                ("nesting", self.nesting, 3..=9),
                ("narrowing", self.narrowing, of(6..=14, 24..=42, 16..=28)),
            ]
        };
        let strange = bounds
            .iter()
            .filter(|(_, figure, bounds)| !bounds.contains(figure));
        strange
            .map(|(name, figure, bounds)| format!("{name}: {figure}, not {bounds:?}"))
            .collect()
    }
}

fn is_single(ports: Option<&RangeInclusive<u16>>) -> bool {
    ports.is_some_and(|ports| ports.start() == ports.end())
}

/// The longest chain of networks that hold each other, less one.
fn nesting(networks: &HashSet<IpNet>) -> usize {
    let depth = |network: &IpNet| {
        let holders = std::iter::successors(network.supernet(), IpNet::supernet);
        holders.filter(|holder| networks.contains(holder)).count()
    };
    networks.iter().map(depth).max().unwrap_or(0)
}

fn flavour_of(name: &str) -> Flavour {
    let flavour = Flavour::ALL
        .into_iter()
        .find(|flavour| name.starts_with(flavour.as_str()));
    flavour.unwrap_or_else(|| panic!("{name}: of no flavour"))
}

#[test]
fn what_is_made_up_is_like_the_real_ones() {
    for flavour in Flavour::ALL {
        for (filters, seed) in [(1_000, 1), (1_000, 2), (8_000, 3), (8_000, 4)] {
            let recipe = Recipe {
                flavour,
                filters,
                v6_percent: 0,
            };
            let figures = Figures::of(&generate(&mut seeded(seed), &recipe));
            println!("{recipe:?}, seed {seed}: {figures:?}");
            let strange = figures.strange(flavour);
            assert!(strange.is_empty(), "{recipe:?}, seed {seed}: {strange:#?}");
        }
    }
}

#[test]
fn the_sets_of_classbench_are_what_is_imitated() {
    for set in real::sets("the comparison of figures") {
        let figures = Figures::of(&set);
        println!("{}: {figures:?}", set.name);
        let strange = figures.strange(flavour_of(&set.name));
        assert!(strange.is_empty(), "{}: {strange:#?}", set.name);
    }
}

#[test]
fn any_number_of_filters_is_made_and_a_seed_says_it_all() {
    for flavour in Flavour::ALL {
        for filters in [10, 64, 65, 1_000, 65_536] {
            let recipe = Recipe {
                flavour,
                filters,
                v6_percent: 25,
            };
            let set = generate(&mut seeded(7), &recipe);
            assert_eq!(set.filters.len(), filters);
            assert_eq!(set, generate(&mut seeded(7), &recipe));
            assert_ne!(set, generate(&mut seeded(8), &recipe));
            let v6 = set
                .filters
                .iter()
                .filter(|filter| filter.source.addr().is_ipv6());
            let percent = 100 * v6.count() / filters;
            assert!(
                filters < 1_000 || (20..=30).contains(&percent),
                "{percent} % of IPv6"
            );
        }
    }
}

/// Few addresses are named often, as in the real ones, and none by half of all filters.
#[test]
fn some_networks_are_popular() {
    for flavour in Flavour::ALL {
        let recipe = Recipe {
            flavour,
            filters: 1_000,
            v6_percent: 0,
        };
        let set = generate(&mut seeded(5), &recipe);
        let mut uses: HashMap<IpNet, usize> = HashMap::new();
        for filter in &set.filters {
            *uses.entry(filter.destination).or_default() += 1;
        }
        let most = uses.values().max().expect("there are some");
        println!("{recipe:?}: {most} of one destination");
        assert!(
            (10..500).contains(most),
            "{recipe:?}: {most} of one destination"
        );
    }
}
