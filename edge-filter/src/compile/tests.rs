//! Policies and dice for the tests of the compiler, and its errors.

use std::collections::BTreeSet;

use super::*;
use crate::policy::{Endpoint, Essentials, Flows, Outbound, Taken, Transport, Trust};

/// A small generator (`xorshift64*`; Vigna, 2016), the same on every machine.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: u32) -> u32 {
        u32::try_from((self.next() >> 32) % u64::from(limit)).expect("below a u32")
    }
}

/// An inbound rule that allows everything.
pub(super) fn rule(number: usize) -> Rule {
    Rule {
        id: format!("rule-{number}"),
        group: "rules".to_owned(),
        interface: "external".to_owned(),
        direction: Direction::Inbound,
        from: Endpoint::default(),
        to: Endpoint::default(),
        transports: Vec::new(),
        action: Action::Allow,
        drops_replies: false,
        audit: false,
        comment: None,
        refs: Vec::new(),
        expires: None,
        line: number + 1,
    }
}

pub(super) fn policy(rules: Vec<Rule>) -> Policy {
    Policy {
        name: "compiled".to_owned(),
        hash: "0".repeat(64),
        mode: Mode::Enforce,
        interfaces: vec![Interface {
            name: "external".to_owned(),
            devices: vec!["external0".to_owned()],
            outbound: Outbound::Ignore,
            trust: Trust::Untrusted,
            vlans: None,
            protects: Vec::new(),
        }],
        essentials: Essentials::default(),
        ethertypes: BTreeSet::new(),
        flows: Flows::default(),
        default_action: Action::Drop,
        rules,
        tests: Vec::new(),
        taken: Taken::default(),
    }
}

fn inbound(policy: &Policy) -> Result<TableImage, CompileError> {
    compile(policy, &policy.interfaces[0], Direction::Inbound)
}

#[test]
fn as_many_rules_as_there_are_bits_compile_and_one_more_does_not() {
    let most = policy((0..MAX_RULES).map(rule).collect());
    let image = inbound(&most).unwrap();
    assert_eq!(image.config.get(Constant::Words), 1024);

    let mut rules = most.rules;
    rules.push(rule(MAX_RULES));
    let error = inbound(&policy(rules)).unwrap_err();
    let expected = CompileError::TooManyRules {
        interface: "external".to_owned(),
        direction: Direction::Inbound,
        rules: MAX_RULES + 1,
    };
    assert_eq!(error, expected);
    let text = error.to_string();
    assert!(text.contains("external inbound: 65537 rules"), "{text}");
    assert!(text.contains("at most 65536"), "{text}");
}

/// The rules of other hooks count for nothing.
#[test]
fn only_the_hooks_own_rules_are_compiled() {
    let mut rules: Vec<Rule> = (0..3).map(rule).collect();
    rules[1].direction = Direction::Outbound;
    rules[2].interface = "internal".to_owned();
    let image = inbound(&policy(rules)).unwrap();
    let names: Vec<String> = image
        .counters
        .iter()
        .map(|slot| slot.id.to_string())
        .collect();
    assert_eq!(names.last().unwrap(), "rule-0");
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("rule-"))
            .count(),
        1
    );
}

/// Every index has a name of its own, and the slot says what the data path does.
#[test]
fn the_order_of_the_counters_is_that_of_their_indices() {
    let mut rules: Vec<Rule> = (0..600).map(rule).collect();
    for (number, rule) in rules.iter_mut().enumerate() {
        if number % 3 == 1 {
            rule.action = Action::Drop;
        }
        rule.audit = number % 2 == 0;
    }
    for mode in [Mode::Enforce, Mode::Audit] {
        let policy = Policy {
            mode,
            ..policy(rules.clone())
        };
        let image = inbound(&policy).unwrap();
        let first = Counter::FIRST_RULE as usize;
        assert_eq!(image.counters.len(), first + 600);
        let names: BTreeSet<String> = image
            .counters
            .iter()
            .map(|slot| slot.id.to_string())
            .collect();
        assert_eq!(names.len(), image.counters.len(), "every name once");
        for (slot, index) in image.counters.iter().zip(0..) {
            let passes = Counter(index).passes(&image);
            assert_eq!(passes, slot.action == Action::Allow, "{}", slot.id);
        }
        for (number, slot) in image.counters[first..].iter().enumerate() {
            let audited = number % 3 == 1 && number % 2 == 0;
            let prefix = if audited { "audit:" } else { "" };
            assert_eq!(slot.id.to_string(), format!("{prefix}rule-{number}"));
        }
    }
}

#[test]
fn rules_that_are_alike_share_their_classes() {
    let mut rules: Vec<Rule> = (0..200).map(rule).collect();
    for rule in &mut rules {
        rule.transports = vec![Transport {
            protocol: 6,
            ports: vec![5061..=5061],
        }];
    }
    let image = inbound(&policy(rules)).unwrap();
    // Every rule, and none of them. All rules pass, and none drops: there are no sets.
    let classes: BTreeSet<u32> = image.transports.iter().copied().collect();
    assert_eq!(classes.len(), 2);
    assert_eq!(image.chunks.len(), 0);
}

#[test]
fn a_table_is_as_large_as_a_program_reaches() {
    let policy = policy(vec![rule(0)]);
    let interface = &policy.interfaces[0];
    let check = |bytes| check_size(interface, Direction::Inbound, "bit vectors", bytes);
    assert_eq!(check(MAX_TABLE), Ok(()));
    let error = check(MAX_TABLE + 1).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("bit vectors of its rules take 513 MiB"),
        "{message}"
    );
    assert!(message.contains("at most 512 MiB"), "{message}");
}
