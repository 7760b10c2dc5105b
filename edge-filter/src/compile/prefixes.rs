//! Addresses: which rules does each of them satisfy?
//!
//! The prefixes that rules name cut the address space into regions whose
//! addresses all satisfy the same rules. [`leaves`] returns them as a longest
//! prefix match: the most specific prefix that holds an address has its leaf.

use std::collections::BTreeMap;

use edge_filter_ebpf::tables::Entry;
use ipnet::IpNet;

use super::classes::Classes;
use super::patterns::{Pattern, Patterns};
use super::rule_set::RuleSet;
use crate::policy::{Direction, Endpoint, Interface, Policy, Trust};

/// A side of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
}

/// The family of a trie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// A prefix as a left-aligned 128-bit string, in the order of a walk from the
/// root: a prefix comes before all that lie within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix {
    pub(super) bits: u128,
    pub(super) length: u32,
}

/// A prefix, and the leaf of its addresses.
pub(super) type Leaf = (Prefix, Entry);

/// Networks whose leaves bear a flag.
pub(super) type Marks = Vec<(IpNet, u32)>;

impl Prefix {
    pub(super) const ALL: Self = Self { bits: 0, length: 0 };

    /// The prefix of `network`, if it is of `family`.
    pub(super) fn of(network: IpNet, family: Family) -> Option<Self> {
        let (bits, length) = match (network.trunc(), family) {
            (IpNet::V4(network), Family::V4) => (
                u128::from(network.network().to_bits()) << 96,
                network.prefix_len(),
            ),
            (IpNet::V6(network), Family::V6) => (network.network().to_bits(), network.prefix_len()),
            _ => return None,
        };
        Some(Self {
            bits,
            length: length.into(),
        })
    }

    /// Whether all of `other` lies within this prefix.
    pub(super) fn holds(self, other: Self) -> bool {
        self.length <= other.length && (self.bits ^ other.bits) & mask(self.length) == 0
    }
}

/// The first `length` bits.
pub(super) fn mask(length: u32) -> u128 {
    if length == 0 {
        0
    } else {
        u128::MAX << (128 - length)
    }
}

/// The networks whose addresses the data path must recognise as sources.
pub(super) fn marks(
    policy: &Policy,
    interface: &Interface,
    direction: Direction,
    side: Side,
) -> Marks {
    if side == Side::Destination {
        return Marks::new();
    }
    let routers = &policy.essentials.router_advertisements;
    let mut marks: Marks = routers
        .iter()
        .map(|&network| (network, Entry::ROUTER))
        .collect();
    if direction == Direction::Inbound && interface.trust == Trust::Untrusted {
        marks.extend(
            interface
                .protects
                .iter()
                .map(|&network| (network, Entry::PROTECTED)),
        );
    }
    marks
}

/// What a prefix adds to those that hold it.
#[derive(Debug, Default)]
struct Change {
    included: Vec<usize>,
    excluded: Vec<usize>,
    flags: u32,
}

type Changes = BTreeMap<Prefix, Change>;

/// What holds for the addresses of a prefix.
#[derive(Debug, Clone)]
struct State {
    prefix: Prefix,
    included: RuleSet,
    excluded: RuleSet,
    flags: u32,
    leaf: Entry,
}

/// The regions of one side and family, beginning with that of all addresses. A
/// prefix whose leaf is that of the prefix around it is left out.
pub(super) fn leaves(
    patterns: &Patterns<'_>,
    marks: &Marks,
    side: Side,
    family: Family,
    classes: &mut Classes,
) -> Vec<Leaf> {
    let mut leaves: Vec<Leaf> = Vec::new();
    let mut around: Vec<State> = Vec::new();
    for (prefix, change) in changes(patterns, marks, side, family) {
        while around
            .last()
            .is_some_and(|state| !state.prefix.holds(prefix))
        {
            around.pop();
        }
        let mut state = around.last().cloned().unwrap_or_else(|| State {
            prefix,
            included: patterns.none(),
            excluded: patterns.none(),
            flags: 0,
            leaf: Entry::leaf(0, 0),
        });
        change
            .included
            .iter()
            .for_each(|&rule| state.included.insert(rule));
        change
            .excluded
            .iter()
            .for_each(|&rule| state.excluded.insert(rule));
        state.flags |= change.flags;
        let class = classes.number(state.included.without(&state.excluded));
        let leaf = Entry::leaf(class, state.flags);
        if around.is_empty() || leaf != state.leaf {
            leaves.push((prefix, leaf));
        }
        around.push(State {
            prefix,
            leaf,
            ..state
        });
    }
    leaves
}

/// All prefixes that change anything, and what they change.
fn changes(patterns: &Patterns<'_>, marks: &Marks, side: Side, family: Family) -> Changes {
    let mut changes = Changes::from([(Prefix::ALL, Change::default())]);
    for Pattern { bit, rule } in patterns.iter() {
        let Endpoint {
            networks, except, ..
        } = match side {
            Side::Source => &rule.from,
            Side::Destination => &rule.to,
        };
        match networks {
            None => at(&mut changes, Prefix::ALL).included.push(*bit),
            Some(networks) => {
                for prefix in networks
                    .iter()
                    .filter_map(|&network| Prefix::of(network, family))
                {
                    at(&mut changes, prefix).included.push(*bit);
                }
            }
        }
        for prefix in except
            .iter()
            .filter_map(|&network| Prefix::of(network, family))
        {
            at(&mut changes, prefix).excluded.push(*bit);
        }
    }
    for &(network, flag) in marks {
        if let Some(prefix) = Prefix::of(network, family) {
            at(&mut changes, prefix).flags |= flag;
        }
    }
    changes
}

fn at(changes: &mut Changes, prefix: Prefix) -> &mut Change {
    changes.entry(prefix).or_default()
}

#[cfg(test)]
mod tests;
