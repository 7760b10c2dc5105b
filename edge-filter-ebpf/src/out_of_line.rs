//! The searches through many words and through many lists, which the verifier checks
//! once, for any classes and any words
//! (`docs/decisions/0008-many-words-are-searched-out-of-line.md`).

use edge_filter_ebpf::classify::Classes;
use edge_filter_ebpf::counter::Counter;
use edge_filter_ebpf::replies;
use edge_filter_ebpf::search::{self, Match};

use crate::Maps;

/// No rule matches, where the number of one would stand for it.
const NO_MATCH: u32 = u32::MAX;
/// A loop ran out, where the number of a rule would stand.
const RAN_OUT: u32 = u32::MAX - 1;

/// The first rule that four classes have in common, among those of the words from
/// the high half of `words` to below its low half. The classes stand in halves, too.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_search(addresses: u64, ports: u64, words: u64) -> u32 {
    let (begin, end) = apart(words);
    match search::words(&Maps, classes(addresses, ports), begin, end) {
        Match::Rule(rule) => rule,
        Match::None => NO_MATCH,
        Match::Internal => RAN_OUT,
    }
}

/// The counter that two lists or more name, of the same words and classes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn edge_filter_lists(addresses: u64, ports: u64, words: u64) -> u32 {
    let (begin, end) = apart(words);
    replies::said_by_lists(&Maps, classes(addresses, ports), begin, end).0
}

#[inline(always)]
pub(crate) fn first_of_many(classes: Classes, begin: u32, end: u32) -> Match {
    let (addresses, ports) = halves(classes);
    match edge_filter_search(addresses, ports, together(begin, end)) {
        NO_MATCH => Match::None,
        RAN_OUT => Match::Internal,
        rule => Match::Rule(rule),
    }
}

#[inline(always)]
pub(crate) fn said_by_lists(classes: Classes, begin: u32, end: u32) -> Counter {
    let (addresses, ports) = halves(classes);
    Counter(edge_filter_lists(addresses, ports, together(begin, end)))
}

#[inline(always)]
fn halves(classes: Classes) -> (u64, u64) {
    (
        together(classes.source, classes.destination),
        together(classes.transport, classes.source_port),
    )
}

#[inline(always)]
fn classes(addresses: u64, ports: u64) -> Classes {
    let (source, destination) = apart(addresses);
    let (transport, source_port) = apart(ports);
    Classes {
        source,
        destination,
        transport,
        source_port,
    }
}

#[inline(always)]
fn together(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

#[inline(always)]
fn apart(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}
