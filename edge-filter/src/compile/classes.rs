//! Classes: the sets of rules that the values of a field satisfy, each stored
//! once.
//!
//! The vector of class `c` begins at chunk `c × class_chunks`: first its
//! aggregate words, whose bit *i* says that word *i* is not empty, then the
//! words themselves.

use std::collections::HashMap;

use edge_filter_ebpf::classify::{EVERY_RULE, aggregate_words, class_chunks};
use edge_filter_ebpf::tables::Chunk;

use super::index;
use super::rule_set::RuleSet;

/// The classes of one hook, of all fields together.
#[derive(Debug)]
pub(super) struct Classes {
    rules: usize,
    sets: Vec<RuleSet>,
    numbers: HashMap<RuleSet, u32>,
}

impl Classes {
    /// No class but that of every rule, which is never looked up.
    pub(super) fn new(rules: usize) -> Self {
        let every = RuleSet::full(rules);
        Self {
            rules,
            sets: vec![every.clone()],
            numbers: HashMap::from([(every, EVERY_RULE)]),
        }
    }

    /// The class of `set`.
    pub(super) fn number(&mut self, set: RuleSet) -> u32 {
        if let Some(&number) = self.numbers.get(&set) {
            return number;
        }
        let number = index(self.sets.len());
        self.sets.push(set.clone());
        self.numbers.insert(set, number);
        number
    }

    /// How many classes there are.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }

    /// How many 64-rule words a vector has.
    pub(super) fn words(&self) -> u32 {
        index(self.rules.div_ceil(64))
    }

    /// The vectors of all classes, one after the other.
    pub(super) fn chunks(&self) -> Vec<Chunk> {
        let words = self.words();
        let aggregates = aggregate_words(words) as usize;
        let length = class_chunks(words) as usize;
        let mut chunks = Vec::with_capacity(self.sets.len() * length);
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
