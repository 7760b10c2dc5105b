//! Section 6.

use super::*;

/// Both families, for checks that are the same under both.
fn both(protocol: u8, payload: &[u8]) -> [Vec<u8>; 2] {
    [ip4(&v4(protocol, payload)), ip6(&v6(protocol, payload))]
}

fn assert_both(protocol: u8, payload: &[u8], verdict: &str) {
    for frame in both(protocol, payload) {
        assert_eq!(open().verdict(&frame), verdict, "{payload:02x?}");
    }
}

#[test]
fn tcp_needs_20_bytes_and_its_data_offset() {
    let header = tcp(40_000, 443);
    assert_both(6, &header, "allow by all");
    assert_both(6, &header[..19], "drop by drop:malformed");
    assert_both(
        6,
        &patched(header.clone(), 12, &[0x40]),
        "drop by drop:malformed",
    );
    assert_both(
        6,
        &patched(header.clone(), 12, &[0x60]),
        "drop by drop:malformed",
    );
    let with_option = [patched(header, 12, &[0x60]), vec![2, 4, 5, 0xb4]].concat();
    assert_both(6, &with_option, "allow by all");
}

#[test]
fn tcp_flags_that_no_tcp_sends() {
    // URG, ACK, PSH, RST, SYN, FIN from the top of the low six.
    for flags in [0, 0x03, 0x13, 0x06, 0x16, 0x01, 0x29, 0x3f, 0xc0] {
        assert_both(6, &tcp_flagged(1, 2, flags), "drop by drop:tcp-flags");
    }
    for flags in [
        0x02,
        0x12,
        0x10,
        0x11,
        0x18,
        0x04,
        0x14,
        0x31,
        0x08,
        0x20,
        0x05 | 0x10,
    ] {
        assert_both(6, &tcp_flagged(1, 2, flags), "allow by all");
    }
}

#[test]
fn ecn_bits_never_count() {
    assert_both(6, &tcp_flagged(1, 2, 0xc2), "allow by all");
    assert_both(6, &tcp_flagged(1, 2, 0x52), "allow by all");
}

#[test]
fn the_data_offset_is_judged_before_the_flags() {
    let both_wrong = patched(tcp_flagged(1, 2, 0), 12, &[0x40]);
    assert_both(6, &both_wrong, "drop by drop:malformed");
}

#[test]
fn udp_needs_8_bytes_and_its_length() {
    let datagram = udp(40_000, 3478);
    assert_both(17, &datagram, "allow by all");
    assert_both(17, &datagram[..7], "drop by drop:malformed");
    for (length, verdict) in [
        (0, "drop by drop:malformed"),
        (7, "drop by drop:malformed"),
        (8, "allow by all"),
        (12, "allow by all"),
        (13, "drop by drop:malformed"),
    ] {
        assert_both(17, &patched(datagram.clone(), 4, &[0, length]), verdict);
    }
}

#[test]
fn sctp_needs_12_bytes() {
    assert_both(132, &sctp(40_000, 5061), "allow by all");
    assert_both(132, &sctp(40_000, 5061)[..11], "drop by drop:malformed");
}

#[test]
fn icmp_needs_8_bytes_under_its_own_family() {
    assert_eq!(
        open().verdict(&ip4(&v4(1, &icmp(8, 0, &[])))),
        "allow by all"
    );
    assert_eq!(
        open().verdict(&ip4(&v4(1, &icmp(8, 0, &[])[..7]))),
        "drop by drop:malformed"
    );
    assert_eq!(
        open().verdict(&ip6(&v6(58, &icmp(128, 0, &[])))),
        "allow by all"
    );
    assert_eq!(
        open().verdict(&ip6(&v6(58, &icmp(128, 0, &[])[..7]))),
        "drop by drop:malformed"
    );
}

#[test]
fn icmp_under_the_other_family_is_a_plain_protocol() {
    // Three bytes, where a message would need eight; an error, which would
    // need a quote.
    assert_eq!(open().verdict(&ip6(&v6(1, &[3, 1, 0]))), "allow by all");
    assert_eq!(open().verdict(&ip4(&v4(58, &[1, 0, 0]))), "allow by all");
    let ping = open().with(|policy| policy.essentials.ping = Action::Allow);
    assert_eq!(
        ping.verdict(&ip4(&v4(58, &icmp(128, 0, &[])))),
        "allow by all"
    );
    assert_eq!(ping.verdict(&ip6(&v6(1, &icmp(8, 0, &[])))), "allow by all");
}

#[test]
fn other_protocols_have_no_checks_and_no_ports() {
    for protocol in [2, 4, 41, 47, 50, 136, 255] {
        assert_both(protocol, &[0; 1], "allow by all");
    }
    let from_a_port = Hook::inbound(&["low: allow from port 0-65535", "rest: allow"]);
    for frame in both(47, &udp(1, 2)) {
        assert_eq!(from_a_port.verdict(&frame), "allow by rest");
    }
    for (protocol, payload) in [(6, tcp(1, 2)), (17, udp(1, 2)), (132, sctp(1, 2))] {
        for frame in both(protocol, &payload) {
            assert_eq!(from_a_port.verdict(&frame), "allow by low");
        }
    }
}
