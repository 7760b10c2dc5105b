use edge_filter_ebpf::regions::Halves;
use edge_filter_ebpf::tables::Entry;

use super::*;
use crate::compile::prefixes::{Leaf, Prefix};

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
        (0, Told::Class(2)),
        (2 * sixteenth, Told::Class(1)),
        (4 * sixteenth, Told::Class(3)),
        (5 * sixteenth + 1, Told::Impossible),
        (6 * sixteenth, Told::Class(3)),
        (8 * sixteenth, Told::Class(1)),
        (u128::MAX, Told::Class(5)),
    ];
    assert_eq!(runs(&leaves), expected);
}

/// However many regions there are, and whatever steps that takes.
#[test]
fn every_address_finds_its_region() {
    for count in 1..=32_u16 {
        let runs: Runs = (0..count)
            .map(|place| (u128::from(place) << 122, Told::Class(place.into())))
            .collect();
        let mut small = Small::new();
        let [regions, _] = &mut small.regions;
        let number = |told| match told {
            Told::Class(class) => u16::try_from(class).expect("it is below 32"),
            _ => unreachable!("there are only classes"),
        };
        let steps = fill(regions, &runs, number);
        assert_eq!(1 << steps, count.next_power_of_two());
        let leaf = |high, low| regions.add_leaf(0, &Halves { high, low: || low }, steps);
        for place in 0..count {
            let first = u64::from(place) << 58;
            for (high, low) in [(first, 0), (first, 1), (first + (1 << 58) - 1, u64::MAX)] {
                assert_eq!(leaf(high, low), u64::from(place), "{high:#x} of {count}");
            }
        }
        assert_eq!(leaf(u64::MAX, u64::MAX), u64::from(count - 1));
    }
}

/// An only leaf that is not 0 has to be added.
#[test]
fn a_single_region_takes_a_step_unless_it_adds_nothing() {
    let mut small = Small::new();
    let [regions, _] = &mut small.regions;
    let runs = vec![(0, Told::Class(1))];
    assert_eq!(fill(regions, &runs, |_| 0), 0);
    assert_eq!(fill(regions, &runs, |_| 8), 1);
    for high in [0, 1, u64::MAX] {
        assert_eq!(regions.add_leaf(4, &Halves { high, low: || 0 }, 1), 12);
    }
}

/// What the runs tell of an address.
fn told_of(runs: &Runs, address: u128) -> Told {
    let run = runs.iter().rev().find(|(first, _)| *first <= address);
    run.expect("the first begins at 0").1
}

/// IPv4 networks of all sizes: beside each other within one half, over many halves, and at
/// both ends.
fn networks_v4() -> Runs {
    let address = |address: u32| u128::from(address) << 96;
    runs(&[
        leaf(0, 0, 1, 0),
        leaf(0, 32, 2, 0),
        leaf(address(0x0a00_0000), 8, 3, 0),
        leaf(address(0x0a01_0200), 24, 4, 0),
        leaf(address(0x0a01_0203), 32, 5, 0),
        leaf(address(0x0a01_ffff), 32, 6, 0),
        leaf(address(0x0a02_0000), 16, 7, 0),
        leaf(address(0xc0a8_0000), 17, 8, Entry::PROTECTED),
        leaf(address(0xffff_ffff), 32, 9, 0),
    ])
}

#[test]
fn halves_tell_what_the_runs_tell() {
    let runs = networks_v4();
    let halves = first_halves(&runs).expect("few are divided");
    assert_eq!(halves.len(), 1 << 16);
    let mut second = Vec::new();
    for (first, half) in (0_u32..).zip(&halves) {
        let address = |second: u32| u128::from(first << 16 | second) << 96;
        match half {
            FirstHalf::Told(told) => {
                for at in [0, 1, 0x7fff, 0xffff] {
                    assert_eq!(told_of(&runs, address(at)), *told, "{first:#x} {at:#x}");
                }
            }
            FirstHalf::Second(all) => {
                second.push(first);
                assert_eq!(all.len(), 1 << 16);
                for (at, told) in (0..).zip(all) {
                    assert_eq!(told_of(&runs, address(at)), *told, "{first:#x} {at:#x}");
                }
            }
        }
    }
    assert_eq!(second, [0, 0x0a01, 0xc0a8, 0xffff]);
}

/// Each of them takes a table, and what tells is as large as all that could be.
#[test]
fn no_more_halves_are_divided_than_there_are_tables_for() {
    let networks = |count: u128| {
        let hosts = (1..=count).map(|first| leaf(first << 112 | 7 << 96, 32, 2, 0));
        runs(
            &[leaf(0, 0, 1, 0)]
                .into_iter()
                .chain(hosts)
                .collect::<Vec<_>>(),
        )
    };
    let most = SECOND_HALVES as u128;
    assert!(first_halves(&networks(most)).is_some());
    assert_eq!(first_halves(&networks(most + 1)), None);
}

#[test]
fn sources_that_may_be_martians_are_left_to_the_way_of_all() {
    let mut halves = first_halves(&networks_v4()).expect("few are divided");
    let before = halves.clone();
    ask_of_martians(&mut halves);
    for (first, (after, before)) in (0..=u16::MAX).zip(halves.iter().zip(&before)) {
        match first >> 8 {
            0 | 127 | 224.. => assert_eq!(*after, FirstHalf::Told(Told::Nothing), "{first:#x}"),
            _ => assert_eq!(after, before, "{first:#x}"),
        }
    }
}

/// Groups tell where no network has any, and of those of networks nothing.
#[test]
fn third_groups_tell_where_all_their_addresses_are_alike() {
    let site = |group: u128| 0x2001_0db8 << 96 | group << 80;
    let runs = runs(&[
        leaf(0, 0, 1, 0),
        leaf(site(0x51), 48, 2, 0),
        leaf(site(0x1000), 36, 3, 0),
        leaf(site(1) | 0x10, 128, 4, Entry::PROTECTED),
        leaf(0xfe80 << 112, 64, 5, 0),
    ]);
    let groups = third_groups(&runs).expect("most are alike");
    for (group, told) in (0_u32..).zip(groups) {
        let more = matches!(group, 0 | 1 | 0x51 | 0x1000..=0x1fff);
        assert_eq!(told, (!more).then_some(Told::Class(1)), "{group:#x}");
    }
}

/// A network of more than one site, or of most groups of one, leaves too little to tell.
#[test]
fn third_groups_that_tell_little_are_not_asked() {
    let all = leaf(0, 0, 1, 0);
    let sites = leaf(0x2001 << 112, 31, 2, 0);
    let half = leaf(0x2001_0db8 << 96, 33, 2, 0);
    let most = leaf(0x2001_0db8 << 96 | 0x8000 << 80, 34, 3, 0);
    assert_eq!(third_groups(&runs(&[all, sites])), None);
    assert!(third_groups(&runs(&[all, half])).is_some());
    assert_eq!(third_groups(&runs(&[all, half, most])), None);
}
