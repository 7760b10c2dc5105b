//! What a policy says beside its rules.

use std::collections::BTreeSet;

use super::fields::{one, some, some_networks};
use super::{FieldChange, Value, change};
use crate::policy::{Interface, Mode, Outbound, Policy, Trust};

/// What `after` says differently. The policy's own tests change nothing that is enforced,
/// and which devices play a role shows where they are attached.
pub(super) fn changes(before: &Policy, after: &Policy) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut compare = |field: &str, of: &dyn Fn(&Policy) -> Option<Value>| {
        changes.extend(change(field, of(before), of(after)));
    };
    compare("name", &|policy| one(&policy.name));
    compare("mode", &|policy| {
        one(match policy.mode {
            Mode::Enforce => "enforce",
            Mode::Audit => "audit",
        })
    });
    compare("default_action", &|policy| one(&policy.default_action));
    compare("essentials.arp", &|policy| one(&policy.essentials.arp));
    compare("essentials.nd", &|policy| one(&policy.essentials.nd));
    compare("essentials.mld", &|policy| one(&policy.essentials.mld));
    compare("essentials.icmp-errors", &|policy| {
        one(&policy.essentials.icmp_errors)
    });
    compare("essentials.link-control", &|policy| {
        one(&policy.essentials.link_control)
    });
    compare("essentials.ping", &|policy| one(&policy.essentials.ping));
    compare("essentials.dhcp-client", &|policy| {
        one(&policy.essentials.dhcp_client)
    });
    compare("essentials.router-advertisements", &|policy| {
        some_networks(&policy.essentials.router_advertisements)
    });
    compare("ethertypes", &|policy| {
        let ethertypes = policy.ethertypes.iter();
        some(ethertypes.map(|number| format!("0x{number:04x}")).collect())
    });
    compare("flows.entries", &|policy| one(&policy.flows.entries));
    let names: BTreeSet<&str> = [before, after]
        .into_iter()
        .flat_map(|policy| &policy.interfaces)
        .map(|role| &*role.name)
        .collect();
    for name in names {
        let roles = (before.interface(name), after.interface(name));
        changes.extend(role_changes(name, roles));
    }
    changes
}

fn role_changes(
    name: &str,
    (before, after): (Option<&Interface>, Option<&Interface>),
) -> Vec<FieldChange> {
    let name = format!("interfaces.{name}");
    let (Some(before), Some(after)) = (before, after) else {
        let there = |role: Option<&Interface>| role.and_then(|role| one(outbound(role)));
        let outbound = change(&format!("{name}.outbound"), there(before), there(after));
        return outbound.into_iter().collect();
    };
    let mut changes = Vec::new();
    let mut compare = |field: &str, of: &dyn Fn(&Interface) -> Option<Value>| {
        let field = format!("{name}.{field}");
        changes.extend(change(&field, of(before), of(after)));
    };
    compare("outbound", &|role| one(outbound(role)));
    compare("trust", &|role| {
        one(match role.trust {
            Trust::Untrusted => "untrusted",
            Trust::Trusted => "trusted",
        })
    });
    compare("vlans", &|role| {
        let vlans = role.vlans.as_ref()?.iter();
        let words = vlans.map(|id| match id {
            0 => "untagged".to_owned(),
            id => id.to_string(),
        });
        Some(Value::Many(words.collect()))
    });
    compare("protects", &|role| some_networks(&role.protects));
    changes
}

fn outbound(role: &Interface) -> &'static str {
    match role.outbound {
        Outbound::Enforce => "enforce",
        Outbound::Track => "track",
        Outbound::Ignore => "ignore",
    }
}
