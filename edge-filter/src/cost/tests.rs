use super::*;
use crate::compile::budget::{Budget, compile_all};
use crate::policy;

/// A policy of these rules, and its only hook.
fn compiled(rules: &str) -> (Policy, CompiledHook) {
    let text = format!(
        "version: 1\nname: costs\ninterfaces: {{ external: {{ devices: [eth0], vlans: [untagged] \
         }} }}\ndefault_action: drop\ngroups:\n  - name: all\n    rules:\n{rules}"
    );
    let today = jiff::civil::date(2026, 1, 1);
    let policy = policy::read("costs.yaml", &text, today).unwrap().policy;
    let hooks = compile_all(&policy, |_| 1, Budget { bytes: usize::MAX }).unwrap();
    let [hook] = <[CompiledHook; 1]>::try_from(hooks).expect("one hook");
    (policy, hook)
}

fn costs_of(rules: &str) -> Vec<Cost> {
    let (policy, hook) = compiled(rules);
    costs(&policy, &hook)
}

fn one_rule(number: usize, rest: &str) -> String {
    format!(
        "      - {{ id: r{number}, interface: external, direction: inbound, action: allow, {rest} }}\n"
    )
}

/// One rule for any address: a class of the port, and an outcome.
#[test]
fn the_least_that_a_packet_costs() {
    for cost in costs_of(&one_rule(1, "protocol: tcp, to: { ports: [443] }")) {
        assert_eq!(
            (cost.typical.ports, cost.typical.outcomes),
            (1, 1),
            "{cost:?}"
        );
        assert_eq!(cost.costliest, cost.typical, "nothing is any costlier");
    }
}

/// Sixteen hosts far apart are a trie, whose depth an address of another family never meets.
#[test]
fn steps_through_a_trie_are_counted_by_family() {
    let rules: String = (0..16)
        .map(|number| {
            one_rule(
                number,
                &format!("to: {{ networks: [198.51.100.{}] }}", number * 9),
            )
        })
        .collect();
    let costs = costs_of(&rules);
    let [v4, v6] = &costs[..] else {
        panic!("both families")
    };
    assert!(v4.typical.addresses > v6.typical.addresses, "{costs:?}");
    assert!(v4.costliest.total() >= v4.typical.total());
}

/// A packet between a source of one rule and a destination of another costs what both do.
#[test]
fn the_costliest_packet_is_looked_for_beyond_those_of_the_rules() {
    let rules: String = (0..600)
        .map(|number| {
            let end = if number < 300 { "from" } else { "to" };
            let (high, low) = (number / 200, number % 200);
            one_rule(
                number,
                &format!("protocol: tcp, {end}: {{ networks: [10.{high}.{low}.1] }}"),
            )
        })
        .collect();
    let v4 = &costs_of(&rules)[0];
    assert!(v4.typical.vectors > 0 && v4.typical.outcomes == 0, "{v4:?}");
    assert!(v4.costliest.vectors > v4.typical.vectors, "{v4:?}");
}

#[test]
fn the_costliest_packet_costs_what_is_said() {
    let (policy, hook) = compiled(&one_rule(
        1,
        "protocol: tcp, to: { networks: [192.0.2.10], ports: [443] }",
    ));
    for cost in costs(&policy, &hook) {
        let again = lookups(&policy, &hook, &cost.costliest_packet);
        assert_eq!(again, cost.costliest);
    }
}
