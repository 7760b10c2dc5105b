//! Sections 1 and 2: Ethernet (IEEE 802.3), its tags (IEEE 802.1Q), and ARP
//! (RFC 826).

use std::collections::BTreeSet;

use super::{take, word};
use crate::policy::DropReason;

pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;

/// The tag protocol identifiers of 802.1Q and 802.1ad.
const TAGS: [u16; 2] = [0x8100, 0x88a8];
const MAX_TAGS: usize = 2;
/// LACP, EAPOL and LLDP.
const LINK_CONTROL: [u16; 3] = [0x8809, 0x888e, 0x88cc];
/// A type below this one is the length of an 802.3 frame.
const FIRST_TYPE: u16 = 0x0600;
/// The LLC header of spanning tree.
const STP: [u8; 3] = [0x42, 0x42, 0x03];

/// A frame, as far as it has been read.
#[derive(Debug)]
pub(super) struct Frame<'f> {
    destination: &'f [u8],
    source: &'f [u8],
    /// The ids of the tags read so far, outermost first.
    pub(super) tags: Vec<u16>,
    /// In host byte order.
    pub(super) ethertype: u16,
    /// What lies behind the type.
    pub(super) rest: &'f [u8],
}

/// Section 1.1.
pub(super) fn header(frame: &[u8]) -> Result<Frame<'_>, DropReason> {
    let (header, rest) = take(frame, 14)?;
    Ok(Frame {
        destination: &header[..6],
        source: &header[6..12],
        tags: Vec::new(),
        ethertype: word(header, 12),
        rest,
    })
}

/// Section 1.2: whether it is a link-control frame, allowed or not.
pub(super) fn is_link_control(frame: &Frame<'_>) -> Result<bool, DropReason> {
    let (group, last) = frame.destination.split_at(5);
    if group != [0x01, 0x80, 0xc2, 0x00, 0x00] || last[0] > 0x0f {
        return Ok(false);
    }
    if frame.ethertype < FIRST_TYPE {
        let (llc, _) = take(frame.rest, 3)?;
        return Ok(llc == STP);
    }
    Ok(LINK_CONTROL.contains(&frame.ethertype))
}

/// Section 1.3.
pub(super) fn strip_tags(mut frame: Frame<'_>) -> Result<Frame<'_>, DropReason> {
    while TAGS.contains(&frame.ethertype) && frame.tags.len() < MAX_TAGS {
        let (tag, rest) = take(frame.rest, 4)?;
        frame.tags.push(word(tag, 0) & 0x0fff);
        frame.ethertype = word(tag, 2);
        frame.rest = rest;
    }
    Ok(frame)
}

/// Section 1.4: whether the listed `vlans`, of which 0 is `untagged`, let a
/// frame with these tags appear.
pub(super) fn may_appear(tags: &[u16], vlans: &BTreeSet<u16>) -> bool {
    if tags.is_empty() {
        vlans.contains(&0)
    } else {
        tags.iter().all(|id| vlans.contains(id))
    }
}

/// Section 2, but for the setting.
pub(super) fn check_arp(frame: &Frame<'_>) -> Result<(), DropReason> {
    let (arp, _) = take(frame.rest, 28)?;
    let ethernet_and_ipv4 = [0x00, 0x01, 0x08, 0x00, 6, 4];
    if arp[..6] != ethernet_and_ipv4 {
        return Err(DropReason::Malformed);
    }
    if &arp[8..14] != frame.source {
        return Err(DropReason::Essentials);
    }
    Ok(())
}
