//! Section 7, by way of section 9.3.

use super::*;

/// Whoever may open HTTPS to the server is also told of what comes back.
fn https() -> Hook {
    Hook::inbound(&[
        "https: allow tcp to 192.0.2.0/24,2001:db8::/64 port 443",
        "icmp: drop icmp,icmpv6",
    ])
}

fn error4(kind: u8, quoted: &[u8]) -> Vec<u8> {
    ip4(&v4_between(
        "203.0.113.1",
        SERVER,
        1,
        &[],
        &icmp(kind, 0, quoted),
    ))
}

fn error6(kind: u8, quoted: &[u8]) -> Vec<u8> {
    ip6(&v6_between(
        "2001:db8:1::1",
        SERVER6,
        58,
        64,
        &icmp(kind, 0, quoted),
    ))
}

/// What the server sent to the client, from port 443.
fn sent4() -> Vec<u8> {
    v4_between(SERVER, CLIENT, 6, &[], &tcp(443, 40_000))
}

fn sent6() -> Vec<u8> {
    v6_between(SERVER6, CLIENT6, 6, 64, &tcp(443, 40_000))
}

#[test]
fn errors_of_every_kind_mirror_what_they_quote() {
    for kind in [3, 11, 12] {
        assert_eq!(
            https().verdict(&error4(kind, &sent4())),
            "allow by icmp-error"
        );
    }
    for kind in [1, 2, 3, 4] {
        assert_eq!(
            https().verdict(&error6(kind, &sent6())),
            "allow by icmp-error"
        );
    }
    for kind in [0, 4, 5, 13] {
        assert_eq!(https().verdict(&error4(kind, &sent4())), "drop by icmp");
    }
    assert_eq!(https().verdict(&error6(5, &sent6())), "drop by icmp");
}

#[test]
fn an_ipv4_quote_needs_its_header_and_8_bytes() {
    assert_eq!(
        https().verdict(&error4(3, &sent4()[..28])),
        "allow by icmp-error"
    );
    for cut in [0, 19, 27] {
        let frame = error4(3, &sent4()[..cut]);
        assert_eq!(https().verdict(&frame), "drop by drop:malformed", "{cut}");
    }
    let with_options = v4_between(SERVER, CLIENT, 6, &[131, 4, 4, 0], &tcp(443, 40_000));
    assert_eq!(
        https().verdict(&error4(3, &with_options[..32])),
        "allow by icmp-error"
    );
    assert_eq!(
        https().verdict(&error4(3, &with_options[..31])),
        "drop by drop:malformed"
    );
}

#[test]
fn a_quote_has_its_version_and_its_words() {
    for first in [0x65, 0x44] {
        let frame = error4(3, &patched(sent4(), 0, &[first]));
        assert_eq!(https().verdict(&frame), "drop by drop:malformed");
    }
    let frame = error6(1, &patched(sent6(), 0, &[0x40]));
    assert_eq!(https().verdict(&frame), "drop by drop:malformed");
}

#[test]
fn a_quoted_fragment_mirrors_nothing() {
    for word in [[0x20, 0], [0, 1]] {
        assert_eq!(
            https().verdict(&error4(3, &patched(sent4(), 6, &word))),
            "drop by icmp"
        );
    }
    // It is cut before it is a fragment.
    let cut = patched(sent4()[..27].to_vec(), 6, &[0x20, 0]);
    assert_eq!(https().verdict(&error4(3, &cut)), "drop by drop:malformed");
    let fragmented = v6_between(SERVER6, CLIENT6, 44, 64, &fragment(6, 1, &tcp(443, 40_000)));
    assert_eq!(https().verdict(&error6(1, &fragmented)), "drop by icmp");
}

#[test]
fn an_ipv6_quote_needs_its_headers_and_8_bytes() {
    assert_eq!(
        https().verdict(&error6(1, &sent6()[..48])),
        "allow by icmp-error"
    );
    for cut in [0, 39, 47] {
        let frame = error6(1, &sent6()[..cut]);
        assert_eq!(https().verdict(&frame), "drop by drop:malformed", "{cut}");
    }
    let extended = v6_between(SERVER6, CLIENT6, 60, 64, &extension(6, &tcp(443, 40_000)));
    assert_eq!(
        https().verdict(&error6(1, &extended[..56])),
        "allow by icmp-error"
    );
    for cut in [47, 55] {
        assert_eq!(
            https().verdict(&error6(1, &extended[..cut])),
            "drop by drop:malformed"
        );
    }
}

#[test]
fn a_quoted_ipv6_packet_with_any_other_fault_mirrors_nothing() {
    let segment = tcp(443, 40_000);
    let routing_0 = patched(extension(6, &segment), 2, &[0]);
    for (next, payload) in [
        (59, segment.clone()),
        (43, routing_0),
        (60, extension(0, &extension(6, &segment))),
        // Nothing behind the fault is needed.
        (59, Vec::new()),
    ] {
        let quoted = v6_between(SERVER6, CLIENT6, next, 64, &payload);
        assert_eq!(https().verdict(&error6(1, &quoted)), "drop by icmp");
    }
}

#[test]
fn a_quoted_ipv6_packet_with_two_fragment_headers_is_malformed() {
    let twice = fragment(44, 0, &fragment(6, 0, &tcp(443, 40_000)));
    let quoted = v6_between(SERVER6, CLIENT6, 44, 64, &twice);
    assert_eq!(
        https().verdict(&error6(1, &quoted)),
        "drop by drop:malformed"
    );
}

#[test]
fn the_quoted_lengths_are_not_read() {
    assert_eq!(
        https().verdict(&error4(3, &patched(sent4(), 2, &[0xff, 0xff]))),
        "allow by icmp-error"
    );
    assert_eq!(
        https().verdict(&error6(1, &patched(sent6(), 4, &[0, 0]))),
        "allow by icmp-error"
    );
}

#[test]
fn the_quote_ends_with_the_packet_and_not_with_the_frame() {
    let padded = [error4(3, &sent4()[..27]), vec![0; 32]].concat();
    assert_eq!(https().verdict(&padded), "drop by drop:malformed");
}

#[test]
fn only_what_the_receiver_sent_is_mirrored() {
    let another = v4_between("192.0.2.11", CLIENT, 6, &[], &tcp(443, 40_000));
    assert_eq!(https().verdict(&error4(3, &another)), "drop by icmp");
    let another = v6_between("2001:db8::11", CLIENT6, 6, 64, &tcp(443, 40_000));
    assert_eq!(https().verdict(&error6(1, &another)), "drop by icmp");
}

#[test]
fn the_mirror_has_addresses_ports_and_protocol_the_other_way_round() {
    let hook = |rule: &str| Hook::inbound(&[rule, "icmp: drop icmp"]);
    for mirror in [
        "mirror: allow tcp from 198.51.100.7/32 port 40000 to 192.0.2.10/32 port 443",
        "mirror: allow tcp from port 40000",
    ] {
        assert_eq!(
            hook(mirror).verdict(&error4(3, &sent4())),
            "allow by icmp-error",
            "{mirror}"
        );
    }
    for other in [
        "other: allow tcp from 192.0.2.10/32 to 198.51.100.7/32",
        "other: allow tcp port 40000",
        "other: allow tcp from port 443",
        "other: allow udp port 443",
    ] {
        assert_eq!(
            hook(other).verdict(&error4(3, &sent4())),
            "drop by icmp",
            "{other}"
        );
    }
}

#[test]
fn a_quote_without_ports_mirrors_one_without_ports() {
    let gre = v4_between(SERVER, CLIENT, 47, &[], &[0; 8]);
    let hook = Hook::inbound(&["gre: allow 47", "icmp: drop icmp"]);
    assert_eq!(hook.verdict(&error4(3, &gre)), "allow by icmp-error");
    let ported = Hook::inbound(&["ported: allow from port 0-65535", "icmp: drop icmp"]);
    assert_eq!(ported.verdict(&error4(3, &gre)), "drop by icmp");
}

#[test]
fn a_cut_quote_is_malformed_under_any_setting() {
    let frame = error4(3, &sent4()[..27]);
    assert_eq!(
        without_essentials().verdict(&frame),
        "drop by drop:malformed"
    );
}
