//! What a set says as a policy.

use edge_filter::policy::{Action, Direction, Endpoint, Outbound, Rule, Transport};
use edge_filter_tests::classbench::{Actions, Flavour, Form, ROLE, Recipe, Set, generate, parse};
use edge_filter_tests::generate::seeded;

use crate::real;

fn set(lines: &str) -> Set {
    Set {
        name: "by \"hand\"".to_owned(),
        filters: parse("by-hand.rules", lines).expect("filters"),
    }
}

fn endpoint(network: &str, ports: &[std::ops::RangeInclusive<u16>]) -> Endpoint {
    Endpoint {
        networks: Some(vec![network.parse().expect("a network")]),
        except: Vec::new(),
        ports: ports.to_vec(),
    }
}

fn transport(protocol: u8, ports: &[std::ops::RangeInclusive<u16>]) -> Transport {
    Transport {
        protocol,
        ports: ports.to_vec(),
    }
}

/// What is asked of ports where the protocol is any, some, or one without.
#[test]
fn every_filter_means_what_it_says() {
    let set = set(
        "@192.0.2.0/24 198.51.100.7/32 0 : 65535 0 : 65535 0x06/0xFF\n\
         @192.0.2.0/24 198.51.100.7/32 53 : 53 1024 : 65535 0x11/0xFF\n\
         @192.0.2.0/24 198.51.100.7/32 0 : 65535 0 : 65535 0x00/0x00\n\
         @192.0.2.0/24 198.51.100.7/32 0 : 65535 80 : 81 0x00/0x00\n\
         @192.0.2.0/24 198.51.100.7/32 1 : 9 0 : 65535 0x00/0x00\n\
         @0.0.0.0/0 198.51.100.7/32 0 : 65535 0 : 65535 0x2f/0xFF\n\
         @::/0 2001:db8::7/128 7 : 7 80 : 80 0x00/0x00\n",
    );
    let policy = set.policy(Form::default()).expect("a policy");
    assert_eq!(policy.name, "by \"hand\"");
    assert_eq!(policy.default_action, Action::Drop);
    let says = |rule: &Rule| (rule.from.clone(), rule.to.clone(), rule.transports.clone());
    let (from, to) = ("192.0.2.0/24", endpoint("198.51.100.7/32", &[]));
    let with_ports = |ports: &[std::ops::RangeInclusive<u16>]| {
        [6, 17, 132]
            .map(|protocol| transport(protocol, ports))
            .to_vec()
    };
    let expected = [
        (endpoint(from, &[]), to.clone(), vec![transport(6, &[])]),
        (
            endpoint(from, &[53..=53]),
            to.clone(),
            vec![transport(17, &[1024..=65535])],
        ),
        (endpoint(from, &[]), to.clone(), Vec::new()),
        (endpoint(from, &[]), to.clone(), with_ports(&[80..=81])),
        (endpoint(from, &[1..=9]), to.clone(), with_ports(&[])),
        (endpoint("0.0.0.0/0", &[]), to, vec![transport(47, &[])]),
        (
            endpoint("::/0", &[7..=7]),
            endpoint("2001:db8::7/128", &[]),
            with_ports(&[80..=80]),
        ),
    ];
    let said: Vec<_> = policy.rules.iter().map(says).collect();
    assert_eq!(said, expected);
    for (rule, number) in policy.rules.iter().zip(1..) {
        assert_eq!(rule.id, format!("r{number}"));
        assert_eq!(rule.interface, ROLE);
        let action = if number % 2 == 1 {
            Action::Allow
        } else {
            Action::Drop
        };
        assert_eq!(rule.action, action, "{}", rule.id);
    }
}

#[test]
fn rules_stand_where_they_are_wanted_and_do_what_is_asked() {
    let recipe = Recipe {
        flavour: Flavour::Firewall,
        filters: 20,
        v6_percent: 0,
    };
    let set = generate(&mut seeded(1), &recipe);
    for direction in [Direction::Inbound, Direction::Outbound] {
        for action in [Action::Allow, Action::Drop] {
            let form = Form {
                direction,
                actions: Actions::All(action),
            };
            let policy = set.policy(form).expect("a policy");
            assert_eq!(policy.rules_of(ROLE, direction).count(), 20);
            assert!(policy.rules.iter().all(|rule| rule.action == action));
            let outbound = match direction {
                Direction::Inbound => Outbound::Ignore,
                Direction::Outbound => Outbound::Enforce,
            };
            assert_eq!(policy.interfaces[0].outbound, outbound);
        }
    }
}

#[test]
fn the_reader_has_the_last_word() {
    let mut set = set("@192.0.2.0/24 198.51.100.7/32 0 : 65535 0 : 65535 0x06/0xFF");
    set.name = "n".repeat(65);
    let error = set
        .policy(Form::default())
        .expect_err("the name is too long");
    assert!(format!("{error:#}").contains("64"), "{error:#}");
}

#[test]
fn the_sets_of_classbench_are_policies() {
    for set in real::sets("the test of policies") {
        let policy = set.policy(Form::default());
        let policy = policy.unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(policy.rules.len(), set.filters.len(), "{}", set.name);
    }
}
