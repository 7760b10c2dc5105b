//! Sections 1 and 2.

use std::collections::BTreeSet;

use super::*;

/// 01:80:c2:00:00:0X.
fn group(last: u8) -> [u8; 6] {
    [0x01, 0x80, 0xc2, 0, 0, last]
}

fn arp_packet(sender: [u8; 6]) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend(sender);
    packet.extend([192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 192, 0, 2, 10]);
    packet
}

fn syn() -> Vec<u8> {
    ip4(&v4(6, &tcp(40_000, 443)))
}

fn with_vlans(ids: &[u16]) -> Hook {
    let ids: BTreeSet<u16> = ids.iter().copied().collect();
    open().with_role(|role| role.vlans = Some(ids))
}

#[test]
fn a_frame_needs_14_bytes() {
    assert_eq!(open().verdict(&[]), "drop by drop:malformed");
    assert_eq!(open().verdict(&syn()[..13]), "drop by drop:malformed");
    assert_eq!(
        open().verdict(&ethernet(0x1234, &[])),
        "drop by drop:ethertype"
    );
}

#[test]
fn link_control_is_lacp_eapol_lldp_and_stp() {
    for ethertype in [0x8809, 0x888e, 0x88cc] {
        let frame = ethernet_to(group(0x0e), ethertype, &[]);
        assert_eq!(open().verdict(&frame), "allow by link-control");
    }
    let stp = |llc: &[u8]| ethernet_to(group(0), 38, llc);
    assert_eq!(
        open().verdict(&stp(&[0x42, 0x42, 3])),
        "allow by link-control"
    );
    assert_eq!(
        open().verdict(&stp(&[0x42, 0x42, 4])),
        "drop by drop:ethertype"
    );
    assert_eq!(
        open().verdict(&ethernet_to(group(0), 0x05ff, &[0x42, 0x42, 3])),
        "allow by link-control"
    );
    assert_eq!(
        open().verdict(&ethernet_to(group(0), 0x0600, &[0x42, 0x42, 3])),
        "drop by drop:ethertype"
    );
}

#[test]
fn a_length_frame_to_link_control_needs_three_bytes_under_any_setting() {
    let cut = ethernet_to(group(0), 38, &[0x42, 0x42]);
    assert_eq!(open().verdict(&cut), "drop by drop:malformed");
    assert_eq!(without_essentials().verdict(&cut), "drop by drop:malformed");
}

#[test]
fn link_control_goes_to_the_sixteen_reserved_addresses() {
    assert_eq!(
        open().verdict(&ethernet_to(group(0x0f), 0x88cc, &[])),
        "allow by link-control"
    );
    assert_eq!(
        open().verdict(&ethernet_to(group(0x10), 0x88cc, &[])),
        "drop by drop:ethertype"
    );
    let elsewhere = ethernet_to([0x01, 0x80, 0xc2, 0, 1, 0], 0x88cc, &[]);
    assert_eq!(open().verdict(&elsewhere), "drop by drop:ethertype");
}

#[test]
fn link_control_is_untagged_and_needs_its_setting() {
    let lldp = ethernet_to(group(0x0e), 0x88cc, &[]);
    assert_eq!(
        open().verdict(&tagged(0x8100, 5, &lldp)),
        "drop by drop:ethertype"
    );
    assert_eq!(
        without_essentials().verdict(&lldp),
        "drop by drop:ethertype"
    );
    // It is judged before VLANs are.
    assert_eq!(with_vlans(&[5]).verdict(&lldp), "allow by link-control");
}

#[test]
fn an_ip_packet_to_a_link_control_address_is_judged_as_a_packet() {
    let frame = ethernet_to(group(0), 0x0800, &v4(6, &tcp(40_000, 443)));
    assert_eq!(open().verdict(&frame), "allow by all");
}

#[test]
fn up_to_two_tags_are_parsed_through() {
    let one = tagged(0x8100, 5, &syn());
    let two = tagged(0x88a8, 6, &one);
    assert_eq!(open().verdict(&one), "allow by all");
    assert_eq!(open().verdict(&two), "allow by all");
    assert_eq!(
        open().verdict(&tagged(0x8100, 7, &two)),
        "drop by drop:ethertype"
    );
}

#[test]
fn a_tag_needs_4_bytes() {
    let two = tagged(0x88a8, 6, &tagged(0x8100, 5, &syn()));
    for cut in [14, 17, 18, 21] {
        assert_eq!(
            open().verdict(&two[..cut]),
            "drop by drop:malformed",
            "{cut}"
        );
    }
}

#[test]
fn every_tag_must_be_listed() {
    let one = |id| tagged(0x8100, id, &syn());
    let hook = with_vlans(&[5, 6]);
    assert_eq!(hook.verdict(&one(5)), "allow by all");
    assert_eq!(hook.verdict(&one(7)), "drop by drop:vlan");
    assert_eq!(hook.verdict(&tagged(0x88a8, 6, &one(5))), "allow by all");
    assert_eq!(
        hook.verdict(&tagged(0x88a8, 7, &one(5))),
        "drop by drop:vlan"
    );
    assert_eq!(
        hook.verdict(&tagged(0x88a8, 5, &one(7))),
        "drop by drop:vlan"
    );
}

#[test]
fn the_id_is_the_low_12_bits() {
    assert_eq!(
        with_vlans(&[5]).verdict(&tagged(0x8100, 0xf005, &syn())),
        "allow by all"
    );
}

#[test]
fn no_tag_and_tag_0_are_both_untagged() {
    for (listed, verdict) in [(&[0][..], "allow by all"), (&[5], "drop by drop:vlan")] {
        assert_eq!(with_vlans(listed).verdict(&syn()), verdict);
        assert_eq!(
            with_vlans(listed).verdict(&tagged(0x8100, 0xe000, &syn())),
            verdict
        );
    }
}

#[test]
fn vlans_are_judged_before_what_the_frame_holds() {
    assert_eq!(
        with_vlans(&[5]).verdict(&ethernet(0x1234, &[])),
        "drop by drop:vlan"
    );
    assert_eq!(with_vlans(&[5]).verdict(&syn()[..20]), "drop by drop:vlan");
}

#[test]
fn other_ethertypes_pass_only_if_listed() {
    let mpls = ethernet(0x8847, &[0; 46]);
    assert_eq!(open().verdict(&mpls), "drop by drop:ethertype");
    let listed = open().with(|policy| policy.ethertypes = BTreeSet::from([0x8847]));
    assert_eq!(listed.verdict(&mpls), "allow by ethertype");
    assert_eq!(
        listed.verdict(&tagged(0x8100, 5, &mpls)),
        "allow by ethertype"
    );
    assert_eq!(
        listed.verdict(&ethernet(0x8848, &[])),
        "drop by drop:ethertype"
    );
}

#[test]
fn lengths_and_snap_are_no_ethertypes() {
    let snap = ethernet(46, &[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0x00]);
    assert_eq!(open().verdict(&snap), "drop by drop:ethertype");
}

#[test]
fn a_listed_ethertype_does_not_hide_ip() {
    let listed = open().with(|policy| policy.ethertypes = BTreeSet::from([0x0800]));
    assert_eq!(listed.verdict(&ip4(&[])), "drop by drop:malformed");
}

#[test]
fn arp_needs_28_bytes_of_ethernet_and_ipv4() {
    let packet = arp_packet(MAC);
    assert_eq!(open().verdict(&ethernet(0x0806, &packet)), "allow by arp");
    assert_eq!(
        open().verdict(&ethernet(0x0806, &packet[..27])),
        "drop by drop:malformed"
    );
    for (offset, wrong) in [(0, 1), (1, 6), (2, 0x86), (3, 1), (4, 8), (5, 16)] {
        let frame = patched(ethernet(0x0806, &packet), 14 + offset, &[wrong]);
        assert_eq!(
            open().verdict(&frame),
            "drop by drop:malformed",
            "byte {offset}"
        );
    }
}

#[test]
fn arp_speaks_for_the_frame_s_own_source() {
    let spoofed = ethernet(0x0806, &arp_packet([2, 0, 0, 0, 0, 9]));
    assert_eq!(open().verdict(&spoofed), "drop by drop:essentials");
    assert_eq!(
        without_essentials().verdict(&spoofed),
        "drop by drop:essentials"
    );
}

#[test]
fn arp_that_is_not_essential_meets_the_default_and_no_rule() {
    let frame = ethernet(0x0806, &arp_packet(MAC));
    assert_eq!(without_essentials().verdict(&frame), "drop by drop:default");
    let lax = without_essentials().with(|policy| policy.default_action = Action::Allow);
    assert_eq!(lax.verdict(&frame), "allow by allow:default");
}
