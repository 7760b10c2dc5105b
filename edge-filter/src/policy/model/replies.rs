//! Section 13: what is recorded of conversations, what answers them, and which ICMP
//! errors are about one.

use super::conversations::{Conversations, Tuple};
use super::lists::{Lists, is_tracking};
use super::protocol::TCP;
use super::quote::Quote;
use super::transport::Segment;
use super::{Flow, rules};
use crate::policy::{Action, Direction, Interface, Rule, Trust};

const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// One hook's part in conversations.
#[derive(Debug, Clone)]
pub(super) struct Memory<'p> {
    lists: Lists<'p>,
    tracking: bool,
    /// The trusted side sends here.
    from_trusted_side: bool,
    /// It is the outbound hook of a trusted role.
    towards_trusted_side: bool,
}

impl<'p> Memory<'p> {
    pub(super) fn of(lists: Lists<'p>, interface: &Interface, direction: Direction) -> Self {
        let trusted = interface.trust == Trust::Trusted;
        let outbound = direction == Direction::Outbound;
        Self {
            lists,
            tracking: is_tracking(interface, direction),
            from_trusted_side: trusted != outbound,
            towards_trusted_side: trusted && outbound,
        }
    }

    /// Section 13.3, for a packet that an allow rule of this hook decided.
    pub(super) fn record(&self, segment: &Segment, now: u64, conversations: &mut Conversations) {
        let forwarded =
            self.towards_trusted_side && self.lists.open.allows(&segment.flow).is_some();
        if !self.tracking || forwarded || self.lists.open.allows(&segment.flow.mirror()).is_some() {
            return;
        }
        if is_syn_ack(segment) {
            return;
        }
        if let Some(tuple) = opened(segment) {
            conversations.record(tuple, segment.tcp_flags, now);
        }
    }

    /// Section 13.4: the rule whose reply the packet is.
    pub(super) fn reply(
        &self,
        segment: &Segment,
        now: u64,
        conversations: &mut Conversations,
    ) -> Option<&'p Rule> {
        let mirror = segment.flow.mirror();
        if !can_answer(segment) {
            return None;
        }
        if self.from_trusted_side
            && let Some(rule) = self.lists.open.allows(&mirror)
        {
            return Some(rule);
        }
        let rule = self.lists.tracking.allows(&mirror)?;
        conversations
            .answer(&answered(segment), segment.tcp_flags, now)
            .then_some(rule)
    }

    /// Section 13.6. `own` are the rules of this hook.
    pub(super) fn is_talked_about(
        &self,
        quote: &Quote,
        own: &[&Rule],
        now: u64,
        conversations: &Conversations,
    ) -> bool {
        let is_live = |tuple: Option<Tuple>| {
            tuple.is_some_and(|tuple| conversations.get(&tuple, now).is_some())
        };
        let mirror = quote.sent.mirror();
        let by_rules =
            rules::first_match(own, &mirror).is_some_and(|rule| rule.action == Action::Allow);
        let outsiders_open = self.towards_trusted_side && self.lists.open.allows(&mirror).is_some();
        let answers_outsiders =
            self.from_trusted_side && self.lists.open.allows(&quote.sent).is_some();
        let is_open = !self.tracking || outsiders_open || is_live(quote.mirror_tuple());
        (by_rules && is_open)
            || answers_outsiders
            || (self.lists.tracking.allows(&quote.sent).is_some() && is_live(quote.tuple()))
    }
}

fn is_syn_ack(segment: &Segment) -> bool {
    segment.flow.protocol == TCP && segment.tcp_flags & (SYN | ACK) == SYN | ACK
}

/// The conversation that the packet may open or continue.
fn opened(segment: &Segment) -> Option<Tuple> {
    match &segment.icmp {
        Some(icmp) if icmp.kind != echo_request(&segment.flow) => None,
        Some(icmp) => Some(segment.flow.tuple(Some(icmp.identifier))),
        None => Some(segment.flow.tuple(None)),
    }
}

/// Whether a packet of this kind can be a reply at all.
fn can_answer(segment: &Segment) -> bool {
    let opens = segment.flow.protocol == TCP && segment.tcp_flags & (SYN | ACK) == SYN;
    let other = segment
        .icmp
        .as_ref()
        .is_some_and(|icmp| icmp.kind != echo_reply(&segment.flow));
    !opens && !other
}

/// RFC 792, RFC 4443.
pub(super) fn echo_request(flow: &Flow) -> u8 {
    if flow.source.is_ipv4() { 8 } else { 128 }
}

fn echo_reply(flow: &Flow) -> u8 {
    if flow.source.is_ipv4() { 0 } else { 129 }
}

/// The conversation that the packet answers, if it is one.
fn answered(segment: &Segment) -> Tuple {
    let identifier = segment.icmp.as_ref().map(|icmp| icmp.identifier);
    segment.flow.mirror().tuple(identifier)
}

impl Flow {
    /// Section 13.2.
    pub(super) fn mirror(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            ports: self
                .ports
                .map(|(source, destination)| (destination, source)),
        }
    }

    /// Section 14.1.
    pub(super) fn tuple(&self, identifier: Option<u16>) -> Tuple {
        let echo = identifier.map(|identifier| (identifier, identifier));
        Tuple {
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
            ports: self.ports.or(echo).unwrap_or_default(),
        }
    }
}
