//! What each counter of a hook means: the names that go with the indices.

use edge_filter_ebpf::counter::Counter;

use crate::policy::{
    Action, CounterId, CounterKind, DropReason, EssentialCounter, Mode, Policy, Rule,
};

/// The meaning of one counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterSlot {
    /// Its name.
    pub id: CounterId,
    /// What becomes of the packets that it counts.
    pub action: Action,
}

impl CounterSlot {
    /// What kind of counter it is.
    #[must_use]
    pub fn kind(&self) -> CounterKind {
        self.id.kind()
    }
}

/// The counters of a hook with `rules`, at which the replies to what other rules
/// allow are counted apart, in the order of their indices.
#[must_use]
pub fn counter_slots(policy: &Policy, rules: &[&Rule], replies: &[&Rule]) -> Vec<CounterSlot> {
    let fixed = (0..Counter::FIRST_RULE).map(|number| fixed(Counter(number), policy.mode));
    let rules = rules.iter().map(|rule| {
        let audited = rule.audit && rule.action == Action::Drop;
        let id = if audited {
            CounterId::AuditRule(rule.id.clone())
        } else {
            CounterId::Rule(rule.id.clone())
        };
        (id, if audited { Action::Allow } else { rule.action })
    });
    let replies = replies
        .iter()
        .map(|rule| (CounterId::Reply(rule.id.clone()), Action::Allow));
    fixed
        .map(|id| {
            let action = id
                .action()
                .expect("only a rule's own counter needs its rule");
            (id, action)
        })
        .chain(rules)
        .chain(replies)
        .map(|(id, action)| CounterSlot { id, action })
        .collect()
}

fn fixed(counter: Counter, mode: Mode) -> CounterId {
    use EssentialCounter as Essential;
    let reason = match counter {
        Counter::DEFAULT => DropReason::Default,
        Counter::MALFORMED => DropReason::Malformed,
        Counter::FRAGMENT => DropReason::Fragment,
        Counter::EXTENSION_HEADERS => DropReason::ExtensionHeaders,
        Counter::NO_NEXT_HEADER => DropReason::NoNextHeader,
        Counter::OPTIONS => DropReason::Options,
        Counter::TCP_FLAGS => DropReason::TcpFlags,
        Counter::ETHERTYPE => DropReason::Ethertype,
        Counter::VLAN => DropReason::Vlan,
        Counter::ESSENTIALS => DropReason::Essentials,
        Counter::MARTIAN => DropReason::Martian,
        Counter::INTERNAL => DropReason::Internal,
        Counter::ALLOW_DEFAULT => return CounterId::AllowDefault,
        Counter::ALLOW_UNTRACKED => return CounterId::AllowUntracked,
        Counter::ARP => return CounterId::Essential(Essential::Arp),
        Counter::ND => return CounterId::Essential(Essential::Nd),
        Counter::MLD => return CounterId::Essential(Essential::Mld),
        Counter::ICMP_ERROR => return CounterId::Essential(Essential::IcmpError),
        Counter::LINK_CONTROL => return CounterId::Essential(Essential::LinkControl),
        Counter::PING => return CounterId::Essential(Essential::Ping),
        Counter::DHCP_CLIENT => return CounterId::Essential(Essential::DhcpClient),
        Counter::ALLOWED_ETHERTYPE => return CounterId::Essential(Essential::Ethertype),
        rule => unreachable!("{rule:?} is a rule's counter"),
    };
    match mode {
        Mode::Enforce => CounterId::Drop(reason),
        Mode::Audit => CounterId::AuditDrop(reason),
    }
}
