//! Ethernet: link control, VLAN tags and the ethertype (`docs/verdicts.md` §1).

use crate::config::{Constant, NONE, essential};
use crate::counter::Counter;
use crate::frame::{Frame, Header, NO_TAG};
use crate::tables::Tables;

/// What the frame carries, and the offset at which it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// ARP.
    Arp {
        /// The offset of the ARP packet.
        at: u32,
    },
    /// IPv4.
    Ipv4 {
        /// The offset of the IPv4 header.
        at: u32,
    },
    /// IPv6.
    Ipv6 {
        /// The offset of the IPv6 header.
        at: u32,
    },
}

const ETHERNET: u32 = 14;
const TAG: u32 = 4;
const MAX_TAGS: u32 = 2;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
/// The ethertype of IPv6.
pub(crate) const IPV6: u16 = 0x86dd;
const LACP: u16 = 0x8809;
const EAPOL: u16 = 0x888e;
const SERVICE_VLAN: u16 = 0x88a8;
const LLDP: u16 = 0x88cc;

/// Below it the type is the length of an 802.3 frame.
const FIRST_ETHERTYPE: u16 = 0x0600;

/// 01:80:c2:00:00:00, whose last four bits are free (IEEE 802.1Q, table 8-1).
const LINK_LOCAL_HIGH: u32 = 0x0180_c200;
const LINK_LOCAL_LOW: u16 = 0x0000;

/// Reads the Ethernet header and its tags.
///
/// # Errors
/// The counter of a frame that is decided by them.
#[inline(always)]
pub fn read<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Result<Network, Counter> {
    let header = frame.header::<14>(0)?;
    let mut kind = header.u16::<12>();

    let to_link =
        header.u32::<0>() == LINK_LOCAL_HIGH && header.u16::<4>() & 0xfff0 == LINK_LOCAL_LOW;

    let offloaded = frame.offloaded_tag();
    let is_beside = offloaded != NO_TAG;

    if to_link
        && !is_beside
        && is_link_control(frame, kind)?
        && tables.constant(Constant::Essentials) & essential::LINK_CONTROL != 0
    {
        return Err(Counter::LINK_CONTROL);
    }

    let mut at = ETHERNET;
    let vlans = tables.constant(Constant::Vlans);
    if is_beside || kind == VLAN || kind == SERVICE_VLAN {
        let mut refused = is_beside && vlans != NONE && !tables.bit(vlans, offloaded);
        for number in 0..MAX_TAGS {
            if (kind != VLAN && kind != SERVICE_VLAN) || (is_beside && number == 1) {
                break;
            }
            let tag = frame.header::<4>(at)?;
            let id = u32::from(tag.u16::<0>() & 0x0fff);
            refused |= vlans != NONE && !tables.bit(vlans, id);
            kind = tag.u16::<2>();
            at += TAG;
        }
        if refused {
            return Err(Counter::VLAN);
        }
    } else if tables.constant(Constant::TaggedOnly) != 0 {
        return Err(Counter::VLAN);
    }

    match kind {
        IPV4 => Ok(Network::Ipv4 { at }),
        IPV6 => Ok(Network::Ipv6 { at }),
        ARP => Ok(Network::Arp { at }),
        other => Err(by_ethertype(tables, other)),
    }
}

#[inline(always)]
fn is_link_control<F: Frame>(frame: &mut F, kind: u16) -> Result<bool, Counter> {
    if kind < FIRST_ETHERTYPE {
        let llc = frame.header::<3>(ETHERNET)?;
        return Ok(llc.u16::<0>() == 0x4242 && llc.u8::<2>() == 0x03);
    }
    Ok(matches!(kind, LACP | EAPOL | LLDP))
}

#[inline(always)]
fn by_ethertype<T: Tables>(tables: &T, kind: u16) -> Counter {
    let ethertypes = tables.constant(Constant::Ethertypes);
    if ethertypes != NONE && tables.bit(ethertypes, u32::from(kind)) {
        Counter::ALLOWED_ETHERTYPE
    } else {
        Counter::ETHERTYPE
    }
}
