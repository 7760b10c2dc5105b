//! What a case says about other policies than its own.

use edge_filter::policy::Action;

use super::Case;
use super::policies::{ANYTHING, PolicyVariant};

/// The drop reasons that are faults of the frame: they stand before any rule
/// and under any default.
const FAULTS: [&str; 10] = [
    "drop:malformed",
    "drop:fragment",
    "drop:extension-headers",
    "drop:no-next-header",
    "drop:options",
    "drop:tcp-flags",
    "drop:ethertype",
    "drop:vlan",
    "drop:essentials",
    "drop:martian",
];

/// The counters of essentials.
const ESSENTIALS: [&str; 8] = [
    "arp",
    "nd",
    "mld",
    "icmp-error",
    "link-control",
    "ping",
    "dhcp-client",
    "ethertype",
];

/// The case itself; and if it is dropped: in audit mode it passes and is
/// counted, with a default of allow only a drop by default changes, and a rule
/// that allows everything does not heal a fault of the frame.
pub(super) fn variants(case: &Case) -> Vec<Case> {
    let mut variants = vec![case.clone()];
    if case.action == Action::Drop {
        variants.push(under_audit(case));
        variants.push(with_default_allow(case));
        if FAULTS.contains(&case.counter.as_str()) {
            variants.push(with_permissive_rules(case));
        }
    }
    variants
}

/// What the case says about an outbound hook that only tracks: nothing is
/// dropped, and what neither a rule nor an essential admits is told apart
/// (`docs/verdicts.md` §12).
pub(super) fn where_only_tracked(case: &Case) -> Case {
    let admitted = case.action == Action::Allow
        && !case.counter.starts_with("allow:")
        && !case.counter.starts_with("audit:");
    Case {
        name: format!("tracked/{}", case.name),
        policy: PolicyVariant {
            tracked: true,
            ..case.policy
        },
        counter: if admitted {
            case.counter.clone()
        } else {
            "allow:untracked".to_owned()
        },
        action: Action::Allow,
        reference: "verdicts §12",
        ..case.clone()
    }
}

fn under_audit(case: &Case) -> Case {
    let id = case.counter.strip_prefix("drop:").unwrap_or(&case.counter);
    Case {
        name: format!("audit/{}", case.name),
        policy: PolicyVariant {
            audit: true,
            ..case.policy
        },
        counter: format!("audit:{id}"),
        action: Action::Allow,
        ..case.clone()
    }
}

fn with_default_allow(case: &Case) -> Case {
    let (counter, action) = match case.counter.as_str() {
        "drop:default" => ("allow:default".to_owned(), Action::Allow),
        other => (other.to_owned(), Action::Drop),
    };
    Case {
        name: format!("default-allow/{}", case.name),
        policy: PolicyVariant {
            default_allow: true,
            ..case.policy
        },
        counter,
        action,
        ..case.clone()
    }
}

fn with_permissive_rules(case: &Case) -> Case {
    let by_rule = !ESSENTIALS.contains(&case.base_counter);
    Case {
        name: format!("permissive/{}", case.name),
        policy: PolicyVariant {
            permissive: true,
            ..case.policy
        },
        base_counter: if by_rule { ANYTHING } else { case.base_counter },
        ..case.clone()
    }
}
