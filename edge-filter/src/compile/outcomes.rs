//! The table of outcomes: what becomes of each combination of classes, where there are
//! few of them.

use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::outcome::{OUTCOMES, Outcome};
use edge_filter_ebpf::rules::outcome;

use super::TableImage;
use super::facts::ClassCounts;
use super::fields::{Field, Fields};
use super::index;

/// The classes of every field, in order, and the outcome of each combination of them.
#[derive(Debug)]
pub(super) struct Outcomes {
    classes: [Vec<u32>; 4],
    pub(super) table: Vec<Outcome>,
}

const FIELDS: [Field; 4] = [
    Field::Source,
    Field::Destination,
    Field::Transport,
    Field::SourcePort,
];

impl Outcomes {
    /// Whether fields of so many classes have no more than [`OUTCOMES`] combinations.
    pub(super) fn can_hold(counts: &ClassCounts) -> bool {
        let count = FIELDS
            .iter()
            .try_fold(1_usize, |count, &field| count.checked_mul(counts.of(field)));
        count.is_some_and(|count| count <= OUTCOMES)
    }

    /// Those of `fields`, which it can hold, and whose rules `searched` knows by their
    /// vectors; `None` if a search ran out.
    pub(super) fn of(fields: &Fields, searched: &TableImage) -> Option<Self> {
        let classes = FIELDS.map(|field| Vec::from_iter(fields.distinct_classes(field)));
        let [sources, destinations, transports, source_ports] = &classes;
        let mut table = Vec::new();
        for &source in sources {
            for &destination in destinations {
                for &transport in transports {
                    for &source_port in source_ports {
                        let classes = Classes {
                            source,
                            destination,
                            transport,
                            source_port,
                        };
                        table.push(outcome(classes, searched).ok()?);
                    }
                }
            }
        }
        table.resize(OUTCOMES, Outcome::NOTHING);
        Some(Self { classes, table })
    }

    /// The outcome of `classes`.
    pub(super) fn of_classes(&self, classes: Classes) -> Outcome {
        let numbers = FIELDS.iter().zip(classes.in_order());
        let place: u32 = numbers
            .map(|(&field, class)| self.number(field, class))
            .sum();
        self.table[place as usize]
    }

    /// What stands for `class` of `field`: the four of a packet add up to the index of its
    /// outcome.
    pub(super) fn number(&self, field: Field, class: u32) -> u32 {
        let place = field as usize;
        let position = self.classes[place]
            .binary_search(&class)
            .expect("a class of this field");
        let stride: usize = self.classes[place + 1..].iter().map(Vec::len).product();
        index(position * stride)
    }
}
