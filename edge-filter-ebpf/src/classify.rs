//! The classifier: the first rule that matches, by arrays and bit vectors.
//!
//! Each field of a packet belongs to a class: source and destination address by
//! a multibit trie with compressed paths, protocol and destination port by one
//! table, source port by another. Each class has a bit vector of the rules that
//! it satisfies; the first bit of their AND is the first rule that matches
//! (Lakshman and Stiliadis, SIGCOMM 1998). Past 64 rules every vector is led by
//! aggregate words, one bit a word, so that empty words are never visited
//! (Baboescu and Varghese, SIGCOMM 2001).

use crate::config::{Constant, NONE};
use crate::packet::{Address, Family, Key, protocol};
use crate::tables::{Entry, Kind, Tables};

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

/// The class of what satisfies every rule. Its vector is stored like any other.
pub const EVERY_RULE: u32 = 0;

/// The rows of [`Constant::Transports`]: 256 of destination ports for TCP, for
/// UDP and for SCTP each, and one of protocols.
pub const PORT_ROWS: u32 = 256;
/// The row of protocols, counted from the first of [`Constant::Transports`].
pub const PROTOCOL_ROW: u32 = 3 * PORT_ROWS;

/// The most 64-rule words that a vector can have: 16,384 rules. The verifier walks
/// through every word, and gives up after a million instructions.
pub const MAX_WORDS: u32 = 256;

/// The most steps that an address of each family takes through its trie: every
/// step but the last consumes at least one byte.
const STEPS_V4: u32 = 4;
const STEPS_V6: u32 = 16;

/// The leaf of the packet's source. `None` if a loop ran out.
#[inline(always)]
pub fn source<T: Tables>(key: &Key, tables: &T) -> Option<Entry> {
    match key.family {
        Family::V4 => lookup::<STEPS_V4, T>(key.source, Constant::SourceV4, tables),
        Family::V6 => lookup::<STEPS_V6, T>(key.source, Constant::SourceV6, tables),
    }
}

#[inline(always)]
fn destination<T: Tables>(key: &Key, tables: &T) -> Option<Entry> {
    match key.family {
        Family::V4 => lookup::<STEPS_V4, T>(key.destination, Constant::DestinationV4, tables),
        Family::V6 => lookup::<STEPS_V6, T>(key.destination, Constant::DestinationV6, tables),
    }
}

/// Walks a trie to the leaf of `address`.
#[inline(always)]
fn lookup<const STEPS: u32, T: Tables>(
    address: Address,
    root: Constant,
    tables: &T,
) -> Option<Entry> {
    let mut entry = Entry(tables.constant(root));
    for _ in 0..STEPS {
        match entry.kind() {
            Kind::Leaf => return Some(entry),
            Kind::Branch => {
                let byte = address.byte(entry.position());
                entry = Entry(tables.entry(entry.index(), byte)?);
            }
            Kind::Wide => {
                let row = entry.index() + address.byte(0);
                entry = Entry(tables.entry(row, address.byte(1))?);
            }
            Kind::Path => {
                let path = tables.path(entry.index())?;
                let differs = ((address.high ^ path.high) & path.high_mask)
                    | ((address.low ^ path.low) & path.low_mask);
                if differs != 0 {
                    return Some(Entry(path.otherwise));
                }
                entry = Entry(path.then);
            }
        }
    }
    matches!(entry.kind(), Kind::Leaf).then_some(entry)
}

/// The class of protocol and destination port.
#[inline(always)]
fn transport<T: Tables>(key: &Key, tables: &T) -> Option<u32> {
    let rows = tables.constant(Constant::Transports);
    let ports = match key.protocol {
        protocol::TCP => 0,
        protocol::UDP => PORT_ROWS,
        protocol::SCTP => 2 * PORT_ROWS,
        other => return tables.entry(rows + PROTOCOL_ROW, u32::from(other)),
    };
    let port = u32::from(key.destination_port);
    tables.entry(rows + ports + (port >> 8), port & 0xff)
}

/// The class of the source port.
#[inline(always)]
fn source_port<T: Tables>(key: &Key, tables: &T) -> Option<u32> {
    let rows = tables.constant(Constant::SourcePorts);
    if rows == NONE {
        return Some(EVERY_RULE);
    }
    let port = u32::from(key.source_port);
    tables.entry(rows + (port >> 8), port & 0xff)
}

/// The first rule that matches `key`, whose source has the leaf `source`.
#[inline(always)]
pub fn classify<T: Tables>(key: &Key, source: Entry, tables: &T) -> Match {
    let words = tables.constant(Constant::Words);
    if words == 0 {
        return Match::None;
    }
    let Some(destination) = destination(key, tables) else {
        return Match::Internal;
    };
    let Some(transport) = transport(key, tables) else {
        return Match::Internal;
    };
    let Some(source_port) = source_port(key, tables) else {
        return Match::Internal;
    };
    let leaf = |root: Constant| Entry(tables.constant(root)).kind() == Kind::Leaf;
    let (one_source, one_destination) = match key.family {
        Family::V4 => (leaf(Constant::SourceV4), leaf(Constant::DestinationV4)),
        Family::V6 => (leaf(Constant::SourceV6), leaf(Constant::DestinationV6)),
    };
    let one_source_port = tables.constant(Constant::SourcePorts) == NONE;
    let found = first_common(
        [source.class(), destination.class(), transport, source_port],
        [one_source, one_destination, false, one_source_port],
        words,
        tables,
    );
    found.unwrap_or(Match::Internal)
}

/// The first rule that all four vectors hold. `None` past a table's end.
///
/// Whether a class is [`EVERY_RULE`] is asked only where the policy's constants
/// decide it. The verifier follows both answers to any other question, each of
/// them through all words: four such questions are sixteen ways through.
#[inline(always)]
fn first_common<T: Tables>(
    classes: [u32; 4],
    constant: [bool; 4],
    words: u32,
    tables: &T,
) -> Option<Match> {
    let aggregates = aggregate_words(words);
    let chunks = class_chunks(words);
    let vectors: [Vector; 4] = core::array::from_fn(|field| Vector {
        base: classes[field] * chunks,
        skipped: constant[field] && classes[field] == EVERY_RULE,
    });

    if aggregates == 0 {
        let word = common_word(vectors, 0, tables)?;
        return Some(if word == 0 {
            Match::None
        } else {
            Match::Rule(lowest_bit(word))
        });
    }
    for aggregate in 0..MAX_WORDS / 64 {
        if aggregate >= aggregates {
            break;
        }
        let mut candidates = common_word(vectors, aggregate, tables)?;
        // The verifier walks no further than there are words.
        let present = words - aggregate * 64;
        for step in 0..64 {
            if candidates == 0 || step >= present {
                break;
            }
            let number = aggregate * 64 + lowest_bit(candidates);
            let word = common_word(vectors, aggregates + number, tables)?;
            if word != 0 {
                return Some(Match::Rule(number * 64 + lowest_bit(word)));
            }
            candidates &= candidates - 1;
        }
        if candidates != 0 {
            return Some(Match::Internal);
        }
    }
    Some(Match::None)
}

/// The bit vector of one field's class.
#[derive(Clone, Copy)]
struct Vector {
    /// Its first chunk.
    base: u32,
    /// Nothing is read: it holds every rule of every packet.
    skipped: bool,
}

/// Word `number` of the AND of the four vectors.
#[inline(always)]
fn common_word<T: Tables>(vectors: [Vector; 4], number: u32, tables: &T) -> Option<u64> {
    let mut common = u64::MAX;
    for Vector { base, skipped } in vectors {
        if !skipped {
            common &= tables.word(base + (number >> 3), number & 7)?;
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
const fn lowest_bit(word: u64) -> u32 {
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
