//! The reference model: `docs/verdicts.md` written down once more, as plainly
//! as can be, to hold the data path against.
//!
//! It parses every frame from scratch on plain slices, asks the rules one
//! after the other, and shares no code with what runs in the kernel. Each file
//! is one or two sections of that page, and says which.

mod address;
mod essentials;
mod ethernet;
mod ip;
mod protocol;
mod quote;
mod rules;
mod transport;

#[cfg(test)]
pub(in crate::policy) mod tests;

use std::net::IpAddr;

use super::{
    Action, CounterId, Direction, DropReason, EssentialCounter, Interface, Mode, Outbound, Policy,
    Rule,
};
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
        Some(Self {
            policy,
            interface: policy.interface(interface)?,
            direction,
            software_lengths,
            rules: policy.rules_of(interface, direction).collect(),
        })
    }

    /// The verdict on `frame`, which begins with the destination MAC and ends
    /// with the last byte before the FCS.
    #[must_use]
    pub fn judge(&self, frame: &[u8]) -> Verdict {
        let decision = self.decide(frame).unwrap_or_else(Decision::Fault);
        if self.only_tracks() {
            untracked(decision)
        } else {
            self.enforced(decision)
        }
    }

    /// Sections 1 and 2, and whatever follows from there.
    fn decide(&self, frame: &[u8]) -> Result<Decision<'p>, DropReason> {
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
            ethernet::IPV4 => self.decide_packet(&ip::v4(untagged.rest, self.software_lengths)?),
            ethernet::IPV6 => self.decide_packet(&ip::v6(untagged.rest, self.software_lengths)?),
            other if self.policy.ethertypes.contains(&other) => {
                Ok(Decision::Essential(EssentialCounter::Ethertype))
            }
            _ => Err(DropReason::Ethertype),
        }
    }

    /// Sections 6 to 10.
    fn decide_packet(&self, packet: &ip::Packet<'_>) -> Result<Decision<'p>, DropReason> {
        let segment = transport::segment(packet)?;
        address::check(&segment, self.interface, self.direction)?;
        if let Some(essential) = self.essential(&segment)? {
            return Ok(Decision::Essential(essential));
        }
        Ok(
            rules::first_match(&self.rules, &segment.flow)
                .map_or(Decision::Default, Decision::Rule),
        )
    }

    /// Section 9: the essential that admits the packet, if one does.
    fn essential(&self, segment: &Segment) -> Result<Option<EssentialCounter>, DropReason> {
        let mirror_allowed = |flow: &Flow| {
            rules::first_match(&self.rules, flow).is_some_and(|rule| rule.action == Action::Allow)
        };
        essentials::judge(
            &self.policy.essentials,
            self.direction,
            segment,
            mirror_allowed,
        )
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

/// The verdict of a hook that only tracks (section 12): whatever is not
/// admitted by a rule or an essential passes untracked.
fn untracked(decision: Decision<'_>) -> Verdict {
    let counter = match decision {
        Decision::Essential(essential) => CounterId::Essential(essential),
        Decision::Rule(rule) if allows(rule.action) => CounterId::Rule(rule.id.clone()),
        Decision::Rule(_) | Decision::Default | Decision::Fault(_) => CounterId::AllowUntracked,
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
