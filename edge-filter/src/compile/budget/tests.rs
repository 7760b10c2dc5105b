use super::super::facts::Judged;
use super::super::tests::{Dice, policy, rule};
use super::*;
use crate::policy::{Endpoint, Outbound, Rule, Transport};

/// Rules for random networks and ports, some of which drop.
fn rules(dice: &mut Dice, count: usize) -> Vec<Rule> {
    let end = |dice: &mut Dice| {
        let length = 8 * (1 + dice.below(4));
        let address = dice.below(u32::MAX).to_be_bytes();
        let network = format!(
            "{}.{}.{}.{}/{length}",
            address[0], address[1], address[2], address[3]
        );
        let network: ipnet::IpNet = network.parse().unwrap();
        Endpoint {
            networks: Some(vec![network.trunc()]),
            ..Endpoint::default()
        }
    };
    let rules = (0..count).map(|number| Rule {
        from: end(dice),
        to: end(dice),
        transports: vec![Transport {
            protocol: 6,
            ports: vec![u16::try_from(number % 60_000 + 1).unwrap()..=u16::MAX],
        }],
        action: if number % 5 == 4 {
            crate::policy::Action::Drop
        } else {
            crate::policy::Action::Allow
        },
        ..rule(number)
    });
    rules.collect()
}

/// Policies of all ways to judge.
fn policies() -> Vec<Policy> {
    let dice = &mut Dice::new(1);
    let counts = [0, 1, 3, 40, 100, 450, 3_000];
    let policies = counts.map(|count| {
        let mut policy = policy(rules(dice, count));
        policy.interfaces[0].outbound = Outbound::Enforce;
        policy.interfaces[0].vlans = Some([0, 7].into());
        policy
    });
    policies.into()
}

fn compiled(
    policy: &Policy,
    devices: usize,
    bytes: usize,
) -> Result<Vec<CompiledHook>, OverBudget> {
    match compile_all(policy, |_| devices, Budget { bytes }) {
        Ok(hooks) => Ok(hooks),
        Err(CompileError::OverBudget(over)) => Err(*over),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_is_told_beforehand_is_what_the_tables_take() {
    let mut ways = Vec::new();
    for policy in policies() {
        for hook in compiled(&policy, 1, usize::MAX).unwrap() {
            let Facts { bytes, judged, .. } = hook.known.facts;
            assert_eq!(bytes.total(), hook.image.bytes(), "{judged:?}");
            assert_eq!(
                bytes.address_rows + bytes.rule_numbers,
                hook.image.rows.len() << 10
            );
            assert_eq!(
                judged == Judged::ByOutcomes,
                !hook.image.outcomes.is_empty()
            );
            ways.push(judged);
        }
    }
    let is_seen = |judged: fn(&Judged) -> bool| ways.iter().any(judged);
    assert!(is_seen(|way| *way == Judged::ByOutcomes), "{ways:?}");
    assert!(is_seen(|way| *way == Judged::InPlace), "{ways:?}");
    assert!(
        is_seen(|way| matches!(way, Judged::WordByWord { .. })),
        "{ways:?}"
    );
}

/// The budget is met to the byte, and a hook counts once for each device.
#[test]
fn exactly_the_budget_fits_and_a_byte_less_does_not() {
    for policy in policies() {
        for devices in [1, 3] {
            let hooks = compiled(&policy, devices, usize::MAX).unwrap();
            let bytes: usize = hooks.iter().map(|hook| hook.image.bytes() * devices).sum();
            let again = compiled(&policy, devices, bytes).unwrap();
            for (one, other) in hooks.iter().zip(&again) {
                assert_eq!(one.image, other.image, "less room changes nothing");
            }
            if bytes > 0 {
                let over = compiled(&policy, devices, bytes - 1).unwrap_err();
                assert_eq!(over.bytes(), bytes);
                assert_eq!(over.hooks.len(), hooks.len());
            }
        }
    }
}

/// What is refused is never made, and yet its size is told exactly.
#[test]
fn without_any_room_everything_is_counted() {
    for policy in policies() {
        let Err(over) = compiled(&policy, 1, 0) else {
            assert!(policy.rules.is_empty());
            continue;
        };
        let hooks = compiled(&policy, 1, usize::MAX).unwrap();
        for (counted, made) in over.hooks.iter().zip(hooks) {
            assert_eq!(counted.facts, made.known.facts);
        }
    }
}

/// A role without devices may get one on the command line.
#[test]
fn a_role_has_one_device_at_least() {
    let policy = policy(vec![rule(0)]);
    let hooks = compiled(&policy, 0, usize::MAX).unwrap();
    assert_eq!(hooks[0].known.programs, 1);
}

#[test]
fn a_refusal_names_the_hook_the_table_and_the_shape_of_the_rules() {
    let large = policies().pop().unwrap();
    let over = compiled(&large, 2, 1 << 20).unwrap_err();
    let large = format!("{over}\n{}", over.remedy());
    let small = policy(vec![rule(0)]);
    let over = compiled(&small, 1, 1 << 20).unwrap_err();
    insta::assert_snapshot!(format!("{large}\n\n{over}\n{}", over.remedy()));
}
