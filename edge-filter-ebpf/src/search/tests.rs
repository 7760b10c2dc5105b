use super::*;
use crate::by_hand::{ByHand, key};
use crate::classify;
use crate::classify::EVERY_RULE;
use crate::packet::Key;
use crate::tables::{Entry, Kind};

/// The first rule that the packet matches whose source has the first of `classes`,
/// destination the second, transport the third and source port the fourth, as far as
/// they exist.
fn first(rules: u32, classes: &[&[u32]]) -> Match {
    let tables = classes_on_fields(rules, classes);
    judge(&key(), leaf(rules, 1), &tables)
}

/// Class `number` among `rules` rules.
fn class(rules: u32, number: u32) -> u32 {
    number * class_chunks(rules.div_ceil(64))
}

fn leaf(rules: u32, number: u32) -> Entry {
    Entry::leaf(class(rules, number), 0)
}

/// The first of the hook's own rules that `key` matches.
fn judge(key: &Key, source: Entry, tables: &ByHand) -> Match {
    let own = tables.constant(Constant::OwnWords);
    match classes(key, source, tables) {
        Some(classes) => first_match(tables, classes, 0, own),
        None => Match::Internal,
    }
}

/// The classes of `key`, whose source has the leaf `source`.
fn classes(key: &Key, source: Entry, tables: &ByHand) -> Option<Classes> {
    classify::classes(key, classify::ports(key, tables), source, tables)
}

fn classes_on_fields(rules: u32, classes: &[&[u32]]) -> ByHand {
    let mut tables = ByHand::new().with_rules(rules, classes);
    if !classes.is_empty() {
        tables = tables.with(Constant::SourceV4, leaf(rules, 1).0);
    }
    if classes.len() > 1 {
        tables = tables.with(Constant::DestinationV4, leaf(rules, 2).0);
    }
    if classes.len() > 2 {
        tables.transports[5061] = class(rules, 3);
    }
    if classes.len() > 3 {
        tables.source_ports[40_000] = class(rules, 4);
        tables = tables.with(Constant::SourcePorts, 1);
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
        assert_eq!(judge(&key(), every, &tables), Match::Rule(0));
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
    let classes = Classes {
        source: 0,
        destination: 0,
        transport: 0,
        source_port: 0,
    };
    let tables = ByHand::new();
    assert_eq!(first_match(&tables, classes, 0, 0), Match::None);
}

#[test]
fn tables_that_are_too_short_are_told_apart_from_no_match() {
    let whole = classes_on_fields(130, &[&[129], &[129], &[129], &[129]]);
    let source = leaf(130, 1);
    assert_eq!(judge(&key(), source, &whole), Match::Rule(129));
    let cut = whole.clone().with(Constant::Chunks, 0);
    assert_eq!(judge(&key(), source, &cut), Match::Internal);
    let lost = whole.with(Constant::DestinationV4, Entry::way(Kind::Path, 0, 0).0);
    assert_eq!(judge(&key(), source, &lost), Match::Internal);
}

/// Rules outside the words that are asked about neither match nor hide others.
#[test]
fn a_search_keeps_to_its_words() {
    let rules = 200 * 64;
    let everywhere: Vec<u32> = (0..rules).step_by(64).collect();
    let tables = classes_on_fields(rules, &[&everywhere]);
    let own = classes(&key(), leaf(rules, 1), &tables).unwrap();
    let borders = [0, 1, 2, 63, 64, 65, 127, 128, 129, 199, 200];
    for begin in borders {
        for end in borders {
            let expected = if begin < end {
                Match::Rule(begin * 64)
            } else {
                Match::None
            };
            assert_eq!(
                first_match(&tables, own, begin, end),
                expected,
                "words {begin} to {end}"
            );
        }
    }
    let one = classes_on_fields(rules, &[&[70 * 64 + 5]]);
    let own = classes(&key(), leaf(rules, 1), &one).unwrap();
    for begin in borders {
        for end in borders {
            let expected = if begin <= 70 && 70 < end {
                Match::Rule(70 * 64 + 5)
            } else {
                Match::None
            };
            assert_eq!(first_match(&one, own, begin, end), expected);
        }
    }
}
