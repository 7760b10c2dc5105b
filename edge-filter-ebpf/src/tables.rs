//! The read-only tables of one generation at one hook, and where they come from.
//!
//! Each is a run of equal items. Addresses are looked up in *rows* of 256 entries and *paths*
//! (runs of address bits with only one way on), after a comparison with a *few* prefixes;
//! protocols and ports in tables of their own. *Chunks* of eight words are bit vectors and
//! sets, and *outcomes* what becomes of a packet.

use crate::cache::{self, Line};
use crate::classify::Classes;
use crate::config::{Constant, NONE};
use crate::counter::Counter;
use crate::flow::Tuple;
use crate::outcome::Outcome;
use crate::packet::protocol;
use crate::replies;
use crate::search::{self, Match};
use crate::small::Small;

/// A row: 256 entries of a trie node.
pub type Row = [u32; 256];

/// A chunk: eight 64-bit words of a bit vector or of a set.
pub type Chunk = [u64; 8];

/// The most prefixes that an address is compared with one after the other, the longest
/// first; where there are more, a trie takes fewer steps.
pub const FEW: usize = 8;

/// The tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trie {
    /// Of IPv4 sources.
    SourceV4,
    /// Of IPv4 destinations.
    DestinationV4,
    /// Of IPv6 sources.
    SourceV6,
    /// Of IPv6 destinations.
    DestinationV6,
}

/// The ports of a protocol.
pub const PORTS: u32 = 1 << 16;
/// How many classes of protocol and destination port are told: a port each of TCP, UDP and
/// SCTP, and one of every protocol, which is that of those without ports.
pub const TRANSPORTS: u32 = 3 * PORTS + 256;

/// Where tables come from: sections of the object, or the compiler's own image.
pub trait Tables {
    /// A constant of this generation.
    fn constant(&self, constant: Constant) -> u32;
    /// `value`, masked with [`Constant::SecondHalves`].
    #[inline(always)]
    fn masked_by_second_halves(&self, value: u32) -> u32 {
        value & self.constant(Constant::SecondHalves)
    }
    /// Entry `slot` (below 256) of row `row`; `None` past the table's end.
    fn entry(&self, row: u32, slot: u32) -> Option<u32>;
    /// Number `number` of the prefixes that addresses are compared with: [`FEW`] of each
    /// [`Trie`], in their order. [`Path::then`] is the leaf of those that agree.
    fn few(&self, number: usize) -> &Path;
    /// The class of protocol and destination port, by [`transport_index`].
    fn transport(&self, index: u32) -> u32;
    /// The class of a source port.
    fn source_port(&self, port: u16) -> u32;
    /// Path `index`; `None` past the table's end.
    fn path(&self, index: u32) -> Option<&Path>;
    /// Chunk `index`; `None` past the table's end.
    fn chunk(&self, index: u32) -> Option<&Chunk>;
    /// Where the bit vectors of `classes` are; `None` past the table's end. They have more
    /// than one chunk.
    fn vectors(&self, classes: Classes) -> Option<[u64; 4]> {
        let last = self
            .constant(Constant::Chunks)
            .checked_sub(self.constant(Constant::VectorChunks))?;
        let classes = classes.in_order();
        let inside = classes.iter().all(|&class| class <= last);
        inside.then(|| classes.map(u64::from))
    }
    /// Word `number` of a vector that [`Self::vectors`] has told; past the vector's end, any.
    fn vector_word(&self, vector: u64, number: u32) -> u64 {
        let chunk = self.chunk(vector as u32 + (number >> 3));
        chunk.map_or(0, |chunk| chunk[number as usize & 7])
    }
    /// Item `index` of the rows, as one run of entries; `None` past the table's end.
    fn item(&self, index: u32) -> Option<u32> {
        self.entry(index >> 8, index & 0xff)
    }
    /// Outcome `index`.
    fn outcome(&self, index: u16) -> &Outcome;
    /// Whether the policy is a small one.
    #[inline(always)]
    fn is_small(&self) -> bool {
        self.constant(Constant::Small) != 0
    }

    /// The tables of a small policy, which it is.
    fn small(&self) -> &Small {
        unreachable!("it is asked of small policies alone")
    }
    /// Line `number` (below [`LINES`](cache::LINES)) of this CPU's cache; `None` if there is
    /// none.
    #[inline(always)]
    fn line(&self, _number: u32) -> Option<&Line> {
        None
    }

    /// The outcome of packets that bear `tuple`, not from the cache:
    /// [`cache::outcome_anew`], wherever it runs.
    #[inline(always)]
    fn outcome_anew(&self, tuple: &Tuple, tcp_flags: u8) -> Outcome
    where
        Self: Sized,
    {
        cache::outcome_anew(self, tuple, tcp_flags)
    }

    /// The first rule that all of a packet's `classes` have, among those of the
    /// words from `begin` to below `end`: [`search::words`], wherever it runs.
    #[inline(always)]
    fn first_of_many(&self, classes: Classes, begin: u32, end: u32) -> Match
    where
        Self: Sized,
    {
        search::words(self, classes, begin, end)
    }

    /// The first rule that all of `classes` have, among the `candidates` of 64 words from
    /// `first` on: [`search::candidates`], wherever it runs.
    #[inline(always)]
    fn first_of_candidates(&self, classes: Classes, candidates: u64, first: u32) -> Match
    where
        Self: Sized,
    {
        search::candidates(self, classes, candidates, first)
    }

    /// What the lists of the words from `begin` to below `end` say of a packet's `classes`:
    /// [`replies::said_by_lists`], wherever it runs.
    #[inline(always)]
    fn said_by_lists(&self, classes: Classes, begin: u32, end: u32) -> Counter
    where
        Self: Sized,
    {
        replies::said_by_lists(self, classes, begin, end)
    }

    /// Whether rule number `rule` of the hook drops, audited or not.
    #[inline(always)]
    fn drops(&self, rule: u32) -> bool {
        let dropping = self.constant(Constant::Dropping);
        dropping != NONE && self.bit(dropping, rule)
    }

    /// Whether `member` belongs to the set that begins at chunk `set`.
    #[inline(always)]
    fn bit(&self, set: u32, member: u32) -> bool {
        let chunk = self.chunk(set + (member >> 9));
        let word = chunk.map_or(0, |chunk| chunk[(member >> 6) as usize & 7]);
        (word >> (member & 63)) & 1 != 0
    }
}

/// An entry of an address trie: a leaf, or the way on.
///
/// The two high bits are the kind, and the low 24 the index of a row or path; in
/// a way on, the bits between them say which byte of the address is looked at: how far its
/// half is shifted (a multiple of eight), and in the lowest, which half it is in.
/// In a leaf the low 24 bits are the address's class, and flags stand above it.
///
/// The position travels with the entry, not in a variable of the walk, because
/// the verifier would follow every value of such a variable apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(pub u32);

/// A run of address bits with only one way on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C, align(64))]
pub struct Path {
    /// The bits that the address must have, first half.
    pub high: u64,
    /// The same, second half.
    pub low: u64,
    /// Which bits of the first half are compared.
    pub high_mask: u64,
    /// Which bits of the second half are compared.
    pub low_mask: u64,
    /// Where the lookup goes on if all of them agree.
    pub then: u32,
    /// The leaf at which it ends if they do not.
    pub otherwise: u32,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The address's class, with flags.
    Leaf,
    /// A row, indexed by one byte of the address.
    Branch,
    /// 256 rows, indexed by the first two bytes of the address.
    Wide,
    /// A [`Path`].
    Path,
}

impl Trie {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [
        Self::SourceV4,
        Self::DestinationV4,
        Self::SourceV6,
        Self::DestinationV6,
    ];

    /// The constant that holds the entry at which a lookup begins.
    #[inline(always)]
    #[must_use]
    pub const fn root(self) -> Constant {
        match self {
            Self::SourceV4 => Constant::SourceV4,
            Self::DestinationV4 => Constant::DestinationV4,
            Self::SourceV6 => Constant::SourceV6,
            Self::DestinationV6 => Constant::DestinationV6,
        }
    }

    /// The constant that tells how many prefixes come first.
    #[inline(always)]
    #[must_use]
    pub const fn few(self) -> Constant {
        match self {
            Self::SourceV4 => Constant::FewSourceV4,
            Self::DestinationV4 => Constant::FewDestinationV4,
            Self::SourceV6 => Constant::FewSourceV6,
            Self::DestinationV6 => Constant::FewDestinationV6,
        }
    }

    /// The number of the first of these prefixes ([`Tables::few`]).
    #[inline(always)]
    #[must_use]
    pub const fn first_few(self) -> usize {
        self as usize * FEW
    }
}

/// Where the class of `protocol` and destination port `port` stands: the port's of a
/// protocol with ports, else the protocol's.
#[inline(always)]
#[must_use]
pub const fn transport_index(protocol: u8, port: u16) -> u32 {
    match protocol {
        protocol::TCP => port as u32,
        protocol::UDP => PORTS + port as u32,
        protocol::SCTP => 2 * PORTS + port as u32,
        other => 3 * PORTS + other as u32,
    }
}

impl Path {
    /// A path of no bits, to the leaf of no flags and class 0.
    pub const EMPTY: Self = Self {
        high: 0,
        low: 0,
        high_mask: 0,
        low_mask: 0,
        then: 0,
        otherwise: 0,
    };
}

impl Entry {
    /// The bits that hold an index or a class.
    const INDEX: u32 = (1 << 24) - 1;
    /// How far the place of a byte is shifted.
    const PLACE: u32 = 24;
    /// In the place of a byte: it is in the second half.
    const LOW: u32 = 1 << Self::PLACE;
    /// In a source leaf: the address belongs to the role's `protects`.
    pub const PROTECTED: u32 = 1 << 24;
    /// In a source leaf: router advertisements are taken from the address.
    pub const ROUTER: u32 = 1 << 25;

    /// The most classes that leaves can tell apart, and the most rows and paths.
    pub const INDICES: u32 = Self::INDEX + 1;

    /// A leaf of class `class`, with `flags`.
    #[must_use]
    pub const fn leaf(class: u32, flags: u32) -> Self {
        Self(class | flags)
    }

    /// The way on, by the row or path `index`, for the byte at `position`.
    #[must_use]
    pub const fn way(kind: Kind, position: u32, index: u32) -> Self {
        let low = if position & 8 == 0 { 0 } else { Self::LOW };
        let shift = 56 - 8 * (position & 7);
        Self(((kind as u32) << 30) | (shift << Self::PLACE) | low | index)
    }

    /// What the entry is.
    #[inline(always)]
    #[must_use]
    pub const fn kind(self) -> Kind {
        if self.0 < 1 << 30 {
            Kind::Leaf
        } else if self.0 < 2 << 30 {
            Kind::Branch
        } else if self.0 < 3 << 30 {
            Kind::Wide
        } else {
            Kind::Path
        }
    }

    /// The row or path of a way on.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0 & Self::INDEX
    }

    /// How far the half of the address is shifted whose lowest byte is then looked at.
    #[inline(always)]
    #[must_use]
    pub const fn shift(self) -> u32 {
        (self.0 >> Self::PLACE) & 0x38
    }

    /// Whether that is the second half.
    #[inline(always)]
    #[must_use]
    pub const fn is_in_low(self) -> bool {
        self.0 & Self::LOW != 0
    }

    /// The class of a leaf: the first chunk of its vector.
    #[inline(always)]
    #[must_use]
    pub const fn class(self) -> u32 {
        self.0 & Self::INDEX
    }

    /// The same leaf of another class.
    #[must_use]
    pub const fn with_class(self, class: u32) -> Self {
        Self(self.0 & !Self::INDEX | class)
    }

    /// Whether a leaf bears `flag`.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::ByHand;

    #[test]
    fn a_way_on_gives_back_what_it_was_made_of() {
        for kind in [Kind::Branch, Kind::Wide, Kind::Path] {
            for position in 0..16 {
                for index in [0, 1, 0xffff, Entry::INDICES - 1] {
                    let entry = Entry::way(kind, position, index);
                    assert_eq!(entry.kind(), kind);
                    assert_eq!(entry.shift(), 56 - 8 * (position % 8));
                    assert_eq!(entry.is_in_low(), position >= 8);
                    assert_eq!(entry.index(), index);
                }
            }
        }
    }

    #[test]
    fn flags_and_class_of_a_leaf_stay_apart() {
        for class in [0, 1, Entry::INDICES - 1] {
            for flags in [
                0,
                Entry::PROTECTED,
                Entry::ROUTER,
                Entry::PROTECTED | Entry::ROUTER,
            ] {
                let leaf = Entry::leaf(class, flags);
                assert_eq!(leaf.kind(), Kind::Leaf);
                assert_eq!(leaf.class(), class);
                assert_eq!(leaf.has(Entry::PROTECTED), flags & Entry::PROTECTED != 0);
                assert_eq!(leaf.has(Entry::ROUTER), flags & Entry::ROUTER != 0);
            }
        }
    }

    #[test]
    fn a_set_holds_its_members_alone() {
        let members = [0, 63, 64, 511, 512, 4095];
        let tables = ByHand::new()
            .with_set(Constant::Ethertypes, &[1, 700])
            .with_set(Constant::Vlans, &members);
        let set = tables.constant(Constant::Vlans);
        assert_eq!(set, 2);
        for number in 0..4096 {
            assert_eq!(tables.bit(set, number), members.contains(&number));
        }
        assert!(!tables.bit(set, 4096), "past the table's end");
    }
}
