//! What a packet costs: how often the program asks its tables.
//!
//! The data path's own code judges packets over the compiled tables on this host, and
//! every lookup is counted ([`counted`]): the figures are the same on every machine. The
//! packets are made from the rules ([`packets`]); the costliest are looked for among
//! combinations of their addresses and ports. Where the kernel lets us, [`measured`]
//! tells nanoseconds, too.

mod counted;
pub mod measured;
mod packets;

use edge_filter_ebpf::judge;
use edge_filter_ebpf::memory::{Cache, Hook, Memory};
use edge_filter_ebpf::tables::Row;
use serde::Serialize;

use crate::compile::TableImage;
use crate::compile::budget::CompiledHook;
use crate::policy::{PacketSpec, Policy, packet};
use counted::Counted;
use packets::Packets;

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// How often each kind of table is asked about one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Lookups {
    /// Comparisons with a prefix, and steps through the tries, of both addresses.
    pub addresses: u32,
    /// Classes of protocol and ports.
    pub ports: u32,
    /// Parts of bit vectors, and of sets.
    pub vectors: u32,
    /// What rule, or whose reply, a bit stands for.
    pub rule_numbers: u32,
    /// Outcomes.
    pub outcomes: u32,
    /// Conversations in the flow table.
    pub flows: u32,
}

/// What packets of one family cost at a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// The family.
    pub family: Family,
    /// Of packets made from the rules, the one that half of the others cost no more than.
    pub typical: Lookups,
    /// The costliest that was found.
    pub costliest: Lookups,
    /// A packet that costs that much.
    #[serde(skip)]
    pub costliest_packet: PacketSpec,
}

/// How many of the costliest packets made from rules a search begins with.
const STARTS: usize = 3;

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::IPv4, Self::IPv6];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IPv4 => "IPv4",
            Self::IPv6 => "IPv6",
        }
    }
}

impl Lookups {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.addresses + self.ports + self.vectors + self.rule_numbers + self.outcomes + self.flows
    }
}

/// What packets cost at `hook`, by family. Packets are TCP's with ACK, where a rule leaves
/// that open: most packets of a conversation are.
#[must_use]
pub fn costs(policy: &Policy, hook: &CompiledHook) -> Vec<Cost> {
    let costs = Family::ALL.map(|family| {
        let Packets { own, others } = packets::of(policy, &hook.known, family);
        let count = |spec: &PacketSpec| lookups(policy, hook, spec);
        let typical_of = if own.is_empty() { &others } else { &own };
        let mut counted: Vec<Lookups> = typical_of.iter().map(count).collect();
        counted.sort_by_key(Lookups::total);
        let typical = counted.get(counted.len() / 2).copied()?;

        let all: Vec<PacketSpec> = own.into_iter().chain(others).collect();
        let mut known: Vec<(Lookups, &PacketSpec)> =
            all.iter().map(|spec| (count(spec), spec)).collect();
        known.sort_by_key(|(lookups, _)| std::cmp::Reverse(lookups.total()));
        let (costliest, costliest_packet) = known
            .into_iter()
            .take(STARTS)
            .map(|(lookups, spec)| climb((lookups, spec.clone()), &all, count))
            .max_by_key(|(lookups, _)| lookups.total())?;
        Some(Cost {
            family,
            typical,
            costliest,
            costliest_packet,
        })
    });
    costs.into_iter().flatten().collect()
}

/// How often the program asks its tables about the packet of `spec`; never, if there is no
/// such packet.
fn lookups(policy: &Policy, hook: &CompiledHook, spec: &PacketSpec) -> Lookups {
    let address_rows = hook.known.facts.bytes.address_rows / size_of::<Row>();
    match packet::frame(policy, spec) {
        Ok(frame) => lookups_for(&hook.image, address_rows, &frame),
        Err(_) => Lookups::default(),
    }
}

/// How often the program asks the tables of `image` to judge `frame`, with an empty flow
/// table. The first `address_rows` of its rows are those of addresses.
#[must_use]
pub fn lookups_for(image: &TableImage, address_rows: usize, frame: &[u8]) -> Lookups {
    let counted = Counted::new(image, address_rows);
    let seen = Hook {
        tables: &counted,
        cache: &Cache::NONE,
        flows: &counted,
    };
    judge(&mut Memory::new(frame), &seen);
    counted.lookups()
}

/// The packet to which steps lead that each cost more: a step takes over addresses, or
/// protocol and ports, of another of `packets`.
fn climb(
    mut best: (Lookups, PacketSpec),
    packets: &[PacketSpec],
    count: impl Fn(&PacketSpec) -> Lookups,
) -> (Lookups, PacketSpec) {
    loop {
        let before = best.0.total();
        for other in packets {
            for step in steps(&best.1, other) {
                let lookups = count(&step);
                if lookups.total() > best.0.total() {
                    best = (lookups, step);
                }
            }
        }
        if best.0.total() == before {
            return best;
        }
    }
}

/// `one` with some of what `other` has.
fn steps(one: &PacketSpec, other: &PacketSpec) -> [PacketSpec; 4] {
    let source = PacketSpec {
        source: other.source,
        ..one.clone()
    };
    let destination = PacketSpec {
        destination: other.destination,
        ..one.clone()
    };
    let addresses = PacketSpec {
        destination: other.destination,
        ..source.clone()
    };
    let transport = PacketSpec {
        source: one.source,
        destination: one.destination,
        ..other.clone()
    };
    [source, destination, addresses, transport]
}

#[cfg(test)]
mod tests;
