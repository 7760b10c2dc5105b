use super::*;
use crate::compile::tests::{Dice, policy, rule};
use crate::policy::Action;
use crate::policy::Rule;

/// Networks from few roots, so that they nest, repeat and stand side by side.
fn network(dice: &mut Dice) -> IpNet {
    if dice.below(3) == 0 {
        let bits = 0x2001_0db8_u128 << 96 | (dice.wide() & 0x0300_0003_0000_0000_0000_0003);
        let length = u8::try_from(dice.below(129)).expect("a length");
        let whole = ipnet::Ipv6Net::new(bits.into(), length).expect("a length of IPv6");
        return whole.trunc().into();
    }
    let bits = 0x0a00_0000 | (dice.below(u32::MAX) & 0x0003_0103);
    let length = u8::try_from(dice.below(33)).expect("a length");
    let whole = ipnet::Ipv4Net::new(bits.into(), length).expect("a length of IPv4");
    whole.trunc().into()
}

fn endpoint(dice: &mut Dice) -> Endpoint {
    Endpoint {
        networks: (dice.below(4) != 0)
            .then(|| (0..=dice.below(3)).map(|_| network(dice)).collect()),
        except: (0..dice.below(3)).map(|_| network(dice)).collect(),
        ports: Vec::new(),
    }
}

/// The leaf of the most specific prefix that holds `bits`.
fn longest(leaves: &[Leaf], bits: u128) -> Entry {
    let holding = leaves
        .iter()
        .filter(|(prefix, _)| (prefix.bits ^ bits) & mask(prefix.length) == 0);
    let (_, leaf) = holding
        .max_by_key(|(prefix, _)| prefix.length)
        .expect("a root");
    *leaf
}

/// Whether one of `networks` holds the address, prefix by prefix.
fn any_holds(networks: &[IpNet], bits: u128, family: Family) -> bool {
    networks.iter().any(|network| match (network, family) {
        (IpNet::V4(net), Family::V4) => {
            let address = u32::try_from(bits >> 96).expect("the first 32 bits");
            net.contains(&std::net::Ipv4Addr::from(address))
        }
        (IpNet::V6(net), Family::V6) => net.contains(&std::net::Ipv6Addr::from(bits)),
        _ => false,
    })
}

fn assert_exact(rules: &[Rule], marks: &Marks, side: Side, family: Family) {
    let borrowed: Vec<&Rule> = rules.iter().collect();
    let patterns = Patterns::of(&borrowed);
    let mut classes = Classes::new(patterns.every());
    let leaves = leaves(&patterns, marks, side, family, &mut classes);
    assert_eq!(leaves[0].0, Prefix::ALL);
    assert!(leaves.is_sorted_by(|(one, _), (next, _)| one < next));
    let width = if family == Family::V4 { 32 } else { 128 };
    let one = 1_u128 << (128 - width);
    let named = changes(&patterns, marks, side, family);
    for prefix in named.keys() {
        let last = prefix.bits | (!mask(prefix.length) & mask(width));
        for bits in [
            prefix.bits,
            last,
            prefix.bits.wrapping_sub(one),
            last.wrapping_add(one),
        ] {
            let bits = bits & mask(width);
            let leaf = longest(&leaves, bits);
            let words = classes.sets()[leaf.class() as usize / classes.stride()].words();
            for (number, rule) in rules.iter().enumerate() {
                let end = if side == Side::Source {
                    &rule.from
                } else {
                    &rule.to
                };
                let included = end
                    .networks
                    .as_ref()
                    .is_none_or(|networks| any_holds(networks, bits, family));
                let expected = included && !any_holds(&end.except, bits, family);
                let found = words[number / 64] >> (number % 64) & 1 != 0;
                assert_eq!(found, expected, "{bits:032x}, {end:?}");
            }
            for flag in [Entry::PROTECTED, Entry::ROUTER] {
                let marked: Vec<IpNet> = marks
                    .iter()
                    .filter(|(_, mark)| *mark == flag)
                    .map(|(network, _)| *network)
                    .collect();
                assert_eq!(
                    leaf.has(flag),
                    any_holds(&marked, bits, family),
                    "{bits:032x}"
                );
            }
        }
    }
}

#[test]
fn random_networks_and_exceptions_are_as_a_naive_check_has_them() {
    let mut dice = Dice::new(19);
    for count in [0, 1, 5, 63, 64, 65, 130] {
        for _ in 0..6 {
            let rules: Vec<Rule> = (0..count)
                .map(|number| Rule {
                    from: endpoint(&mut dice),
                    to: endpoint(&mut dice),
                    ..rule(number)
                })
                .collect();
            let marks: Marks = (0..dice.below(4))
                .map(|_| {
                    let flag = [Entry::PROTECTED, Entry::ROUTER][dice.below(2) as usize];
                    (network(&mut dice), flag)
                })
                .collect();
            for family in [Family::V4, Family::V6] {
                for side in [Side::Source, Side::Destination] {
                    assert_exact(&rules, &marks, side, family);
                }
            }
        }
    }
}

fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn regions(to: &[&str], except: &[&str]) -> usize {
    let mut rule = rule(0);
    rule.to.networks = Some(networks(to));
    rule.to.except = networks(except);
    assert_exact(
        &[rule.clone()],
        &Marks::new(),
        Side::Destination,
        Family::V4,
    );
    let patterns = Patterns::of(&[&rule]);
    let mut classes = Classes::new(patterns.every());
    leaves(
        &patterns,
        &Marks::new(),
        Side::Destination,
        Family::V4,
        &mut classes,
    )
    .len()
}

#[test]
fn a_prefix_that_changes_nothing_is_left_out() {
    assert_eq!(regions(&["10.0.0.0/8"], &[]), 2);
    assert_eq!(regions(&["10.0.0.0/8", "10.1.0.0/16"], &[]), 2);
    assert_eq!(regions(&["0.0.0.0/0", "10.0.0.0/8"], &[]), 1);
    assert_eq!(
        regions(&["10.0.0.0/9", "10.128.0.0/9"], &[]),
        3,
        "side by side"
    );
    assert_eq!(regions(&["10.0.0.0/8"], &["10.0.0.0/8"]), 1);
    assert_eq!(regions(&["10.0.0.0/8"], &["10.1.0.0/16"]), 3);
    assert_eq!(regions(&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16"]), 3);
    assert_eq!(
        regions(&["10.0.0.0/8"], &["11.0.0.0/8", "2001:db8::/32"]),
        2
    );
    assert_eq!(regions(&["2001:db8::/32"], &[]), 1, "of the other family");
}

#[test]
fn sources_are_marked_where_the_policy_says_so() {
    let mut policy = policy(Vec::new());
    policy.interfaces[0].protects = networks(&["192.0.2.10/32"]);
    policy.essentials.router_advertisements = networks(&["fe80::1/128"]);
    policy.default_action = Action::Allow;
    let marked = |trust, direction, side| {
        let interface = Interface {
            trust,
            ..policy.interfaces[0].clone()
        };
        let marks = marks(&policy, &interface, direction, side);
        marks.iter().fold(0, |flags, (_, flag)| flags | flag)
    };
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    let both = Entry::PROTECTED | Entry::ROUTER;
    assert_eq!(marked(Trust::Untrusted, inbound, Side::Source), both);
    assert_eq!(marked(Trust::Trusted, inbound, Side::Source), Entry::ROUTER);
    assert_eq!(
        marked(Trust::Untrusted, outbound, Side::Source),
        Entry::ROUTER
    );
    assert_eq!(marked(Trust::Untrusted, inbound, Side::Destination), 0);
}
