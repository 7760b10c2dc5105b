//! The rules that a packet's classes have in common, by bit vectors.
//!
//! Each class has a vector of the rules that it satisfies, one bit a rule; the
//! first bit of their AND is the first rule that matches (Lakshman and Stiliadis,
//! SIGCOMM 1998). Past 64 rules every vector is led by aggregate words, one bit a
//! word, so that empty words are never visited (Baboescu and Varghese, SIGCOMM
//! 2001). The hook's own rules come first; behind them, each from a word of its
//! own on, stand the lists that tell replies (`docs/verdicts.md` §13).

use crate::branchless::min;
use crate::classify::Classes;
use crate::config::{Constant, NONE};
use crate::tables::Tables;

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

/// The most 64-rule words that a vector can have: 131,072 bits, for the hook's own rules
/// and the lists behind them.
pub const MAX_WORDS: u32 = 2048;

/// The first rule that all of `classes` have, among those of the words from `begin` to
/// below `end`.
#[inline(always)]
pub fn first_match<T: Tables>(tables: &T, classes: Classes, begin: u32, end: u32) -> Match {
    match end.saturating_sub(begin) {
        0 => Match::None,
        1 => in_word(tables, classes, begin),
        _ => tables.first_of_many(classes, begin, end),
    }
}

/// The same of one word, whose bits are in the order of the rules.
#[inline(always)]
fn in_word<T: Tables>(tables: &T, classes: Classes, number: u32) -> Match {
    let place = tables.constant(Constant::Aggregates) + number;
    let mut common = u64::MAX;
    for class in classes.in_order() {
        let Some(chunk) = tables.chunk(class + (place >> 3)) else {
            return Match::Internal;
        };
        common &= chunk[place as usize & 7];
    }
    if common == 0 {
        Match::None
    } else {
        Match::Rule(number * 64 + lowest_bit(common))
    }
}

/// The most words of a vector that the verifier follows one after the other: of more,
/// those of each aggregate word are looked at in a function that it checks once.
pub const FOLLOWED_WORDS: u32 = 192;

/// The most words of a vector that is a single chunk, with the aggregate word that leads
/// them.
pub const SHORT_WORDS: u32 = 7;

/// The first rule that all of `classes` have, among those of the words from `begin` to
/// below `end`, of which there are two or more.
///
/// The bits of many words are not in the order of the rules, but such that rules about
/// neighbouring networks are neighbours, and few words are candidates
/// (`docs/decisions/0009-bits-in-the-order-of-networks.md`). Then every candidate is looked at,
/// and the bits have ranks. Within a word the order is always that of the rules.
#[inline(always)]
pub fn words<T: Tables>(tables: &T, classes: Classes, begin: u32, end: u32) -> Match {
    // Nobody asks this of a single word, nor where the outcomes are known; so the verifier
    // need not look.
    if tables.constant(Constant::Words) <= 1 || tables.constant(Constant::Outcomes) != 0 {
        return Match::Internal;
    }
    let Some(vectors) = tables.vectors(classes) else {
        return Match::Internal;
    };
    let words = tables.constant(Constant::Words);
    let mut first_rule = u64::from(NONE);
    for aggregate in 0..MAX_WORDS / 64 {
        let first = aggregate * 64;
        if first >= words || first >= end {
            break;
        }
        let candidates = common(tables, &vectors, aggregate) & within(begin, end, first);
        let found = if words > FOLLOWED_WORDS {
            match candidates {
                0 => Match::None,
                _ => tables.first_of_candidates(classes, candidates, first),
            }
        } else {
            candidates_of(tables, &vectors, candidates, first)
        };
        match found {
            Match::Internal => return Match::Internal,
            Match::Rule(rule) if tables.constant(Constant::Ranks) == NONE => {
                return Match::Rule(rule);
            }
            Match::Rule(rule) => first_rule = min(first_rule, u64::from(rule)),
            Match::None => {}
        }
    }
    match first_rule as u32 {
        NONE => Match::None,
        rule => Match::Rule(rule),
    }
}

/// The first rule that all of `classes` have, among those of the `candidates`: words, by
/// their bits, of 64 from `first` on.
#[inline(always)]
pub fn candidates<T: Tables>(tables: &T, classes: Classes, candidates: u64, first: u32) -> Match {
    // Nobody asks this of vectors whose words are all followed at once.
    if tables.constant(Constant::Words) <= FOLLOWED_WORDS
        || tables.constant(Constant::Outcomes) != 0
    {
        return Match::Internal;
    }
    // The verifier is to know how far a vector is read.
    if first >= tables.constant(Constant::Words) {
        return Match::Internal;
    }
    match tables.vectors(classes) {
        Some(vectors) => candidates_of(tables, &vectors, candidates, first),
        None => Match::Internal,
    }
}

#[inline(always)]
fn candidates_of<T: Tables>(
    tables: &T,
    vectors: &[u64; 4],
    mut candidates: u64,
    first: u32,
) -> Match {
    let aggregates = tables.constant(Constant::Aggregates);
    let words = tables.constant(Constant::Words);
    let ranks = tables.constant(Constant::Ranks);
    let mut first_rule = u64::from(NONE);
    for step in 0..64 {
        // The verifier walks no further than there are words.
        if candidates == 0 || first + step >= words {
            break;
        }
        let number = first + lowest_bit(candidates);
        candidates &= candidates - 1;
        let word = common(tables, vectors, aggregates + number);
        if word == 0 {
            continue;
        }
        let bit = number * 64 + lowest_bit(word);
        if ranks == NONE {
            return Match::Rule(bit);
        }
        let Some(rule) = tables.item(ranks + bit) else {
            return Match::Internal;
        };
        first_rule = min(first_rule, u64::from(rule));
    }
    if candidates != 0 {
        return Match::Internal;
    }
    match first_rule as u32 {
        NONE => Match::None,
        rule => Match::Rule(rule),
    }
}

/// The bits of the words from `begin` to below `end`, of 64 words from `first` on, some of
/// which are before `end`.
#[inline(always)]
fn within(begin: u32, end: u32, first: u32) -> u64 {
    let mut mask = u64::MAX;
    if begin > first {
        if begin - first >= 64 {
            return 0;
        }
        mask <<= begin - first;
    }
    if end - first < 64 {
        mask &= !(u64::MAX << (end - first));
    }
    mask
}

/// Word `number` of the AND of four vectors.
#[inline(always)]
fn common<T: Tables>(tables: &T, vectors: &[u64; 4], number: u32) -> u64 {
    vectors.iter().fold(u64::MAX, |common, &vector| {
        common & tables.vector_word(vector, number)
    })
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
/// Word", 1998). In the table each number bears a further bit, which is masked away: by the
/// mask the verifier learns that no number is larger than 63, and by the bit LLVM does not
/// recognise the method and put its own in its place.
#[inline(always)]
pub(crate) const fn lowest_bit(word: u64) -> u32 {
    const SEQUENCE: u64 = 0x03f7_9d71_b4cb_0a89;
    const MARK: u8 = 64;
    static NUMBERS: [u8; 64] = {
        let mut numbers = [0; 64];
        let mut bit = 0_u8;
        while bit < 64 {
            numbers[(SEQUENCE << bit >> 58) as usize] = bit | MARK;
            bit += 1;
        }
        numbers
    };
    let isolated = word & word.wrapping_neg();
    (NUMBERS[(isolated.wrapping_mul(SEQUENCE) >> 58) as usize] & (MARK - 1)) as u32
}

#[cfg(test)]
mod tests;
