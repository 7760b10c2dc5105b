//! Section 9.

use super::*;

fn message6(from: &str, kind: u8, code: u8, hop_limit: u8) -> Vec<u8> {
    ip6(&v6_between(
        from,
        "ff02::1",
        58,
        hop_limit,
        &icmp(kind, code, &[0; 16]),
    ))
}

const ROUTER: &str = "fe80::1";

/// Router advertisements are taken from the router.
fn with_router(hook: Hook) -> Hook {
    hook.with(|policy| {
        policy.essentials.router_advertisements = vec!["fe80::1/128".parse().unwrap()];
    })
}

#[test]
fn neighbour_discovery_has_hop_limit_255_and_code_0() {
    for kind in [133, 135, 136] {
        assert_eq!(
            open().verdict(&message6(ROUTER, kind, 0, 255)),
            "allow by nd"
        );
        for hook in [open(), without_essentials()] {
            let wrong = "drop by drop:essentials";
            assert_eq!(hook.verdict(&message6(ROUTER, kind, 0, 254)), wrong);
            assert_eq!(hook.verdict(&message6(ROUTER, kind, 1, 255)), wrong);
        }
    }
    for other in [138, 128] {
        assert_eq!(
            open().verdict(&message6(ROUTER, other, 0, 254)),
            "allow by all"
        );
    }
}

#[test]
fn neighbour_discovery_that_is_not_essential_meets_the_rules() {
    assert_eq!(
        without_essentials().verdict(&message6(ROUTER, 135, 0, 255)),
        "allow by all"
    );
    let nothing = without_essentials().with(|policy| policy.rules.clear());
    assert_eq!(
        nothing.verdict(&message6(ROUTER, 135, 0, 255)),
        "drop by drop:default"
    );
}

#[test]
fn routers_are_listed() {
    for kind in [134, 137] {
        let said = message6(ROUTER, kind, 0, 255);
        assert_eq!(open().verdict(&said), "drop by drop:essentials");
        assert_eq!(
            without_essentials().verdict(&said),
            "drop by drop:essentials"
        );
        assert_eq!(with_router(open()).verdict(&said), "allow by nd");
        assert_eq!(
            with_router(without_essentials()).verdict(&said),
            "allow by all"
        );
        let another = message6("fe80::2", kind, 0, 255);
        assert_eq!(
            with_router(open()).verdict(&another),
            "drop by drop:essentials"
        );
    }
}

#[test]
fn mld_has_hop_limit_1() {
    for kind in [130, 131, 132, 143] {
        assert_eq!(
            open().verdict(&message6(ROUTER, kind, 0, 1)),
            "allow by mld"
        );
        assert_eq!(
            open().verdict(&message6(ROUTER, kind, 0, 2)),
            "allow by all"
        );
        assert_eq!(
            without_essentials().verdict(&message6(ROUTER, kind, 0, 1)),
            "allow by all"
        );
    }
    assert_eq!(open().verdict(&message6(ROUTER, 142, 0, 1)), "allow by all");
}

/// An error about a segment that the server sent from port 443.
fn unreachable() -> Vec<u8> {
    let quoted = v4_between(SERVER, CLIENT, 6, &[], &tcp(443, 40_000));
    ip4(&v4_between(
        "203.0.113.1",
        SERVER,
        1,
        &[],
        &icmp(3, 1, &quoted),
    ))
}

#[test]
fn an_error_passes_if_the_first_rule_for_its_mirror_allows_it() {
    let allowed = Hook::inbound(&["https: allow tcp port 443"]);
    assert_eq!(allowed.verdict(&unreachable()), "allow by icmp-error");
    let dropped = Hook::inbound(&["not: drop tcp port 443", "https: allow tcp port 443"]);
    assert_eq!(dropped.verdict(&unreachable()), "drop by drop:default");
    let audited = Hook::inbound(&["not: drop audit tcp port 443"]);
    assert_eq!(audited.verdict(&unreachable()), "drop by drop:default");
    let elsewhere = Hook::inbound(&["sip: allow tcp port 5061"]);
    assert_eq!(elsewhere.verdict(&unreachable()), "drop by drop:default");
}

#[test]
fn the_default_allows_no_error() {
    let lax = Hook::inbound(&[]).with(|policy| policy.default_action = Action::Allow);
    assert_eq!(lax.verdict(&unreachable()), "allow by allow:default");
}

#[test]
fn errors_that_are_not_essential_meet_the_rules() {
    let hook = Hook::inbound(&["https: allow tcp port 443", "icmp: allow icmp"])
        .with(|policy| policy.essentials.icmp_errors = Action::Drop);
    assert_eq!(hook.verdict(&unreachable()), "allow by icmp");
}

#[test]
fn ping_is_a_request_in_and_a_reply_out() {
    let frames = |v4_kind, v6_kind| {
        [
            ip4(&v4(1, &icmp(v4_kind, 0, &[]))),
            ip6(&v6(58, &icmp(v6_kind, 0, &[]))),
        ]
    };
    for frame in frames(8, 128) {
        let ping = |hook: Hook| {
            hook.with(|policy| policy.essentials.ping = Action::Allow)
                .verdict(&frame)
        };
        assert_eq!(ping(open()), "allow by ping");
        assert_eq!(ping(Hook::outbound(&["all: allow"])), "allow by all");
        assert_eq!(open().verdict(&frame), "allow by all");
    }
    for frame in frames(0, 129) {
        let ping = |hook: Hook| {
            hook.with(|policy| policy.essentials.ping = Action::Allow)
                .verdict(&frame)
        };
        assert_eq!(ping(open()), "allow by all");
        assert_eq!(ping(Hook::outbound(&["all: allow"])), "allow by ping");
    }
}

#[test]
fn a_dhcp_client_asks_and_is_answered() {
    let frames = |v4_ports: (u16, u16), v6_ports: (u16, u16)| {
        [
            ip4(&v4(17, &udp(v4_ports.0, v4_ports.1))),
            ip6(&v6(17, &udp(v6_ports.0, v6_ports.1))),
        ]
    };
    let client = |hook: Hook| hook.with(|policy| policy.essentials.dhcp_client = Action::Allow);
    let (inbound, outbound) = (client(open()), client(Hook::outbound(&["all: allow"])));
    for answer in frames((67, 68), (547, 546)) {
        assert_eq!(inbound.verdict(&answer), "allow by dhcp-client");
        assert_eq!(outbound.verdict(&answer), "allow by all");
        assert_eq!(open().verdict(&answer), "allow by all");
    }
    for question in frames((68, 67), (546, 547)) {
        assert_eq!(inbound.verdict(&question), "allow by all");
        assert_eq!(outbound.verdict(&question), "allow by dhcp-client");
    }
    for mixed_up in frames((547, 546), (67, 68)) {
        assert_eq!(inbound.verdict(&mixed_up), "allow by all");
    }
}
