//! Ethernet types, 802.3, LLC and SNAP, link control, and too many tags
//! (`docs/verdicts.md` §1).

use edge_filter::policy::DropReason::{Ethertype, Malformed};

use super::hosts::{PEER, from};
use super::policies::Kind;
use super::row::{Base, Row};
use crate::craft::{Family, Frame, Mac, Tag, tcp};

const RFC: &str = "verdicts §1";
const VU: &str = "CVE-2021-27853, CVE-2021-27861; verdicts §1";
const IEEE: &str = "IEEE 802.1Q table 8-1; verdicts §1";

/// IEEE 802.1D's reserved group addresses: 01:80:c2:00:00:00 to 0f.
fn reserved(last: u8) -> Mac {
    [0x01, 0x80, 0xc2, 0, 0, last]
}

/// A bridge protocol data unit behind LLC.
fn spanning_tree() -> Frame {
    let mut payload = vec![0x42, 0x42, 0x03];
    payload.extend([0; 35]);
    Frame::new(38, payload).to(reserved(0))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = types();
    rows.extend(link_control());
    rows.extend(link_control_not_essential());
    rows.extend(tags());
    rows
}

fn types() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        let packet = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp()));
        for (name, ethertype) in [
            ("mpls", 0x8847),
            ("mpls-multicast", 0x8848),
            ("pppoe-discovery", 0x8863),
            ("pppoe-session", 0x8864),
            ("macsec", 0x88e5),
            ("provider-backbone", 0x88e7),
            ("qinq-0x9100", 0x9100),
            ("qinq-0x9200", 0x9200),
            ("rarp", 0x8035),
            ("type-0x0801", 0x0801),
            ("type-0x0008", 0x0008),
            ("type-0xdd86", 0xdd86),
            ("type-0x0600", 0x0600),
            ("type-0xffff", 0xffff),
            ("length-0", 0),
            ("length-60", 60),
            ("length-0x05ff", 0x05ff),
            ("lldp-to-a-host", 0x88cc),
            ("eapol-to-a-host", 0x888e),
            ("lacp-to-a-host", 0x8809),
        ] {
            let reference = if ethertype < 0x0600 { VU } else { RFC };
            let name = format!("ethertype/{name}");
            rows.push(packet.frame_drops(name, Ethertype, reference, |f| f.ethertype(ethertype)));
        }
        rows.push(packet.frame_drops("ethertype/llc-snap", Ethertype, VU, Frame::snap));

        let listed =
            Base::new(family.name(), "tcp-5061", from(PEER, family, tcp())).under(Kind::Ethertypes);
        for (name, ethertype) in [
            ("mpls", 0x8847),
            ("pppoe-session", 0x8864),
            ("0x0600", 0x0600),
        ] {
            let frame = Frame::from(from(PEER, family, tcp())).ethertype(ethertype);
            rows.push(listed.other_counts(format!("listed/{name}"), "ethertype", RFC, frame));
        }
        rows.push(
            listed.frame_drops("listed/mpls-multicast", Ethertype, RFC, |frame| {
                frame.ethertype(0x8848)
            }),
        );
        rows.push(listed.frame_drops("listed/llc-snap", Ethertype, VU, Frame::snap));
    }
    rows
}

fn link_control() -> Vec<Row> {
    let untagged = |frame: Frame| Base::new("ethernet", "link-control", frame).with_own_tags();
    let typed = |ethertype, last| Frame::new(ethertype, vec![1; 46]).to(reserved(last));
    let mut rows = Vec::new();
    for (name, ethertype) in [("lacp", 0x8809), ("eapol", 0x888e), ("lldp", 0x88cc)] {
        let base = untagged(typed(ethertype, 2));
        for last in [0x00, 0x01, 0x03, 0x0e, 0x0f] {
            let name = format!("{name}/to-{last:02x}");
            rows.push(base.frame_passes(name, IEEE, |frame| frame.to(reserved(last))));
        }
        rows.push(base.frame_passes(format!("{name}/header-alone"), IEEE, |frame| frame.keep(0)));
        for (to, address) in [
            ("to-10", reserved(0x10)),
            ("to-ff", reserved(0xff)),
            ("to-01-80-c2-00-01-00", [0x01, 0x80, 0xc2, 0, 1, 0]),
            ("to-00-80-c2-00-00-00", [0x00, 0x80, 0xc2, 0, 0, 0]),
            ("to-broadcast", [0xff; 6]),
        ] {
            rows.push(base.frame_drops(format!("{name}/{to}"), Ethertype, IEEE, |f| f.to(address)));
        }
        for (tag, dot1) in [("8021q", Tag::dot1q(0)), ("8021ad", Tag::dot1ad(5))] {
            rows.push(
                base.frame_drops(format!("{name}/tagged-{tag}"), Ethertype, IEEE, |frame| {
                    frame.tags([dot1])
                }),
            );
        }
    }

    let stp = untagged(spanning_tree());
    for last in [0x01, 0x08, 0x0f] {
        let name = format!("stp/to-{last:02x}");
        rows.push(stp.frame_passes(name, IEEE, |frame| frame.to(reserved(last))));
    }
    rows.extend([
        stp.frame_passes("stp/three-bytes", IEEE, |frame| frame.keep(3)),
        stp.frame_passes("stp/length-0x05ff", IEEE, |frame| frame.ethertype(0x05ff)),
        stp.frame_passes("stp/length-0", IEEE, |frame| frame.ethertype(0)),
        stp.frame_drops("stp/type-0x0600", Ethertype, IEEE, |frame| {
            frame.ethertype(0x0600)
        }),
        stp.frame_drops("stp/to-10", Ethertype, IEEE, |frame| {
            frame.to(reserved(0x10))
        }),
        stp.frame_drops("stp/to-a-host", Ethertype, IEEE, |frame| frame.to([2; 6])),
        stp.frame_drops("stp/tagged", Ethertype, IEEE, |frame| {
            frame.tags([Tag::dot1q(0)])
        }),
        stp.frame_drops("stp/cut-at-2", Malformed, IEEE, |frame| frame.keep(2)),
        stp.frame_drops("stp/cut-at-0", Malformed, IEEE, |frame| frame.keep(0)),
    ]);
    for (name, llc) in [
        ("other-dsap", [0x43, 0x42, 0x03]),
        ("other-ssap", [0x42, 0x43, 0x03]),
        ("other-control", [0x42, 0x42, 0x13]),
        ("snap", [0xaa, 0xaa, 0x03]),
    ] {
        let name = format!("stp/{name}");
        rows.push(stp.frame_drops(name, Ethertype, VU, |_| {
            Frame::new(38, [llc.as_slice(), &[0; 35]].concat()).to(reserved(0))
        }));
    }
    // The address alone makes no link control.
    for family in Family::BOTH {
        let base = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp()));
        rows.push(base.frame_passes("to-a-link-control-address", IEEE, |f| f.to(reserved(0x0e))));
        rows.push(base.frame_drops(
            "llc-snap-to-a-link-control-address",
            Ethertype,
            VU,
            |frame| frame.snap().to(reserved(0)),
        ));
    }
    rows
}

fn link_control_not_essential() -> Vec<Row> {
    let tcp = Base::new("ethernet", "tcp-5061", from(PEER, Family::V4, tcp()))
        .under(Kind::NoEssentials)
        .with_own_tags();
    let lldp = Frame::new(0x88cc, vec![1; 46]).to(reserved(0x0e));
    vec![
        tcp.other_drops("lldp/not-essential", Ethertype, IEEE, lldp),
        tcp.other_drops("stp/not-essential", Ethertype, IEEE, spanning_tree()),
        tcp.other_drops(
            "stp/not-essential-cut-at-2",
            Malformed,
            IEEE,
            spanning_tree().keep(2),
        ),
    ]
}

fn tags() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in Family::BOTH {
        let base = Base::new(family.name(), "tcp-5061", from(PEER, family, tcp())).with_own_tags();
        let (q, ad) = (Tag::dot1q(100), Tag::dot1ad(200));
        let priority = Tag::dot1q(0);
        let control = Tag {
            control: 0xf064,
            ..q
        };
        for (name, tags) in [
            ("8021ad", vec![ad]),
            ("8021q-twice", vec![q, q]),
            ("8021ad-twice", vec![ad, ad]),
            ("8021q-before-8021ad", vec![q, ad]),
            ("priority", vec![priority]),
            ("priority-twice", vec![priority, priority]),
            ("priority-bits-set", vec![control, control]),
            ("id-4095", vec![Tag::dot1q(0xfff)]),
        ] {
            rows.push(base.frame_passes(format!("tags/{name}"), RFC, |frame| frame.tags(tags)));
        }
        for (name, tags) in [
            ("three", vec![q, q, q]),
            ("three-8021ad", vec![ad, ad, ad]),
            ("three-mixed", vec![ad, q, priority]),
            ("three-priority", vec![priority, priority, priority]),
            ("eight", vec![q; 8]),
            (
                "0x9100",
                vec![Tag {
                    announced_by: 0x9100,
                    control: 100,
                }],
            ),
            (
                "0x9100-inside",
                vec![
                    q,
                    Tag {
                        announced_by: 0x9100,
                        control: 100,
                    },
                ],
            ),
        ] {
            let name = format!("tags/{name}");
            rows.push(base.frame_drops(name, Ethertype, VU, |frame| frame.tags(tags)));
        }
        rows.extend([
            base.frame_drops("tags/priority-then-llc-snap", Ethertype, VU, |frame| {
                frame.snap().tags([priority])
            }),
            base.frame_drops("tags/two-then-llc-snap", Ethertype, VU, |frame| {
                frame.snap().tags([ad, priority])
            }),
            base.frame_drops("tags/first-cut-at-0", Malformed, RFC, |f| {
                f.tags([q]).cut(14)
            }),
            base.frame_drops("tags/first-cut-at-2", Malformed, RFC, |f| {
                f.tags([q]).cut(16)
            }),
            base.frame_drops("tags/first-cut-at-3", Malformed, RFC, |f| {
                f.tags([q]).cut(17)
            }),
            base.frame_drops("tags/second-cut-at-0", Malformed, RFC, |f| {
                f.tags([ad, q]).cut(18)
            }),
            base.frame_drops("tags/second-cut-at-3", Malformed, RFC, |f| {
                f.tags([ad, q]).cut(21)
            }),
            // A third tag is not read, so it cannot be cut.
            base.frame_drops("tags/third-cut", Ethertype, VU, |f| {
                f.tags([ad, q, q]).cut(22)
            }),
        ]);
    }
    rows
}
