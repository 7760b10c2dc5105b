//! Section 8.

use super::*;

fn from4(source: &str) -> Vec<u8> {
    ip4(&v4_between(source, SERVER, 6, &[], &tcp(40_000, 443)))
}

fn from6(source: &str) -> Vec<u8> {
    ip6(&v6_between(source, SERVER6, 6, 64, &tcp(40_000, 443)))
}

#[test]
fn addresses_that_are_never_a_source() {
    for source in [
        "127.0.0.0",
        "127.255.255.255",
        "224.0.0.0",
        "239.255.255.255",
        "0.0.0.0",
        "255.255.255.255",
    ] {
        assert_eq!(
            open().verdict(&from4(source)),
            "drop by drop:martian",
            "{source}"
        );
    }
    for source in [
        "126.255.255.255",
        "128.0.0.0",
        "223.255.255.255",
        "240.0.0.0",
        "0.0.0.1",
        "255.255.255.254",
    ] {
        assert_eq!(open().verdict(&from4(source)), "allow by all", "{source}");
    }
    for source in [
        "::1",
        "::",
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ] {
        assert_eq!(
            open().verdict(&from6(source)),
            "drop by drop:martian",
            "{source}"
        );
    }
    for source in ["::2", "feff::1", "::ffff:127.0.0.1"] {
        assert_eq!(open().verdict(&from6(source)), "allow by all", "{source}");
    }
}

#[test]
fn a_destination_may_be_what_a_source_may_not() {
    let frame = ip4(&v4_between(
        CLIENT,
        "255.255.255.255",
        17,
        &[],
        &udp(67, 68),
    ));
    assert_eq!(open().verdict(&frame), "allow by all");
}

#[test]
fn dhcp_has_no_address_yet() {
    let ask = |source, from, to| {
        ip4(&v4_between(
            source,
            "255.255.255.255",
            17,
            &[],
            &udp(from, to),
        ))
    };
    assert_eq!(open().verdict(&ask("0.0.0.0", 68, 67)), "allow by all");
    assert_eq!(
        open().verdict(&ask("0.0.0.0", 67, 68)),
        "drop by drop:martian"
    );
    assert_eq!(
        open().verdict(&ask("0.0.0.0", 68, 68)),
        "drop by drop:martian"
    );
    assert_eq!(
        open().verdict(&ask("127.0.0.1", 68, 67)),
        "drop by drop:martian"
    );
    let tcp_instead = ip4(&v4_between("0.0.0.0", SERVER, 6, &[], &tcp(68, 67)));
    assert_eq!(open().verdict(&tcp_instead), "drop by drop:martian");
}

#[test]
fn duplicate_address_detection_and_mld_have_no_address_yet() {
    let message = |kind, hop_limit| {
        ip6(&v6_between(
            "::",
            "ff02::1",
            58,
            hop_limit,
            &icmp(kind, 0, &[0; 16]),
        ))
    };
    assert_eq!(open().verdict(&message(135, 255)), "allow by nd");
    for report in [131, 132, 143] {
        assert_eq!(open().verdict(&message(report, 1)), "allow by mld");
        assert_eq!(open().verdict(&message(report, 64)), "allow by all");
    }
    for other in [130, 133, 134, 136, 137, 128] {
        assert_eq!(
            open().verdict(&message(other, 255)),
            "drop by drop:martian",
            "{other}"
        );
    }
    // Its address is told before its hop limit.
    assert_eq!(open().verdict(&message(133, 64)), "drop by drop:martian");
}

#[test]
fn land_is_dropped() {
    assert_eq!(open().verdict(&from4(SERVER)), "drop by drop:martian");
    assert_eq!(open().verdict(&from6(SERVER6)), "drop by drop:martian");
    let nobody = ip4(&v4_between("0.0.0.0", "0.0.0.0", 17, &[], &udp(68, 67)));
    assert_eq!(open().verdict(&nobody), "drop by drop:martian");
}

#[test]
fn protected_addresses_do_not_come_in_from_outside() {
    let protects = |role: &mut Interface| {
        role.protects = vec![
            "192.0.2.8/29".parse().unwrap(),
            "2001:db8::/64".parse().unwrap(),
        ];
    };
    let hook = open().with_role(protects);
    assert_eq!(hook.verdict(&from4("192.0.2.8")), "drop by drop:martian");
    assert_eq!(hook.verdict(&from4("192.0.2.15")), "drop by drop:martian");
    assert_eq!(hook.verdict(&from4("192.0.2.7")), "allow by all");
    assert_eq!(hook.verdict(&from4("192.0.2.16")), "allow by all");
    assert_eq!(hook.verdict(&from6("2001:db8::9")), "drop by drop:martian");

    let trusted = open()
        .with_role(protects)
        .with_role(|role| role.trust = Trust::Trusted);
    assert_eq!(trusted.verdict(&from4("192.0.2.8")), "allow by all");
    let outbound = Hook::outbound(&["all: allow"]).with_role(protects);
    assert_eq!(outbound.verdict(&from4("192.0.2.8")), "allow by all");
}
