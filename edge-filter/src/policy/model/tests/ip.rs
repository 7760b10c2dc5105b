//! Sections 3 to 5.

use super::*;

const IP: usize = 14;

fn syn4() -> Vec<u8> {
    ip4(&v4(6, &tcp(40_000, 443)))
}

fn syn6() -> Vec<u8> {
    ip6(&v6(6, &tcp(40_000, 443)))
}

/// A super-packet: more than 65,535 bytes from the header's start, length 0.
fn super4(packet_length: usize) -> Vec<u8> {
    let mut frame = patched(syn4(), IP + 2, &[0, 0]);
    frame.resize(IP + packet_length, 0);
    frame
}

fn super6(payload_length: usize) -> Vec<u8> {
    let mut frame = patched(syn6(), IP + 4, &[0, 0]);
    frame.resize(IP + 40 + payload_length, 0);
    frame
}

fn with_options(options: &[u8]) -> Vec<u8> {
    ip4(&v4_between(CLIENT, SERVER, 6, options, &tcp(40_000, 443)))
}

#[test]
fn a_length_of_0_stands_for_the_frame_only_behind_offload_and_only_past_65535() {
    for (frame, verdict) in [
        (super4(65_535), "drop by drop:malformed"),
        (super4(65_536), "allow by all"),
        (super6(65_535), "drop by drop:malformed"),
        (super6(65_536), "allow by all"),
    ] {
        assert_eq!(open().behind_offload().verdict(&frame), verdict);
        assert_eq!(open().verdict(&frame), "drop by drop:malformed");
    }
}

#[test]
fn a_length_that_is_there_is_read_behind_offload_too() {
    let mut padded = syn4();
    padded.resize(70_000, 0);
    let short_tcp = patched(padded, IP + 2, &[0, 39]);
    assert_eq!(
        open().behind_offload().verdict(&short_tcp),
        "drop by drop:malformed"
    );
}

#[test]
fn ipv4_needs_20_bytes_version_4_and_5_words() {
    assert_eq!(open().verdict(&syn4()), "allow by all");
    assert_eq!(open().verdict(&syn4()[..IP + 19]), "drop by drop:malformed");
    for first in [0x35, 0x55, 0x65, 0x44, 0x40] {
        assert_eq!(
            open().verdict(&patched(syn4(), IP, &[first])),
            "drop by drop:malformed"
        );
    }
}

#[test]
fn the_ipv4_header_needs_all_its_words() {
    let frame = with_options(&[1; 40]);
    assert_eq!(open().verdict(&frame), "allow by all");
    assert_eq!(open().verdict(&frame[..IP + 59]), "drop by drop:malformed");
}

#[test]
fn total_length_lies_between_the_header_and_the_frame() {
    let length = |total: u16| patched(syn4(), IP + 2, &total.to_be_bytes());
    assert_eq!(open().verdict(&length(19)), "drop by drop:malformed");
    assert_eq!(open().verdict(&length(41)), "drop by drop:malformed");
    assert_eq!(open().verdict(&length(40)), "allow by all");
    // A header and nothing else is a packet of a protocol without checks.
    let bare = ip4(&v4(47, &[]));
    assert_eq!(open().verdict(&bare), "allow by all");
}

#[test]
fn the_packet_ends_where_total_length_says() {
    let padded = [syn4(), vec![0; 6]].concat();
    assert_eq!(open().verdict(&padded), "allow by all");
    // The frame holds a whole TCP header, the packet does not.
    let cut = patched(padded, IP + 2, &[0, 39]);
    assert_eq!(open().verdict(&cut), "drop by drop:malformed");
}

#[test]
fn every_ipv4_fragment_is_dropped() {
    for word in [0x2000_u16, 0x0001, 0x1fff, 0x2001] {
        let frame = patched(syn4(), IP + 6, &word.to_be_bytes());
        assert_eq!(
            open().verdict(&frame),
            "drop by drop:fragment",
            "{word:#06x}"
        );
    }
    for unfragmented in [0x4000_u16, 0x8000] {
        let frame = patched(syn4(), IP + 6, &unfragmented.to_be_bytes());
        assert_eq!(open().verdict(&frame), "allow by all");
    }
}

#[test]
fn a_fragment_is_told_before_its_options() {
    let frame = patched(with_options(&[131, 4, 4, 0]), IP + 6, &[0x20, 0]);
    assert_eq!(open().verdict(&frame), "drop by drop:fragment");
}

#[test]
fn source_routes_are_dropped() {
    assert_eq!(
        open().verdict(&with_options(&[131, 4, 4, 0])),
        "drop by drop:options"
    );
    assert_eq!(
        open().verdict(&with_options(&[1, 137, 3, 4])),
        "drop by drop:options"
    );
}

#[test]
fn other_options_pass_and_the_payload_begins_behind_them() {
    // Router alert (RFC 2113), record route, no operation.
    for options in [[148, 4, 0, 0], [7, 3, 4, 0], [1, 1, 1, 1]] {
        assert_eq!(open().verdict(&with_options(&options)), "allow by all");
    }
    let https = Hook::inbound(&["https: allow tcp port 443"]);
    assert_eq!(
        https.verdict(&with_options(&[148, 4, 0, 0])),
        "allow by https"
    );
}

#[test]
fn an_option_s_length_is_inside_the_header() {
    for options in [
        [148, 1, 0, 0],
        [148, 0, 0, 0],
        [148, 5, 0, 0],
        [1, 1, 1, 148],
    ] {
        assert_eq!(
            open().verdict(&with_options(&options)),
            "drop by drop:malformed"
        );
    }
    // A source route too must be whole to be one.
    assert_eq!(
        open().verdict(&with_options(&[131, 5, 0, 0])),
        "drop by drop:malformed"
    );
}

#[test]
fn what_follows_the_end_of_options_is_not_read() {
    assert_eq!(
        open().verdict(&with_options(&[0, 131, 4, 4])),
        "allow by all"
    );
    assert_eq!(
        open().verdict(&with_options(&[1, 0, 148, 0])),
        "allow by all"
    );
}

#[test]
fn ipv6_needs_40_bytes_and_version_6() {
    assert_eq!(open().verdict(&syn6()), "allow by all");
    assert_eq!(open().verdict(&syn6()[..IP + 39]), "drop by drop:malformed");
    assert_eq!(
        open().verdict(&patched(syn6(), IP, &[0x40])),
        "drop by drop:malformed"
    );
}

#[test]
fn payload_length_is_not_0_and_not_beyond_the_frame() {
    let length = |payload: u16| patched(syn6(), IP + 4, &payload.to_be_bytes());
    assert_eq!(open().verdict(&length(0)), "drop by drop:malformed");
    assert_eq!(open().verdict(&length(21)), "drop by drop:malformed");
    assert_eq!(open().verdict(&length(20)), "allow by all");
    let padded = [length(19), vec![0; 6]].concat();
    assert_eq!(open().verdict(&padded), "drop by drop:malformed");
}

#[test]
fn no_next_header_is_dropped_anywhere() {
    assert_eq!(
        open().verdict(&ip6(&v6(59, &[0; 8]))),
        "drop by drop:no-next-header"
    );
    let later = v6(60, &extension(59, &[]));
    assert_eq!(open().verdict(&ip6(&later)), "drop by drop:no-next-header");
}

#[test]
fn every_kind_of_extension_header_is_walked() {
    for kind in [0, 43, 60, 135, 139, 140] {
        let frame = ip6(&v6(kind, &extension(6, &tcp(40_000, 443))));
        let https = Hook::inbound(&["https: allow tcp port 443"]);
        assert_eq!(https.verdict(&frame), "allow by https", "{kind}");
    }
}

/// `count` destination options headers, then a SYN.
fn chain(count: usize) -> Vec<u8> {
    let mut rest = tcp(40_000, 443);
    let mut next = 6;
    for _ in 0..count {
        rest = extension(next, &rest);
        next = 60;
    }
    ip6(&v6(next, &rest))
}

#[test]
fn eight_extension_headers_pass_and_nine_do_not() {
    assert_eq!(open().verdict(&chain(8)), "allow by all");
    assert_eq!(open().verdict(&chain(9)), "drop by drop:extension-headers");
    // The ninth is told before it is found to be cut.
    let cut = patched(chain(9)[..IP + 40 + 64 + 4].to_vec(), IP + 4, &[0, 68]);
    assert_eq!(open().verdict(&cut), "drop by drop:extension-headers");
}

#[test]
fn hop_by_hop_comes_first_or_not_at_all() {
    let second = v6(60, &extension(0, &extension(6, &tcp(40_000, 443))));
    assert_eq!(
        open().verdict(&ip6(&second)),
        "drop by drop:extension-headers"
    );
}

#[test]
fn an_extension_header_needs_8_bytes_and_then_its_length() {
    let cut = v6(60, &extension(6, &[])[..7]);
    assert_eq!(open().verdict(&ip6(&cut)), "drop by drop:malformed");
    let mut options = extension(47, &[0; 8]);
    options[1] = 1;
    assert_eq!(open().verdict(&ip6(&v6(60, &options))), "allow by all");
    assert_eq!(
        open().verdict(&ip6(&v6(60, &options[..15]))),
        "drop by drop:malformed"
    );
}

#[test]
fn an_authentication_header_counts_words_less_two() {
    let mut authentication = extension(6, &[0; 4]);
    authentication[1] = 1;
    authentication.extend(tcp(40_000, 443));
    let https = Hook::inbound(&["https: allow tcp port 443"]);
    assert_eq!(
        https.verdict(&ip6(&v6(51, &authentication))),
        "allow by https"
    );
    // Under IPv4 it is a protocol, and so is ESP under both.
    assert_eq!(
        https.verdict(&ip4(&v4(51, &authentication))),
        "drop by drop:default"
    );
    let esp = Hook::inbound(&["esp: allow 50"]);
    assert_eq!(
        esp.verdict(&ip6(&v6(50, &[]).clone())),
        "drop by drop:malformed"
    );
    assert_eq!(esp.verdict(&ip6(&v6(50, &[0; 8]))), "allow by esp");
}

#[test]
fn an_atomic_fragment_is_filtered_normally_and_any_other_dropped() {
    let frame = |word| ip6(&v6(44, &fragment(6, word, &tcp(40_000, 443))));
    assert_eq!(open().verdict(&frame(0)), "allow by all");
    // Reserved bits between offset and M mean nothing.
    assert_eq!(open().verdict(&frame(6)), "allow by all");
    for word in [1, 8, 0xfff8, 0xfff9] {
        assert_eq!(
            open().verdict(&frame(word)),
            "drop by drop:fragment",
            "{word:#06x}"
        );
    }
}

#[test]
fn a_fragment_header_is_8_bytes_whatever_its_second_says() {
    let mut header = fragment(6, 0, &tcp(40_000, 443));
    header[1] = 9;
    assert_eq!(open().verdict(&ip6(&v6(44, &header))), "allow by all");
}

#[test]
fn two_fragment_headers_are_malformed() {
    for second in [0, 1] {
        let twice = v6(
            44,
            &fragment(44, 0, &fragment(6, second, &tcp(40_000, 443))),
        );
        assert_eq!(open().verdict(&ip6(&twice)), "drop by drop:malformed");
    }
}

#[test]
fn routing_type_0_is_dropped_and_other_types_walked() {
    let routing = |kind| {
        let mut header = extension(6, &tcp(40_000, 443));
        header[2] = kind;
        ip6(&v6(43, &header))
    };
    assert_eq!(open().verdict(&routing(0)), "drop by drop:options");
    assert_eq!(open().verdict(&routing(2)), "allow by all");
    assert_eq!(open().verdict(&routing(4)), "allow by all");
}
