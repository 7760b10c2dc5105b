//! The regions that a few networks cut the addresses of a family into: runs of addresses, each
//! with one leaf, found by halving.
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
pub struct Regions<B> {
    /// The first address of every region but the first; behind the last, that of the last
    /// once more.
    pub bounds: [B; REGIONS - 1],
    /// The leaf of each region; behind the last, that of the last once more.
    pub leaves: [u16; REGIONS],
}

/// An address that is looked up among bounds of kind `B`.
pub trait Sought<B> {
    /// Whether it comes before `bound`.
    fn is_before(&self, bound: &B) -> bool;
}

impl Sought<u32> for u32 {
    #[inline(always)]
    fn is_before(&self, bound: &u32) -> bool {
        self < bound
    }
}

/// An IPv6 address whose second half is read only where the first does not tell.
#[derive(Debug, Clone, Copy)]
pub struct Halves<L> {
    /// The first half.
    pub high: u64,
    /// Reads the second.
    pub low: L,
}

impl<L: Fn() -> u64> Sought<AddressV6> for Halves<L> {
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

impl<B> Regions<B> {
    /// `number`, and with it the leaf of `address`, which is found by `steps` steps.
    #[inline(always)]
    pub fn add_leaf<S: Sought<B>>(&self, number: u64, address: &S, steps: u32) -> u64 {
        // Written out, so that each step knows its place.
        match steps {
            0 => add_leaf!(number, self, address, 0,),
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
    fn expected<B: PartialOrd>(bounds: &[B], address: &B) -> u64 {
        let passed = bounds.iter().take_while(|bound| *bound <= address);
        100 + passed.count() as u64
    }

    #[test]
    fn an_address_has_the_leaf_of_its_region_however_many_there_are() {
        let bounds: [u32; REGIONS - 1] = core::array::from_fn(|place| 1000 * (place as u32 + 1));
        let leaves = leaves();
        let regions = Regions { bounds, leaves };
        for steps in 0..=MOST_STEPS {
            let count = (1_usize << steps) - 1;
            for address in bounds
                .iter()
                .flat_map(|bound| [bound - 1, *bound, bound + 1])
            {
                let leaf = regions.add_leaf(7, &address, steps) - 7;
                assert_eq!(
                    leaf,
                    expected(&bounds[..count], &address),
                    "{address} {steps}"
                );
            }
        }
    }

    #[test]
    fn the_second_half_of_an_address_counts_where_the_first_is_the_same() {
        let bounds: [AddressV6; REGIONS - 1] = core::array::from_fn(|place| AddressV6 {
            high: place as u64 / 3,
            low: 10 * (place as u64 % 3),
        });
        let leaves = leaves();
        let regions = Regions { bounds, leaves };
        for high in 0..=REGIONS as u64 / 3 + 1 {
            for low in [0, 1, 9, 10, 11, 19, 20, 21, u64::MAX] {
                let halves = Halves { high, low: || low };
                let leaf = regions.add_leaf(0, &halves, MOST_STEPS);
                assert_eq!(
                    leaf,
                    expected(&bounds, &AddressV6 { high, low }),
                    "{high} {low}"
                );
            }
        }
    }
}
