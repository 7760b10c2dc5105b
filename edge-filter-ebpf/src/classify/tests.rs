use super::*;
use crate::by_hand::{ByHand, V6_SOURCE, key};
use crate::tables::Path;

/// The first rule that the packet matches whose source has class 1, destination
/// class 2, transport class 3 and source port class 4, as far as they exist.
fn first(rules: u32, classes: &[&[u32]]) -> Match {
    classify(
        &key(),
        Entry::leaf(1, 0),
        &classes_on_fields(rules, classes),
    )
}

fn classes_on_fields(rules: u32, classes: &[&[u32]]) -> ByHand {
    let mut tables = ByHand::new().with_rules(rules, classes);
    if classes.len() > 1 {
        let leaf = Entry::leaf(2, 0);
        tables = tables.with(Constant::DestinationV4, leaf.0);
    }
    if classes.len() > 2 {
        tables.rows[0x13][0xc5] = 3;
    }
    if classes.len() > 3 {
        let row = u32::try_from(tables.rows.len()).unwrap();
        tables.rows.extend(vec![[0; 256]; 256]);
        tables.rows[row as usize + 0x9c][0x40] = 4;
        tables = tables.with(Constant::SourcePorts, row);
    }
    tables
}

const MAX_RULES: u32 = MAX_WORDS * 64;

#[test]
fn the_lowest_bit_of_a_word() {
    for bit in 0..64 {
        assert_eq!(lowest_bit(1 << bit), bit);
        assert_eq!(lowest_bit(u64::MAX << bit), bit, "with all higher bits");
        assert_eq!(lowest_bit(1 << bit | 1 << 63), bit, "with the highest");
    }
}

#[test]
fn a_rule_is_found_wherever_it_stands() {
    for rules in [
        1, 2, 63, 64, 65, 127, 128, 4095, 4096, 4097, 8193, MAX_RULES,
    ] {
        let numbers = [0, 1, 62, 63, 64, 65, 4095, 4096, 4097, rules / 2, rules - 1];
        for rule in numbers.into_iter().filter(|&rule| rule < rules) {
            assert_eq!(first(rules, &[&[rule]]), Match::Rule(rule), "of {rules}");
        }
    }
}

#[test]
fn of_two_rules_the_first_is_found() {
    for (one, other) in [
        (62, 63),
        (63, 64),
        (64, 65),
        (4095, 4096),
        (4096, 4097),
        (0, 8191),
    ] {
        assert_eq!(first(8192, &[&[one, other]]), Match::Rule(one));
        assert_eq!(first(8192, &[&[one, other], &[other]]), Match::Rule(other));
    }
}

#[test]
fn all_four_fields_must_agree() {
    let all: Vec<u32> = (0..200).collect();
    for odd_one in 0..4 {
        let mut classes: [&[u32]; 4] = [&all; 4];
        classes[odd_one] = &[130, 199];
        assert_eq!(first(200, &classes), Match::Rule(130), "field {odd_one}");
        classes[odd_one] = &[];
        assert_eq!(first(200, &classes), Match::None, "field {odd_one}");
    }
}

#[test]
fn every_rule_on_every_field_is_the_first_rule() {
    for rules in [1, 64, 65, 4097] {
        let tables = ByHand::new().with_rules(rules, &[]);
        let every = Entry::leaf(EVERY_RULE, 0);
        assert_eq!(classify(&key(), every, &tables), Match::Rule(0));
    }
}

/// Words that both vectors have bits in, but never the same: each of them is a
/// candidate, and none must end the search.
#[test]
fn false_candidates_are_passed_over() {
    for rules in [128, 4096, 4097, 8192, MAX_RULES] {
        let even: Vec<u32> = (0..rules).step_by(2).collect();
        let mut odd: Vec<u32> = (1..rules).step_by(2).collect();
        assert_eq!(first(rules, &[&even, &odd]), Match::None, "of {rules}");
        let last = *even.last().unwrap();
        odd.push(last);
        assert_eq!(
            first(rules, &[&even, &odd]),
            Match::Rule(last),
            "of {rules}"
        );
    }
}

#[test]
fn no_rules_match_nothing_and_need_no_tables() {
    let tables = ByHand::new();
    assert_eq!(classify(&key(), Entry::leaf(0, 0), &tables), Match::None);
}

#[test]
fn tables_that_are_too_short_are_told_apart_from_no_match() {
    let whole = classes_on_fields(130, &[&[129], &[129], &[129], &[129]]);
    let source = Entry::leaf(1, 0);
    assert_eq!(classify(&key(), source, &whole), Match::Rule(129));
    let mut cut = whole.clone();
    cut.chunks.truncate(1);
    assert_eq!(classify(&key(), source, &cut), Match::Internal);
    let mut cut = whole.clone();
    cut.rows.truncate(1);
    assert_eq!(classify(&key(), source, &cut), Match::Internal);
    let mut cut = whole.clone();
    cut.rows.truncate(PROTOCOL_ROW as usize + 1);
    assert_eq!(classify(&key(), source, &cut), Match::Internal);
    let lost = whole.with(Constant::DestinationV4, Entry::way(Kind::Path, 0, 0).0);
    assert_eq!(classify(&key(), source, &lost), Match::Internal);
}

#[test]
fn ports_of_each_protocol_have_rows_of_their_own() {
    let classes: [&[u32]; 4] = [&[1], &[2], &[3], &[4]];
    let mut tables = ByHand::new().with_rules(5, &classes);
    for (protocol, class) in [(0, 1), (1, 2), (2, 3)] {
        tables.rows[(protocol * PORT_ROWS + 0x13) as usize][0xc5] = class;
    }
    tables.rows[PROTOCOL_ROW as usize][47] = 4;
    let source = Entry::leaf(EVERY_RULE, 0);
    for (protocol, rule) in [
        (protocol::TCP, 1),
        (protocol::UDP, 2),
        (protocol::SCTP, 3),
        (47, 4),
        (46, 0),
    ] {
        let key = Key { protocol, ..key() };
        assert_eq!(
            classify(&key, source, &tables),
            Match::Rule(rule),
            "{protocol}"
        );
    }
    let beside = Key {
        destination_port: 5062,
        ..key()
    };
    assert_eq!(classify(&beside, source, &tables), Match::Rule(0));
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
