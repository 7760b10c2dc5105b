use super::*;
use crate::generation::proposal::{Enforced, Hit, PolicyName, Rules, Sample};
use crate::kernel::counters::Count;
use crate::policy::{Action, Direction};

fn rule(id: &str, line: usize) -> RuleName {
    RuleName {
        id: id.to_owned(),
        interface: "external".to_owned(),
        direction: Direction::Inbound,
        action: Action::Allow,
        line,
    }
}

fn hits(packets: u64, replies: u64, sample: Option<u64>) -> Hits {
    let count = |packets| Count {
        packets,
        bytes: packets * 100,
    };
    Hits {
        own: count(packets),
        replies: count(replies),
        last: LastHit::default(),
        sample: sample.map(|packets| Sample {
            seconds: 5,
            packets,
        }),
    }
}

fn hit<R>(rule: R, hits: Hits) -> Hit<R> {
    Hit { rule, hits }
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn many(words: &[&str]) -> Value {
    Value::Many(words.iter().map(|word| (*word).to_owned()).collect())
}

fn field(
    field: &str,
    before: impl Into<Option<Value>>,
    after: impl Into<Option<Value>>,
) -> FieldChange {
    FieldChange {
        field: field.to_owned(),
        before: before.into(),
        after: after.into(),
    }
}

fn one(word: &str) -> Value {
    Value::One(word.to_owned())
}

fn side(change: Treatment, device: &str) -> DeviceChange {
    DeviceChange {
        change,
        device: device.to_owned(),
        direction: Direction::Outbound,
        interface: "external".to_owned(),
    }
}

/// One of everything.
fn proposal() -> Proposal {
    let networks = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    Proposal {
        policy: PolicyName {
            name: "next".to_owned(),
            hash: "0123456789abcdef".to_owned(),
        },
        enforced: Some(Enforced {
            policy: PolicyName {
                name: "now".to_owned(),
                hash: "fedcba9876543210".to_owned(),
            },
            generation: 3,
            applied_at: "2026-11-26T10:00:00Z".parse().expect("a time"),
            confirm_deadline: None,
        }),
        changes: true,
        settings: vec![
            field("default_action", one("drop"), one("allow")),
            field("ethertypes", None::<Value>, many(&["0x88f7"])),
        ],
        rules: Rules {
            added: vec![rule("new", 9)],
            removed: vec![
                hit(rule("gone", 4), hits(1234, 1, Some(12))),
                hit(rule("idle", 5), hits(0, 0, Some(0))),
            ],
            changed: vec![hit(
                ChangedRule {
                    rule: rule("other", 10),
                    fields: vec![
                        field("to.networks", many(&["x", "y"]), many(&["y", "z"])),
                        field("from.networks", None::<Value>, many(&networks)),
                        field("refs", many(&["p", "q"]), many(&["q", "p"])),
                        field("comment", one("old"), None::<Value>),
                    ],
                },
                hits(1, 0, None),
            )],
            moved: vec![hit(
                MovedRule {
                    rule: rule("up", 8),
                    was_behind: Some("new".to_owned()),
                    behind: None,
                },
                hits(0, 2, None),
            )],
        },
        devices: vec![
            side(Treatment::Attach, "eth0"),
            side(Treatment::Reassign, "eth1"),
            side(Treatment::Renew, "eth2"),
            side(Treatment::Release, "eth3"),
        ],
        not_awaited: vec![Awaited {
            device: "eth4".to_owned(),
            interface: "external".to_owned(),
        }],
        lock_out: None,
        notes: vec!["something is not known".to_owned()],
    }
}

#[test]
fn everything_in_words() {
    insta::assert_snapshot!(in_words(&proposal(), time("2026-11-26T12:00:00Z")));
}

/// What is said of a rule that 5 packets hit, and that was watched as it says.
fn watched(after: &str, until: &str, since: &str, now: &str) -> String {
    let known = |text: &str| (!text.is_empty()).then(|| time(text));
    let last = LastHit {
        after: known(after),
        until: known(until),
        since: known(since),
    };
    super::hits(
        &Hits {
            last,
            ..hits(5, 0, None)
        },
        time(now),
    )
}

#[test]
fn the_last_hit_is_told_as_exactly_as_it_is_known() {
    let since = "2026-11-20T09:12:00Z";
    let hit = |now| watched("2026-11-26T10:00:00Z", "2026-11-26T10:00:10Z", since, now);
    let by = |text: &str| format!("hit by 5 packets, {text}");
    for (now, expected) in [
        ("2026-11-26T10:00:10Z", "last less than 10 s ago"),
        ("2026-11-26T10:01:59Z", "last less than 119 s ago"),
        ("2026-11-26T10:03:01Z", "last 3 minutes ago"),
        ("2026-11-26T12:30:00Z", "last 2 hours ago"),
        ("2026-12-24T10:00:10Z", "last 28 days ago"),
        // A clock that was set back.
        ("2026-11-26T09:00:00Z", "last less than 1 s ago"),
    ] {
        assert_eq!(hit(now), by(expected));
    }
    let now = "2026-11-26T12:00:00Z";
    assert_eq!(
        watched("2026-11-26T10:00:00Z", "2026-11-26T11:00:00Z", since, now),
        by("last between 2026-11-26T10:00:00Z and 2026-11-26T11:00:00Z")
    );
    assert_eq!(
        watched("", "", since, now),
        by("not since 2026-11-20T09:12:00Z (watched since then)")
    );
    assert_eq!(watched("", "", "", now), "hit by 5 packets");
}

#[test]
fn nothing_in_words() {
    let nothing = Proposal {
        enforced: None,
        changes: false,
        settings: Vec::new(),
        rules: Rules::default(),
        devices: Vec::new(),
        not_awaited: Vec::new(),
        notes: Vec::new(),
        ..proposal()
    };
    assert_eq!(
        in_words(&nothing, time("2026-11-26T12:00:00Z")),
        "policy 'next' (sha256 0123456789ab) in the place of nothing\n\nno change\n"
    );
}
