use super::*;
use crate::compile::prefixes::Prefix;

fn leaf(bits: u128, length: u32, class: u32, flags: u32) -> Leaf {
    (Prefix { bits, length }, Entry::leaf(class, flags))
}

/// Networks within networks, at either end of all addresses, and side by side.
#[test]
fn regions_begin_where_the_leaf_of_addresses_changes() {
    let sixteenth = 1 << 124;
    let leaves = [
        leaf(0, 0, 1, 0),
        leaf(0, 4, 2, 0),
        leaf(sixteenth, 4, 2, 0),
        leaf(4 * sixteenth, 2, 3, Entry::ROUTER),
        leaf(5 * sixteenth, 4, 4, Entry::PROTECTED),
        leaf(5 * sixteenth, 128, 3, 0),
        leaf(u128::MAX, 128, 5, 0),
    ];
    let expected = [
        (0, Some(2)),
        (2 * sixteenth, Some(1)),
        (4 * sixteenth, Some(3)),
        (5 * sixteenth + 1, None),
        (6 * sixteenth, Some(3)),
        (8 * sixteenth, Some(1)),
        (u128::MAX, Some(5)),
    ];
    assert_eq!(runs(&leaves), expected);
}

/// However many regions there are, and whatever steps that takes.
#[test]
fn every_address_finds_its_region() {
    for count in 1..=32_u16 {
        let runs: Runs = (0..count)
            .map(|place| (u128::from(place) << 122, Some(place.into())))
            .collect();
        let mut small = Small::new();
        let number = |told: Told| u16::try_from(told.unwrap()).unwrap();
        let steps = fill(&mut small.source_v4, &runs, number, bound_v4);
        assert_eq!(1 << steps, count.next_power_of_two());
        for place in 0..count {
            let first = u32::from(place) << 26;
            for address in [first, first + 1, first + (1 << 26) - 1] {
                let leaf = small.source_v4.add_leaf(0, &address, steps);
                assert_eq!(leaf, u64::from(place), "{address:#x} of {count}");
            }
        }
        let beyond = small.source_v4.add_leaf(0, &u32::MAX, steps);
        assert_eq!(beyond, u64::from(count - 1));
    }
}
