use std::collections::BTreeSet;

use edge_filter_ebpf::classify;
use edge_filter_ebpf::config::{Config, Constant};
use edge_filter_ebpf::outcome::Outcome;
use edge_filter_ebpf::packet::{Address, Family as KeyFamily, Key};
use edge_filter_ebpf::tables::{Chunk, Tables, Trie as Place};

use super::*;
use crate::compile::prefixes::{Family, Prefix};
use crate::compile::tests::Dice;

/// The lookups of a set of prefixes, which stand in both families' places: by the trie, and
/// as the compiler chooses.
struct Lookup {
    by_trie: Config,
    chosen: Config,
    few: [Path; 4 * FEW],
    trie: Trie,
    family: Family,
    naive: Vec<Leaf>,
}

/// One of the two.
struct Way<'a>(&'a Lookup, &'a Config);

impl Tables for Way<'_> {
    fn constant(&self, constant: Constant) -> u32 {
        self.1.get(constant)
    }

    fn few(&self, number: usize) -> &Path {
        &self.0.few[number]
    }

    fn entry(&self, row: u32, slot: u32) -> Option<u32> {
        Some(self.0.trie.rows.get(row as usize)?[slot as usize])
    }

    fn path(&self, index: u32) -> Option<&Path> {
        self.0.trie.paths.get(index as usize)
    }

    fn transport(&self, _: u32) -> u32 {
        0
    }

    fn source_port(&self, _: u16) -> u32 {
        0
    }

    fn chunk(&self, _: u32) -> Option<&Chunk> {
        None
    }

    fn outcome(&self, _: u16) -> &Outcome {
        &Outcome::NOTHING
    }
}

impl Lookup {
    /// Prefix `i` of `prefixes`, in walk order, has leaf `i`; all else leaf 0.
    fn new(family: Family, prefixes: impl IntoIterator<Item = Prefix>) -> Self {
        let all = Prefix { bits: 0, length: 0 };
        let distinct: BTreeSet<Prefix> = prefixes.into_iter().chain([all]).collect();
        let naive: Vec<Leaf> = distinct
            .into_iter()
            .zip(0..)
            .map(|(prefix, class)| (prefix, Entry::leaf(class, 0)))
            .collect();
        let mut trie = Trie::within(usize::MAX);
        // Something stands before it, as in a hook's tables.
        trie.rows.push([u32::MAX; 256]);
        trie.paths.push(Path::default());
        let mut lookup = Self {
            by_trie: Config::EMPTY,
            chosen: Config::EMPTY,
            few: [Path::EMPTY; 4 * FEW],
            trie,
            family,
            naive,
        };
        let root = lookup.trie.root(&lookup.naive[1..], lookup.naive[0].1);
        let (chosen, few) = lookup.trie.insert(&lookup.naive);
        for place in [Place::SourceV4, Place::SourceV6] {
            lookup.by_trie.set(place.root(), root.0);
            lookup.chosen.set(place.root(), chosen.0);
            lookup.chosen.set(place.few(), index(few.len()));
            lookup.few[place.first_few()..][..few.len()].copy_from_slice(&few);
        }
        lookup
    }

    fn assert_finds(&self, bits: u128) {
        let (_, expected) = self
            .naive
            .iter()
            .filter(|(prefix, _)| (prefix.bits ^ bits) & mask(prefix.length) == 0)
            .max_by_key(|(prefix, _)| prefix.length)
            .expect("the prefix of length 0 holds every address");
        let address = Address {
            high: high(bits),
            low: low(bits),
        };
        let key = Key {
            family: match self.family {
                Family::V4 => KeyFamily::V4,
                Family::V6 => KeyFamily::V6,
            },
            source: address,
            destination: address,
            protocol: 6,
            source_port: 0,
            destination_port: 0,
        };
        for config in [&self.by_trie, &self.chosen] {
            let found = classify::source(&key, &Way(self, config));
            assert_eq!(found, Some(*expected), "{bits:032x} ({:?})", self.family);
        }
    }

    /// The first and the last address of every prefix, those beside them, and
    /// the address that leaves it at its last bit.
    fn assert_exact(&self) {
        let width = self.family.width();
        let one = 1_u128 << (128 - width);
        for (prefix, _) in &self.naive {
            let first = prefix.bits;
            let last = first | (!mask(prefix.length) & mask(width));
            for bits in [first, last, first.wrapping_sub(one), last.wrapping_add(one)] {
                self.assert_finds(bits & mask(width));
            }
            if prefix.length > 0 {
                self.assert_finds(first ^ (1 << (128 - prefix.length)));
            }
        }
    }
}

impl Family {
    fn width(self) -> u32 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

const BOTH: [Family; 2] = [Family::V4, Family::V6];

fn prefix(bits: u128, length: u32) -> Prefix {
    Prefix {
        bits: bits & mask(length),
        length,
    }
}

/// Addresses from few roots, so that prefixes nest and stand side by side.
fn crowded(dice: &mut Dice, family: Family) -> Prefix {
    let root = dice.wide().rotate_left(dice.below(128)) & 0x3333_0000_0303_0033_0000_ffff_0000_3333;
    let bits = if dice.below(4) == 0 {
        dice.wide()
    } else {
        root << dice.below(8)
    };
    prefix(bits, dice.below(family.width() + 1))
}

#[test]
fn random_prefixes_are_found_as_a_naive_longest_match_finds_them() {
    let mut dice = Dice::new(7);
    let mut wide = 0;
    for family in BOTH {
        for count in [0, 1, 2, 3, 5, 10, 30, 63, 64, 65, 100, 300] {
            for _ in 0..8 {
                let prefixes: Vec<Prefix> =
                    (0..count).map(|_| crowded(&mut dice, family)).collect();
                let lookup = Lookup::new(family, prefixes);
                wide +=
                    usize::from(Entry(lookup.by_trie.get(Constant::SourceV4)).kind() == Kind::Wide);
                lookup.assert_exact();
                for _ in 0..200 {
                    lookup.assert_finds(dice.wide() & mask(family.width()));
                }
            }
        }
    }
    assert!(wide > 30, "{wide} wide roots");
}

#[test]
fn the_root_grows_wide_with_its_64th_prefix() {
    for (count, kind) in [(63, Kind::Branch), (64, Kind::Wide)] {
        let lookup = Lookup::new(Family::V4, (0..count).map(|n| prefix(n << 121, 7)));
        assert_eq!(Entry(lookup.by_trie.get(Constant::SourceV4)).kind(), kind);
        lookup.assert_exact();
    }
}

/// One prefix of every length around one address: the deepest nesting there is.
#[test]
fn nested_prefixes_of_every_length() {
    let mut dice = Dice::new(11);
    for family in BOTH {
        for address in [0, u128::MAX, dice.wide(), dice.wide()] {
            let lookup = Lookup::new(family, (1..=family.width()).map(|n| prefix(address, n)));
            lookup.assert_exact();
        }
    }
}

/// Each byte branches: two ways on at every one, so that no path can take two
/// of them at once. Nothing has a longer walk, and it ends at a leaf.
#[test]
fn the_deepest_trie_is_walked_to_its_end() {
    let mut dice = Dice::new(13);
    for family in BOTH {
        let width = family.width();
        for address in [0, u128::MAX, dice.wide()] {
            let siblings = (1..=width / 8).flat_map(|byte| {
                [
                    prefix(address, 8 * byte),
                    prefix(address ^ (1 << (128 - 8 * byte)), 8 * byte),
                    prefix(address ^ (1 << (135 - 8 * byte)), width),
                ]
            });
            let lookup = Lookup::new(family, siblings);
            let branches = lookup.trie.rows.len() - 1;
            assert!(branches >= width as usize / 8, "{branches} branches");
            lookup.assert_exact();
        }
    }
}

/// Compressed paths end at every bit, and what follows branches at once.
#[test]
fn paths_of_every_length_are_followed_by_a_branch() {
    let mut dice = Dice::new(17);
    for family in BOTH {
        for fork in 0..family.width() {
            let address = dice.wide();
            let apart = address ^ (1 << (127 - fork));
            let width = family.width();
            let lookup = Lookup::new(family, [prefix(address, width), prefix(apart, width)]);
            lookup.assert_exact();
            let length = (fork + 1).max(1);
            let around = Lookup::new(
                family,
                [
                    prefix(address, fork.max(1)),
                    prefix(address, length),
                    prefix(apart, width),
                ],
            );
            around.assert_exact();
        }
    }
}
