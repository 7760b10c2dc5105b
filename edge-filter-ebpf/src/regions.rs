//! The regions that a few networks cut IPv6 addresses into: runs of addresses, each with one
//! leaf, found by halving.
//!
//! Each step compares with a bound whose place is known when this is compiled, and nothing is
//! computed on the way. The networks of a handful of prefixes cost three or four
//! steps so, however they lie within each other.

use crate::opaque;

/// The most steps to a leaf.
pub const MOST_STEPS: u32 = 5;
/// The most regions.
pub const REGIONS: usize = 1 << MOST_STEPS;

/// An IPv6 address as a bound: its two halves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(C)]
pub struct AddressV6 {
    /// The first 64 bits.
    pub high: u64,
    /// The last 64 bits.
    pub low: u64,
}

/// Regions in the order of their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Regions {
    /// The first address of every region but the first; behind the last, that of the last
    /// once more.
    pub bounds: [AddressV6; REGIONS - 1],
    /// The leaf of each region; behind the last, that of the last once more.
    pub leaves: [u16; REGIONS],
}

/// An IPv6 address whose second half is read only where the first does not tell.
#[derive(Debug, Clone, Copy)]
pub struct Halves<L> {
    /// The first half.
    pub high: u64,
    /// Reads the second.
    pub low: L,
}

impl<L: Fn() -> u64> Halves<L> {
    #[inline(always)]
    fn is_before(&self, bound: &AddressV6) -> bool {
        if self.high > bound.high {
            return false;
        }
        self.high < bound.high || (self.low)() < bound.low
    }
}

/// `$number`, and with it the leaf of an address, which is in one of the regions from `$first`
/// on, by as many steps as there are numbers behind: how many regions each of them leaves out.
macro_rules! add_leaf {
    ($number:ident, $regions:ident, $address:ident, $first:expr,) => {
        // Opaque, so that each leaf is loaded where it is known which.
        opaque::sum($number, $regions.leaves[$first].into())
    };
    ($number:ident, $regions:ident, $address:ident, $first:expr, $half:literal $($halves:literal)*) => {
        if $address.is_before(&$regions.bounds[$first + $half - 1]) {
            add_leaf!($number, $regions, $address, $first, $($halves)*)
        } else {
            add_leaf!($number, $regions, $address, $first + $half, $($halves)*)
        }
    };
}

impl Regions {
    /// `number`, and with it the leaf of `address`, which is found by `steps` steps. Where it
    /// takes none, the only leaf is 0, and nothing is added.
    #[inline(always)]
    pub fn add_leaf<L: Fn() -> u64>(&self, number: u64, address: &Halves<L>, steps: u32) -> u64 {
        // Written out, so that each step knows its place.
        match steps {
            0 => number,
            1 => add_leaf!(number, self, address, 0, 1),
            2 => add_leaf!(number, self, address, 0, 2 1),
            3 => add_leaf!(number, self, address, 0, 4 2 1),
            4 => add_leaf!(number, self, address, 0, 8 4 2 1),
            _ => add_leaf!(number, self, address, 0, 16 8 4 2 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves() -> [u16; REGIONS] {
        core::array::from_fn(|place| 100 + place as u16)
    }

    /// The leaf of the last region that begins at or before the address.
    fn expected(bounds: &[AddressV6], address: &AddressV6) -> u64 {
        let passed = bounds.iter().take_while(|bound| *bound <= address);
        100 + passed.count() as u64
    }

    #[test]
    fn an_address_has_the_leaf_of_its_region_however_many_there_are() {
        let bounds: [AddressV6; REGIONS - 1] = core::array::from_fn(|place| AddressV6 {
            high: place as u64 / 3,
            low: 10 * (place as u64 % 3),
        });
        let leaves = core::array::from_fn(|place| 100 + place as u16);
        let regions = Regions { bounds, leaves };
        let nowhere = Halves { high: 0, low: || 0 };
        assert_eq!(regions.add_leaf(7, &nowhere, 0), 7);
        for steps in 1..=MOST_STEPS {
            let bounds = &bounds[..(1 << steps) - 1];
            for high in 0..=REGIONS as u64 / 3 + 1 {
                for low in [0, 1, 9, 10, 11, 19, 20, 21, u64::MAX] {
                    let halves = Halves { high, low: || low };
                    let leaf = regions.add_leaf(7, &halves, steps) - 7;
                    let expected = expected(bounds, &AddressV6 { high, low });
                    assert_eq!(leaf, expected, "{high} {low} {steps}");
                }
            }
        }
    }
}
