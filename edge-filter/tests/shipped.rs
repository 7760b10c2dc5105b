//! The policies that ship: they are read without a complaint, say what the
//! documents say, and test every rule of their own.

use std::path::PathBuf;

use edge_filter::policy::{Action, Checked, Direction, Policy, Rule, read};

/// Long after either policy was written: neither of them may rot.
const TODAY: jiff::civil::Date = jiff::civil::date(2040, 1, 1);

fn shipped(name: &str) -> Checked {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../config")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    read(name, &text, TODAY).unwrap_or_else(|found| panic!("{found}"))
}

fn literal() -> Checked {
    shipped("lync-2013-port-summary.yaml")
}

fn edge() -> Checked {
    shipped("lync-2013-edge.yaml")
}

/// The rules that cite a row of the port summary.
fn citing(policy: &Policy, row: &str) -> Vec<String> {
    let cited = format!("port summary, row {row}");
    let does = |rule: &&Rule| rule.refs.contains(&cited);
    policy
        .rules
        .iter()
        .filter(does)
        .map(|rule| rule.id.clone())
        .collect()
}

#[test]
fn the_literal_policy_has_one_rule_per_row_and_nothing_else() {
    let policy = literal().policy;
    assert_eq!(policy.rules.len(), 10);
    for row in 1..=10 {
        let rules = citing(&policy, &format!("S{row}"));
        assert_eq!(rules.len(), 1, "row S{row}: {rules:?}");
        assert!(
            rules[0].starts_with(&format!("s{row}-")),
            "row S{row}: {rules:?}"
        );
    }
}

#[test]
fn the_edge_policy_has_the_ten_rows_too_and_its_rules_cite_where_they_come_from() {
    let policy = edge().policy;
    for row in 1..=10 {
        assert_eq!(citing(&policy, &format!("S{row}")).len(), 1, "row S{row}");
    }
    for rule in &policy.rules {
        assert!(!rule.refs.is_empty(), "{} cites nothing", rule.id);
        assert_eq!(rule.action, Action::Allow, "{}", rule.id);
    }
}

#[test]
fn check_warns_of_nothing_but_that_the_literal_policy_is_no_complete_edge() {
    let printed = |checked: Checked| {
        let lines: Vec<String> = checked.warnings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    assert_eq!(printed(edge()), "");
    insta::assert_snapshot!(printed(literal()));
}

#[test]
fn every_rule_is_tested_and_has_packets_that_it_must_not_take() {
    for (name, checked) in [("literal", literal()), ("edge", edge())] {
        let policy = checked.policy;
        for rule in &policy.rules {
            let tested = policy.tests.iter().any(|test| {
                test.expect.rule.as_ref() == Some(&rule.id)
                    && test.packet.interface == rule.interface
                    && test.packet.direction == rule.direction
            });
            assert!(tested, "{name}: no test is about '{}'", rule.id);
        }
        let refused = policy
            .tests
            .iter()
            .filter(|test| test.expect.action == Action::Drop);
        assert!(
            refused.count() >= policy.rules.len(),
            "{name}: too few refusals"
        );
        assert!(policy.tests.iter().any(|test| test.packet.source.is_ipv6()));
        assert!(
            policy
                .tests
                .iter()
                .any(|test| test.packet.direction == Direction::Outbound)
        );
    }
}

#[test]
fn the_example_in_the_documentation_is_a_policy() {
    let page = include_str!("../../docs/policy.md");
    let (_, rest) = page.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let checked = read("policy.md", example, TODAY).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(checked.warnings.len(), 1, "{:?}", checked.warnings);
    assert!(
        checked.warnings[0]
            .message
            .contains("not a complete edge policy")
    );
}
