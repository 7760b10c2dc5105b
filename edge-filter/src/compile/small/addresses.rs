//! What is told of addresses: by the runs that networks cut them into, and by parts of 16 bits.

use std::ops::RangeInclusive;

use edge_filter_ebpf::regions::{AddressV6, Regions};
use edge_filter_ebpf::small::{SECOND_HALVES, may_be_martian_v4};
use edge_filter_ebpf::tables::Entry;

use super::{Told, distinct};
use crate::compile::index;
use crate::compile::prefixes::{Leaf, mask};

/// The first address of each region, and what is told of the region's addresses.
pub(super) type Runs = Vec<(u128, Told)>;

/// What is told of IPv4 addresses by their first half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FirstHalf {
    /// The same of all.
    Told(Told),
    /// By their second half.
    Second(Vec<Told>),
}

/// The regions of `leaves`, which are in the order of a walk and begin with that of all
/// addresses. None that is protected is a source.
pub(super) fn runs(leaves: &[Leaf]) -> Runs {
    let ends = leaves
        .iter()
        .filter_map(|(prefix, _)| (prefix.bits | !mask(prefix.length)).checked_add(1));
    let starts = leaves.iter().map(|(prefix, _)| prefix.bits);
    let mut runs = Runs::new();
    for address in distinct(starts.chain(ends)) {
        let holding = leaves
            .iter()
            .rev()
            .find(|(prefix, _)| (prefix.bits ^ address) & mask(prefix.length) == 0);
        let (_, leaf) = holding.expect("the first holds all");
        let told = if leaf.has(Entry::PROTECTED) {
            Told::Impossible
        } else {
            Told::Class(leaf.class())
        };
        if runs.last().is_none_or(|&(_, last)| last != told) {
            runs.push((address, told));
        }
    }
    runs
}

/// What `runs` of IPv4 addresses tell by each first half; `None` if it takes more than
/// [`SECOND_HALVES`] to tell: there may be tens of thousands.
pub(super) fn first_halves(runs: &Runs) -> Option<Vec<FirstHalf>> {
    let mut parts = parts(runs).peekable();
    let mut left = SECOND_HALVES;
    (0..=u16::MAX)
        .map(|first| {
            let begin = u128::from(first) << 112;
            let end = begin | (u128::MAX >> 16);
            let mut second = Vec::new();
            while let Some((range, told)) = parts.peek().cloned() {
                // A part that goes on is looked at again.
                if *range.end() <= end {
                    parts.next();
                }
                if range.contains(&begin) && range.contains(&end) {
                    return Some(FirstHalf::Told(told));
                }
                let last = (*range.end()).min(end);
                second.resize((last >> 96 & 0xffff) as usize + 1, told);
                if last == end {
                    break;
                }
            }
            left = left.checked_sub(1)?;
            Some(FirstHalf::Second(second))
        })
        .collect()
}

/// Leaves the sources to the way of all policies that may be martians.
pub(super) fn ask_of_martians(halves: &mut [FirstHalf]) {
    for (first, half) in (0_u32..).zip(halves) {
        if may_be_martian_v4(first << 16) {
            *half = FirstHalf::Told(Told::Nothing);
        }
    }
}

/// What `runs` of IPv6 addresses tell by the third group alone, where that is enough: of each
/// group of 16 bits. `None` if that is so of less than half of them.
pub(super) fn third_groups(runs: &Runs) -> Option<Vec<Option<Told>>> {
    let site = |address: u128| address >> 96;
    let group = |address: u128| (address >> 80 & 0xffff) as usize;
    let mut elsewhere = None;
    let mut more = vec![false; 1 << 16];
    for (range, told) in parts(runs) {
        let (first, last) = (*range.start(), *range.end());
        // Sites all of whose addresses are of this run.
        let whole =
            site(first) + u128::from(first << 32 != 0)..site(last) + u128::from(!last << 32 == 0);
        if !whole.is_empty() && *elsewhere.get_or_insert(told) != told {
            return None;
        }
    }
    let elsewhere = elsewhere?;
    for (range, _) in parts(runs).filter(|(_, told)| *told != elsewhere) {
        let (first, last) = (*range.start(), *range.end());
        if site(first) == site(last) {
            more[group(first)..=group(last)].fill(true);
        } else {
            more[group(first)..].fill(true);
            more[..=group(last)].fill(true);
        }
    }
    let enough = more.iter().filter(|more| !**more).count();
    let told = |more: bool| (!more).then_some(elsewhere);
    (enough >= more.len() / 2).then(|| more.into_iter().map(told).collect())
}

/// Lays out `runs` of IPv6 addresses; how many steps lead to a leaf.
pub(super) fn fill(regions: &mut Regions, runs: &Runs, number: impl Fn(Told) -> u16) -> u32 {
    // The last of them stands behind the others, too: where it is passed, so are those.
    let (last, _) = runs[runs.len() - 1];
    let addresses = runs[1..].iter().map(|&(address, _)| address);
    let bounds = addresses.chain(std::iter::repeat(last));
    for (place, address) in regions.bounds.iter_mut().zip(bounds) {
        *place = bound(address);
    }
    let numbers: Vec<u16> = runs.iter().map(|&(_, told)| number(told)).collect();
    regions.leaves.fill(numbers[numbers.len() - 1]);
    regions.leaves[..numbers.len()].copy_from_slice(&numbers);
    let steps = index(runs.len()).next_power_of_two().ilog2();
    // Without a step nothing is added, so that there is one for an only leaf that is not 0.
    if numbers[0] == 0 { steps } else { steps.max(1) }
}

/// Each run's addresses, and what is told of them.
fn parts(runs: &Runs) -> impl Iterator<Item = (RangeInclusive<u128>, Told)> {
    let next = runs.iter().skip(1).map(|&(address, _)| address - 1);
    let ends = next.chain([u128::MAX]);
    runs.iter()
        .zip(ends)
        .map(|(&(first, told), last)| (first..=last, told))
}

fn bound(address: u128) -> AddressV6 {
    let half = |shift: u32| {
        let bits = (address >> shift) & u128::from(u64::MAX);
        u64::try_from(bits).expect("64 bits")
    };
    AddressV6 {
        high: half(64),
        low: half(0),
    }
}
