//! Sections 10 and 12.

use super::*;

fn tcp4(from: &str, to: &str, ports: (u16, u16)) -> Vec<u8> {
    ip4(&v4_between(from, to, 6, &[], &tcp(ports.0, ports.1)))
}

fn https() -> Vec<u8> {
    tcp4(CLIENT, SERVER, (40_000, 443))
}

#[test]
fn the_first_match_decides() {
    let hook = Hook::inbound(&["not: drop tcp port 443", "all: allow tcp port 440-450"]);
    assert_eq!(hook.verdict(&https()), "drop by not");
    let hook = Hook::inbound(&["all: allow tcp port 440-450", "not: drop tcp port 443"]);
    assert_eq!(hook.verdict(&https()), "allow by all");
}

#[test]
fn rules_belong_to_their_hook() {
    let outbound_only = Hook::outbound(&["out: allow"]).policy;
    let model = Model::new(&outbound_only, EXTERNAL, Direction::Inbound, false).unwrap();
    assert_eq!(model.judge(&https()).counter.to_string(), "drop:default");
    let another_role = open().with(|policy| policy.rules[0].interface = "internal".to_owned());
    assert_eq!(another_role.verdict(&https()), "drop by drop:default");
}

#[test]
fn a_role_that_is_not_there_has_no_model() {
    assert!(Model::new(&open().policy, "internal", Direction::Inbound, false).is_none());
}

#[test]
fn the_default_decides_what_no_rule_matches() {
    let sip = Hook::inbound(&["sip: allow tcp port 5061"]);
    assert_eq!(sip.verdict(&https()), "drop by drop:default");
    let lax = sip.with(|policy| policy.default_action = Action::Allow);
    assert_eq!(lax.verdict(&https()), "allow by allow:default");
}

#[test]
fn a_drop_rule_of_an_audit_group_passes_and_ends_the_search() {
    let hook = Hook::inbound(&["not: drop audit tcp port 443", "all: drop"]);
    assert_eq!(hook.verdict(&https()), "allow by audit:not");
    let allows = Hook::inbound(&["https: allow audit tcp port 443"]);
    assert_eq!(allows.verdict(&https()), "allow by https");
    // The group says nothing about other drops.
    assert_eq!(hook.verdict(&https()[..20]), "drop by drop:malformed");
    assert_eq!(hook.verdict(&tcp4(CLIENT, SERVER, (1, 80))), "drop by all");
}

#[test]
fn under_audit_every_drop_passes_as_audit() {
    let audit = |rules: &[&str]| Hook::inbound(rules).with(|policy| policy.mode = Mode::Audit);
    assert_eq!(
        audit(&["not: drop"]).verdict(&https()),
        "allow by audit:not"
    );
    assert_eq!(audit(&["yes: allow"]).verdict(&https()), "allow by yes");
    assert_eq!(audit(&[]).verdict(&https()), "allow by audit:default");
    assert_eq!(
        audit(&[]).verdict(&https()[..20]),
        "allow by audit:malformed"
    );
    assert_eq!(
        audit(&[]).verdict(&ethernet(0x8847, &[])),
        "allow by audit:ethertype"
    );
    let lax = audit(&[]).with(|policy| policy.default_action = Action::Allow);
    assert_eq!(lax.verdict(&https()), "allow by allow:default");
}

#[test]
fn networks_hold_from_their_first_to_their_last_address() {
    let hook = Hook::inbound(&["in: allow from 198.51.100.4/30 to 192.0.2.10/32"]);
    for (source, verdict) in [
        ("198.51.100.3", "drop by drop:default"),
        ("198.51.100.4", "allow by in"),
        ("198.51.100.7", "allow by in"),
        ("198.51.100.8", "drop by drop:default"),
    ] {
        assert_eq!(
            hook.verdict(&tcp4(source, SERVER, (1, 2))),
            verdict,
            "{source}"
        );
    }
    assert_eq!(
        hook.verdict(&tcp4(CLIENT, "192.0.2.11", (1, 2))),
        "drop by drop:default"
    );
}

#[test]
fn any_of_several_networks_will_do_and_no_exception() {
    let hook = Hook::inbound(&[
        "in: allow from 198.51.100.0/24,203.0.113.0/24 except 198.51.100.7/32,203.0.113.128/25",
    ]);
    for (source, verdict) in [
        ("198.51.100.6", "allow by in"),
        ("198.51.100.7", "drop by drop:default"),
        ("203.0.113.127", "allow by in"),
        ("203.0.113.128", "drop by drop:default"),
    ] {
        assert_eq!(
            hook.verdict(&tcp4(source, SERVER, (1, 2))),
            verdict,
            "{source}"
        );
    }
}

#[test]
fn exceptions_hold_without_networks_too() {
    let hook = Hook::inbound(&["in: allow to except 192.0.2.10/32"]);
    assert_eq!(hook.verdict(&https()), "drop by drop:default");
    assert_eq!(
        hook.verdict(&tcp4(CLIENT, "192.0.2.11", (1, 2))),
        "allow by in"
    );
}

#[test]
fn families_do_not_mix() {
    let frame6 = ip6(&v6(6, &tcp(40_000, 443)));
    let all4 = Hook::inbound(&["in: allow from 0.0.0.0/0"]);
    assert_eq!(all4.verdict(&https()), "allow by in");
    assert_eq!(all4.verdict(&frame6), "drop by drop:default");
    let all6 = Hook::inbound(&["in: allow to ::/0"]);
    assert_eq!(all6.verdict(&frame6), "allow by in");
    assert_eq!(all6.verdict(&https()), "drop by drop:default");
    let mapped = ip6(&v6_between(
        "::ffff:198.51.100.7",
        SERVER6,
        6,
        64,
        &tcp(1, 2),
    ));
    assert_eq!(all4.verdict(&mapped), "drop by drop:default");
    let but4 = Hook::inbound(&["in: allow from except 0.0.0.0/0"]);
    assert_eq!(but4.verdict(&frame6), "allow by in");
}

#[test]
fn a_rule_without_protocols_matches_any() {
    for (protocol, payload) in [
        (6, tcp(1, 2)),
        (17, udp(1, 2)),
        (1, icmp(8, 0, &[])),
        (47, vec![]),
    ] {
        assert_eq!(
            open().verdict(&ip4(&v4(protocol, &payload))),
            "allow by all"
        );
    }
}

#[test]
fn any_of_several_protocols_will_do() {
    let hook = Hook::inbound(&["both: allow tcp,udp port 53,5060-5061"]);
    for (port, verdict) in [
        (52, "drop by drop:default"),
        (53, "allow by both"),
        (54, "drop by drop:default"),
        (5059, "drop by drop:default"),
        (5060, "allow by both"),
        (5061, "allow by both"),
        (5062, "drop by drop:default"),
    ] {
        assert_eq!(hook.verdict(&ip4(&v4(6, &tcp(1, port)))), verdict);
        assert_eq!(hook.verdict(&ip4(&v4(17, &udp(1, port)))), verdict);
        assert_eq!(
            hook.verdict(&ip4(&v4(132, &sctp(1, port)))),
            "drop by drop:default"
        );
    }
}

#[test]
fn each_protocol_has_its_own_ports() {
    let hook = Hook::inbound(&["dns: allow tcp,udp"]).with(|policy| {
        policy.rules[0].transports = vec![
            Transport {
                protocol: 6,
                ports: vec![443..=443],
            },
            Transport {
                protocol: 17,
                ports: vec![53..=53],
            },
            Transport {
                protocol: 1,
                ports: Ports::new(),
            },
        ];
    });
    assert_eq!(hook.verdict(&ip4(&v4(6, &tcp(1, 443)))), "allow by dns");
    assert_eq!(
        hook.verdict(&ip4(&v4(6, &tcp(1, 53)))),
        "drop by drop:default"
    );
    assert_eq!(hook.verdict(&ip4(&v4(17, &udp(1, 53)))), "allow by dns");
    assert_eq!(
        hook.verdict(&ip4(&v4(17, &udp(1, 443)))),
        "drop by drop:default"
    );
    assert_eq!(hook.verdict(&ip4(&v4(1, &icmp(8, 0, &[])))), "allow by dns");
}

#[test]
fn source_ports_need_a_protocol_that_has_ports() {
    let hook = Hook::inbound(&["from: allow from port 0,65535"]);
    assert_eq!(
        hook.verdict(&tcp4(CLIENT, SERVER, (0, 443))),
        "allow by from"
    );
    assert_eq!(
        hook.verdict(&tcp4(CLIENT, SERVER, (65_535, 443))),
        "allow by from"
    );
    assert_eq!(
        hook.verdict(&tcp4(CLIENT, SERVER, (1, 443))),
        "drop by drop:default"
    );
    assert_eq!(
        hook.verdict(&ip4(&v4(47, &udp(0, 0)))),
        "drop by drop:default"
    );
}

#[test]
fn a_rule_for_a_protocol_number_holds_under_both_families() {
    let hook = Hook::inbound(&["one: allow icmp"]);
    assert_eq!(hook.verdict(&ip4(&v4(1, &icmp(8, 0, &[])))), "allow by one");
    assert_eq!(hook.verdict(&ip6(&v6(1, &[0]))), "allow by one");
}

/// A hook that only tracks.
fn tracking(rules: &[&str]) -> Hook {
    Hook::outbound(rules).with_role(|role| role.outbound = Outbound::Track)
}

#[test]
fn a_tracking_hook_drops_nothing() {
    let hook = tracking(&["not: drop tcp port 443", "sip: allow tcp port 5061"]);
    assert_eq!(hook.verdict(&https()), "allow by allow:untracked");
    assert_eq!(
        hook.verdict(&tcp4(SERVER, CLIENT, (1, 5061))),
        "allow by sip"
    );
    assert_eq!(
        hook.verdict(&tcp4(SERVER, CLIENT, (1, 80))),
        "allow by allow:untracked"
    );
    assert_eq!(hook.verdict(&https()[..20]), "allow by allow:untracked");
    assert_eq!(hook.verdict(&message_from_a_neighbour()), "allow by nd");
}

fn message_from_a_neighbour() -> Vec<u8> {
    ip6(&v6_between(
        "fe80::1",
        "ff02::1",
        58,
        255,
        &icmp(135, 0, &[0; 16]),
    ))
}

#[test]
fn neither_audit_nor_the_default_matters_to_a_tracking_hook() {
    let audited = tracking(&["not: drop audit"]).with(|policy| policy.mode = Mode::Audit);
    assert_eq!(audited.verdict(&https()), "allow by allow:untracked");
    let lax = tracking(&[]).with(|policy| policy.default_action = Action::Allow);
    assert_eq!(lax.verdict(&https()), "allow by allow:untracked");
}

#[test]
fn the_inbound_side_of_a_tracking_role_still_drops() {
    let hook = Hook::inbound(&[]).with_role(|role| role.outbound = Outbound::Track);
    assert_eq!(hook.verdict(&https()), "drop by drop:default");
}
