//! Section 13.1: the lists of rules that know conversations.

use super::{Flow, rules};
use crate::policy::{Action, Direction, Interface, Outbound, Policy, Rule, Trust};

/// The rules of one hook, in file order.
type List<'p> = Vec<&'p Rule>;

/// Both groups of lists of a policy.
#[derive(Debug, Clone)]
pub(super) struct Lists<'p> {
    /// What the trusted side opens.
    pub(super) tracking: Group<'p>,
    /// What outsiders open.
    pub(super) open: Group<'p>,
}

/// Lists that are asked one after the other.
#[derive(Debug, Clone)]
pub(super) struct Group<'p>(Vec<List<'p>>);

impl<'p> Lists<'p> {
    /// The lists of `policy`, roles in its order.
    pub(super) fn of(policy: &'p Policy) -> Self {
        let mut tracking = Vec::new();
        let mut open = Vec::new();
        for interface in &policy.interfaces {
            for direction in [Direction::Outbound, Direction::Inbound] {
                let list: List<'_> = policy.rules_of(&interface.name, direction).collect();
                if is_tracking(interface, direction) {
                    tracking.push(list);
                } else if direction == Direction::Inbound {
                    open.push(list);
                }
            }
        }
        Self {
            tracking: Group(tracking),
            open: Group(open),
        }
    }
}

impl<'p> Group<'p> {
    /// Whether no list of the group allows anything.
    pub(super) fn is_empty(&self) -> bool {
        let mut rules = self.0.iter().flatten();
        !rules.any(|rule| rule.action == Action::Allow)
    }

    /// The rule by which the first list that allows `flow` does.
    pub(super) fn allows(&self, flow: &Flow) -> Option<&'p Rule> {
        self.0.iter().find_map(|list| {
            rules::first_match(list, flow).filter(|rule| rule.action == Action::Allow)
        })
    }
}

/// Whether the hook is a tracking hook.
pub(super) fn is_tracking(interface: &Interface, direction: Direction) -> bool {
    match direction {
        Direction::Outbound => interface.outbound != Outbound::Ignore,
        Direction::Inbound => interface.trust == Trust::Trusted,
    }
}
