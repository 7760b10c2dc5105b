//! The search through many words, which the verifier checks once, for any classes
//! and any words (`docs/decisions/0002-rare-walks-out-of-line.md`).

use edge_filter_ebpf::classify::Classes;
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
    let classes = Classes {
        source: (addresses >> 32) as u32,
        destination: addresses as u32,
        transport: (ports >> 32) as u32,
        source_port: ports as u32,
    };
    match search::words(&Maps, classes, (words >> 32) as u32, words as u32) {
        Match::Rule(rule) => rule,
        Match::None => NO_MATCH,
        Match::Internal => RAN_OUT,
    }
}

#[inline(always)]
pub(crate) fn first_of_many(classes: Classes, begin: u32, end: u32) -> Match {
    let halves = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let found = edge_filter_search(
        halves(classes.source, classes.destination),
        halves(classes.transport, classes.source_port),
        halves(begin, end),
    );
    match found {
        NO_MATCH => Match::None,
        RAN_OUT => Match::Internal,
        rule => Match::Rule(rule),
    }
}
