//! Whether what must pass does, by the reference model of the policy.

use std::fmt;

use super::needs::{Need, Purpose, Step};
use super::packet::Packet;
use super::remedy::{self, Remedy};
use crate::policy::model::conversations::Conversations;
use crate::policy::model::{Model, Tracker};
use crate::policy::{Action, CounterId, Direction, DropReason, Policy};

/// TCP's ACK (RFC 9293 §3.1).
const ACK: u8 = 0x10;

/// What a policy would take from the host that it is applied to, and what would give it
/// back. Its text is what `apply` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockOut {
    /// What would be lost; at least one thing.
    pub losses: Vec<Loss>,
    /// What to change; none where no setting and no rule helps.
    pub remedy: Option<Remedy>,
}

/// Something that the host needs and would not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What it is.
    pub purpose: Purpose,
    /// The packets that would be dropped; at least one.
    pub dropped: Vec<Dropped>,
}

/// A packet that would be dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The role.
    pub interface: String,
    /// The device.
    pub device: String,
    /// The side.
    pub direction: Direction,
    /// The packet.
    pub packet: Packet,
    /// The counter of the rule or of the reason.
    pub by: CounterId,
    /// The line of the rule, counted from 1.
    pub line: Option<usize>,
}

/// What `policy` would take from a host with these `needs`; none if everything passes.
#[must_use]
pub fn lock_out(policy: &Policy, needs: &[Need]) -> Option<LockOut> {
    let losses: Vec<Loss> = needs
        .iter()
        .map(|need| Loss {
            purpose: need.purpose.clone(),
            dropped: dropped(policy, need),
        })
        .filter(|loss| !loss.dropped.is_empty())
        .collect();
    (!losses.is_empty()).then(|| LockOut {
        losses,
        remedy: remedy::find(policy, needs),
    })
}

/// What `policy` drops of `need`.
pub(super) fn dropped(policy: &Policy, need: &Need) -> Vec<Dropped> {
    let mut conversations = Conversations::default();
    // `apply` enters what is open and what it may remember.
    if let Some(open) = need.open
        && Tracker::new(policy).records(&open)
    {
        conversations.record(open, ACK, 0);
    }
    let steps = need.steps.iter();
    steps
        .filter_map(|step| dropped_at(policy, step, &mut conversations))
        .collect()
}

/// None if any of the packets passes. All of them are judged: what one of them opens may
/// be what the next step answers.
fn dropped_at(policy: &Policy, step: &Step, conversations: &mut Conversations) -> Option<Dropped> {
    let model = Model::new(policy, &step.interface, step.direction, false)?;
    let verdicts: Vec<_> = step
        .packets
        .iter()
        .map(|packet| (packet, model.judge_at(&packet.frame(), 0, conversations)))
        .collect();
    let passes = verdicts
        .iter()
        .any(|(_, verdict)| verdict.action == Action::Allow);
    let (packet, verdict) = verdicts.into_iter().next().filter(|_| !passes)?;
    let line = match &verdict.counter {
        CounterId::Rule(id) => policy
            .rules
            .iter()
            .find(|rule| rule.id == *id)
            .map(|rule| rule.line),
        _ => None,
    };
    Some(Dropped {
        interface: step.interface.clone(),
        device: step.device.clone(),
        direction: step.direction,
        packet: packet.clone(),
        by: verdict.counter,
        line,
    })
}

impl fmt::Display for LockOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the policy cuts off what this host is reached by, or lives on")?;
        for loss in &self.losses {
            write!(f, "\n  {}:", loss.purpose)?;
            for dropped in &loss.dropped {
                write!(f, "\n    {dropped}")?;
            }
        }
        match &self.remedy {
            Some(remedy) => write!(f, "\n  help: {remedy}"),
            None => f.write_str(
                "\n  help: no rule or setting of the policy lets this pass: filter other devices, or \
                 work from a console",
            ),
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            interface,
            device,
            direction,
            packet,
            by,
            line,
        } = self;
        write!(f, "{interface} {direction}, {device}: {packet} is dropped ")?;
        match (by, line) {
            (CounterId::Rule(id), Some(line)) => write!(f, "by the rule '{id}' (line {line})"),
            (CounterId::Drop(DropReason::Default), _) => {
                f.write_str("by default (drop:default): no rule allows it")
            }
            (by, _) => write!(f, "as {by}"),
        }
    }
}
