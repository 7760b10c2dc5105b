//! The tables of a small policy: what a packet's addresses and ports say of it, as numbers
//! that add up to the place of what becomes of it.

use std::collections::BTreeSet;
use std::iter::repeat;

use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::outcome::{Own, Reply};
use edge_filter_ebpf::packet::protocol;
use edge_filter_ebpf::regions::{AddressV6, REGIONS, Regions};
use edge_filter_ebpf::small::{Kind, OUTCOMES, Settled, Small};
use edge_filter_ebpf::tables::{Entry, Trie, transport_index};

use super::fields::{Field, Fields};
use super::outcomes::Outcomes;
use super::prefixes::{Leaf, mask};
use super::{TableImage, index};
use crate::policy::{Action, Direction, Policy};

/// What is told of a value of a field: its class; or nothing, where no rule is asked.
type Told = Option<u32>;

/// The first address of each region, and what is told of the region's addresses.
type Runs = Vec<(u128, Told)>;

/// What is told of a TCP or UDP header: whether it opens a conversation, as a bare SYN does,
/// and what is told of its protocol and destination port.
type Transport = (bool, Told);

/// A small policy, before its tables are made.
#[derive(Debug)]
pub(super) struct Plan {
    /// Of each trie.
    runs: [Runs; 4],
    /// Of each destination port, by [`Kind`].
    transports: [Vec<Transport>; 3],
    /// Of each source port.
    source_ports: Vec<u32>,
    /// All that is told of each field, each once and in order.
    sources: Vec<Told>,
    destinations: Vec<Told>,
    distinct_transports: Vec<Transport>,
    distinct_ports: Vec<u32>,
}

impl Plan {
    /// How many bytes the tables take.
    pub(super) const BYTES: usize = size_of::<Small>();

    /// That of `fields`, unless there are too many networks or combinations. No rule is
    /// asked of UDP to the ports `elsewhere`.
    pub(super) fn of(fields: &Fields, elsewhere: &[u16]) -> Option<Self> {
        let runs = Trie::ALL.map(|trie| runs(fields.leaves(trie)));
        if runs.iter().any(|runs| runs.len() > REGIONS) {
            return None;
        }
        let classes = fields.classes(Field::Transport);
        let transports = [Kind::Tcp, Kind::Udp, Kind::Opening].map(|kind| {
            let protocol = match kind {
                Kind::Tcp | Kind::Opening => protocol::TCP,
                Kind::Udp => protocol::UDP,
            };
            let of = |port| {
                let asked = kind != Kind::Udp || !elsewhere.contains(&port);
                let class = classes[transport_index(protocol, port) as usize];
                (kind == Kind::Opening, asked.then_some(class))
            };
            (0..=u16::MAX).map(of).collect::<Vec<_>>()
        });
        let source_ports = fields.classes(Field::SourcePort);
        let told = |tries: [Trie; 2]| {
            let runs = tries.into_iter().flat_map(|trie| &runs[trie as usize]);
            distinct(runs.map(|&(_, told)| told))
        };
        let plan = Self {
            sources: told([Trie::SourceV4, Trie::SourceV6]),
            destinations: told([Trie::DestinationV4, Trie::DestinationV6]),
            distinct_transports: distinct(transports.iter().flatten().copied()),
            distinct_ports: distinct(source_ports.iter().copied()),
            runs,
            transports,
            source_ports,
        };
        (plan.sources.len() * plan.source_stride() <= OUTCOMES).then_some(plan)
    }

    fn transport_stride(&self) -> usize {
        self.distinct_ports.len()
    }

    fn destination_stride(&self) -> usize {
        self.distinct_transports.len() * self.transport_stride()
    }

    fn source_stride(&self) -> usize {
        self.destinations.len() * self.destination_stride()
    }

    /// The tables, where `outcomes` tells what the rules say, and `image` holds the constants
    /// and the sets of the hook; and how many steps each trie takes.
    pub(super) fn tables(&self, outcomes: &Outcomes, image: &TableImage) -> (Box<Small>, [u32; 4]) {
        let mut small = Small::new();
        let of_source = |told| number(&self.sources, &told, self.source_stride());
        let of_destination = |told| number(&self.destinations, &told, self.destination_stride());
        let [source_v4, destination_v4, source_v6, destination_v6] = &self.runs;
        let steps = [
            fill(&mut small.source_v4, source_v4, of_source, bound_v4),
            fill(
                &mut small.destination_v4,
                destination_v4,
                of_destination,
                bound_v4,
            ),
            fill(&mut small.source_v6, source_v6, of_source, bound_v6),
            fill(
                &mut small.destination_v6,
                destination_v6,
                of_destination,
                bound_v6,
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
        for &source in &self.sources {
            for &destination in &self.destinations {
                for &transport in &self.distinct_transports {
                    for &source_port in &self.distinct_ports {
                        let place = places.next().expect("they were counted");
                        let told = (source, destination, transport, source_port);
                        *place = settled(told, outcomes, image);
                    }
                }
            }
        }
        (small, steps)
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
    let (Some(source), Some(destination)) = (source, destination) else {
        return by(Counter::MARTIAN, image);
    };
    let Some(transport) = transport else {
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
    Settled {
        counter: counter.0,
        verdict: if counter.passes(image) {
            Settled::PASS
        } else {
            Settled::DROP
        },
    }
}

/// The regions of `leaves`, which are in the order of a walk and begin with that of all
/// addresses. Of protected addresses nothing is told: none of them is a source.
fn runs(leaves: &[Leaf]) -> Runs {
    let ends = leaves
        .iter()
        .filter_map(|(prefix, _)| (prefix.bits | !mask(prefix.length)).checked_add(1));
    let starts = leaves.iter().map(|(prefix, _)| prefix.bits);
    let mut runs = Runs::new();
    for address in distinct(starts.chain(ends)) {
        let holding = leaves
            .iter()
            .rev()
            .find(|(prefix, _)| (prefix.bits ^ address) & mask(prefix.length) == 0);
        let (_, leaf) = holding.expect("the first holds all");
        let told = (!leaf.has(Entry::PROTECTED)).then_some(leaf.class());
        if runs.last().is_none_or(|&(_, last)| last != told) {
            runs.push((address, told));
        }
    }
    runs
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

fn bound_v4(address: u128) -> u32 {
    (address >> 96) as u32
}

fn bound_v6(address: u128) -> AddressV6 {
    let half = |shift: u32| {
        let bits = (address >> shift) & u128::from(u64::MAX);
        u64::try_from(bits).expect("64 bits")
    };
    AddressV6 {
        high: half(64),
        low: half(0),
    }
}

/// Lays out `runs`; how many steps lead to a leaf.
fn fill<B>(
    regions: &mut Regions<B>,
    runs: &Runs,
    number: impl Fn(Told) -> u16,
    bound: impl Fn(u128) -> B,
) -> u32 {
    // The last of them stands behind the others, too: where it is passed, so are those.
    let (last, _) = runs[runs.len() - 1];
    let addresses = runs[1..].iter().map(|&(address, _)| address);
    for (place, address) in regions.bounds.iter_mut().zip(addresses.chain(repeat(last))) {
        *place = bound(address);
    }
    let numbers: Vec<u16> = runs.iter().map(|&(_, told)| number(told)).collect();
    regions.leaves = [numbers[numbers.len() - 1]; REGIONS];
    regions.leaves[..numbers.len()].copy_from_slice(&numbers);
    index(runs.len()).next_power_of_two().ilog2()
}

#[cfg(test)]
mod tests;
