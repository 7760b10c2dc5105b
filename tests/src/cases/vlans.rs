//! The VLAN ids that may appear on a role (`docs/verdicts.md` §1.4).

use edge_filter::policy::DropReason::{Ethertype, Malformed, Vlan};

use super::hosts::{HOST, PEER, from};
use super::policies::Kind;
use super::row::{Base, Row};
use crate::craft::{Arp, Family, Frame, Ipv4, Tag, tcp};

const RFC: &str = "IEEE 802.1Q; verdicts §1.4";

/// A policy, tags that it lets through, and tags that it does not.
struct Lists {
    kind: Kind,
    name: &'static str,
    may: Vec<(&'static str, Vec<Tag>)>,
    may_not: Vec<(&'static str, Vec<Tag>)>,
}

fn lists() -> Vec<Lists> {
    let (none, priority) = (Vec::new(), Tag::dot1q(0));
    let (q100, ad100, q200) = (Tag::dot1q(100), Tag::dot1ad(100), Tag::dot1q(200));
    // Priority 7, drop eligible: not part of the id.
    let bits = |id: u16| Tag::dot1q(0xf000 | id);
    vec![
        Lists {
            kind: Kind::Untagged,
            name: "untagged",
            may: vec![
                ("none", none.clone()),
                ("priority", vec![priority]),
                ("priority-twice", vec![priority, priority]),
                ("priority-bits", vec![bits(0)]),
            ],
            may_not: vec![
                ("100", vec![q100]),
                ("8021ad-100", vec![ad100]),
                ("1", vec![Tag::dot1q(1)]),
                ("4095", vec![Tag::dot1q(0xfff)]),
                ("priority-then-100", vec![priority, q100]),
                ("100-then-priority", vec![q100, priority]),
                ("three", vec![q100, q100, q100]),
            ],
        },
        Lists {
            kind: Kind::Vlan100,
            name: "vlan-100",
            may: vec![
                ("100", vec![q100]),
                ("8021ad-100", vec![ad100]),
                ("100-with-bits", vec![bits(100)]),
                ("100-twice", vec![ad100, q100]),
            ],
            may_not: vec![
                ("none", none.clone()),
                ("priority", vec![priority]),
                ("99", vec![Tag::dot1q(99)]),
                ("101", vec![Tag::dot1q(101)]),
                ("100-plus-2048", vec![Tag::dot1q(2148)]),
                ("200-then-100", vec![q200, q100]),
                ("100-then-200", vec![q100, q200]),
                ("priority-then-100", vec![priority, q100]),
                ("100-then-priority", vec![q100, priority]),
            ],
        },
        Lists {
            kind: Kind::UntaggedAnd100,
            name: "untagged-and-100",
            may: vec![
                ("none", none.clone()),
                ("priority", vec![priority]),
                ("100", vec![q100]),
                ("priority-then-100", vec![priority, q100]),
                ("100-then-priority", vec![q100, priority]),
            ],
            may_not: vec![("200", vec![q200]), ("100-then-200", vec![q100, q200])],
        },
        Lists {
            kind: Kind::Vlans100And200,
            name: "vlans-100-and-200",
            may: vec![
                ("100", vec![q100]),
                ("200", vec![q200]),
                ("200-then-100", vec![q200, q100]),
                ("100-then-200", vec![q100, q200]),
            ],
            may_not: vec![("none", none), ("300", vec![Tag::dot1q(300)])],
        },
    ]
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for Lists {
        kind,
        name: list,
        may,
        may_not,
    } in lists()
    {
        let tags = may[0].1.clone();
        for family in Family::BOTH {
            let good = Frame::from(from(PEER, family, tcp())).tags(tags.clone());
            let base = Base::new(family.name(), "tcp-5061", good)
                .under(kind)
                .with_own_tags();
            for (name, tags) in &may {
                let name = format!("{list}/{name}");
                rows.push(base.frame_passes(name, RFC, |f| f.tags(tags.iter().copied())));
            }
            for (name, tags) in &may_not {
                let name = format!("{list}/{name}");
                rows.push(base.frame_drops(name, Vlan, RFC, |f| f.tags(tags.iter().copied())));
            }
        }
        let good = Frame::from(Arp::request(PEER.v4, HOST.v4)).tags(tags);
        let arp = Base::new("arp", "arp", good).under(kind).with_own_tags();
        let (name, tags) = &may_not[0];
        let name = format!("{list}/{name}");
        rows.push(arp.frame_drops(name, Vlan, RFC, |f| f.tags(tags.iter().copied())));
    }
    rows.extend(order());
    rows
}

/// What is judged before the ids, and what behind.
fn order() -> Vec<Row> {
    let packet = || from(PEER, Family::V4, tcp());
    let good = Frame::from(packet()).tags([Tag::dot1q(100)]);
    let base = Base::new("ethernet", "tcp-5061", good)
        .under(Kind::Vlan100)
        .with_own_tags();
    let lldp = Frame::new(0x88cc, vec![1; 46]).to([0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    let broken = Frame::from(Ipv4::new(PEER.v4, HOST.v4, tcp()).ihl(4));
    vec![
        base.other_counts("vlan-100/link-control", "link-control", RFC, lldp),
        base.frame_drops("vlan-100/unknown-type-untagged", Vlan, RFC, |frame| {
            frame.ethertype(0x8847).tags([])
        }),
        base.frame_drops("vlan-100/unknown-type", Ethertype, RFC, |f| {
            f.ethertype(0x8847)
        }),
        base.frame_drops("vlan-100/three-tags", Ethertype, RFC, |frame| {
            frame.tags([Tag::dot1q(100), Tag::dot1q(100), Tag::dot1q(200)])
        }),
        base.frame_drops("vlan-100/wrong-then-cut", Malformed, RFC, |frame| {
            frame.tags([Tag::dot1q(200), Tag::dot1q(100)]).cut(20)
        }),
        base.other_drops("vlan-100/malformed-untagged", Vlan, RFC, broken),
    ]
}
