//! From a packet without faults to its counter: addresses that cannot be
//! (`docs/verdicts.md` §8), essentials (§9), rules, replies and the default (§10).

use crate::config::{Constant, essential};
use crate::counter::Counter;
use crate::flow::Flows;
use crate::outcome::Own;
use crate::packet::{Family, Key, NO_ICMP, Packet, protocol};
use crate::replies;
use crate::tables::{Entry, Tables};
use crate::{cache, classify};

const ECHO_REPLY: u32 = 0;
const ECHO_REQUEST: u32 = 8;
const MLD_QUERY: u32 = 130;
const MLD_REPORT: u32 = 131;
const MLD_DONE: u32 = 132;
const ROUTER_SOLICITATION: u32 = 133;
const ROUTER_ADVERTISEMENT: u32 = 134;
const NEIGHBOUR_SOLICITATION: u32 = 135;
const REDIRECT: u32 = 137;
const MLD2_REPORT: u32 = 143;
const ECHO_REQUEST_V6: u32 = 128;
const ECHO_REPLY_V6: u32 = 129;

/// Decides what becomes of `packet`.
#[inline(always)]
pub fn decide<T: Tables + Flows>(packet: &Packet, tables: &T) -> Counter {
    // Of ICMP, more than the tuple decides.
    if packet.icmp != NO_ICMP
        && let Err(counter) = before_rules(packet, tables)
    {
        return counter;
    }
    let outcome = cache::outcome(packet, tables);
    match outcome.own() {
        Own::Allowed { counter, tracked } => {
            replies::record(packet, tracked, tables);
            counter
        }
        Own::Final(counter) => counter,
        Own::Refused(counter) => match replies::reply(packet, outcome, tables) {
            Counter::NOTHING => counter,
            reply => reply,
        },
    }
}

/// The leaf of the packet's source, if the rules decide.
///
/// # Errors
/// The counter of a packet that its address or an essential decides.
#[inline(always)]
pub(crate) fn before_rules<T: Tables>(packet: &Packet, tables: &T) -> Result<Entry, Counter> {
    let source = classify::source(&packet.key, tables).ok_or(Counter::INTERNAL)?;
    if is_martian(packet) || source.has(Entry::PROTECTED) {
        return Err(Counter::MARTIAN);
    }
    match essential(packet, source, tables) {
        Some(counter) => Err(counter),
        None => Ok(source),
    }
}

#[inline(always)]
fn is_martian(packet: &Packet) -> bool {
    let Key {
        source,
        destination,
        ..
    } = packet.key;
    if source == destination {
        return true;
    }
    match packet.key.family {
        Family::V4 => {
            // The first byte tells of nearly all addresses that they can be.
            let first = source.high >> 56;
            if first.wrapping_sub(1) < 126 || first.wrapping_sub(128) < 96 {
                return false;
            }
            first == 127
                || first >> 4 == 0xe
                || source.high >> 32 == u64::from(u32::MAX)
                || (source.high == 0 && !is_dhcp_discovery(&packet.key))
        }
        Family::V6 => {
            source.high >> 56 == 0xff
                || (source.high == 0
                    && (source.low == 1 || (source.low == 0 && !is_from_nobody(packet))))
        }
    }
}

/// A client without an address looks for a DHCP server (RFC 2131).
#[inline(always)]
fn is_dhcp_discovery(key: &Key) -> bool {
    key.protocol == protocol::UDP && key.source_port == 68 && key.destination_port == 67
}

/// Duplicate address detection (RFC 4862), or an MLD report of a host without
/// a link-local address (RFC 3590).
#[inline(always)]
fn is_from_nobody(packet: &Packet) -> bool {
    matches!(
        packet.icmp >> 8,
        NEIGHBOUR_SOLICITATION | MLD_REPORT | MLD_DONE | MLD2_REPORT
    )
}

#[inline(always)]
fn essential<T: Tables>(packet: &Packet, source: Entry, tables: &T) -> Option<Counter> {
    let allowed = |bit: u32| tables.constant(Constant::Essentials) & bit != 0;
    if packet.icmp != NO_ICMP {
        let kind = packet.icmp >> 8;
        if packet.key.family == Family::V6 {
            if let Some(counter) = neighbour(packet, source, allowed(essential::ND)) {
                return Some(counter);
            }
            if matches!(kind, MLD_QUERY | MLD_REPORT | MLD_DONE | MLD2_REPORT)
                && packet.hop_limit == 1
                && allowed(essential::MLD)
            {
                return Some(Counter::MLD);
            }
        }
        if allowed(essential::ICMP_ERRORS) && packet.mirrors_allowed {
            return Some(Counter::ICMP_ERROR);
        }
        if allowed(essential::PING) {
            let echo = match (packet.key.family, is_outbound(tables)) {
                (Family::V4, false) => ECHO_REQUEST,
                (Family::V4, true) => ECHO_REPLY,
                (Family::V6, false) => ECHO_REQUEST_V6,
                (Family::V6, true) => ECHO_REPLY_V6,
            };
            if kind == echo {
                return Some(Counter::PING);
            }
        }
    } else if packet.key.protocol == protocol::UDP && allowed(essential::DHCP_CLIENT) {
        let (server, client) = match packet.key.family {
            Family::V4 => (67, 68),
            Family::V6 => (547, 546),
        };
        let (from, to) = if is_outbound(tables) {
            (client, server)
        } else {
            (server, client)
        };
        if packet.key.source_port == from && packet.key.destination_port == to {
            return Some(Counter::DHCP_CLIENT);
        }
    }
    None
}

#[inline(always)]
fn is_outbound<T: Tables>(tables: &T) -> bool {
    tables.constant(Constant::Outbound) != 0
}

/// Neighbour discovery (RFC 4861; RFC 6980 on fragment headers): `None` if it is
/// none, or if the rules decide.
#[inline(always)]
fn neighbour(packet: &Packet, source: Entry, allowed: bool) -> Option<Counter> {
    let kind = packet.icmp >> 8;
    if !matches!(kind, ROUTER_SOLICITATION..=REDIRECT) {
        return None;
    }
    let says_router = matches!(kind, ROUTER_ADVERTISEMENT | REDIRECT);
    if packet.hop_limit != 255
        || packet.fragment_header
        || packet.icmp & 0xff != 0
        || (says_router && !source.has(Entry::ROUTER))
    {
        return Some(Counter::ESSENTIALS);
    }
    allowed.then_some(Counter::ND)
}
