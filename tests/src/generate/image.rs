//! Compiled tables with one seeded fault each: what a compiler that lays out
//! tables could get wrong without any rule being wrong.

use edge_filter::compile::TableImage;
use edge_filter_ebpf::classify::EVERY_RULE;
use edge_filter_ebpf::config::Constant;
use edge_filter_ebpf::search::{aggregate_words, class_chunks};
use edge_filter_ebpf::tables::{PORTS, Trie};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::{Dice, chance};

/// A fault in tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// Where the class changes from one port to the next, it changes one port
    /// too early or too late.
    PortEntry,
    /// A compressed path compares one bit too many or too few.
    PathMask,
    /// The vectors of two classes have each other's words in one chunk.
    Chunks,
    /// An aggregate word says that a word is empty, which it is not.
    Aggregate,
    /// A combination of classes has the outcome of another.
    Outcome,
}

impl Damage {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PortEntry,
        Self::PathMask,
        Self::Chunks,
        Self::Aggregate,
        Self::Outcome,
    ];

    /// Its name, for messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PortEntry => "port entry",
            Self::PathMask => "path mask",
            Self::Chunks => "swapped chunks",
            Self::Aggregate => "aggregate bit",
            Self::Outcome => "outcome",
        }
    }
}

/// `image` with the fault `damage` somewhere; `None` if it has no place for it,
/// or chance has found none. Not every fault shows: a rule may be hidden
/// behind another.
#[must_use]
pub fn damage(dice: &mut Dice, image: &TableImage, damage: Damage) -> Option<TableImage> {
    let mut damaged = image.clone();
    match damage {
        Damage::PortEntry => move_boundary(dice, &mut damaged),
        Damage::PathMask => change_mask(dice, &mut damaged),
        Damage::Chunks => swap_chunks(dice, &mut damaged),
        Damage::Aggregate => clear_aggregate(dice, &mut damaged),
        Damage::Outcome => change_outcome(dice, &mut damaged),
    }?;
    if damaged == *image {
        return None;
    }
    // They say the same by themselves, and would hide the damage.
    damaged.small = None;
    damaged.config.set(Constant::Small, 0);
    Some(damaged)
}

/// Gives a port the class of the port beside it, which has another.
fn move_boundary(dice: &mut Dice, image: &mut TableImage) -> Option<()> {
    let mut tables: Vec<&mut [u32]> = image.transports.chunks_mut(PORTS as usize).collect();
    // Behind those of ports stands the table of protocols.
    tables.truncate(3);
    if !image.source_ports.is_empty() {
        tables.push(&mut image.source_ports);
    }
    let number = dice.random_range(0..tables.len().max(1));
    let classes = tables.get_mut(number)?;
    let boundaries: Vec<usize> = (1..classes.len())
        .filter(|&port| classes[port - 1] != classes[port])
        .collect();
    let &boundary = boundaries.choose(dice)?;
    let (from, to) = if chance(dice, 50) {
        (boundary - 1, boundary)
    } else {
        (boundary, boundary - 1)
    };
    classes[to] = classes[from];
    Some(())
}

/// Makes the run of bits that a path or one of a few prefixes compares one bit longer or
/// shorter.
fn change_mask(dice: &mut Dice, image: &mut TableImage) -> Option<()> {
    let few = Trie::ALL.into_iter().flat_map(|trie| {
        let count = image.config.get(trie.few()) as usize;
        trie.first_few()..trie.first_few() + count
    });
    let few: Vec<usize> = few.collect();
    let at = dice.random_range(0..(few.len() + image.paths.len()).max(1));
    let path = match few.get(at) {
        Some(&number) => &mut image.few[number],
        None => image.paths.get_mut(at - few.len())?,
    };
    let mask = u128::from(path.high_mask) << 64 | u128::from(path.low_mask);
    let wrong = if chance(dice, 50) {
        mask << 1
    } else {
        mask >> 1 | 1 << 127
    };
    let [high, low] = halves(wrong);
    (path.high_mask, path.low_mask) = (high, low);
    path.high &= high;
    path.low &= low;
    Some(())
}

/// Gives a combination of classes the outcome of the one beside it.
fn change_outcome(dice: &mut Dice, image: &mut TableImage) -> Option<()> {
    let count = image.outcomes.len();
    let differing: Vec<usize> = (1..count)
        .filter(|&index| image.outcomes[index - 1] != image.outcomes[index])
        .collect();
    let &index = differing.choose(dice)?;
    image.outcomes[index] = image.outcomes[index - 1];
    Some(())
}

/// Swaps one chunk of a class with the same chunk of another.
fn swap_chunks(dice: &mut Dice, image: &mut TableImage) -> Option<()> {
    let vectors = Vectors::of(image);
    let (one, other) = (vectors.class(dice)?, vectors.class(dice)?);
    let chunk = dice.random_range(0..vectors.chunks);
    image
        .chunks
        .swap(one * vectors.chunks + chunk, other * vectors.chunks + chunk);
    Some(())
}

/// Clears one bit in the aggregate words of a class.
fn clear_aggregate(dice: &mut Dice, image: &mut TableImage) -> Option<()> {
    let vectors = Vectors::of(image);
    let class = vectors.class(dice)?;
    let number = dice.random_range(0..vectors.aggregates.max(1));
    if number >= vectors.aggregates {
        return None;
    }
    let word = &mut image.chunks[class * vectors.chunks + number / 8][number % 8];
    let set: Vec<u32> = (0..64).filter(|bit| *word >> bit & 1 != 0).collect();
    *word &= !(1 << set.choose(dice)?);
    Some(())
}

/// How the vectors of the classes lie.
struct Vectors {
    classes: usize,
    /// The chunks of one class.
    chunks: usize,
    /// The aggregate words of one class.
    aggregates: usize,
}

impl Vectors {
    fn of(image: &TableImage) -> Self {
        // Where the outcomes are known there are no vectors.
        let words = match image.outcomes.len() {
            0 => image.config.get(Constant::Words),
            _ => 0,
        };
        let chunks = class_chunks(words) as usize;
        // The sets lie behind the last vector.
        let sets = [
            Constant::Passing,
            Constant::Dropping,
            Constant::DroppingReplies,
            Constant::Vlans,
            Constant::Ethertypes,
        ];
        let sets = sets.map(|constant| image.config.get(constant) as usize);
        let end = sets.into_iter().fold(image.chunks.len(), usize::min);
        Self {
            classes: end.checked_div(chunks).unwrap_or(0),
            chunks,
            aggregates: aggregate_words(words) as usize,
        }
    }

    /// Any class whose vector is ever read.
    fn class(&self, dice: &mut Dice) -> Option<usize> {
        let first = EVERY_RULE as usize + 1;
        (first < self.classes).then(|| dice.random_range(first..self.classes))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each half is one word")]
fn halves(number: u128) -> [u64; 2] {
    [(number >> 64) as u64, number as u64]
}
