//! The rules that a packet's classes have in common, by bit vectors.
//!
//! Each class has a vector of the rules that it satisfies, one bit a rule; the
//! first bit of their AND is the first rule that matches (Lakshman and Stiliadis,
//! SIGCOMM 1998). Past 64 rules every vector is led by aggregate words, one bit a
//! word, so that empty words are never visited (Baboescu and Varghese, SIGCOMM
//! 2001). The hook's own rules come first; behind them, each from a word of its
//! own on, stand the lists that tell replies (`docs/verdicts.md` §13).

use crate::classify::Classes;
use crate::config::{Constant, NONE, field};
use crate::tables::{Chunk, Tables};

/// What the rules say of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The number of the first rule that matches.
    Rule(u32),
    /// No rule matches.
    None,
    /// A loop ran out.
    Internal,
}

/// The bit vectors of a packet's classes.
#[derive(Debug, Clone, Copy)]
pub struct Vectors<'a> {
    /// The classes.
    pub classes: Classes,
    /// The vectors, if each of them is a single chunk: whoever searches twice need not
    /// look for them twice.
    short: Option<[&'a Chunk; 4]>,
}

/// The most 64-rule words that a vector can have: 65,536 bits, for the hook's own rules
/// and the lists behind them.
pub const MAX_WORDS: u32 = 1024;

impl<'a> Vectors<'a> {
    /// Those of `classes`, to be looked for at each search: what few packets need takes
    /// less of the stack so.
    #[inline(always)]
    #[must_use]
    pub const fn far(classes: Classes) -> Self {
        Self {
            classes,
            short: None,
        }
    }

    /// Those of `classes`. `None` past the table's end.
    #[inline(always)]
    pub fn of<T: Tables>(classes: Classes, tables: &'a T) -> Option<Self> {
        let short = if tables.constant(Constant::VectorChunks) == 1 {
            Some([
                tables.chunk(classes.source)?,
                tables.chunk(classes.destination)?,
                tables.chunk(classes.transport)?,
                tables.chunk(classes.source_port)?,
            ])
        } else {
            None
        };
        Some(Self { classes, short })
    }

    /// The first rule that all classes have, among those of the words from `begin` to
    /// below `end`.
    #[inline(always)]
    pub fn first<T: Tables>(&self, tables: &T, begin: u32, end: u32) -> Match {
        match end.saturating_sub(begin) {
            0 => Match::None,
            1 => self.word(tables, begin),
            _ => tables.first_of_many(self.classes, begin, end),
        }
    }

    /// The same of one word.
    #[inline(always)]
    fn word<T: Tables>(&self, tables: &T, number: u32) -> Match {
        let place = tables.constant(Constant::Aggregates) + number;
        let common = match self.short {
            Some(chunks) => chunks
                .iter()
                .fold(u64::MAX, |common, chunk| common & chunk[place as usize & 7]),
            None => match common(tables, self.classes, place) {
                Some(common) => common,
                None => return Match::Internal,
            },
        };
        if common == 0 {
            Match::None
        } else {
            Match::Rule(number * 64 + lowest_bit(common))
        }
    }
}

/// The first rule that all of `classes` have, among those of the words from `begin` to
/// below `end`, of which there are two or more.
///
/// The bits of many words are not in the order of the rules, but such that rules about
/// neighbouring networks are neighbours, and few words are candidates
/// (`docs/decisions/0009-bits-in-the-order-of-networks.md`). So every candidate is looked at.
/// Within a word the order is that of the rules.
#[inline(always)]
pub fn words<T: Tables>(tables: &T, classes: Classes, begin: u32, end: u32) -> Match {
    let aggregates = tables.constant(Constant::Aggregates);
    let words = tables.constant(Constant::Words);
    let mut first_rule = NONE;
    for aggregate in 0..MAX_WORDS / 64 {
        let first = aggregate * 64;
        if first >= words || first >= end {
            break;
        }
        let Some(all) = common(tables, classes, aggregate) else {
            return Match::Internal;
        };
        let mut candidates = all & within(begin, end, first);
        for step in 0..64 {
            // The verifier walks no further than there are words.
            if candidates == 0 || first + step >= words {
                break;
            }
            let number = first + lowest_bit(candidates);
            let Some(word) = common(tables, classes, aggregates + number) else {
                return Match::Internal;
            };
            if word != 0 {
                let Some(rule) = rule_of(tables, number * 64 + lowest_bit(word)) else {
                    return Match::Internal;
                };
                first_rule = first_rule.min(rule);
            }
            candidates &= candidates - 1;
        }
        if candidates != 0 {
            return Match::Internal;
        }
    }
    if first_rule == NONE {
        Match::None
    } else {
        Match::Rule(first_rule)
    }
}

/// The rule that bit number `bit` stands for. `None` past the table's end.
#[inline(always)]
fn rule_of<T: Tables>(tables: &T, bit: u32) -> Option<u32> {
    let ranks = tables.constant(Constant::Ranks);
    if ranks == NONE {
        return Some(bit);
    }
    let place = ranks + bit;
    tables.entry(place >> 8, place & 0xff)
}

/// The bits of the words from `begin` to below `end`, of 64 words from `first` on.
#[inline(always)]
fn within(begin: u32, end: u32, first: u32) -> u64 {
    let below = begin.saturating_sub(first);
    let above = end.saturating_sub(first);
    let from = if below >= 64 {
        0
    } else {
        u64::MAX << (below & 63)
    };
    let to = if above >= 64 {
        u64::MAX
    } else {
        !(u64::MAX << (above & 63))
    };
    from & to
}

/// Word `number` of the AND of the four classes' vectors. `None` past the table's
/// end.
///
/// Whether a vector is left out is for the policy's constants alone to decide. The
/// verifier follows both answers to any other question, each of them through all
/// words: four such questions are sixteen ways through.
#[inline(always)]
fn common<T: Tables>(tables: &T, classes: Classes, number: u32) -> Option<u64> {
    let unasked = tables.constant(Constant::Unasked);
    let mut common = u64::MAX;
    for (class, field) in [
        (classes.source, field::SOURCE),
        (classes.destination, field::DESTINATION),
        (classes.transport, 0),
        (classes.source_port, field::SOURCE_PORT),
    ] {
        if unasked & field == 0 {
            common &= tables.chunk(class + (number >> 3))?[number as usize & 7];
        }
    }
    Some(common)
}

/// The number of aggregate words that lead a vector of `words` words: none if
/// there is one word alone.
#[inline(always)]
#[must_use]
pub const fn aggregate_words(words: u32) -> u32 {
    if words <= 1 { 0 } else { words.div_ceil(64) }
}

/// The number of chunks that the vector of one class takes.
#[inline(always)]
#[must_use]
pub const fn class_chunks(words: u32) -> u32 {
    (aggregate_words(words) + words).div_ceil(8)
}

/// The number of the lowest bit that is set; `word` is not 0.
///
/// BPF counts no trailing zeros: a de Bruijn multiplication does it (Leiserson,
/// Prokop and Randall, "Using de Bruijn Sequences to Index a 1 in a Computer
/// Word", 1998).
#[inline(always)]
pub(crate) const fn lowest_bit(word: u64) -> u32 {
    const SEQUENCE: u64 = 0x03f7_9d71_b4cb_0a89;
    static NUMBERS: [u8; 64] = {
        let mut numbers = [0; 64];
        let mut bit = 0_u8;
        while bit < 64 {
            numbers[(SEQUENCE << bit >> 58) as usize] = bit;
            bit += 1;
        }
        numbers
    };
    let isolated = word & word.wrapping_neg();
    NUMBERS[(isolated.wrapping_mul(SEQUENCE) >> 58) as usize] as u32
}

#[cfg(test)]
mod tests;
