//! The tables of a small policy: what a packet's addresses and ports say of it, as numbers
//! that add up to the place of what becomes of it.

mod addresses;

use std::collections::BTreeSet;
use std::slice;

use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::outcome::{Own, Reply};
use edge_filter_ebpf::packet::protocol;
use edge_filter_ebpf::regions::REGIONS;
use edge_filter_ebpf::small::{Kind, MORE, Numbers, OUTCOMES, SECOND_HALVES, Settled, Side, Small};
use edge_filter_ebpf::tables::{Trie, transport_index};

use self::addresses::{FirstHalf, Runs, ask_of_martians, fill, first_halves, runs, third_groups};
use super::fields::{Field, Fields};
use super::outcomes::Outcomes;
use super::{TableImage, index};
use crate::policy::{Action, Direction, Policy};

/// The most networks of a family on one side: to cut the addresses into regions takes their
/// number squared.
const NETWORKS: usize = 1024;

/// What is told of a value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// Its class.
    Class(u32),
    /// No packet has it.
    Impossible,
    /// The way of all policies knows.
    Nothing,
}

/// What is told of a TCP or UDP header: whether it opens a conversation, as a bare SYN does,
/// and what is told of its protocol and destination port.
type Transport = (bool, Told);

/// What is told of the addresses of one side.
#[derive(Debug)]
struct Addresses {
    first_halves: Vec<FirstHalf>,
    runs: Runs,
    groups: Option<Vec<Option<Told>>>,
    /// All that is told of them, each once and in order.
    distinct: Vec<Told>,
}

/// A small policy, before its tables are made.
#[derive(Debug)]
pub(super) struct Plan {
    sources: Addresses,
    destinations: Addresses,
    /// Of each destination port, by [`Kind`].
    transports: [Vec<Transport>; 3],
    /// Of each source port.
    source_ports: Vec<u32>,
    /// All that is told of these, each once and in order.
    distinct_transports: Vec<Transport>,
    distinct_ports: Vec<u32>,
}

impl Addresses {
    /// Those in the two tries of a side; `None` if there are too many networks.
    fn of(fields: &Fields, [v4, v6]: [Trie; 2]) -> Option<Self> {
        if [v4, v6]
            .iter()
            .any(|trie| fields.leaves(*trie).len() > NETWORKS)
        {
            return None;
        }
        let mut first_halves = first_halves(&runs(fields.leaves(v4)))?;
        if v4 == Trie::SourceV4 {
            ask_of_martians(&mut first_halves);
        }
        let runs = runs(fields.leaves(v6));
        if runs.len() > REGIONS {
            return None;
        }
        let told_v6 = runs.iter().map(|(_, told)| told);
        let told_v4 = first_halves.iter().flat_map(|half| match half {
            FirstHalf::Told(told) => slice::from_ref(told),
            FirstHalf::Second(told) => told,
        });
        Some(Self {
            distinct: distinct(told_v4.chain(told_v6).copied()),
            groups: third_groups(&runs),
            first_halves,
            runs,
        })
    }

    /// How many tables tell by the second halves of IPv4 addresses.
    fn second_halves(&self) -> usize {
        let second = |half: &&FirstHalf| matches!(half, FirstHalf::Second(_));
        self.first_halves.iter().filter(second).count()
    }

    /// Fills the tables of `side`, where `number` says what is added; `next` is the number of
    /// the next table for second halves.
    fn fill(&self, small: &mut Small, side: Side, next: &mut u16, number: impl Fn(Told) -> u16) {
        for (first, half) in (0..=u16::MAX).zip(&self.first_halves) {
            small.first_halves[side as usize][on_the_wire(first)] = match half {
                FirstHalf::Told(told) => number(*told),
                FirstHalf::Second(all) => {
                    let table = &mut small.second_halves[usize::from(*next)];
                    for (second, told) in (0..=u16::MAX).zip(all) {
                        table[on_the_wire(second)] = number(*told);
                    }
                    *next += 1;
                    MORE | (*next - 1)
                }
            };
        }
        for (group, told) in (0..=u16::MAX).zip(self.groups.iter().flatten()) {
            small.groups[side as usize][on_the_wire(group)] = told.map_or(MORE, &number);
        }
    }

    /// Whether something has to be added for IPv4 addresses, martians apart.
    fn looks_up_v4(&self, number: impl Fn(Told) -> u16) -> bool {
        self.first_halves.iter().any(|half| match half {
            FirstHalf::Told(Told::Nothing) => false,
            FirstHalf::Told(told) => number(*told) != 0,
            FirstHalf::Second(_) => true,
        })
    }
}

impl Plan {
    /// That of `fields`, unless there are too many networks or combinations. No rule is
    /// asked of UDP to the ports `elsewhere`.
    pub(super) fn of(fields: &Fields, elsewhere: &[u16]) -> Option<Self> {
        let sources = Addresses::of(fields, [Trie::SourceV4, Trie::SourceV6])?;
        let destinations = Addresses::of(fields, [Trie::DestinationV4, Trie::DestinationV6])?;
        let classes = fields.classes(Field::Transport);
        let transports = [Kind::Tcp, Kind::Udp, Kind::Opening].map(|kind| {
            let protocol = match kind {
                Kind::Tcp | Kind::Opening => protocol::TCP,
                Kind::Udp => protocol::UDP,
            };
            let of = |port| {
                let asked = kind != Kind::Udp || !elsewhere.contains(&port);
                let class = classes[transport_index(protocol, port) as usize];
                let told = if asked {
                    Told::Class(class)
                } else {
                    Told::Nothing
                };
                (kind == Kind::Opening, told)
            };
            (0..=u16::MAX).map(of).collect::<Vec<_>>()
        });
        let source_ports = fields.classes(Field::SourcePort);
        let plan = Self {
            sources,
            destinations,
            distinct_transports: distinct(transports.iter().flatten().copied()),
            distinct_ports: distinct(source_ports.iter().copied()),
            transports,
            source_ports,
        };
        let outcomes = plan.sources.distinct.len() * plan.source_stride();
        (outcomes <= OUTCOMES && plan.second_halves() <= SECOND_HALVES).then_some(plan)
    }

    /// How many tables there are for second halves of IPv4 addresses: a power of two.
    pub(super) fn second_halves(&self) -> usize {
        let used = self.sources.second_halves() + self.destinations.second_halves();
        used.max(1).next_power_of_two()
    }

    /// How many bytes the tables take.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Small>() - (SECOND_HALVES - self.second_halves()) * size_of::<Numbers>()
    }

    fn transport_stride(&self) -> usize {
        self.distinct_ports.len()
    }

    fn destination_stride(&self) -> usize {
        self.distinct_transports.len() * self.transport_stride()
    }

    fn source_stride(&self) -> usize {
        self.destinations.distinct.len() * self.destination_stride()
    }

    /// The tables, where `outcomes` tells what the rules say, and `image` holds the constants
    /// and the sets of the hook; and the constants that say how they are read.
    pub(super) fn tables(
        &self,
        outcomes: &Outcomes,
        image: &TableImage,
    ) -> (Box<Small>, [(Constant, u32); 7]) {
        let mut small = Small::new();
        let Self {
            sources,
            destinations,
            ..
        } = self;
        let of_source = |told| number(&sources.distinct, &told, self.source_stride());
        let stride = self.destination_stride();
        let of_destination = |told| number(&destinations.distinct, &told, stride);
        let mut next = 0;
        sources.fill(&mut small, Side::Source, &mut next, of_source);
        destinations.fill(&mut small, Side::Destination, &mut next, of_destination);
        let [source_v6, destination_v6] = &mut small.regions;
        let source_steps = fill(source_v6, &sources.runs, of_source);
        let destination_steps = fill(destination_v6, &destinations.runs, of_destination);
        let groups = |addresses: &Addresses, steps| steps != 0 && addresses.groups.is_some();
        let constants = [
            (
                Constant::LooksUpSourceV4,
                sources.looks_up_v4(of_source).into(),
            ),
            (
                Constant::LooksUpDestinationV4,
                destinations.looks_up_v4(of_destination).into(),
            ),
            (Constant::SecondHalves, index(self.second_halves()) - 1),
            (Constant::StepsSourceV6, source_steps),
            (Constant::StepsDestinationV6, destination_steps),
            (
                Constant::GroupsSourceV6,
                groups(sources, source_steps).into(),
            ),
            (
                Constant::GroupsDestinationV6,
                groups(destinations, destination_steps).into(),
            ),
        ];
        for (table, told) in small.transports.iter_mut().zip(&self.transports) {
            for (port, told) in (0..=u16::MAX).zip(told) {
                let stride = self.transport_stride();
                table[on_the_wire(port)] = number(&self.distinct_transports, told, stride);
            }
        }
        for (port, told) in (0..=u16::MAX).zip(self.source_ports.iter().cycle()) {
            small.source_ports[on_the_wire(port)] = number(&self.distinct_ports, told, 1);
        }
        let mut places = small.outcomes.iter_mut();
        for &source in &sources.distinct {
            for &destination in &destinations.distinct {
                for &transport in &self.distinct_transports {
                    for &source_port in &self.distinct_ports {
                        let place = places.next().expect("they were counted");
                        let told = (source, destination, transport, source_port);
                        *place = settled(told, outcomes, image);
                    }
                }
            }
        }
        (small, constants)
    }
}

/// UDP's destination ports to which a packet may be DHCP's to a client, which no rule has to
/// allow; of either family.
pub(super) fn dhcp_ports(policy: &Policy, direction: Direction) -> &'static [u16] {
    match (policy.essentials.dhcp_client, direction) {
        (Action::Drop, _) => &[],
        (Action::Allow, Direction::Inbound) => &[68, 546],
        (Action::Allow, Direction::Outbound) => &[67, 547],
    }
}

/// What becomes of packets of which this is told.
fn settled(
    (source, destination, (opens, transport), source_port): (Told, Told, Transport, u32),
    outcomes: &Outcomes,
    image: &TableImage,
) -> Settled {
    if [source, destination].contains(&Told::Nothing) {
        return Settled::UNKNOWN;
    }
    let (Told::Class(source), Told::Class(destination)) = (source, destination) else {
        return by(Counter::MARTIAN, image);
    };
    let Told::Class(transport) = transport else {
        return Settled::UNKNOWN;
    };
    let outcome = outcomes.of_classes(Classes {
        source,
        destination,
        transport,
        source_port,
    });
    let counter = match outcome.own() {
        Own::Allowed { tracked: true, .. } => return Settled::UNKNOWN,
        Own::Allowed { counter, .. } | Own::Final(counter) => counter,
        Own::Refused(counter) => match outcome.reply() {
            Reply::ByRule(reply) if !opens => reply,
            Reply::ByFlow(_) if !opens => return Settled::UNKNOWN,
            _ => counter,
        },
    };
    by(counter, image)
}

/// A packet moves `counter`.
fn by(counter: Counter, image: &TableImage) -> Settled {
    let counter = counter.at_hook(image);
    Settled::new(counter, counter.passes(image))
}

/// Each once, and in order.
fn distinct<T: Ord>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.collect::<BTreeSet<T>>().into_iter().collect()
}

/// What `told`, which is one of `distinct`, adds to the place of an outcome, in bytes.
fn number<T: Ord>(distinct: &[T], told: &T, stride: usize) -> u16 {
    let position = distinct.binary_search(told).expect("it is one of them");
    let bytes = position * stride * size_of::<Settled>();
    u16::try_from(bytes).expect("there are few enough")
}

/// Where a port's number stands.
fn on_the_wire(port: u16) -> usize {
    port.to_be().into()
}

#[cfg(test)]
mod tests;
