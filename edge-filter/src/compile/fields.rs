//! The fields of a packet, each as a map from its values to classes, before they are laid
//! out as tables.

use std::collections::BTreeSet;

use edge_filter_ebpf::classify::EVERY_RULE;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::tables::{FEW, Path, Trie};

use super::classes::Classes;
use super::facts::ClassCounts;
use super::patterns::Patterns;
use super::ports;
use super::prefixes::{self, Family, Leaf, Side};
use super::trie::Trie as Nodes;
use super::{TableImage, index};
use crate::policy::{Direction, Interface, Policy};

/// What the four lookups of a packet are made of.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// The leaves of the address tries.
    tries: Vec<(Trie, Vec<Leaf>)>,
    /// Of protocols and destination ports; none if nothing is asked of any rule.
    transports: Vec<u32>,
    /// Of source ports, if any rule names them.
    source_ports: Option<Vec<u32>>,
}

/// A field of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    /// The source address.
    Source,
    /// The destination address.
    Destination,
    /// Protocol and destination port.
    Transport,
    /// The source port.
    SourcePort,
}

impl Fields {
    /// The fields of one hook, by the `classes` of the rules that their values satisfy.
    pub(super) fn of(
        policy: &Policy,
        interface: &Interface,
        direction: Direction,
        patterns: &Patterns<'_>,
        classes: &mut Classes,
    ) -> Self {
        let tries = Trie::ALL.map(|trie| {
            let side = side(trie);
            let family = match trie {
                Trie::SourceV4 | Trie::DestinationV4 => Family::V4,
                Trie::SourceV6 | Trie::DestinationV6 => Family::V6,
            };
            let marks = prefixes::marks(policy, interface, direction, side);
            let leaves = prefixes::leaves(patterns, &marks, side, family, classes);
            (trie, leaves)
        });
        let transports = if patterns.is_empty() {
            Vec::new()
        } else {
            ports::transports(patterns, classes)
        };
        Self {
            tries: tries.into(),
            transports,
            source_ports: ports::source_ports(patterns, classes),
        }
    }

    /// The classes that the values of `field` have, as often as they stand somewhere.
    pub(super) fn classes(&self, field: Field) -> Vec<u32> {
        let wanted = match field {
            Field::Source => Side::Source,
            Field::Destination => Side::Destination,
            Field::Transport => return self.transports.clone(),
            Field::SourcePort => {
                let ports = self.source_ports.as_ref();
                return ports.map_or_else(|| vec![EVERY_RULE], Clone::clone);
            }
        };
        let tries = self.tries.iter().filter(|(trie, _)| side(*trie) == wanted);
        let leaves = tries.flat_map(|(_, leaves)| leaves);
        leaves.map(|(_, leaf)| leaf.class()).collect()
    }

    /// The same, each once and in order.
    pub(super) fn distinct_classes(&self, field: Field) -> BTreeSet<u32> {
        self.classes(field).into_iter().collect()
    }

    /// The leaves of `trie`, in the order of a walk.
    pub(super) fn leaves(&self, trie: Trie) -> &[Leaf] {
        let found = self.tries.iter().find(|(other, _)| *other == trie);
        found.map_or(&[], |(_, leaves)| leaves)
    }

    /// How many classes each field has.
    pub(super) fn class_counts(&self) -> ClassCounts {
        let count = |field| self.distinct_classes(field).len();
        ClassCounts {
            source: count(Field::Source),
            destination: count(Field::Destination),
            transport: count(Field::Transport),
            source_port: count(Field::SourcePort),
        }
    }

    /// How many networks the tries tell apart, that of all addresses left out.
    pub(super) fn networks(&self) -> usize {
        self.tries.iter().map(|(_, leaves)| leaves.len() - 1).sum()
    }

    /// Lays out the tables, in which each class stands as `number` says, and writes down
    /// where they begin. How many rows they take; of rows that take more than
    /// `most_bytes` some are missing.
    pub(super) fn lay_out(
        &self,
        image: &mut TableImage,
        most_bytes: usize,
        number: impl Fn(Field, u32) -> u32,
    ) -> usize {
        let mut nodes = Nodes::within(most_bytes);
        image.few = [Path::EMPTY; 4 * FEW];
        for (trie, leaves) in &self.tries {
            let field = match side(*trie) {
                Side::Source => Field::Source,
                Side::Destination => Field::Destination,
            };
            let leaves: Vec<Leaf> = leaves
                .iter()
                .map(|&(prefix, leaf)| (prefix, leaf.with_class(number(field, leaf.class()))))
                .collect();
            let (root, few) = nodes.insert(&leaves);
            image.config.set(trie.root(), root.0);
            image.config.set(trie.few(), index(few.len()));
            let places = &mut image.few[trie.first_few()..];
            places[..few.len()].copy_from_slice(&few);
        }
        let rows = nodes.row_count();
        (image.rows, image.paths) = (nodes.rows, nodes.paths);
        let renumbered = |field, table: &[u32]| -> Vec<u32> {
            table.iter().map(|&class| number(field, class)).collect()
        };
        image.transports = renumbered(Field::Transport, &self.transports);
        let source_ports = self.source_ports.as_deref().unwrap_or_default();
        image.source_ports = renumbered(Field::SourcePort, source_ports);
        let asked = self.source_ports.is_some();
        image.config.set(Constant::SourcePorts, asked.into());
        rows
    }
}

/// The side whose addresses `trie` looks up.
fn side(trie: Trie) -> Side {
    match trie {
        Trie::SourceV4 | Trie::SourceV6 => Side::Source,
        Trie::DestinationV4 | Trie::DestinationV6 => Side::Destination,
    }
}
