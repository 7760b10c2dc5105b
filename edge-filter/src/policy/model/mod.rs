//! The reference model: `docs/verdicts.md` written down once more, as plainly
//! as can be, to hold the data path against.
//!
//! It parses every frame from scratch on plain slices, asks the rules one
//! after the other, and shares no code with what runs in the kernel. Each file
//! is one or two sections of that page, and says which.

mod address;
pub mod conversations;
mod essentials;
mod ethernet;
mod ip;
mod lists;
mod protocol;
mod quote;
mod replies;
mod rules;
mod transport;

#[cfg(test)]
pub(in crate::policy) mod tests;

use std::net::IpAddr;

use super::{
    Action, CounterId, Direction, DropReason, EssentialCounter, Interface, Mode, Outbound, Policy,
    Rule,
};
use conversations::{Conversations, Tuple};
use lists::Lists;
use replies::Memory;
use transport::Segment;

/// One hook of a policy, and how it judges frames.
#[derive(Debug, Clone)]
pub struct Model<'p> {
    policy: &'p Policy,
    interface: &'p Interface,
    direction: Direction,
    software_lengths: bool,
    /// The rules of this hook, in file order.
    rules: Vec<&'p Rule>,
    /// What it makes of conversations.
    memory: Memory<'p>,
}

/// What has gone before a packet.
struct Past<'c> {
    /// The second in which it appears.
    now: u64,
    conversations: &'c mut Conversations,
}

/// What becomes of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The one counter that moves.
    pub counter: CounterId,
    /// Whether the frame passes.
    pub action: Action,
}

/// What decided, before audit mode and tracking have their say.
#[derive(Debug, Clone, Copy)]
enum Decision<'p> {
    /// An essential admits the frame.
    Essential(EssentialCounter),
    /// This rule matches first.
    Rule(&'p Rule),
    /// The packet answers what this rule allows.
    Reply(&'p Rule),
    /// No rule matches.
    Default,
    /// The frame is dropped whatever the rules say.
    Fault(DropReason),
}

/// The five fields that rules ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Flow {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// Source and destination port, in host byte order, of protocols that
    /// have any.
    ports: Option<(u16, u16)>,
}

impl<'p> Model<'p> {
    /// The hook of the role `interface` on the side of `direction`; `None` if
    /// the policy has no such role.
    ///
    /// `software_lengths` says that the hook runs after software segmentation
    /// offload (generic XDP, TCX). Whether anything is attached at all
    /// (`outbound: ignore`) is for the caller to ask: the model judges as if it
    /// were.
    #[must_use]
    pub fn new(
        policy: &'p Policy,
        interface: &'p str,
        direction: Direction,
        software_lengths: bool,
    ) -> Option<Self> {
        let role = policy.interface(interface)?;
        Some(Self {
            policy,
            interface: role,
            direction,
            software_lengths,
            rules: policy.rules_of(interface, direction).collect(),
            memory: Memory::of(Lists::of(policy), role, direction),
        })
    }

    /// The verdict on `frame`, which begins with the destination MAC and ends
    /// with the last byte before the FCS, where nobody has opened anything.
    #[must_use]
    pub fn judge(&self, frame: &[u8]) -> Verdict {
        self.judge_at(frame, 0, &mut Conversations::default())
    }

    /// The same in the second `now`, after what has opened `conversations`.
    #[must_use]
    pub fn judge_at(&self, frame: &[u8], now: u64, conversations: &mut Conversations) -> Verdict {
        let past = Past { now, conversations };
        let decision = self.decide(frame, past).unwrap_or_else(Decision::Fault);
        if self.only_tracks() {
            untracked(decision)
        } else {
            self.enforced(decision)
        }
    }

    /// Sections 1 and 2, and whatever follows from there.
    fn decide(&self, frame: &[u8], past: Past<'_>) -> Result<Decision<'p>, DropReason> {
        let header = ethernet::header(frame)?;
        if ethernet::is_link_control(&header)? && allows(self.policy.essentials.link_control) {
            return Ok(Decision::Essential(EssentialCounter::LinkControl));
        }
        let untagged = ethernet::strip_tags(header)?;
        if let Some(vlans) = &self.interface.vlans
            && !ethernet::may_appear(&untagged.tags, vlans)
        {
            return Err(DropReason::Vlan);
        }
        match untagged.ethertype {
            ethernet::ARP => {
                ethernet::check_arp(&untagged)?;
                Ok(if allows(self.policy.essentials.arp) {
                    Decision::Essential(EssentialCounter::Arp)
                } else {
                    Decision::Default
                })
            }
            ethernet::IPV4 => {
                self.decide_packet(&ip::v4(untagged.rest, self.software_lengths)?, past)
            }
            ethernet::IPV6 => {
                self.decide_packet(&ip::v6(untagged.rest, self.software_lengths)?, past)
            }
            other if self.policy.ethertypes.contains(&other) => {
                Ok(Decision::Essential(EssentialCounter::Ethertype))
            }
            _ => Err(DropReason::Ethertype),
        }
    }

    /// Sections 6 to 10.
    fn decide_packet(
        &self,
        packet: &ip::Packet<'_>,
        past: Past<'_>,
    ) -> Result<Decision<'p>, DropReason> {
        let segment = transport::segment(packet)?;
        address::check(&segment, self.interface, self.direction)?;
        if let Some(essential) = self.essential(&segment, &past)? {
            return Ok(Decision::Essential(essential));
        }
        Ok(self.by_rules(&segment, past))
    }

    /// Section 9: the essential that admits the packet, if one does.
    fn essential(
        &self,
        segment: &Segment,
        past: &Past<'_>,
    ) -> Result<Option<EssentialCounter>, DropReason> {
        essentials::judge(&self.policy.essentials, self.direction, segment, |quote| {
            self.memory
                .is_talked_about(quote, &self.rules, past.now, past.conversations)
        })
    }

    /// Section 10.
    fn by_rules(&self, segment: &Segment, past: Past<'_>) -> Decision<'p> {
        let Past { now, conversations } = past;
        let decision = rules::first_match(&self.rules, &segment.flow)
            .map_or(Decision::Default, Decision::Rule);
        let is_dropped = match decision {
            Decision::Rule(rule) if allows(rule.action) => {
                self.memory.record(segment, now, conversations);
                false
            }
            Decision::Rule(rule) => !rule.drops_replies,
            _ => !allows(self.policy.default_action),
        };
        if !is_dropped || self.only_tracks() {
            return decision;
        }
        let reply = self.memory.reply(segment, now, conversations);
        reply.map_or(decision, Decision::Reply)
    }

    /// Whether the hook only records flows, and drops nothing.
    fn only_tracks(&self) -> bool {
        self.direction == Direction::Outbound && self.interface.outbound == Outbound::Track
    }

    /// The verdict of a hook that drops what it must.
    fn enforced(&self, decision: Decision<'p>) -> Verdict {
        let audited = self.policy.mode == Mode::Audit;
        let (counter, action) = match decision {
            Decision::Essential(essential) => (CounterId::Essential(essential), Action::Allow),
            Decision::Rule(rule) if allows(rule.action) => {
                (CounterId::Rule(rule.id.clone()), Action::Allow)
            }
            Decision::Reply(rule) => (CounterId::Reply(rule.id.clone()), Action::Allow),
            Decision::Rule(rule) if audited || rule.audit => {
                (CounterId::AuditRule(rule.id.clone()), Action::Allow)
            }
            Decision::Rule(rule) => (CounterId::Rule(rule.id.clone()), Action::Drop),
            Decision::Default if allows(self.policy.default_action) => {
                (CounterId::AllowDefault, Action::Allow)
            }
            Decision::Default => refusal(DropReason::Default, audited),
            Decision::Fault(reason) => refusal(reason, audited),
        };
        Verdict { counter, action }
    }
}

/// What a policy says of conversations that are known without a packet.
#[derive(Debug, Clone)]
pub struct Tracker<'p>(Lists<'p>);

impl<'p> Tracker<'p> {
    /// That of `policy`.
    #[must_use]
    pub fn new(policy: &'p Policy) -> Self {
        Self(Lists::of(policy))
    }

    /// Whether anything is recorded at all.
    #[must_use]
    pub fn tracks(&self) -> bool {
        !self.0.tracking.is_empty()
    }

    /// The rule by which the tracking lists allow what `tuple` opens (section 13.1).
    #[must_use]
    pub fn rule(&self, tuple: &Tuple) -> Option<&'p Rule> {
        self.0.tracking.allows(&flow(tuple))
    }

    /// Whether the opener's packets make an entry: they are allowed, and not the
    /// answers to what outsiders may open (section 13.3).
    #[must_use]
    pub fn records(&self, tuple: &Tuple) -> bool {
        let answered = self.0.open.allows(&flow(tuple).mirror()).is_some();
        self.rule(tuple).is_some() && !answered
    }
}

fn flow(tuple: &Tuple) -> Flow {
    Flow {
        source: tuple.source,
        destination: tuple.destination,
        protocol: tuple.protocol,
        ports: protocol::has_ports(tuple.protocol).then_some(tuple.ports),
    }
}

/// The verdict of a hook that only tracks (section 12): whatever is not
/// admitted by a rule or an essential passes untracked.
fn untracked(decision: Decision<'_>) -> Verdict {
    let counter = match decision {
        Decision::Essential(essential) => CounterId::Essential(essential),
        Decision::Rule(rule) if allows(rule.action) => CounterId::Rule(rule.id.clone()),
        Decision::Rule(_) | Decision::Reply(_) | Decision::Default | Decision::Fault(_) => {
            CounterId::AllowUntracked
        }
    };
    Verdict {
        counter,
        action: Action::Allow,
    }
}

fn refusal(reason: DropReason, audited: bool) -> (CounterId, Action) {
    if audited {
        (CounterId::AuditDrop(reason), Action::Allow)
    } else {
        (CounterId::Drop(reason), Action::Drop)
    }
}

fn allows(action: Action) -> bool {
    action == Action::Allow
}

/// "Needs `count` bytes": those, and what follows them.
fn take(bytes: &[u8], count: usize) -> Result<(&[u8], &[u8]), DropReason> {
    bytes.split_at_checked(count).ok_or(DropReason::Malformed)
}

/// The big-endian 16-bit word at `offset`, which must be inside `bytes`.
fn word(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}
