//! From a longest prefix match to a multibit trie with compressed paths.
//!
//! A node is a row of 256 entries, indexed by one byte of the address. Where
//! all prefixes below a node agree in more than one byte, a path compares those
//! bits at once. A root with many prefixes takes two bytes in one step.

use std::cmp::Reverse;

use edge_filter_ebpf::tables::{Entry, FEW, Kind, Path, Row};

use super::index;
use super::prefixes::{Leaf, mask};

/// From so many prefixes on, 256 KiB for the root are worth a step.
const WIDE_ROOT: usize = 64;

/// The nodes of all tries of one hook.
#[derive(Debug)]
pub(super) struct Trie {
    pub(super) rows: Vec<Row>,
    pub(super) paths: Vec<Path>,
    /// How many rows are kept at most.
    room: usize,
    /// How many more there are, which are only counted.
    beyond: usize,
}

impl Trie {
    /// No trie, and room for `bytes` of rows.
    pub(super) fn within(bytes: usize) -> Self {
        Self {
            rows: Vec::new(),
            paths: Vec::new(),
            room: bytes / size_of::<Row>(),
            beyond: 0,
        }
    }

    /// How many rows there are, those that there is no room for included.
    pub(super) fn row_count(&self) -> usize {
        self.rows.len() + self.beyond
    }

    /// The number of the first of `count` new rows.
    fn new_rows(&mut self, count: usize, outside: Entry) -> usize {
        let first = self.row_count();
        if first + count <= self.room {
            self.rows.resize(first + count, [outside.0; 256]);
        } else {
            self.beyond += count;
        }
        first
    }

    /// Adds a trie for `leaves`, which are in the order of a walk and begin
    /// with the prefix of length 0. Returns its root, and the prefixes that addresses
    /// are compared with before.
    pub(super) fn insert(&mut self, leaves: &[Leaf]) -> (Entry, Vec<Path>) {
        let ((_, outside), inside) = leaves.split_first().expect("a leaf for all addresses");
        if inside.len() <= FEW {
            let mut few = inside.to_vec();
            few.sort_by_key(|(prefix, _)| Reverse(prefix.length));
            let few = few.iter().map(|(prefix, leaf)| Path {
                then: leaf.0,
                otherwise: outside.0,
                ..path(prefix.bits, prefix.length)
            });
            return (*outside, few.collect());
        }
        (self.root(inside, *outside), Vec::new())
    }

    /// The root of a trie for `leaves`, of which none is that of all addresses; `outside`
    /// is.
    fn root(&mut self, leaves: &[Leaf], outside: Entry) -> Entry {
        if leaves.len() >= WIDE_ROOT {
            self.wide(leaves, outside)
        } else {
            self.node(leaves, 0, outside)
        }
    }

    /// A node for `leaves`, all of them longer than `position` bytes and alike
    /// in those; `outside` is the leaf of addresses that none of them holds.
    fn node(&mut self, leaves: &[Leaf], position: u32, outside: Entry) -> Entry {
        let [(first, leaf), others @ ..] = leaves else {
            return outside;
        };
        let (last, _) = leaves[leaves.len() - 1];
        let agreed = (first.bits ^ last.bits).leading_zeros().min(first.length);
        if !others.is_empty() && agreed < 8 * (position + 1) {
            return self.branch(leaves, position, outside);
        }
        // The shortest prefix of all comes first, if it holds the others.
        let then = if first.length == agreed {
            self.node(others, agreed / 8, *leaf)
        } else {
            self.node(leaves, agreed / 8, outside)
        };
        self.paths.push(Path {
            then: then.0,
            otherwise: outside.0,
            ..path(first.bits, agreed)
        });
        Entry::way(Kind::Path, position, index(self.paths.len() - 1))
    }

    /// A row indexed by the byte at `position`.
    fn branch(&mut self, leaves: &[Leaf], position: u32, outside: Entry) -> Entry {
        let row = self.new_rows(1, outside);
        self.fill(row, leaves, position, outside);
        Entry::way(Kind::Branch, position, index(row))
    }

    /// A root indexed by two bytes: 256 rows in a block.
    fn wide(&mut self, leaves: &[Leaf], outside: Entry) -> Entry {
        let first = self.new_rows(256, outside);
        let mut around = [outside; 256];
        cover(leaves, 0, &mut around);
        for (row, leaf) in self.rows.iter_mut().skip(first).zip(around) {
            *row = [leaf.0; 256];
        }
        for (byte, leaves) in by_byte(leaves, 0) {
            self.fill(first + byte, leaves, 1, around[byte]);
        }
        Entry::way(Kind::Wide, 0, index(first))
    }

    /// Fills a row whose entries are `outside` until now.
    fn fill(&mut self, row: usize, leaves: &[Leaf], position: u32, outside: Entry) {
        let mut entries = [outside; 256];
        cover(leaves, position, &mut entries);
        for (byte, leaves) in by_byte(leaves, position) {
            entries[byte] = self.node(leaves, position + 1, entries[byte]);
        }
        if let Some(row) = self.rows.get_mut(row) {
            *row = entries.map(|entry| entry.0);
        }
    }
}

/// Sets the entries that prefixes ending within the byte at `position` cover.
/// The longer of two comes later, and wins.
fn cover(leaves: &[Leaf], position: u32, entries: &mut [Entry; 256]) {
    let end = 8 * (position + 1);
    for (prefix, leaf) in leaves.iter().filter(|(prefix, _)| prefix.length <= end) {
        let first = byte_at(prefix.bits, position);
        entries[first..first + (1 << (end - prefix.length))].fill(*leaf);
    }
}

/// The prefixes that go on behind the byte at `position`, by that byte.
fn by_byte(leaves: &[Leaf], position: u32) -> impl Iterator<Item = (usize, &[Leaf])> {
    leaves
        .chunk_by(move |(one, _), (next, _)| {
            byte_at(one.bits, position) == byte_at(next.bits, position)
        })
        .filter_map(move |alike| {
            // Those that end within the byte come first: they are shorter.
            let begin = alike
                .iter()
                .position(|(prefix, _)| prefix.length > 8 * (position + 1))?;
            Some((byte_at(alike[0].0.bits, position), &alike[begin..]))
        })
}

/// The first `length` of `bits`, to be compared.
fn path(bits: u128, length: u32) -> Path {
    let mask = mask(length);
    Path {
        high: high(bits & mask),
        low: low(bits & mask),
        high_mask: high(mask),
        low_mask: low(mask),
        ..Path::EMPTY
    }
}

fn byte_at(bits: u128, position: u32) -> usize {
    (bits >> (120 - 8 * position)) as usize & 0xff
}

fn high(bits: u128) -> u64 {
    (bits >> 64) as u64
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn low(bits: u128) -> u64 {
    bits as u64
}

#[cfg(test)]
mod tests;
