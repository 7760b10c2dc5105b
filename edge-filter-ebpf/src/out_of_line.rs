//! The searches through many words and through many lists, which the verifier checks
//! once, for any classes and any words
//! (`docs/decisions/0008-many-words-are-searched-out-of-line.md`).

use edge_filter_ebpf::cache;
use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::flow::Tuple;
use edge_filter_ebpf::outcome::Outcome;
use edge_filter_ebpf::replies;
use edge_filter_ebpf::search::{self, Match};

use crate::Maps;

/// No rule matches, where the number of one would stand for it.
const NO_MATCH: u32 = u32::MAX;
/// A loop ran out, where the number of a rule would stand.
const RAN_OUT: u32 = u32::MAX - 1;

/// The first rule that four classes have in common, among those of the words from
/// the high half of `words` to below its low half.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_search(
    source: u32,
    destination: u32,
    transport: u32,
    source_port: u32,
    words: u64,
) -> u32 {
    let classes = Classes {
        source,
        destination,
        transport,
        source_port,
    };
    let (begin, end) = apart(words);
    number(search::words(&Maps, classes, begin, end))
}

/// The same among the `candidates` of 64 words from `first` on. The classes stand in halves.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_candidates(
    addresses: u64,
    ports: u64,
    candidates: u64,
    first: u32,
) -> u32 {
    let (source, destination) = apart(addresses);
    let (transport, source_port) = apart(ports);
    let classes = Classes {
        source,
        destination,
        transport,
        source_port,
    };
    number(search::candidates(&Maps, classes, candidates, first))
}

/// The counter that two lists or more name, of the same words and classes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_lists(
    source: u32,
    destination: u32,
    transport: u32,
    source_port: u32,
    words: u64,
) -> u32 {
    let classes = Classes {
        source,
        destination,
        transport,
        source_port,
    };
    let (begin, end) = apart(words);
    replies::said_by_lists(&Maps, classes, begin, end).0
}

/// The outcome of a tuple that is in no cache: its five words, with TCP flags in bits 16 to
/// 23 of the last.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_outcome(a: u64, b: u64, c: u64, d: u64, e: u64) -> u64 {
    let (words, flags) = crate::flows::apart(a, b, c, d, e);
    cache::outcome_anew(&Maps, &Tuple::from_words(words), flags).word()
}

#[inline(always)]
pub(crate) fn outcome_anew(tuple: &Tuple, tcp_flags: u8) -> Outcome {
    let [a, b, c, d, e] = crate::flows::together(tuple, tcp_flags);
    Outcome::from_word(edge_filter_outcome(a, b, c, d, e))
}

#[inline(always)]
pub(crate) fn first_of_many(classes: Classes, begin: u32, end: u32) -> Match {
    let [source, destination, transport, source_port] = classes.in_order();
    let words = together(begin, end);
    found(edge_filter_search(
        source,
        destination,
        transport,
        source_port,
        words,
    ))
}

#[inline(always)]
pub(crate) fn first_of_candidates(classes: Classes, candidates: u64, first: u32) -> Match {
    let [source, destination, transport, source_port] = classes.in_order();
    let addresses = together(source, destination);
    let ports = together(transport, source_port);
    found(edge_filter_candidates(addresses, ports, candidates, first))
}

/// What was found, as a number.
#[inline(always)]
fn number(found: Match) -> u32 {
    match found {
        Match::Rule(rule) => rule,
        Match::None => NO_MATCH,
        Match::Internal => RAN_OUT,
    }
}

/// What the number says.
#[inline(always)]
fn found(number: u32) -> Match {
    match number {
        NO_MATCH => Match::None,
        RAN_OUT => Match::Internal,
        rule => Match::Rule(rule),
    }
}

#[inline(always)]
pub(crate) fn said_by_lists(classes: Classes, begin: u32, end: u32) -> Counter {
    let [source, destination, transport, source_port] = classes.in_order();
    let words = together(begin, end);
    Counter(edge_filter_lists(
        source,
        destination,
        transport,
        source_port,
        words,
    ))
}

#[inline(always)]
fn together(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[inline(always)]
fn apart(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}
