use super::*;
use crate::by_hand::{ByHand, V6_SOURCE, key};
use crate::packet::protocol;
use crate::tables::Path;

#[test]
fn ports_of_each_protocol_have_rows_of_their_own() {
    let members: [&[u32]; 4] = [&[1], &[2], &[3], &[4]];
    let mut tables = ByHand::new().with_rules(5, &members);
    for (protocol, class) in [(protocol::TCP, 1), (protocol::UDP, 2), (protocol::SCTP, 3)] {
        tables.transports[transport_index(protocol, 5061) as usize] = class;
    }
    tables.transports[transport_index(47, 5061) as usize] = 4;
    let source = Entry::leaf(EVERY_RULE, 0);
    for (protocol, class) in [
        (protocol::TCP, 1),
        (protocol::UDP, 2),
        (protocol::SCTP, 3),
        (47, 4),
        (46, 0),
    ] {
        let key = Key { protocol, ..key() };
        let found = classes(&key, ports(&key, &tables), source, &tables).unwrap();
        assert_eq!(found.transport, class, "{protocol}");
    }
    let beside = Key {
        destination_port: 5062,
        ..key()
    };
    let found = classes(&beside, ports(&beside, &tables), source, &tables).unwrap();
    assert_eq!(found.transport, 0);
}

fn source_leaf(tables: &ByHand, address: u32) -> Option<u32> {
    let key = Key {
        source: Address::v4(address),
        ..key()
    };
    source(&key, tables).map(Entry::class)
}

#[test]
fn a_root_can_be_a_leaf() {
    let tables = ByHand::new().with(Constant::SourceV4, Entry::leaf(7, 0).0);
    assert_eq!(source_leaf(&tables, 0), Some(7));
}

#[test]
fn a_branch_looks_at_the_byte_at_its_position() {
    for position in 0..4 {
        let mut tables = ByHand::new();
        tables.rows.push(std::array::from_fn(|byte| byte as u32));
        let root = Entry::way(Kind::Branch, position, 0);
        let tables = tables.with(Constant::SourceV4, root.0);
        let class = 0x0a0b_0c0d_u32.to_be_bytes()[position as usize];
        assert_eq!(source_leaf(&tables, 0x0a0b_0c0d), Some(class.into()));
    }
}

#[test]
fn a_branch_reaches_every_byte_of_an_ipv6_address() {
    for position in 0..16 {
        let mut tables = ByHand::new();
        tables.rows.push(std::array::from_fn(|byte| byte as u32));
        let root = Entry::way(Kind::Branch, position, 0);
        let tables = tables.with(Constant::SourceV6, root.0);
        let key = Key {
            family: Family::V6,
            source: Address {
                high: (V6_SOURCE >> 64) as u64,
                low: V6_SOURCE as u64,
            },
            ..key()
        };
        let byte = V6_SOURCE.to_be_bytes()[position as usize];
        assert_eq!(source(&key, &tables).unwrap().class(), byte.into());
    }
}

#[test]
fn a_wide_root_looks_at_two_bytes() {
    let mut tables = ByHand::new();
    tables.rows = vec![[1; 256]; 257];
    tables.rows[1 + 0x0a][0x0b] = 2;
    let tables = tables.with(Constant::SourceV4, Entry::way(Kind::Wide, 0, 1).0);
    assert_eq!(source_leaf(&tables, 0x0a0b_0000), Some(2));
    assert_eq!(source_leaf(&tables, 0x0a0c_0000), Some(1));
    assert_eq!(source_leaf(&tables, 0xff0b_0000), Some(1));
}

#[test]
fn a_path_compares_exactly_the_bits_of_its_mask() {
    let mut tables = ByHand::new();
    tables.paths.push(Path {
        high: 0x0a0b_8000 << 32,
        high_mask: 0xffff_8000 << 32,
        then: 1,
        otherwise: 2,
        ..Path::default()
    });
    let tables = tables.with(Constant::SourceV4, Entry::way(Kind::Path, 0, 0).0);
    for bit in 0..32 {
        let class = if bit < 15 { 1 } else { 2 };
        assert_eq!(source_leaf(&tables, 0x0a0b_8000 ^ 1 << bit), Some(class));
    }
}

/// As many ways on as a trie can have end at a leaf; one more runs out.
#[test]
fn a_walk_that_is_too_long_ends() {
    for (family, root, steps) in [
        (Family::V4, Constant::SourceV4, STEPS_V4),
        (Family::V6, Constant::SourceV6, STEPS_V6),
    ] {
        for length in 0..=steps + 1 {
            let mut tables = ByHand::new();
            for next in 1..=length {
                tables.rows.push([Entry::way(Kind::Branch, 0, next).0; 256]);
            }
            tables.rows.push([9; 256]);
            let begin = if length == 0 {
                Entry::leaf(9, 0)
            } else {
                Entry::way(Kind::Branch, 0, 1)
            };
            let tables = tables.with(root, begin.0);
            let key = Key { family, ..key() };
            let found = source(&key, &tables).map(Entry::class);
            assert_eq!(
                found,
                (length <= steps).then_some(9),
                "{family:?}, {length}"
            );
        }
    }
}

#[test]
fn a_way_that_leads_nowhere_ends() {
    for kind in [Kind::Branch, Kind::Wide, Kind::Path] {
        let tables = ByHand::new().with(Constant::SourceV4, Entry::way(kind, 0, 3).0);
        assert_eq!(source_leaf(&tables, 0), None, "{kind:?}");
    }
}

/// Of a few prefixes the first that agrees decides, and the trie where none does.
#[test]
fn a_few_prefixes_come_before_the_trie() {
    for few in 0..=FEW {
        let mut tables = ByHand::new()
            .with(Constant::SourceV4, Entry::leaf(99, 0).0)
            .with(Constant::FewSourceV4, few as u32);
        for number in 0..FEW {
            tables.few[Trie::SourceV4.first_few() + number] = Path {
                high: (number as u64) << 56,
                high_mask: 0xff << 56,
                then: number as u32 + 1,
                ..Path::EMPTY
            };
        }
        for number in 0..=FEW as u32 {
            let class = if (number as usize) < few {
                number + 1
            } else {
                99
            };
            assert_eq!(
                source_leaf(&tables, number << 24 | 7),
                Some(class),
                "{number} of {few}"
            );
        }
        if few > 1 {
            tables.few[Trie::SourceV4.first_few() + 1].high_mask = 0;
            tables.few[Trie::SourceV4.first_few() + 1].high = 0;
            assert_eq!(source_leaf(&tables, 7), Some(1), "the first holds it");
            assert_eq!(source_leaf(&tables, 200 << 24), Some(2));
        }
    }
}

/// Every bit of a prefix counts, in either half.
#[test]
fn a_prefix_of_ipv6_is_compared_whole() {
    let address = |bits: u128| Address {
        high: (bits >> 64) as u64,
        low: bits as u64,
    };
    for length in 1..=128 {
        let mask = u128::MAX << (128 - length);
        let [bits, mask] = [V6_SOURCE & mask, mask].map(address);
        let mut tables = ByHand::new().with(Constant::FewSourceV6, 1);
        tables.few[Trie::SourceV6.first_few()] = Path {
            high: bits.high,
            low: bits.low,
            high_mask: mask.high,
            low_mask: mask.low,
            then: 1,
            otherwise: 0,
        };
        for bit in 0..128 {
            let key = Key {
                family: Family::V6,
                source: address(V6_SOURCE ^ 1 << (127 - bit)),
                ..key()
            };
            let found = source(&key, &tables).map(Entry::class);
            assert_eq!(found, Some((bit >= length).into()), "bit {bit} of {length}");
        }
    }
}
