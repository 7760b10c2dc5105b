//! Classes: the sets of rules that the values of a field satisfy, each stored
//! once.
//!
//! A class is known by the first chunk of its vector: first come its aggregate words,
//! whose bit *i* says that word *i* is not empty, then the words themselves.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use edge_filter_ebpf::classify::EVERY_RULE;
use edge_filter_ebpf::outcome::OUTCOMES;
use edge_filter_ebpf::search::{aggregate_words, class_chunks};
use edge_filter_ebpf::tables::Chunk;

use super::index;
use super::limits::MAX_TABLE;
use super::rule_set::RuleSet;

/// The classes of one hook, of all fields together.
#[derive(Debug)]
pub(super) struct Classes {
    sets: Vec<Rc<RuleSet>>,
    numbers: HashMap<Rc<RuleSet>, u32>,
    /// How many sets are kept.
    room: usize,
    /// The numbers of those that there is no room for, by their hashes.
    beyond: HashMap<u64, u32>,
    hasher: RandomState,
}

impl Classes {
    /// No class but that of `every` rule.
    pub(super) fn new(every: RuleSet) -> Self {
        let every = Rc::new(every);
        Self {
            sets: vec![every.clone()],
            numbers: HashMap::from([(every, EVERY_RULE)]),
            room: usize::MAX,
            beyond: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// The same, of which no more are kept than take `bytes`, or than outcomes can be made
    /// of, which take less in the end.
    pub(super) fn within(mut self, bytes: usize) -> Self {
        let vector = self.stride() * size_of::<Chunk>();
        self.room = (bytes / vector).max((OUTCOMES + 4).min(MAX_TABLE / vector));
        self
    }

    /// The class of `set`.
    pub(super) fn number(&mut self, set: RuleSet) -> u32 {
        if let Some(&number) = self.numbers.get(&set) {
            return number;
        }
        let number = index(self.chunk_count());
        if self.sets.len() >= self.room {
            let hash = self.hasher.hash_one(&set);
            return *self.beyond.entry(hash).or_insert(number);
        }
        let set = Rc::new(set);
        self.sets.push(set.clone());
        self.numbers.insert(set, number);
        number
    }

    /// The sets of all classes, by their numbers.
    #[cfg(test)]
    pub(super) fn sets(&self) -> &[Rc<RuleSet>] {
        &self.sets
    }

    /// How many chunks a vector takes: one at least, so that no two classes are alike.
    pub(super) fn stride(&self) -> usize {
        class_chunks(self.words()).max(1) as usize
    }

    /// How many chunks all vectors take.
    pub(super) fn chunk_count(&self) -> usize {
        self.len() * self.stride()
    }

    /// How many classes there are.
    pub(super) fn len(&self) -> usize {
        self.sets.len() + self.beyond.len()
    }

    /// How many 64-rule words a vector has.
    pub(super) fn words(&self) -> u32 {
        index(self.sets[0].words().len())
    }

    /// The vectors of all classes, one after the other.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        let words = self.words();
        let aggregates = aggregate_words(words) as usize;
        let length = self.stride();
        let mut chunks = Vec::with_capacity(self.chunk_count());
        for set in &self.sets {
            let mut vector = vec![0; aggregates];
            for (number, word) in set.words().iter().enumerate() {
                if aggregates > 0 && *word != 0 {
                    vector[number / 64] |= 1 << (number % 64);
                }
            }
            vector.extend_from_slice(set.words());
            vector.resize(length * 8, 0);
            chunks.extend(
                vector
                    .chunks_exact(8)
                    .map(|chunk| Chunk::try_from(chunk).expect("chunks of eight words")),
            );
        }
        chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_one_class() {
        let mut every = RuleSet::empty(65);
        every.insert(64);
        let mut classes = Classes::new(every.clone());
        assert_eq!(classes.number(every), EVERY_RULE);
        let none = classes.number(RuleSet::empty(65));
        assert_ne!(none, EVERY_RULE);
        assert_eq!(classes.number(RuleSet::empty(65)), none);
        assert_eq!(classes.len(), 2);
    }

    /// What there is no room for is counted, once each.
    #[test]
    fn sets_beyond_the_room_are_counted_alone() {
        let bits = 64 * 1024;
        let mut classes = Classes::new(RuleSet::empty(bits)).within(0);
        let room = classes.room;
        assert!(room < OUTCOMES, "as many as fit a table");
        classes.room = 3;
        let mut numbers = || -> Vec<u32> {
            let sets = (0..10).map(|rule| {
                let mut set = RuleSet::empty(bits);
                set.insert(rule);
                set
            });
            sets.map(|set| classes.number(set)).collect()
        };
        let first = numbers();
        assert_eq!(numbers(), first, "a set keeps its number");
        assert_eq!((classes.len(), classes.sets().len()), (11, 3));
    }

    /// Each aggregate bit says that its word is not empty, and words stand where
    /// the data path looks for them.
    #[test]
    fn aggregates_lead_the_words_that_they_are_of() {
        for rules in [1, 64, 65, 448, 449, 4096, 4097, 8193] {
            let mut classes = Classes::new(RuleSet::empty(rules));
            for rule in [0, rules / 2, rules - 1] {
                let mut set = RuleSet::empty(rules);
                set.insert(rule);
                classes.number(set);
            }
            let aggregates = aggregate_words(classes.words()) as usize;
            let length = 8 * class_chunks(classes.words()) as usize;
            let words = classes.chunks().concat();
            assert_eq!(words.len(), length * classes.len());
            for (vector, set) in words.chunks(length).zip(&classes.sets) {
                let (leading, rest) = vector.split_at(aggregates);
                let (own, padding) = rest.split_at(set.words().len());
                assert_eq!(own, set.words());
                assert!(padding.iter().all(|&word| word == 0));
                for bit in 0..64 * aggregates {
                    let empty = own.get(bit).is_none_or(|&word| word == 0);
                    assert_eq!(leading[bit / 64] >> (bit % 64) & 1 == 0, empty, "{bit}");
                }
            }
        }
    }
}
