//! What can lie around a packet without harm, and what cannot.

use std::collections::BTreeSet;

use edge_filter::policy::Interface;
use rand::RngExt;

use super::draft::{Draft, Extension, Tag};
use super::policy::VLANS;
use super::{Dice, any, chance};

/// Extension headers that may stand anywhere.
const ANYWHERE: [u8; 6] = [43, 51, 60, 135, 139, 140];
/// IPv4 options, whole words, none of them a fault.
const OPTIONS: [[u8; 4]; 5] = [
    [148, 4, 0, 0],
    [1, 1, 1, 1],
    [0, 131, 0, 0],
    [7, 3, 4, 0],
    [1, 68, 2, 0],
];
/// IPv4 options, one fault each.
const BAD_OPTIONS: [[u8; 4]; 6] = [
    [131, 4, 4, 0],
    [1, 137, 3, 4],
    [148, 1, 0, 0],
    [148, 0, 0, 0],
    [148, 5, 0, 0],
    [1, 1, 1, 148],
];
const BAD_FLAGS: [u8; 7] = [0x00, 0x03, 0x06, 0x01, 0x29, 0x3f, 0xc0];
/// Never a source; in each family, with neighbours that may be one.
const BAD_SOURCES_V4: [[u8; 4]; 6] = [
    [127, 0, 0, 1],
    [224, 0, 0, 0],
    [239, 255, 255, 255],
    [0, 0, 0, 0],
    [255, 255, 255, 255],
    [240, 0, 0, 0],
];
const BAD_SOURCES_V6: [u128; 4] = [0, 1, 2, 0xff << 120];

/// Tags that `role` lets appear.
pub(super) fn tags(dice: &mut Dice, role: &Interface) -> Vec<Tag> {
    let listed = |dice: &mut Dice| match &role.vlans {
        Some(vlans) => any(dice, &vlans.iter().copied().collect::<Vec<u16>>()),
        None => any(dice, &VLANS),
    };
    let untagged = role.vlans.as_ref().is_none_or(|vlans| vlans.contains(&0));
    let count = match dice.random_range(0..10) {
        0..6 if untagged => 0,
        0..8 => 1,
        _ => 2,
    };
    let tag = |dice: &mut Dice| {
        let priority = dice.random_range(0..16) << 12;
        [any(dice, &[0x8100, 0x88a8]), priority | listed(dice)]
    };
    (0..count).map(|_| tag(dice)).collect()
}

/// Options or extension headers that change nothing.
pub(super) fn extend(dice: &mut Dice, draft: &mut Draft) {
    if draft.is_ipv4() {
        let words = any(dice, &[1, 1, 2, 10]);
        let filler = vec![[1, 1, 1, 1]; words - 1].concat();
        draft.options = [filler, any(dice, &OPTIONS).to_vec()].concat();
        return;
    }
    let count = any(dice, &[1, 1, 2, 3, 8]);
    let atomic_at = chance(dice, 40).then(|| dice.random_range(0..count));
    draft.extensions = (0..count)
        .map(|place| match place {
            _ if Some(place) == atomic_at => Extension::fragment(any(dice, &[0, 6])),
            0 if chance(dice, 40) => Extension::plain(0),
            _ => longer(dice),
        })
        .collect();
}

/// An extension header of 8 bytes, or of a few more.
fn longer(dice: &mut Dice) -> Extension {
    let mut extension = Extension::plain(any(dice, &ANYWHERE));
    if chance(dice, 30) {
        let units = dice.random_range(1_u8..4);
        let unit = if extension.kind == 51 { 4 } else { 8 };
        extension.header[1] += units;
        extension.header.extend(vec![0; usize::from(units) * unit]);
    }
    extension
}

/// One fault in one of the parts.
pub(super) fn spoil(dice: &mut Dice, draft: &mut Draft) {
    match dice.random_range(0..10) {
        0..2 if draft.is_ipv4() => draft.fragment = any(dice, &[0x2000, 0x0001, 0x2001, 0x1fff]),
        2..4 if draft.is_ipv4() => draft.options = any(dice, &BAD_OPTIONS).to_vec(),
        0..5 if !draft.is_ipv4() => draft.extensions = bad_extensions(dice),
        5 => draft.source = draft.destination,
        6 if draft.is_ipv4() => draft.source = any(dice, &BAD_SOURCES_V4).into(),
        6 => draft.source = std::net::Ipv6Addr::from(any(dice, &BAD_SOURCES_V6)).into(),
        7 => draft.tags.extend([[0x8100, 5]; 3]),
        8 => draft
            .payload
            .truncate(dice.random_range(0..=draft.payload.len())),
        _ => spoil_transport(dice, draft),
    }
}

fn bad_extensions(dice: &mut Dice) -> Vec<Extension> {
    match dice.random_range(0..7) {
        0 => vec![Extension::fragment(any(dice, &[1, 8, 9]))],
        1 => vec![
            Extension::fragment(0),
            Extension::fragment(any(dice, &[0, 1])),
        ],
        2 => vec![longer(dice), Extension::plain(0)],
        3 => vec![Extension::plain(59)],
        4 => {
            let mut routing = Extension::plain(43);
            routing.header[2] = 0;
            vec![routing]
        }
        5 => (0..9).map(|_| longer(dice)).collect(),
        _ => {
            let mut long = longer(dice);
            long.header[1] = 255;
            vec![long]
        }
    }
}

fn spoil_transport(dice: &mut Dice, draft: &mut Draft) {
    let beyond = draft.payload.len() + 1;
    let wrong: &[u8] = match (draft.protocol, dice.random_range(0..2)) {
        (6, 0) if draft.payload.len() > 13 => {
            draft.payload[13] = any(dice, &BAD_FLAGS);
            return;
        }
        (6, _) if draft.payload.len() > 12 => {
            draft.payload[12] = any(dice, &[0x00, 0x40, 0xf0]);
            return;
        }
        (17, _) => &[0, 7, 8],
        _ => return,
    };
    let short = any(dice, wrong);
    let length = any(dice, &[beyond, short.into()]);
    draft.payload[4..6].copy_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}

/// A tag with an id that `vlans` does not list.
pub(super) fn stray_tag(dice: &mut Dice, vlans: &BTreeSet<u16>) -> Option<Tag> {
    let strays: Vec<u16> = VLANS.into_iter().filter(|id| !vlans.contains(id)).collect();
    (!strays.is_empty()).then(|| [0x8100, any(dice, &strays)])
}

/// `frame`, cut short or with a few bits turned; never below the 14 bytes that
/// the kernel asks of a frame.
pub(super) fn spoil_bytes(dice: &mut Dice, frame: &mut Vec<u8>) {
    if chance(dice, 50) {
        frame.truncate(dice.random_range(14..=frame.len()));
        return;
    }
    // Headers are what there is to turn.
    let reach = frame.len().min(90);
    for _ in 0..any(dice, &[1, 1, 2, 3]) {
        frame[dice.random_range(12..reach)] ^= 1 << dice.random_range(0..8);
    }
}
