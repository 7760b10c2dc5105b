//! Conversations: what is recorded of them, and what answers them
//! (`docs/verdicts.md` §13).
//!
//! Behind the hook's own rules the bit vectors hold the lists that know
//! conversations, with source and destination exchanged where a list is asked
//! about a packet's mirror. So one set of classes answers for the packet and for
//! its mirror, and the flow table is asked only where a list allows.

use crate::classify::{self, Classes};
use crate::config::{Constant, fate};
use crate::counter::Counter;
use crate::flow::{Flows, Tuple};
use crate::outcome::{Outcome, Own, Reply};
use crate::packet::tcp::{ACK, SYN};
use crate::packet::{Family, Key, NO_ICMP, Packet};
use crate::quote::Quote;
use crate::rules::Rules;
use crate::search::{self, Match};
use crate::tables::Tables;

/// The most lists of one group that have to be asked one after the other: lists
/// that only allow are one.
pub const MAX_LISTS: u32 = 64;

const ECHO_REPLY: u32 = 0;
const ECHO_REQUEST: u32 = 8;
const ECHO_REQUEST_V6: u32 = 128;
const ECHO_REPLY_V6: u32 = 129;

/// Groups of lists, as a packet is asked about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    /// What the tracking lists say of the packet's mirror.
    MirroredTracking,
    /// What the open lists say of its mirror.
    MirroredOpen,
    /// What the open lists say of the packet.
    Open,
}

/// Whether the ICMP type `kind` opens a conversation.
#[inline(always)]
pub(crate) const fn is_echo_request(family: Family, kind: u32) -> bool {
    match family {
        Family::V4 => kind == ECHO_REQUEST,
        Family::V6 => kind == ECHO_REQUEST_V6,
    }
}

/// The counter of the replies to what `group` allows; [`Counter::NOTHING`] if it
/// allows nothing.
#[inline(always)]
pub(crate) fn allowed_by<T: Tables>(group: Group, classes: Classes, tables: &T) -> Counter {
    let (begin, end) = match group {
        Group::MirroredTracking => (Constant::MirroredTracking, Constant::MirroredTrackingEnd),
        Group::MirroredOpen => (Constant::MirroredOpen, Constant::MirroredOpenEnd),
        Group::Open => (Constant::Open, Constant::OpenEnd),
    };
    let (begin, end) = (tables.constant(begin), tables.constant(end));
    // Mostly there is one list, and no loop.
    match tables.constant(Constant::Lists) {
        0 => Counter::NOTHING,
        1 => match ask(classes, begin, end, tables) {
            Said::Counter(counter) => counter,
            Said::Next(next) if next >= end => Counter::NOTHING,
            Said::Next(_) => Counter::INTERNAL,
        },
        _ => tables.said_by_lists(classes, begin, end),
    }
}

/// What a group of two lists or more says, whose words are those from `begin` to below
/// `end`.
#[inline(always)]
pub fn said_by_lists<T: Tables>(tables: &T, classes: Classes, mut begin: u32, end: u32) -> Counter {
    let lists = tables.constant(Constant::Lists);
    for list in 0..MAX_LISTS {
        if list >= lists {
            break;
        }
        match ask(classes, begin, end, tables) {
            Said::Counter(counter) => return counter,
            Said::Next(next) => begin = next,
        }
    }
    if begin < end {
        Counter::INTERNAL
    } else {
        Counter::NOTHING
    }
}

/// What a group says, asked from one of its lists on.
enum Said {
    /// The packet's mirror, or the packet, is allowed, or no list knows of it.
    Counter(Counter),
    /// This list refuses it; the next begins at this word.
    Next(u32),
}

#[inline(always)]
fn ask<T: Tables>(classes: Classes, begin: u32, end: u32, tables: &T) -> Said {
    let rule = match search::first_match(tables, classes, begin, end) {
        Match::Rule(rule) => rule,
        Match::None => return Said::Counter(Counter::NOTHING),
        Match::Internal => return Said::Counter(Counter::INTERNAL),
    };
    let place = tables.constant(Constant::Fates).wrapping_add(rule);
    match tables.item(place) {
        Some(fate) if fate & fate::ALLOWED != 0 => Said::Counter(Counter(fate & !fate::ALLOWED)),
        Some(next) => Said::Next(next),
        None => Said::Counter(Counter::INTERNAL),
    }
}

/// Records `packet`, which a rule allows, if it opens a conversation (§13.3); `tracked` is
/// what the rules said of that.
#[inline(always)]
pub(crate) fn record<T: Tables + Flows>(packet: &Packet, tracked: bool, tables: &T) {
    if !tracked || tables.constant(Constant::Tracking) == 0 {
        return;
    }
    if packet.icmp != NO_ICMP && !is_echo_request(packet.key.family, packet.icmp >> 8) {
        return;
    }
    if packet.tcp_flags & (SYN | ACK) == SYN | ACK {
        return;
    }
    tables.record(&conversation(packet, packet.key), packet.tcp_flags);
}

/// The counter of `packet` if it is a reply (§13.4); [`Counter::NOTHING`] if it is
/// none.
#[inline(always)]
pub(crate) fn reply<T: Tables + Flows>(packet: &Packet, outcome: Outcome, tables: &T) -> Counter {
    if packet.tcp_flags & (SYN | ACK) == SYN {
        return Counter::NOTHING;
    }
    if packet.icmp != NO_ICMP {
        let answer = match packet.key.family {
            Family::V4 => ECHO_REPLY,
            Family::V6 => ECHO_REPLY_V6,
        };
        if packet.icmp >> 8 != answer {
            return Counter::NOTHING;
        }
    }
    let counter = match outcome.reply() {
        Reply::No => return Counter::NOTHING,
        Reply::ByRule(counter) => return counter,
        Reply::ByFlow(counter) => counter,
    };
    let tuple = conversation(packet, packet.key.mirror());
    if tables.is_answered(&tuple, packet.tcp_flags) {
        counter
    } else {
        Counter::NOTHING
    }
}

/// Whether an ICMP error belongs to a conversation (§13.6).
///
/// # Errors
/// [`Counter::INTERNAL`] if a loop ran out.
#[inline(always)]
pub fn is_talked_about<T: Tables + Flows>(quote: &Quote, tables: &T) -> Result<bool, Counter> {
    let Quote {
        ref mirror,
        is_icmp,
        identifier,
        ..
    } = *quote;
    if tables.constant(Constant::Words) == 0 {
        return Ok(false);
    }
    let ports = classify::ports(mirror, tables);
    let rules = classify::source(mirror, tables)
        .and_then(|source| classify::classes(mirror, ports, source, tables))
        .map(|classes| Rules::of(classes, tables))
        .ok_or(Counter::INTERNAL)?;
    match rules.own(tables) {
        Own::Allowed { .. } => {
            if tables.constant(Constant::Tracking) == 0
                || rules.is_open(tables)?
                || (!is_icmp && tables.is_live(&Tuple::of(mirror)))
            {
                return Ok(true);
            }
        }
        Own::Final(Counter::INTERNAL) => return Err(Counter::INTERNAL),
        Own::Final(_) | Own::Refused(_) => {}
    }
    match rules.reply(tables) {
        Reply::ByRule(Counter::INTERNAL) => return Err(Counter::INTERNAL),
        Reply::ByRule(_) => return Ok(true),
        Reply::ByFlow(_) if identifier != NO_ICMP => {}
        Reply::ByFlow(_) | Reply::No => return Ok(false),
    }
    let mut sent = mirror.mirror();
    if is_icmp {
        sent.source_port = identifier as u16;
        sent.destination_port = identifier as u16;
    }
    Ok(tables.is_live(&Tuple::of(&sent)))
}

/// The conversation of `packet`, opened by whoever sends `key`.
#[inline(always)]
fn conversation(packet: &Packet, mut key: Key) -> Tuple {
    if packet.icmp != NO_ICMP {
        key.source_port = packet.identifier;
        key.destination_port = packet.identifier;
    }
    Tuple::of(&key)
}
