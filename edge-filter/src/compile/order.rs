//! The order of the bits: rules about neighbouring networks are neighbours.
//!
//! A word of a bit vector is looked at if every class of the packet has a rule in it. Were
//! the bits in the order of the rules, rules for any source and rules for any destination
//! would stand in the same words, and hardly a word could be passed over. In this order a
//! packet's networks are found in few words. The first rule is then the one of the lowest
//! rank, not of the lowest bit; within a word the two orders are the same.

use std::cmp::Reverse;
use std::ops::Range;

use super::patterns::{Pattern, Patterns};
use super::prefixes::{Family, Prefix};
use crate::policy::{Endpoint, Rule};

/// What rules are sorted by: which side, its prefix, and the other's.
type Place = (Leading, Prefix, Prefix);

/// The side with the longer prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leading {
    Neither,
    Source,
    Destination,
}

/// Puts the bits of `patterns` in order, those of each of the `segments` (ranges of words)
/// apart. Returns the rank of each bit, which is its place until now; `None` if no bit has
/// moved.
pub(super) fn arrange(patterns: &mut Patterns<'_>, segments: &[Range<usize>]) -> Option<Vec<u32>> {
    let mut ranks: Vec<u32> = (0..).take(patterns.bits()).collect();
    for segment in segments {
        if segment.len() < 2 {
            continue;
        }
        let bits = segment.start * 64..segment.end * 64;
        let mut ordered: Vec<&Pattern<'_>> = patterns
            .iter()
            .filter(|pattern| bits.contains(&pattern.bit))
            .collect();
        ordered.sort_by_key(|pattern| (place(&pattern.rule), pattern.bit));
        let mut ranked: Vec<usize> = ordered.iter().map(|pattern| pattern.bit).collect();
        ranked.chunks_mut(64).for_each(<[usize]>::sort_unstable);
        for (rank, bit) in ranked.into_iter().zip(bits) {
            ranks[bit] = super::index(rank);
        }
    }
    let moved = ranks.iter().zip(0..).any(|(&rank, bit)| rank != bit);
    if !moved {
        return None;
    }
    let mut places = vec![0; ranks.len()];
    for (bit, &rank) in ranks.iter().enumerate() {
        places[rank as usize] = bit;
    }
    patterns.renumber(|bit| places[bit]);
    Some(ranks)
}

fn place(rule: &Rule) -> Place {
    let (source, destination) = (prefix(&rule.from), prefix(&rule.to));
    match source.length.cmp(&destination.length) {
        _ if source.length == 0 && destination.length == 0 => {
            (Leading::Neither, source, destination)
        }
        std::cmp::Ordering::Less => (Leading::Destination, destination, source),
        _ => (Leading::Source, source, destination),
    }
}

/// The longest prefix of an endpoint; the empty one if it names none.
fn prefix(endpoint: &Endpoint) -> Prefix {
    let networks = endpoint.networks.iter().flatten();
    networks
        .filter_map(|&network| {
            [Family::V4, Family::V6]
                .into_iter()
                .find_map(|family| Prefix::of(network, family))
        })
        .min_by_key(|prefix| Reverse(prefix.length))
        .unwrap_or(Prefix::ALL)
}
