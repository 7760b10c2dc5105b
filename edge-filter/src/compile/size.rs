//! The memory that the tables of one hook take, told before they are made.

use edge_filter_ebpf::outcome::{OUTCOMES, Outcome};
use edge_filter_ebpf::tables::{Chunk, FEW, Path, Row};
use serde::Serialize;

/// Bytes of the tables of one program, by what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Sizes {
    /// Classes of protocols and ports.
    pub ports: usize,
    /// Nodes of the address tries.
    pub address_rows: usize,
    /// What addresses are compared with: the prefixes before the tries, and the compressed
    /// paths within.
    pub address_paths: usize,
    /// What the bits of the vectors stand for: rules, where their order is another, and
    /// the counters of replies.
    pub rule_numbers: usize,
    /// One bit vector for each class.
    pub vectors: usize,
    /// Sets: which rules drop, VLAN ids, ethertypes.
    pub sets: usize,
    /// The outcomes of all combinations of classes, where they are known beforehand; and
    /// where a policy is small, the tables by which it is judged at once.
    pub outcomes: usize,
}

impl Sizes {
    /// Each kind by its name, in a fixed order.
    #[must_use]
    pub fn kinds(&self) -> [(Kind, usize); 7] {
        [
            (Kind::Ports, self.ports),
            (Kind::AddressRows, self.address_rows),
            (Kind::AddressPaths, self.address_paths),
            (Kind::RuleNumbers, self.rule_numbers),
            (Kind::Vectors, self.vectors),
            (Kind::Sets, self.sets),
            (Kind::Outcomes, self.outcomes),
        ]
    }

    /// All of them.
    #[must_use]
    pub fn total(&self) -> usize {
        self.kinds().iter().map(|(_, bytes)| bytes).sum()
    }

    /// The kind that takes most.
    #[must_use]
    pub fn largest(&self) -> (Kind, usize) {
        let kinds = self.kinds().into_iter();
        kinds.max_by_key(|(_, bytes)| *bytes).expect("seven kinds")
    }

    /// `ports` entries of the tables of ports.
    pub(super) fn of_ports(ports: usize) -> usize {
        ports * size_of::<u32>()
    }

    /// `rows` rows.
    pub(super) fn of_rows(rows: usize) -> usize {
        rows * size_of::<Row>()
    }

    /// The prefixes before the tries, and `paths` paths within.
    pub(super) fn of_paths(paths: usize) -> usize {
        (4 * FEW + paths) * size_of::<Path>()
    }

    /// `chunks` chunks.
    pub(super) fn of_chunks(chunks: usize) -> usize {
        chunks * size_of::<Chunk>()
    }

    /// A table of outcomes.
    pub(super) const OUTCOMES: usize = OUTCOMES * size_of::<Outcome>();
}

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Sizes::ports`].
    Ports,
    /// [`Sizes::address_rows`].
    AddressRows,
    /// [`Sizes::address_paths`].
    AddressPaths,
    /// [`Sizes::rule_numbers`].
    RuleNumbers,
    /// [`Sizes::vectors`].
    Vectors,
    /// [`Sizes::sets`].
    Sets,
    /// [`Sizes::outcomes`].
    Outcomes,
}

impl Kind {
    /// Its name, in the plural.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ports => "ports",
            Self::AddressRows => "address rows",
            Self::AddressPaths => "address paths",
            Self::RuleNumbers => "rule numbers",
            Self::Vectors => "bit vectors",
            Self::Sets => "sets",
            Self::Outcomes => "outcomes",
        }
    }
}
