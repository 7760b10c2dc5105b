use super::super::tests::{policy, rule};
use super::*;
use crate::policy::{Outbound, Trust};

/// A rule of the hook that `hook` names, such as `inside/inbound`: an allow rule,
/// unless its id begins with "no".
fn written(id: &str, hook: &str) -> Rule {
    let (role, direction) = hook.split_once('/').unwrap();
    Rule {
        id: id.to_owned(),
        interface: role.to_owned(),
        direction: match direction {
            "inbound" => Direction::Inbound,
            _ => Direction::Outbound,
        },
        action: if id.starts_with("no") {
            Action::Drop
        } else {
            Action::Allow
        },
        ..rule(0)
    }
}

/// Two untrusted roles that enforce outbound, and a trusted one that does, too.
fn gateway(rules: &[(&str, &str)]) -> Policy {
    let rules = rules.iter().map(|(id, hook)| written(id, hook)).collect();
    let mut policy = policy(rules);
    policy.interfaces[0].outbound = Outbound::Enforce;
    for (name, trust) in [("inside", Trust::Trusted), ("dmz", Trust::Untrusted)] {
        policy.interfaces.push(Interface {
            name: name.to_owned(),
            trust,
            ..policy.interfaces[0].clone()
        });
    }
    policy
}

fn lists<'p>(policy: &'p Policy, role: &str, direction: Direction) -> Lists<'p> {
    let interface = policy.interface(role).unwrap();
    let own: Vec<&Rule> = policy.rules_of(&interface.name, direction).collect();
    Lists::of(policy, policy.interface(role).unwrap(), direction, &own)
}

/// The ids in a group's words, by their bits, with what is said by each: `+` for
/// allowed, or the word at which the search goes on.
fn said(lists: &Lists<'_>, words: &Range<u32>) -> Vec<String> {
    let within = |bit: usize| words.contains(&index(bit / 64));
    let group = lists.patterns.iter().filter(|pattern| within(pattern.bit));
    let told = group.map(|pattern| {
        let fate = lists.fates[pattern.bit - 64 * lists.own_words as usize];
        let said = if fate & fate::ALLOWED == 0 {
            fate.to_string()
        } else {
            "+".to_owned()
        };
        format!("{}:{} {said}", pattern.bit, pattern.rule.id)
    });
    told.collect()
}

const HOOKS: [(&str, &str); 8] = [
    ("web-in", "external/inbound"),
    ("mail-in", "dmz/inbound"),
    ("dns-out", "external/outbound"),
    ("ntp-out", "dmz/outbound"),
    ("browse", "inside/inbound"),
    ("backup", "inside/outbound"),
    ("more-dns", "external/outbound"),
    ("no-more", "external/outbound"),
];

#[test]
fn roles_are_asked_in_order_and_outbound_before_inbound() {
    let policy = gateway(&HOOKS);
    let lists = lists(&policy, "external", Direction::Inbound);
    assert_eq!(
        said(&lists, &lists.mirrored_tracking),
        [
            "64:dns-out +",
            "65:more-dns +",
            "66:backup +",
            "67:browse +",
            "68:ntp-out +"
        ],
        "the drop behind the last allow is left out, so that all of them are one list"
    );
    assert_eq!(lists.longest, 1);
    assert!(lists.mirrored_open.is_empty() && lists.open.is_empty());
}

#[test]
fn each_hook_asks_what_it_needs() {
    let policy = gateway(&HOOKS);
    for (role, direction, tracking, answers_open, open, open_as_written) in [
        ("external", Direction::Inbound, false, false, 0, 0),
        ("external", Direction::Outbound, true, true, 2, 0),
        ("inside", Direction::Inbound, true, true, 2, 0),
        ("inside", Direction::Outbound, true, false, 2, 2),
    ] {
        let lists = lists(&policy, role, direction);
        let hook = format!("{role} {direction}");
        assert_eq!(lists.tracking, tracking, "{hook}");
        assert_eq!(lists.answers_open, answers_open, "{hook}");
        assert_eq!(said(&lists, &lists.mirrored_open).len(), open, "{hook}");
        assert_eq!(said(&lists, &lists.open).len(), open_as_written, "{hook}");
        assert_eq!(said(&lists, &lists.mirrored_tracking).len(), 5, "{hook}");
        let counted = if answers_open { 5 + 2 } else { 5 };
        assert_eq!(lists.replies.len(), counted, "{hook}");
    }
}

#[test]
fn a_hook_that_only_tracks_counts_no_replies() {
    let mut policy = gateway(&HOOKS);
    policy.interfaces[0].outbound = Outbound::Track;
    let lists = lists(&policy, "external", Direction::Outbound);
    assert!(lists.only_tracks && lists.tracking);
    assert!(lists.replies.is_empty());
    assert_eq!(said(&lists, &lists.mirrored_open).len(), 2);
}

/// A drop ends its own list alone.
#[test]
fn behind_a_drop_the_next_list_begins() {
    let policy = gateway(&[
        ("no-telnet", "external/outbound"),
        ("any-out", "external/outbound"),
        ("browse", "inside/inbound"),
        ("no-chat", "inside/inbound"),
        ("talk", "inside/inbound"),
        ("ntp-out", "dmz/outbound"),
    ]);
    let lists = lists(&policy, "external", Direction::Inbound);
    assert_eq!(lists.own_words, 0, "it has no rules of its own");
    assert_eq!(
        said(&lists, &lists.mirrored_tracking),
        [
            "0:no-telnet 1",
            "1:any-out +",
            "64:browse +",
            "65:no-chat 2",
            "66:talk +",
            "128:ntp-out +"
        ]
    );
    assert_eq!(lists.mirrored_tracking, 0..3);
    assert_eq!(lists.longest, 3);
}

#[test]
fn the_last_drop_leads_behind_the_group() {
    let policy = gateway(&[
        ("web-in", "external/inbound"),
        ("no-telnet", "dmz/outbound"),
        ("any-out", "dmz/outbound"),
    ]);
    let lists = lists(&policy, "external", Direction::Inbound);
    assert_eq!(
        said(&lists, &lists.mirrored_tracking),
        ["64:no-telnet 2", "65:any-out +"]
    );
    assert_eq!(lists.mirrored_tracking, 1..2);
}

#[test]
fn replies_count_behind_the_rules_in_the_order_of_their_lists() {
    let policy = gateway(&HOOKS);
    let lists = lists(&policy, "external", Direction::Outbound);
    let counted: Vec<&str> = lists.replies.iter().map(|rule| &*rule.id).collect();
    assert_eq!(
        counted,
        [
            "dns-out", "more-dns", "backup", "browse", "ntp-out", "web-in", "mail-in"
        ]
    );
    let own = 3;
    let allowed = lists
        .fates
        .iter()
        .filter(|&&fate| fate & fate::ALLOWED != 0);
    let counters: Vec<u32> = allowed.map(|fate| fate & !fate::ALLOWED).collect();
    let expected: Vec<u32> = (own..own + 7)
        .map(|number| Counter::rule(number).0)
        .collect();
    assert_eq!(counters, expected);
}
