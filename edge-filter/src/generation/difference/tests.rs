use std::fmt::Write;

use proptest::prelude::*;

use super::order::longest_increasing;
use super::*;

/// A policy of the role `external` (and `internal`), with rules given as ids and the rest.
fn policy(head: &str, rules: &[&str], tail: &str) -> Policy {
    let rules: Vec<String> = rules
        .iter()
        .map(|rule| {
            let (id, rest) = rule.split_once(' ').unwrap_or((rule, ""));
            let mut fields = format!("id: {id}");
            for (field, default) in [
                ("interface", "external"),
                ("direction", "inbound"),
                ("action", "allow"),
            ] {
                if !rest.contains(&format!("{field}:")) {
                    let _ = write!(fields, ", {field}: {default}");
                }
            }
            if !rest.is_empty() {
                fields = format!("{fields}, {rest}");
            }
            format!("      - {{ {fields} }}\n")
        })
        .collect();
    let text = format!(
        "version: 1\n{head}\ngroups:\n  - name: g\n    rules:{}{}{tail}",
        if rules.is_empty() { " []\n" } else { "\n" },
        rules.concat()
    );
    let day = "2026-11-26".parse().unwrap();
    match crate::policy::read("p.yaml", &text, day) {
        Ok(checked) => checked.policy,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

const HEAD: &str = "name: t\ndefault_action: drop\ninterfaces: { external: { outbound: enforce }, \
                    internal: { outbound: enforce } }";

fn rules(rules: &[&str]) -> Policy {
    policy(HEAD, rules, "")
}

fn between(former: &Policy, next: &Policy) -> Difference {
    Difference::between(Some(former), next)
}

/// `+ID`, `-ID`, `~ID(FIELD: BEFORE > AFTER; …)`, `ID: BEHIND > BEHIND`, settings first.
fn told(difference: &Difference) -> String {
    let value = |value: &Option<Value>| match value {
        None => "none".to_owned(),
        Some(Value::One(word)) => word.clone(),
        Some(Value::Many(words)) => words.join(","),
    };
    let field = |change: &FieldChange| {
        let (before, after) = (value(&change.before), value(&change.after));
        format!("{}: {before} > {after}", change.field)
    };
    let fields = |changes: &[FieldChange]| changes.iter().map(field).collect::<Vec<_>>().join("; ");
    let mut words: Vec<String> = difference.settings.iter().map(field).collect();
    words.extend(difference.added.iter().map(|rule| format!("+{}", rule.id)));
    words.extend(
        difference
            .removed
            .iter()
            .map(|rule| format!("-{}", rule.id)),
    );
    words.extend(
        difference
            .changed
            .iter()
            .map(|changed| format!("~{}({})", changed.rule.id, fields(&changed.fields))),
    );
    words.extend(difference.moved.iter().map(|moved| {
        let place = |behind: &Option<String>| behind.clone().unwrap_or("first".to_owned());
        format!(
            "{}: {} > {}",
            moved.rule.id,
            place(&moved.was_behind),
            place(&moved.behind)
        )
    }));
    words.join(" ")
}

fn told_of_rules(former: &[&str], next: &[&str]) -> String {
    told(&between(&rules(former), &rules(next)))
}

#[test]
fn the_same_is_no_difference() {
    let all = [
        "a",
        "b protocol: tcp, to: { ports: [443] }",
        "c direction: outbound",
    ];
    let difference = between(&rules(&all), &rules(&all));
    assert!(difference.is_empty());
    assert_eq!(told(&difference), "");
}

/// Lines, comments of YAML, tests and definitions that nothing uses are not enforced.
#[test]
fn what_is_not_enforced_is_no_difference() {
    let test = "\n# a comment\nnetworks: { here: [192.0.2.1] }\ntests:\n  - { name: one, packet: { interface: \
                external, direction: inbound, protocol: tcp, from: 192.0.2.9, to: \
                \"192.0.2.1:443\" }, expect: { action: allow } }\n";
    let (plain, with) = (policy(HEAD, &["a"], ""), policy(HEAD, &["a"], test));
    assert_ne!(plain.hash, with.hash);
    assert!(between(&plain, &with).is_empty());
}

#[test]
fn everything_is_new_to_nothing() {
    let difference = Difference::between(None, &rules(&["a", "b"]));
    assert_eq!(told(&difference), "+a +b");
}

#[test]
fn rules_come_and_go() {
    assert_eq!(told_of_rules(&["a", "b", "c"], &["b", "d"]), "+d -a -c");
    assert_eq!(told_of_rules(&[], &["a"]), "+a");
    assert_eq!(told_of_rules(&["a"], &[]), "-a");
    // Another name is another counter.
    assert_eq!(told_of_rules(&["a", "b"], &["a", "c"]), "+c -b");
}

#[test]
fn a_rule_of_a_group_that_is_switched_off_goes() {
    let off = policy(HEAD, &["a"], "    enabled: false\n");
    assert_eq!(told(&between(&rules(&["a"]), &off)), "-a");
}

#[test]
fn every_field_shows() {
    for (before, after, change) in [
        ("a", "a action: drop", "action: allow > drop"),
        (
            "a",
            "a interface: internal",
            "interface: external > internal",
        ),
        (
            "a",
            "a direction: outbound",
            "direction: inbound > outbound",
        ),
        ("a", "a protocol: tcp", "service: none > tcp"),
        (
            "a protocol: tcp, to: { ports: [22] }",
            "a protocol: udp, to: { ports: [53, \"60-70\"] }",
            "service: tcp 22 > udp 53,udp 60-70",
        ),
        (
            "a protocol: tcp",
            "a protocol: tcp, from: { ports: [53] }",
            "from.ports: none > 53",
        ),
        (
            "a from: { networks: [192.0.2.1] }",
            "a from: { networks: [192.0.2.0/24, \"2001:db8::/32\"] }",
            "from.networks: 192.0.2.1/32 > 192.0.2.0/24,2001:db8::/32",
        ),
        (
            "a to: { networks: [any] }",
            "a to: { networks: [192.0.2.1] }",
            "to.networks: none > 192.0.2.1/32",
        ),
        (
            "a from: { except: [192.0.2.1] }",
            "a",
            "from.except: 192.0.2.1/32 > none",
        ),
        (
            "a",
            "a to: { except: [192.0.2.1] }",
            "to.except: none > 192.0.2.1/32",
        ),
        (
            "a action: drop",
            "a action: drop, replies: drop",
            "replies: none > drop",
        ),
        ("a comment: old", "a comment: new", "comment: old > new"),
        ("a", "a refs: [one]", "refs: none > one"),
        ("a expires: 2027-01-01", "a", "expires: 2027-01-01 > none"),
    ] {
        let expected = format!("~a({change})");
        assert_eq!(told_of_rules(&[before], &[after]), expected);
    }
    // Two fields at once, and the group.
    let other = policy(&format!("{HEAD}\n"), &["a action: drop, comment: new"], "");
    assert_eq!(
        told(&between(&rules(&["a"]), &other)),
        "~a(action: allow > drop; comment: none > new)"
    );
    let renamed = Policy {
        rules: vec![Rule {
            group: "h".to_owned(),
            ..rules(&["a"]).rules[0].clone()
        }],
        ..rules(&["a"])
    };
    assert_eq!(told(&between(&rules(&["a"]), &renamed)), "~a(group: g > h)");
}

#[test]
fn a_definition_shows_at_the_rules_that_use_it() {
    let using = |networks: &str| {
        let tail = format!("networks: {{ hosts: [{networks}] }}\n");
        policy(HEAD, &["a to: { networks: [hosts] }", "b"], &tail)
    };
    assert_eq!(
        told(&between(
            &using("192.0.2.1"),
            &using("192.0.2.1, 192.0.2.2")
        )),
        "~a(to.networks: 192.0.2.1/32 > 192.0.2.1/32,192.0.2.2/32)"
    );
}

#[test]
fn audit_mode_shows_at_what_it_concerns() {
    let drops = ["a", "b action: drop"];
    let group = policy(HEAD, &drops, "    mode: audit\n");
    assert_eq!(
        told(&between(&rules(&drops), &group)),
        "~b(mode: enforce > audit)"
    );
    let whole = policy(&format!("{HEAD}\nmode: audit"), &drops, "");
    assert_eq!(
        told(&between(&rules(&drops), &whole)),
        "mode: enforce > audit"
    );
}

#[test]
fn every_setting_shows() {
    let head = |settings: &str| policy(&format!("{HEAD}\n{settings}"), &["a"], "");
    let plain = rules(&["a"]);
    for (settings, change) in [
        ("essentials: { arp: drop }", "essentials.arp: allow > drop"),
        ("essentials: { nd: drop }", "essentials.nd: allow > drop"),
        ("essentials: { mld: drop }", "essentials.mld: allow > drop"),
        (
            "essentials: { icmp-errors: drop }",
            "essentials.icmp-errors: allow > drop",
        ),
        (
            "essentials: { link-control: drop }",
            "essentials.link-control: allow > drop",
        ),
        (
            "essentials: { ping: allow }",
            "essentials.ping: drop > allow",
        ),
        (
            "essentials: { dhcp-client: allow }",
            "essentials.dhcp-client: drop > allow",
        ),
        (
            "essentials: { router-advertisements: [\"fe80::1\"] }",
            "essentials.router-advertisements: none > fe80::1/128",
        ),
        ("ethertypes: [0x88f7]", "ethertypes: none > 0x88f7"),
        ("flows: { entries: 99 }", "flows.entries: 65536 > 99"),
    ] {
        assert_eq!(told(&between(&plain, &head(settings))), change);
    }
    let other = |from: &str, to: &str| policy(&HEAD.replacen(from, to, 1), &["a"], "");
    for (from, to, change) in [
        ("name: t", "name: u", "name: t > u"),
        (
            "default_action: drop",
            "default_action: allow",
            "default_action: drop > allow",
        ),
        (
            "outbound: enforce",
            "outbound: track",
            "interfaces.external.outbound: enforce > track",
        ),
        (
            "outbound: enforce",
            "outbound: enforce, trust: trusted",
            "interfaces.external.trust: untrusted > trusted",
        ),
        (
            "outbound: enforce",
            "outbound: enforce, vlans: [untagged, 30]",
            "interfaces.external.vlans: none > untagged,30",
        ),
        (
            "outbound: enforce",
            "outbound: enforce, protects: [192.0.2.0/24]",
            "interfaces.external.protects: none > 192.0.2.0/24",
        ),
        (
            ", internal: { outbound: enforce }",
            "",
            "interfaces.internal.outbound: enforce > none",
        ),
        (
            "{ external",
            "{ dmz: {}, external",
            "interfaces.dmz.outbound: none > ignore",
        ),
        (
            "outbound: enforce",
            "outbound: enforce, devices: [eth7]",
            "",
        ),
    ] {
        assert_eq!(told(&between(&plain, &other(from, to))), change);
    }
}

#[test]
fn moves_are_as_few_as_can_be() {
    for (before, after, moves) in [
        ("a b c d", "b c d a", "a: first > d"),
        ("a b c d", "d a b c", "d: c > first"),
        ("a b c", "a c b", "c: b > a"),
        ("a b c d e", "a d b c e", "d: c > a"),
        ("a b c", "c b a", "c: b > first b: a > c"),
        // What comes or goes moves nothing.
        ("a b c", "x a y b c z", "+x +y +z"),
        ("a b c d", "b d", "-a -c"),
        ("a b c", "c x b", "+x -a c: b > first"),
    ] {
        let [before, after] = [before, after].map(|ids| ids.split(' ').collect::<Vec<_>>());
        assert_eq!(told_of_rules(&before, &after), moves);
    }
}

/// Hooks ask their own rules alone.
#[test]
fn order_matters_within_a_hook() {
    let (a, b) = ("a direction: outbound", "b interface: internal");
    assert_eq!(told_of_rules(&[a, b, "c", "d"], &["c", b, "d", a]), "");
    // A rule that goes to another hook has changed, and is not moved there.
    assert_eq!(
        told_of_rules(&["a", "b", "c"], &["b", "c", "a direction: outbound"]),
        "~a(direction: inbound > outbound)"
    );
}

#[test]
fn a_rule_may_be_changed_and_moved() {
    assert_eq!(
        told_of_rules(&["a", "b", "c"], &["b", "c", "a action: drop"]),
        "~a(action: allow > drop) a: first > c"
    );
}

/// The length of the longest increasing subsequence, from the definition.
fn longest_by_definition(numbers: &[usize]) -> usize {
    let mut best = vec![1; numbers.len()];
    for (place, number) in numbers.iter().enumerate() {
        for earlier in 0..place {
            if numbers[earlier] < *number {
                best[place] = best[place].max(best[earlier] + 1);
            }
        }
    }
    best.into_iter().max().unwrap_or(0)
}

proptest! {
    #[test]
    fn what_stays_increases_and_is_longest(numbers in Just((0..40_usize).collect::<Vec<_>>()).prop_shuffle(), length in 0..40_usize) {
        let numbers = &numbers[..length];
        let stays = longest_increasing(numbers);
        let kept: Vec<usize> = numbers
            .iter()
            .zip(&stays)
            .filter(|(_, stays)| **stays)
            .map(|(number, _)| *number)
            .collect();
        prop_assert!(kept.is_sorted());
        prop_assert_eq!(kept.len(), longest_by_definition(numbers));
    }

    /// Taking out what is moved leaves both orders the same.
    #[test]
    fn moves_explain_the_order(order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let names: Vec<String> = (0..12).map(|number| format!("r{number}")).collect();
        let before: Vec<&str> = names.iter().map(|name| &**name).collect();
        let after: Vec<&str> = order.iter().map(|place| &*names[*place]).collect();
        let difference = between(&rules(&before), &rules(&after));
        let moved: Vec<&str> = difference.moved.iter().map(|moved| &*moved.rule.id).collect();
        let rest = |ids: &[&str]| -> Vec<String> {
            ids.iter().filter(|id| !moved.contains(id)).map(|id| (*id).to_owned()).collect()
        };
        prop_assert_eq!(rest(&before), rest(&after));
        prop_assert!(difference.added.is_empty() && difference.removed.is_empty());
    }
}
