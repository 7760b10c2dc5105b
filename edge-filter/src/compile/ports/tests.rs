use edge_filter_ebpf::tables::{TRANSPORTS, transport_index};

use super::*;
use crate::compile::tests::{Dice, rule};
use crate::policy::Transport;

/// Rule numbers that class `class` of `classes` satisfies.
fn holds(vectors: &[Vec<u64>], class: u32, rule: usize) -> bool {
    vectors[class as usize][rule / 64] >> (rule % 64) & 1 != 0
}

fn vectors(classes: &Classes) -> Vec<Vec<u64>> {
    classes
        .sets()
        .iter()
        .map(|set| set.words().to_vec())
        .collect()
}

fn random_ports(dice: &mut Dice) -> Ports {
    (0..dice.below(4))
        .map(|_| {
            let edge = |dice: &mut Dice| match dice.below(5) {
                0 => 0,
                1 => u16::MAX,
                2 => u16::try_from(255 + dice.below(3)).expect("a port"),
                _ => u16::try_from(dice.below(65_536)).expect("a port"),
            };
            let (one, other) = (edge(dice), edge(dice));
            one.min(other)..=one.max(other)
        })
        .collect()
}

fn random_rules(dice: &mut Dice, count: usize) -> Vec<Rule> {
    const PROTOCOLS: [u8; 6] = [TCP, UDP, SCTP, 1, 58, 255];
    (0..count)
        .map(|number| {
            let transports = (0..dice.below(3))
                .map(|_| {
                    let protocol = PROTOCOLS[dice.below(6) as usize];
                    let ports = if has_ports(protocol) {
                        random_ports(dice)
                    } else {
                        Ports::new()
                    };
                    Transport { protocol, ports }
                })
                .collect();
            let mut rule = rule(number);
            rule.transports = transports;
            if dice.below(4) == 0 {
                rule.from.ports = random_ports(dice);
            }
            rule
        })
        .collect()
}

/// Whether `rule` names `protocol` and `port` as the policy's types say it.
fn names(rule: &Rule, protocol: u8, port: u16) -> bool {
    rule.transports.is_empty()
        || rule.transports.iter().any(|transport| {
            transport.protocol == protocol
                && (transport.ports.is_empty()
                    || transport.ports.iter().any(|range| range.contains(&port)))
        })
}

#[test]
fn every_port_of_every_protocol_satisfies_the_rules_that_name_it() {
    let mut dice = Dice::new(3);
    for count in [1, 64, 70] {
        let rules = random_rules(&mut dice, count);
        let borrowed: Vec<&Rule> = rules.iter().collect();
        let patterns = Patterns::of(&borrowed);
        let mut classes = Classes::new(patterns.every());
        let table = transports(&patterns, &mut classes);
        let vectors = vectors(&classes);
        assert_eq!(table.len(), TRANSPORTS as usize);
        let class = |protocol, port| table[transport_index(protocol, port) as usize];
        for protocol in [TCP, UDP, SCTP] {
            for port in 0..=u16::MAX {
                let class = class(protocol, port);
                for (number, rule) in rules.iter().enumerate() {
                    assert_eq!(
                        holds(&vectors, class, number),
                        names(rule, protocol, port),
                        "{protocol} to {port}: {:?}",
                        rule.transports
                    );
                }
            }
        }
        for protocol in (0..=u8::MAX).filter(|&protocol| !has_ports(protocol)) {
            let class = class(protocol, 0);
            for (number, rule) in rules.iter().enumerate() {
                let expected = rule.from.ports.is_empty() && names(rule, protocol, 0);
                assert_eq!(holds(&vectors, class, number), expected, "{protocol}");
            }
        }
    }
}

#[test]
fn every_source_port_satisfies_the_rules_that_name_it() {
    let mut dice = Dice::new(5);
    for count in [1, 65] {
        let mut rules = random_rules(&mut dice, count);
        rules[0].from.ports = vec![u16::MAX..=u16::MAX, 0..=0, 1024..=1024, 1025..=2000];
        let borrowed: Vec<&Rule> = rules.iter().collect();
        let patterns = Patterns::of(&borrowed);
        let mut classes = Classes::new(patterns.every());
        let table = source_ports(&patterns, &mut classes).expect("rule 0 names some");
        let vectors = vectors(&classes);
        for port in 0..=u16::MAX {
            let class = table[usize::from(port)];
            for (number, rule) in rules.iter().enumerate() {
                let ports = &rule.from.ports;
                let expected = ports.is_empty() || ports.iter().any(|range| range.contains(&port));
                assert_eq!(
                    holds(&vectors, class, number),
                    expected,
                    "from {port}: {ports:?}"
                );
            }
        }
    }
}

#[test]
fn rules_without_source_ports_have_no_table() {
    let rules = [rule(0), rule(1)];
    let borrowed: Vec<&Rule> = rules.iter().collect();
    let patterns = Patterns::of(&borrowed);
    assert!(source_ports(&patterns, &mut Classes::new(patterns.every())).is_none());
}

#[test]
fn ranges_that_overlap_or_touch_are_one() {
    let merged = |ports: &[(u16, u16)]| {
        let ports: Ports = ports.iter().map(|&(begin, end)| begin..=end).collect();
        spans(&ports)
    };
    assert_eq!(merged(&[]), [ALL_PORTS]);
    assert_eq!(merged(&[(5, 9), (10, 12)]), [(5, 12)]);
    assert_eq!(merged(&[(5, 9), (11, 12)]), [(5, 9), (11, 12)]);
    assert_eq!(merged(&[(20, 30), (1, 25), (2, 3)]), [(1, 30)]);
    assert_eq!(merged(&[(0, 65_534), (65_535, 65_535)]), [ALL_PORTS]);
    assert_eq!(
        merged(&[(65_535, 65_535), (65_535, 65_535)]),
        [(65_535, 65_535)]
    );
}
